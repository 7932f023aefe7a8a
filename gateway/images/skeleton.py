"""Reads an answer's JSON without its long strings, chunk by chunk, as it goes past.

A 28 MB answer is a few hundred bytes of JSON around one base64 string. Parsing it whole costs tens of
milliseconds of event loop (and a copy of the picture); this scanner jumps from quote to quote, keeps what
lies outside the long strings, and of each long string only its head, tail, length and place. At the end the
skeleton is decoded as JSON, so the answer is known to close, and each picture is judged by what was kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from gateway.images.sniff import Picture, judge_base64

SHORT = 8192
"""A string up to this many bytes stays in the skeleton as it is."""
_TAIL = 96
_SKELETON_CAP = 1 << 20
_MARK = "\x00long:"


class BadAnswer(ValueError):
    """The upstream's answer cannot be given to anyone; the text says why, without its content."""


class EmptyAnswer(BadAnswer):
    """A well-formed answer that holds no picture."""


@dataclass(frozen=True, slots=True)
class LongString:
    """One string that was not kept: where its content lies in the body, and its two ends, raw."""

    start: int
    end: int
    head: bytes
    tail: bytes
    escapes: int

    @property
    def length(self) -> int:
        """Characters after JSON unescaping of two-byte escapes (``\\/``), the only kind base64 can have."""
        return self.end - self.start - self.escapes


@dataclass(frozen=True, slots=True)
class Scanned:
    """The decoded skeleton. ``longs`` are in the order of the body."""

    document: dict[str, object]
    longs: Sequence[LongString]

    def long(self, value: object) -> LongString | None:
        """The long string that a value of ``document`` stands for, or None if it stands for itself."""
        if isinstance(value, str) and value.startswith(_MARK):
            index = value[len(_MARK) :]
            if index.isdecimal() and index.isascii() and len(index) < 10 and int(index) < len(self.longs):
                return self.longs[int(index)]
        return None


class Scanner:
    """Feed it every chunk in order, then call :meth:`finish` once."""

    __slots__ = ("_backslash", "_escapes", "_head", "_in_string", "_kept", "_longs", "_offset", "_size",
                 "_start", "_tail")  # fmt: skip

    def __init__(self) -> None:
        self._kept: list[bytes] = []
        self._size = 0
        self._longs: list[LongString] = []
        self._offset = 0
        self._in_string = False
        self._backslash = False
        self._start = 0
        self._escapes = 0
        self._head = bytearray()
        self._tail = b""

    def feed(self, chunk: bytes) -> None:
        position, end = 0, len(chunk)
        while position < end:
            if not self._in_string:
                quote = chunk.find(b'"', position)
                stop = end if quote < 0 else quote + 1
                self._keep(chunk[position:stop])
                position = stop
                if quote >= 0:
                    self._open(self._offset + stop)
                continue
            stop = self._string_end(chunk, position)
            self._take(chunk, position, end if stop < 0 else stop)
            if stop < 0:
                break
            self._close(self._offset + stop)
            position = stop + 1
        self._offset += end

    def finish(self) -> Scanned:
        """Raises :class:`BadAnswer` when the JSON does not close or is not an object."""
        if self._in_string:
            raise BadAnswer("the answer ends inside a string")
        try:
            document = msgspec.json.decode(b"".join(self._kept))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise BadAnswer("the answer is not complete, well-formed JSON") from None
        if not isinstance(document, dict):
            raise BadAnswer("the answer is not a JSON object")
        return Scanned(document, self._longs)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > _SKELETON_CAP:
            raise BadAnswer("the answer holds too much besides its pictures")
        self._kept.append(piece)

    def _open(self, start: int) -> None:
        self._in_string, self._backslash = True, False
        self._start, self._escapes = start, 0
        self._head, self._tail = bytearray(), b""

    def _string_end(self, chunk: bytes, position: int) -> int:
        """The index of the closing quote, or -1; backslashes before a quote are told apart by walking them,
        which costs nothing in base64, since it has none."""
        while True:
            quote = chunk.find(b'"', position)
            stop = len(chunk) if quote < 0 else quote
            slash = chunk.find(b"\\", position, stop)
            if slash < 0 and not self._backslash:
                return quote
            escaped = self._backslash
            if not escaped:
                # Some writers escape every slash of base64; counting pairs is a hundred times as fast.
                escapes = chunk.count(b"\\", slash, stop)
                if escapes == chunk.count(b"\\/", slash, stop):
                    self._escapes += escapes
                    return quote
            for byte in chunk[position if escaped else slash : stop]:
                if escaped:
                    escaped = False
                elif byte == 0x5C:
                    escaped = True
                    self._escapes += 1
            self._backslash = escaped
            if quote < 0:
                return -1
            if not escaped:
                return quote
            self._backslash = False
            position = quote + 1

    def _take(self, chunk: bytes, start: int, stop: int) -> None:
        missing = SHORT + 1 - len(self._head)
        if missing > 0:
            self._head += chunk[start : min(stop, start + missing)]
        if stop - start >= _TAIL:
            self._tail = chunk[stop - _TAIL : stop]
        else:
            self._tail = (self._tail + chunk[start:stop])[-_TAIL:]

    def _close(self, end: int) -> None:
        self._in_string = False
        # What an upstream writes like a mark of ours is put away too, so that every mark is ours.
        if len(self._head) <= SHORT and not _is_like_a_mark(self._head):
            self._keep(bytes(self._head) + b'"')
            return
        self._keep(b'\\u0000long:%d"' % len(self._longs))
        self._longs.append(LongString(self._start, end, bytes(self._head[:SHORT]), self._tail, self._escapes))


def _is_like_a_mark(raw: bytearray) -> bool:
    if not raw.startswith(b"\\u0000"):
        return False
    try:
        return str(msgspec.json.decode(b'"%b"' % bytes(raw))).startswith(_MARK)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False  # whoever decodes the skeleton will say so


def pictures(scanned: Scanned) -> list[Picture]:
    """What ``data`` holds, each item judged. Raises :class:`EmptyAnswer` or :class:`BadAnswer`.

    An item that has only a ``url`` cannot be judged from here and comes back with no format.
    """
    data = scanned.document.get("data")
    if not isinstance(data, list) or not data:
        raise EmptyAnswer("the answer holds no pictures")
    return [_picture(scanned, item) for item in data]


def _picture(scanned: Scanned, item: object) -> Picture:
    if not isinstance(item, dict):
        raise BadAnswer("an item of data is not an object")
    encoded = item.get("b64_json")
    if isinstance(encoded, str) and encoded:
        return judge(scanned, encoded)
    if isinstance(item.get("url"), str) and item["url"]:
        return Picture(None, None, None)
    raise EmptyAnswer("an item of data holds neither b64_json nor url")


def judge(scanned: Scanned, encoded: str) -> Picture:
    """Judge one ``b64_json`` value of the skeleton by its length, head and tail."""
    long = scanned.long(encoded)
    try:
        if long is None:
            raw = encoded.encode("ascii")
            return judge_base64(raw, raw[-_TAIL:], len(raw))
        if long.escapes:
            return judge_base64(long.head.replace(b"\\", b""), long.tail.replace(b"\\", b""), long.length)
        return judge_base64(long.head, long.tail, long.length)
    except (ValueError, UnicodeEncodeError) as error:
        raise BadAnswer(
            str(error) if not isinstance(error, UnicodeError) else "b64_json is not base64"
        ) from None
