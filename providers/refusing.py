"""What every refusal has in common, whatever the dialect: the meaning of a bare status, and words for it."""

from __future__ import annotations

from collections.abc import Mapping

from providers.base import Kind

BY_STATUS: Mapping[int, Kind] = {
    401: Kind.AUTH,
    402: Kind.AUTH,
    403: Kind.AUTH,
    404: Kind.NOT_FOUND,
    405: Kind.NOT_FOUND,
    409: Kind.OVERLOADED,
    429: Kind.THROTTLED,
    502: Kind.SERVER,
    503: Kind.OVERLOADED,
    529: Kind.OVERLOADED,
}
"""Where the answer says nothing more. Any other below 500 is a bad request, any other above it a failure."""

WHAT_IT_DID: Mapping[Kind, str] = {
    Kind.AUTH: "refused the gateway's account",
    Kind.THROTTLED: "limits the rate of calls",
    Kind.OVERLOADED: "is overloaded",
    Kind.INVALID: "refused the request",
    Kind.MODERATION: "refused the request for its content",
    Kind.NOT_FOUND: "does not know the model or the path",
    Kind.TIMEOUT: "gave up waiting",
    Kind.SERVER: "failed",
}
"""After the provider's name in a message."""
