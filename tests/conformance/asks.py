"""What is asked of every model: one thing at a time, so that what became of it can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.conformance.saw import Pixels

INPUT: Pixels = (320, 240)
"""Of an input picture where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Ask:
    """``subject`` is the field that is judged. With ``inputs`` it is an edit; ``as_json`` sends them as data
    URLs, else they are files of a form. ``title`` is a column of the page's table ``group``."""

    group: str
    title: str
    subject: str
    fields: Mapping[str, object] = field(default_factory=dict)
    inputs: tuple[Pixels, ...] = ()
    mask: Pixels | None = None
    as_json: bool = False
    strict: bool = False


def _sizes() -> list[Ask]:
    asked: list[tuple[str, dict[str, object]]] = [
        ("nothing", {}),
        ("1024x1024", {"size": "1024x1024"}),
        ("1536x1024", {"size": "1536x1024"}),
        ("1000x700", {"size": "1000x700"}),
        ("3000x500", {"size": "3000x500"}),
        ("16:9", {"size": "16:9"}),
        ("2K", {"resolution": "2K"}),
        ("9:16 at 1K", {"aspect_ratio": "9:16", "resolution": "1K"}),
        ("800x418, cut to fit", {"size": "800x418", "fit": "cover"}),
    ]
    asks = [Ask("sizes", title, "size", fields) for title, fields in asked]
    return [*asks, Ask("sizes", "1000x700, strict", "size", {"size": "1000x700"}, strict=True)]


def _numbers_and_formats() -> list[Ask]:
    formats = [
        Ask("numbers and formats", name, "output_format", {"output_format": name})
        for name in ("png", "jpeg", "webp", "gif", "avif")
    ]
    return [
        Ask("numbers and formats", "n: 3", "n", {"n": 3}),
        *formats,
        Ask(
            "numbers and formats",
            "jpeg at 50",
            "output_compression",
            {"output_format": "jpeg", "output_compression": 50},
        ),
    ]


def _fields() -> list[Ask]:
    asked: list[tuple[str, dict[str, object]]] = [
        ("quality: low", {"quality": "low"}),
        ("quality: high", {"quality": "high"}),
        ("quality: hd", {"quality": "hd"}),
        ("transparent", {"background": "transparent"}),
        ("seed", {"seed": 7}),
        ("negative_prompt", {"negative_prompt": "rain"}),
        ("user", {"user": "u-1"}),
    ]
    plain = [Ask("fields and streams", title, next(iter(fields)), fields) for title, fields in asked]
    return [
        *plain,
        Ask("fields and streams", "stream", "stream", {"stream": True}),
        Ask("fields and streams", "stream, n: 2", "stream", {"stream": True, "n": 2}),
        Ask("fields and streams", "seed, strict", "seed", {"seed": 7}, strict=True),
    ]


def _edits() -> list[Ask]:
    three = (INPUT, (200, 300), (256, 256))
    return [
        Ask("edits", "1 picture", "image", inputs=(INPUT,)),
        Ask("edits", "as a data URL", "image", inputs=(INPUT,), as_json=True),
        Ask("edits", "1600x1200", "image", inputs=((1600, 1200),)),
        Ask("edits", "3 pictures", "image", inputs=three),
        Ask("edits", "17 pictures", "image", inputs=(INPUT,) * 17),
        Ask("edits", "mask", "mask", inputs=(INPUT,), mask=INPUT),
        Ask("edits", "mask of another size", "mask", inputs=(INPUT,), mask=(640, 480)),
        Ask("edits", "mask, 3 pictures", "mask", inputs=three, mask=INPUT),
        Ask("edits", "1 picture, 1024x1024", "size", {"size": "1024x1024"}, inputs=(INPUT,)),
    ]


ASKS = (*_sizes(), *_numbers_and_formats(), *_fields(), *_edits())
GROUPS = tuple(dict.fromkeys(ask.group for ask in ASKS))
