"""JSON bodies: strict UTF-8, one object at the top, and a clear 400 for everything else."""

from __future__ import annotations

import msgspec

from gateway.errors import InvalidRequest
from gateway.images.wording import kind_of

_decoder = msgspec.json.Decoder()


def decode_object(body: bytes | bytearray) -> dict[str, object]:
    """The body's object; of duplicate names the last one counts. Raises ``InvalidRequest``."""
    try:
        value = _decoder.decode(body)
    except RecursionError:
        raise _unparsable("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise _unparsable(f"it is not valid UTF-8 (byte {error.start} of a string)") from None
    except msgspec.DecodeError as error:
        raise _unparsable("it is empty" if not body else str(error).removesuffix(".")) from None
    if not isinstance(value, dict):
        raise InvalidRequest(
            f"Invalid type for the request body: expected an object, but got {kind_of(value)} instead.",
            code="invalid_type",
        )
    return value


def _unparsable(reason: str) -> InvalidRequest:
    return InvalidRequest(
        f"We could not parse the JSON body of your request: {reason}. (HINT: This likely means you aren't "
        "using your HTTP library correctly. The API expects a JSON payload, but what was sent was not valid "
        "JSON.)",
        code="invalid_json",
    )
