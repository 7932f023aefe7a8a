"""What is told when a picture was made and paid for, and the gateway cannot deliver it as asked::

    conversion_failed    500   strict mode, or nothing else could be delivered; else the original is
    media_store_failed   502   strict mode; else the picture comes as b64_json
    bad_upstream_payload 502   what should be base64 is not, and a link was asked for
    bad_upstream_url     502   the provider's link leads to no picture, or to where nothing may be fetched
    spool_failed         503   this gateway's disk could not take it

None of them is worth a retry, which would pay for another picture.
"""

from __future__ import annotations

from gateway.errors import GatewayError, InternalError, Unavailable, UpstreamFailed


def conversion_failed(reason: str, request_id: str) -> GatewayError:
    return InternalError(
        f"The picture was made and paid for, but could not be converted: {reason}. Ask for another "
        f"output_format or without fit, or outside strict mode, where the original is delivered instead. "
        f"Request ID {request_id}.",
        code="conversion_failed",
        retryable=False,
    )


def media_store_failed(request_id: str) -> GatewayError:
    return UpstreamFailed(
        f"The picture was made and paid for, but this gateway's media store could not take it. Ask with "
        f"response_format b64_json. Request ID {request_id}.",
        code="media_store_failed",
        retryable=False,
    )


def bad_base64(request_id: str) -> GatewayError:
    return UpstreamFailed(
        f"The provider sent an answer that cannot be used: its b64_json is not base64. "
        f"Request ID {request_id}.",
        code="bad_upstream_payload",
        retryable=False,
    )


def bad_upstream_url(reason: str, request_id: str) -> GatewayError:
    return UpstreamFailed(
        f"The picture was made and paid for, but the provider answered with a link that cannot be used: "
        f"{reason}. Request ID {request_id}.",
        code="bad_upstream_url",
        retryable=False,
    )


def spool_failed(request_id: str) -> GatewayError:
    return Unavailable(
        f"The picture was made and paid for, but this gateway's disk could not take it. "
        f"Request ID {request_id}.",
        code="spool_failed",
        retryable=False,
    )
