"""Another dialect's events, spoken as OpenAI's while they go past: pictures are copied as they come,
everything else of an event is kept and decoded at its end (:mod:`providers.splicing`).

An event's ``type`` may stand behind its picture, so what the adapter makes of it is written behind the
picture too, and no ``event:`` line goes before it: the gateway writes that, from the ``type``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping

import msgspec

from providers.base import Certainty, Kind, ProviderError
from providers.splicing import Path, Splicer, Unreadable

Told = Callable[[dict[str, object]], Mapping[str, object] | None]
"""From an event's document, whose picture reads as empty, to the fields beside ``b64_json``; None for an
event that is not relayed. Raises :class:`ProviderError` for a failure that the event tells."""

_LINE = 64
"""Bytes of a line without data that are looked at."""

_WITHHELD = {"type": "withheld"}
"""An event of no known type, which the gateway drops, where the picture went out before that was known."""


async def events_as_openai(
    body: AsyncIterator[bytes], is_picture: Callable[[Path], bool], told: Told, *, provider: str
) -> AsyncIterator[bytes]:
    """The bytes of image events; data that is no JSON object (``[DONE]``) is passed over. Raises
    :class:`ProviderError` (bad_payload, answered) where an event cannot be read."""
    event = _Event(is_picture)
    try:
        async for data in _data_lines(body):
            if data is not None:
                for piece in event.feed(data):
                    yield piece
                continue
            for piece in event.finish(told):
                yield piece
            event = _Event(is_picture)
    except Unreadable as error:
        raise ProviderError(
            Kind.BAD_PAYLOAD,
            Certainty.ANSWERED,
            f"An event of provider '{provider}' cannot be read: {error}.",
            status=200,
        ) from None


class _Event:
    def __init__(self, is_picture: Callable[[Path], bool]) -> None:
        self._splicer = Splicer(is_picture)
        self._object: bool | None = None
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._object is None and (start := data.lstrip()):
            self._object = start.startswith(b"{")
        if not self._object:
            return
        for piece in self._splicer.feed(data):
            if piece.first:
                if self._begun:
                    raise Unreadable("it holds two pictures")
                self._begun = True
                yield b'data: {"b64_json":"'
            yield piece.data
            if piece.last:
                yield b'"'

    def finish(self, told: Told) -> Iterator[bytes]:
        if not self._object:
            return
        fields = told(self._splicer.finish())
        if fields is None and self._begun:
            fields = _WITHHELD
        if fields is not None:
            yield (b"," if self._begun else b"data: {") + msgspec.json.encode(fields)[1:] + b"\n\n"


async def _data_lines(body: AsyncIterator[bytes]) -> AsyncIterator[bytes | None]:
    """The data as it comes; None at the blank line that ends an event."""
    line, in_data = bytearray(), False
    async for chunk in body:
        at = 0
        while at < len(chunk):
            newline = chunk.find(b"\n", at)
            part = chunk[at : len(chunk) if newline < 0 else newline]
            if in_data:
                yield part
            else:
                before = len(line)
                line += part[: _LINE - before]
                if line.startswith(b"data:"):
                    in_data = True
                    yield part[max(5 - before, 0) :]
            if newline < 0:
                break
            if in_data:
                yield b"\n"
            elif not line.strip():
                yield None
            line.clear()
            in_data = False
            at = newline + 1
