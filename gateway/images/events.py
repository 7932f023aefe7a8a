"""Server-sent events of the image routes: splitting an upstream's stream, writing our own.

Form, as OpenAI sends it: an ``event:`` line equal to the JSON's ``type``, one ``data:`` line, a blank line;
no ``[DONE]``. Each event may hold megabytes of base64, so it is never joined: the splitter says where events
end and keeps of each only its name and the skeleton of its data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from gateway.images.skeleton import BadAnswer, Scanned, Scanner

PING = b": ping\n\n"
_NAME_CAP = 256


@dataclass(frozen=True, slots=True)
class Event:
    """One whole event. ``name`` is the ``event:`` line's value, else the data's ``type``, else empty;
    ``named`` is whether there was such a line. ``scanned`` is None for a comment, ``[DONE]`` or bad JSON; it
    counts bytes of the data alone. ``lines`` says where each line of the data begins: in the event, and in
    the data."""

    name: str
    named: bool
    scanned: Scanned | None
    lines: Sequence[tuple[int, int]] = ()

    @property
    def final(self) -> bool:
        return self.name.endswith(".completed")

    @property
    def image(self) -> bool:
        return self.name.endswith((".partial_image", ".completed"))

    def located(self) -> Scanned:
        """``scanned`` with places counted from the event's first byte. Raises :class:`BadAnswer` where there
        is none, or a string runs over several lines."""
        if self.scanned is None:
            raise BadAnswer("an event of the stream is not well-formed")
        longs = []
        for long in self.scanned.longs:
            line = max(index for index, (_, data) in enumerate(self.lines) if data <= long.start)
            if line + 1 < len(self.lines) and self.lines[line + 1][1] <= long.end:
                raise BadAnswer("an event of the stream breaks a string into lines")
            shift = self.lines[line][0] - self.lines[line][1]
            longs.append(replace(long, start=long.start + shift, end=long.end + shift))
        return Scanned(self.scanned.document, longs)


class EventSplitter:
    """Feed chunks in order; each gives pieces, and an :class:`Event` with the piece that ends one.

    A piece that starts in the middle of an event belongs to the event that ends next. Bytes that come after
    the last blank line are an event that never became whole.
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._in_data = False
        self._size = 0
        self._reset()

    def _reset(self) -> None:
        self._scanner = Scanner()
        self._name = ""
        self._lines: list[tuple[int, int]] = []
        self._data_size = 0
        self._broken = False

    def feed(self, chunk: bytes) -> Iterator[tuple[bytes, Event | None]]:
        begin = position = 0
        while position < len(chunk):
            newline = chunk.find(b"\n", position)
            stop = len(chunk) if newline < 0 else newline
            self._part_of_line(chunk[position:stop], self._size + position - begin)
            if newline < 0:
                break
            position = newline + 1
            if self._end_of_line():
                yield chunk[begin:position], self._event()
                begin = position
                self._size = 0
        if begin < len(chunk):
            yield chunk[begin:], None
            self._size += len(chunk) - begin

    def _part_of_line(self, part: bytes, at: int) -> None:
        """``at`` is where ``part`` begins in its event."""
        if not part:
            return
        if self._in_data:
            self._data(part)
            return
        before = len(self._line)
        self._line += part[: max(_NAME_CAP - before, 0)]
        if self._line.startswith(b"data:"):
            # The line was cut to the cap, so what follows "data:" is taken from the part itself.
            skipped = max(5 - before, 0)
            self._in_data = True
            if self._lines:
                self._data(b"\n")
            self._lines.append((at + skipped, self._data_size))
            self._data(part[skipped:])

    def _data(self, part: bytes) -> None:
        self._data_size += len(part)
        if self._broken:
            return
        try:
            self._scanner.feed(part)
        except BadAnswer:
            self._broken = True

    def _end_of_line(self) -> bool:
        """True when the line just ended was blank, which ends an event."""
        line, self._line = bytes(self._line), bytearray()
        if self._in_data:
            self._in_data = False
            return False
        text = line.rstrip(b"\r")
        if text.startswith(b"event:"):
            self._name = text[6:].strip().decode("ascii", "replace")
        return not text

    def _event(self) -> Event:
        scanned = None
        if self._lines and not self._broken:
            try:
                scanned = self._scanner.finish()
            except BadAnswer:
                scanned = None
        name, named = self._name, bool(self._name)
        if not name and scanned is not None and isinstance(kind := scanned.document.get("type"), str):
            name = kind
        lines = self._lines
        self._reset()
        return Event(name, named, scanned, lines)


def encode(name: str, document: Mapping[str, object]) -> bytes:
    """One small event of our own (errors)."""
    return b"event: %b\ndata: %b\n\n" % (name.encode(), msgspec.json.encode(document))
