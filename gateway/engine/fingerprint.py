"""What makes two calls the same call: everything that decides what is made and how it is delivered.

It is taken from the call as it was understood, so the order of JSON fields, nulls, a file's name and the
encoding (JSON or multipart) make no difference, while a header that asks for another size mode or a report
does. What the call itself does not hold counts beside it: the end user above all, since where many people
share one key, nobody may be given another one's picture.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from hashlib import sha256

from gateway.images.call import ImageCall
from providers.base import InputFile, InputImage

_SHORT = 4096
"""Characters of a reference that are hashed with the rest; longer ones hold pictures."""
_READ = 1 << 20


class Fingerprint:
    """Of one call. ``outline`` is known at once and leaves out what large pictures hold: calls with unlike
    outlines are unlike. :meth:`digest` is the whole, made when it is first asked for."""

    def __init__(self, call: ImageCall, *others: str | None) -> None:
        """``others`` count with the call."""
        pictures = [*call.images, *(each for each in (call.mask, call.markup) if each is not None)]
        self._large = [each for each in pictures if _large(each)]
        self.outline = json.dumps(
            [
                call.operation,
                call.model,
                call.prompt,
                dict(call.params),
                [_outlined(each) for each in call.images],
                None if call.mask is None else _outlined(call.mask),
                None if call.markup is None else _outlined(call.markup),
                call.strict,
                call.delivery.response_format,
                call.delivery.report,
                others,
            ],
            sort_keys=True,
        ).encode()
        self._digest: asyncio.Future[str] | None = None
        self._known: str | None = None

    def begin(self) -> None:
        """Read what must be read while the files are there; a thread does it."""
        if self._large and self._digest is None:
            self._digest = asyncio.ensure_future(asyncio.to_thread(_whole, self.outline, self._large))
            self._digest.add_done_callback(self._read)

    def _read(self, digest: asyncio.Future[str]) -> None:
        """A call may run for minutes, and its pictures need not stay in memory for this."""
        if not digest.cancelled() and digest.exception() is None:
            self._large = []

    async def digest(self) -> str:
        """SHA-256, in hex. Raises ValueError or OSError where files are gone and it was not begun before."""
        if self._known is None:
            self.begin()
            if self._digest is None:
                self._known = sha256(self.outline).hexdigest()
            else:
                self._known = await asyncio.shield(self._digest)
        return self._known


def _large(picture: InputImage) -> bool:
    return isinstance(picture, InputFile) or len(picture.image_url) > _SHORT


def _outlined(picture: InputImage) -> Sequence[object]:
    if isinstance(picture, InputFile):
        return ("file", picture.size)
    url = picture.image_url
    return ("url", len(url)) if _large(picture) else ("url", url)


def _whole(outline: bytes, large: Sequence[InputImage]) -> str:
    """Of the outline and of each large picture's own digest, in their order."""
    whole = sha256(outline)
    for each in large:
        part = sha256()
        if isinstance(each, InputFile):
            with each.open() as file:
                while chunk := file.read(_READ):
                    part.update(chunk)
        else:
            for at in range(0, len(each.image_url), _READ):
                part.update(each.image_url[at : at + _READ].encode("utf-8", "surrogatepass"))
        whole.update(part.digest())
    return whole.hexdigest()
