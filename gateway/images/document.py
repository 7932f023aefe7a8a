"""Documents and events written around base64 that stays where it lies.

A skeleton (skeleton.py) is rewritten as JSON in which every long string is a :class:`Span`: a place in one of
the bodies that the document is made from. Whoever delivers it copies those bytes; nobody decodes them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from gateway.images.skeleton import Scanned


class Span:
    """Bytes ``start`` to ``stop`` of body number ``source``: the content of a JSON string, escapes and all.
    As a value of a document it stands for that string. (No dataclass: the encoder would write its fields.)"""

    __slots__ = ("source", "start", "stop")

    def __init__(self, source: int, start: int, stop: int) -> None:
        self.source = source
        self.start = start
        self.stop = stop


Piece = bytes | Span

# Between two NUL bytes stands a span, or nothing for the place of ``data``. No JSON holds a NUL byte.
_SPAN = b"\x00%d:%d:%d\x00"
_DATA = b"\x00data\x00"

# A mark of the scanner as a whole string: in a string of the document its quotes would be escaped.
_MARK = re.compile(rb'(?<=[{\[,:])"\\u0000long:(\d{1,9})"(?=[,}\]:])')


class _Data:
    """Stands for the list of pictures."""


def compose(
    first: Scanned, items: Sequence[bytes], changes: Mapping[str, object], last: Mapping[str, object]
) -> list[Piece]:
    """The document of body 0 with other ``data`` (sealed items), other values of some keys, in the old ones'
    places, and ``last`` at its end."""
    document = changed({**first.document, "data": _Data()}, changes, last)
    head, tail = seal(document, first).split(_DATA)
    return pieces(b"".join((head, b"[", b",".join(items), b"]", tail)))


def changed(
    document: Mapping[str, object], changes: Mapping[str, object], last: Mapping[str, object]
) -> dict[str, object]:
    """``document`` with other values of some keys and ``last`` at its end, whatever stood under its names."""
    return {**{key: value for key, value in document.items() if key not in last}, **changes, **last}


def seal(document: Mapping[str, object], scanned: Scanned, source: int = 0) -> bytes:
    """JSON of (a part of) the document that ``scanned`` found in body number ``source``, its long strings as
    marks of this module. Values may be spans themselves."""

    def placed(mark: re.Match[bytes]) -> bytes:
        index = int(mark[1])
        if index >= len(scanned.longs):
            return mark[0]
        long = scanned.longs[index]
        return b'"' + _SPAN % (source, long.start, long.end) + b'"'

    return _MARK.sub(placed, _encoder.encode(document))


def pieces(sealed: bytes) -> list[Piece]:
    """What is sealed, told apart: bytes to send and spans to copy, in order."""
    told: list[Piece] = []
    for number, part in enumerate(sealed.split(b"\x00")):
        if number % 2:
            source, start, stop = map(int, part.split(b":"))
            told.append(Span(source, start, stop))
        elif part:
            told.append(part)
    return told


def summed(usages: Sequence[object]) -> object:
    """The ``usage`` of several answers as one: numbers added up, key by key; what is no number is the first
    that there is. None where no answer has any."""
    present = [usage for usage in usages if usage is not None]
    if not present:
        return None
    first = present[0]
    objects = [usage for usage in present if isinstance(usage, dict)]
    if isinstance(first, dict):
        keys = dict.fromkeys(key for usage in objects for key in usage)
        return {key: summed([usage.get(key) for usage in objects]) for key in keys}
    if isinstance(first, int | float) and not isinstance(first, bool):
        return sum(n for n in present if isinstance(n, int | float) and not isinstance(n, bool))
    return first


def _unknown(value: object) -> msgspec.Raw:
    if isinstance(value, Span):
        return msgspec.Raw(b'"' + _SPAN % (value.source, value.start, value.stop) + b'"')
    if isinstance(value, _Data):
        return msgspec.Raw(_DATA)
    raise TypeError(f"{type(value).__name__} is no JSON")


_encoder = msgspec.json.Encoder(enc_hook=_unknown)
