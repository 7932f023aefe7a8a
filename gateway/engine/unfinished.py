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

_PAID = "The picture was made and paid for, but"


def conversion_failed(reason: str, request_id: str) -> GatewayError:
    words = (
        f"{_PAID} could not be converted: {reason}. Ask for another output_format or without fit, or outside "
        "strict mode, where the original is delivered instead."
    )
    return _final(InternalError, "conversion_failed", words, request_id)


def media_store_failed(request_id: str) -> GatewayError:
    words = f"{_PAID} this gateway's media store could not take it. Ask with response_format b64_json."
    return _final(UpstreamFailed, "media_store_failed", words, request_id)


def bad_base64(request_id: str) -> GatewayError:
    words = "The provider sent an answer that cannot be used: its b64_json is not base64."
    return _final(UpstreamFailed, "bad_upstream_payload", words, request_id)


def bad_upstream_url(reason: str, request_id: str) -> GatewayError:
    words = f"{_PAID} the provider answered with a link that cannot be used: {reason}."
    return _final(UpstreamFailed, "bad_upstream_url", words, request_id)


def spool_failed(request_id: str) -> GatewayError:
    return _final(Unavailable, "spool_failed", f"{_PAID} this gateway's disk could not take it.", request_id)


def _final(error: type[GatewayError], code: str, words: str, request_id: str) -> GatewayError:
    return error(f"{words} Request ID {request_id}.", code=code, retryable=False)
