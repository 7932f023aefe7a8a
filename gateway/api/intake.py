"""From a request's body to a :class:`RawRequest`: content type, limits and deadline.

Whatever is refused here was refused before anybody was asked to pay: nothing is recorded and nothing stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog
from multipart import parse_options_header

from config.server import UploadSettings
from gateway.api.body import Body
from gateway.api.json_room import JsonRoom
from gateway.api.multipart import boundary_of, read_form
from gateway.errors import RequestTimeout, UnsupportedMedia
from gateway.images.raw import Encoding, RawRequest
from gateway.images.wording import shown
from gateway.media.uploads import Uploads
from providers.base import Operation

GENERATION_BYTES = 4 << 20
"""A generation's JSON is a prompt and a few words; 32,000 characters need at most 200 KB of escapes."""

_log = structlog.get_logger("imagegate.api")

JSON, FORM = "application/json", "multipart/form-data"
_ACCEPTED = {Operation.GENERATE: (JSON,), Operation.EDIT: (FORM, JSON)}
_UTF8 = frozenset({"utf-8", "utf8", "us-ascii"})


@dataclass(frozen=True, slots=True)
class JsonBody:
    """A JSON body that has arrived and has not been parsed yet."""

    operation: Operation
    data: bytearray


class Intake:
    def __init__(self, limits: UploadSettings) -> None:
        self._limits = limits
        self._json = JsonRoom(limits.json_memory)

    async def read(
        self, body: Body, headers: Mapping[bytes, bytes], operation: Operation, uploads: Uploads
    ) -> RawRequest | JsonBody:
        """The whole body. Raises ``GatewayError`` (413, 415, 408, 400) or ``ClientGone``."""
        header = headers.get(b"content-type", b"").decode("latin-1")
        kind = _content_type(header, headers, operation)
        limit = self._limits.max_request
        body.limit(min(limit, GENERATION_BYTES) if operation is Operation.GENERATE else limit)
        try:
            async with asyncio.timeout(self._limits.timeout):
                if kind == JSON:
                    return JsonBody(operation, await self._whole(body, uploads))
                hold = self._holder(uploads)
                form = await read_form(body, boundary_of(header), self._limits, uploads, hold)
        except TimeoutError:
            body.stalled = True
            _log.warning("slow_client", received=body.received, seconds=self._limits.timeout)
            raise RequestTimeout(
                f"The request's body did not arrive within {self._limits.timeout:g} seconds."
            ) from None
        return RawRequest(operation, Encoding.MULTIPART, form.fields, form.files)

    async def _whole(self, body: Body, uploads: Uploads) -> bytearray:
        data, hold = bytearray(), self._holder(uploads)
        while not body.complete:
            chunk = await body.read()
            hold(len(chunk))
            data += chunk
        return data

    def _holder(self, uploads: Uploads) -> Callable[[int], None]:
        """Takes room for bytes that stay in memory, and gives it back with ``uploads``."""
        taken = 0

        def hold(size: int) -> None:
            nonlocal taken
            self._json.take(size)
            taken += size

        uploads.holds(lambda: self._json.give(taken))
        return hold


def _content_type(header: str, headers: Mapping[bytes, bytes], operation: Operation) -> str:
    accepted = _ACCEPTED[operation]
    words = " or ".join(f"'{kind}'" for kind in accepted)
    coding = headers.get(b"content-encoding", b"identity").strip().lower()
    if coding not in (b"identity", b""):
        raise UnsupportedMedia(
            f"Unsupported content encoding: '{shown(coding.decode('latin-1'))}'. Send the body as it is, "
            "without Content-Encoding.",
            code="unsupported_content_encoding",
        )
    if not header.strip():
        raise UnsupportedMedia(
            f"Missing Content-Type header. This API method only accepts {words} requests.",
            code="unsupported_content_type",
        )
    kind, options = parse_options_header(header)
    if kind not in accepted:
        raise UnsupportedMedia(
            f"Unsupported content type: '{shown(kind)}'. This API method only accepts {words} requests, but "
            f"you specified the header 'Content-Type: {shown(header)}'. Please try again with a supported "
            "content type.",
            code="unsupported_content_type",
        )
    if kind == JSON and options.get("charset", "utf-8").lower() not in _UTF8:
        raise UnsupportedMedia(
            f"Unsupported charset: '{shown(options['charset'])}'. JSON is sent as UTF-8.",
            code="unsupported_content_type",
        )
    return str(kind)
