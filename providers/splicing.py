"""Another dialect's JSON answer, spoken as OpenAI's while it goes past: pictures are copied as they come and
never held, everything else is kept and decoded at the end.

The scanner jumps from quote to quote. What lies outside strings tells where in the document a string stands;
the adapter says which of these places hold pictures, and, once the document is whole, what the rest means.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from providers.base import Certainty, Kind, ProviderError

Path = tuple[str | int, ...]
"""Where a value stands, such as ``("images", 0)`` or ``("parts", 1, "inlineData", "data")``."""

_KEPT_STRING = 8192
"""Bytes of a string that is no picture; a longer one (a signature, a thought) reads as empty."""

_KEPT = 1 << 20
_DEPTH = 64
_HEAD = 128
"""Bytes of a picture's string in which a link or the head of a data URL is looked for."""

_STRUCTURE = re.compile(rb"[{}\[\],]")
_BACKSLASH = 0x5C

_decoder = msgspec.json.Decoder(float_hook=Decimal)
"""Numbers with a point may be money."""


class Unreadable(ValueError):
    """The answer is no JSON object that closes; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Content of a picture's string as it stands in the JSON; ``first`` and ``last`` mark its two ends."""

    data: bytes
    first: bool
    last: bool


@dataclass(slots=True)
class Splicer:
    """Feed it every chunk in order, then call :meth:`finish` once. ``is_picture`` judges the place of a
    string; ``pictures`` are the places that it chose, in their order."""

    is_picture: Callable[[Path], bool]
    pictures: list[Path] = field(default_factory=list)
    _kept: list[bytes] = field(default_factory=list)
    _size: int = 0
    # One entry a container that is open: an index in an array, a key in an object, None before a key.
    _place: list[str | int | None] = field(default_factory=list)
    _in_string: bool = False
    _in_picture: bool = False
    _first: bool = False
    _escaped: bool = False
    _string: bytearray = field(default_factory=bytearray)

    def feed(self, chunk: bytes) -> Iterator[Piece]:
        """Raises :class:`Unreadable`."""
        at = 0
        while at < len(chunk):
            if not self._in_string:
                quote = chunk.find(b'"', at)
                stop = len(chunk) if quote < 0 else quote
                self._between(chunk[at:stop])
                at = stop
                if quote >= 0:
                    self._open()
                    at += 1
                continue
            quote = self._closing(chunk, at)
            stop = len(chunk) if quote < 0 else quote
            if self._in_picture:
                yield Piece(chunk[at:stop], self._first, quote >= 0)
                self._first = False
            elif len(self._string) <= _KEPT_STRING:
                self._string += chunk[at : min(stop, at + _KEPT_STRING + 1)]
            if quote >= 0:
                self._close()
            at = stop + 1

    def finish(self) -> dict[str, object]:
        """The document; a picture's string reads as empty. Raises :class:`Unreadable`."""
        if self._in_string:
            raise Unreadable("it ends inside a string")
        try:
            document = _decoder.decode(b"".join(self._kept))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Unreadable("it is not complete, well-formed JSON") from None
        if not isinstance(document, dict):
            raise Unreadable("it is not a JSON object")
        return document

    def _between(self, data: bytes) -> None:
        self._keep(data)
        place = self._place
        for match in _STRUCTURE.finditer(data):
            mark = match[0]
            if mark == b"{":
                place.append(None)
            elif mark == b"[":
                place.append(0)
            elif not place:
                raise Unreadable("it is not well-formed JSON")
            elif mark == b",":
                place[-1] = place[-1] + 1 if isinstance(place[-1], int) else None
            else:
                place.pop()
            if len(place) > _DEPTH:
                raise Unreadable("it is nested too deeply")

    def _open(self) -> None:
        self._in_string, self._first = True, True
        path = tuple(step for step in self._place if step is not None)
        self._in_picture = len(path) == len(self._place) and self.is_picture(path)
        if self._in_picture:
            self.pictures.append(path)
        self._string.clear()

    def _close(self) -> None:
        self._in_string = False
        content = b"" if len(self._string) > _KEPT_STRING else bytes(self._string)
        self._keep(b'"%b"' % content)
        if self._place and self._place[-1] is None:
            try:
                self._place[-1] = str(msgspec.json.decode(b'"%b"' % content))
            except (msgspec.DecodeError, UnicodeDecodeError):
                raise Unreadable("it is not well-formed JSON") from None

    def _closing(self, chunk: bytes, at: int) -> int:
        """The index of the quote that ends the string, or -1. Only backslashes right before a quote are
        looked at: base64 has none, and other strings are short."""
        begin = at
        while True:
            quote = chunk.find(b'"', at)
            stop = len(chunk) if quote < 0 else quote
            first = stop
            while first > begin and chunk[first - 1] == _BACKSLASH:
                first -= 1
            odd = (stop - first) % 2 == 1
            if first == begin and self._escaped:
                odd = not odd
            if quote < 0:
                self._escaped = odd
                return -1
            if not odd:
                self._escaped = False
                return quote
            at = begin = quote + 1
            self._escaped = False

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > _KEPT:
            raise Unreadable("it holds too much besides its pictures")
        self._kept.append(data)


Rest = Callable[[dict[str, object], int], Mapping[str, object]]
"""From the document and the number of its pictures to the fields beside ``created`` and ``data``. Raises
:class:`ProviderError` for a failure that the document tells."""


async def as_openai(
    body: AsyncIterator[bytes], is_picture: Callable[[Path], bool], rest: Rest, *, provider: str
) -> AsyncIterator[bytes]:
    """The bytes of an ``ImagesResponse``. A picture may be base64, a data URL or a link. Raises
    :class:`ProviderError` (bad_payload, answered) where the upstream's answer is no whole JSON object."""
    splicer = Splicer(is_picture)
    yield b'{"created":%d,"data":[' % int(time.time())
    made, head = 0, None
    try:
        async for chunk in body:
            for piece in splicer.feed(chunk):
                if piece.first:
                    head = bytearray()
                data = piece.data
                if head is not None:
                    head += data
                    if len(head) < _HEAD and not piece.last:
                        continue
                    if not head:
                        # An empty string stands for a picture that is withheld.
                        continue
                    data, head = (b"," if made else b"") + _opened(bytes(head)), None
                    made += 1
                yield data
                if piece.last:
                    yield b'"}'
        document = splicer.finish()
    except Unreadable as error:
        raise ProviderError(
            Kind.BAD_PAYLOAD,
            Certainty.ANSWERED,
            f"The answer of provider '{provider}' cannot be read: {error}.",
            status=200,
        ) from None
    fields = msgspec.json.encode(rest(document, made))[1:-1]
    yield b"]" + (b"," + fields if fields else b"") + b"}"


def _opened(head: bytes) -> bytes:
    """The beginning of an item of ``data``, up to and including this much of its picture."""
    if head.startswith(b"http"):
        return b'{"url":"' + head
    if head.startswith(b"data:"):
        head = head.partition(b",")[2]
    return b'{"b64_json":"' + head
