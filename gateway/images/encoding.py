"""Finished frames as the bytes of a format."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from gateway.images.colours import WHITE, flattened

ANIMATED = frozenset({"gif", "webp", "avif"})
"""Formats that keep all frames of an animation."""

OPAQUE = frozenset({"jpeg"})
"""Formats without transparency."""

_CLEAR_INDEX = 255
_PALETTE_EDGE = 512
_FULL_COLOUR = 90
"""Quality from which on colour keeps its full resolution, for the edges of text."""


@dataclass(frozen=True, slots=True)
class Film:
    """One frame, or those of an animation with their durations in milliseconds; all RGB or RGBA.
    ``loop`` is how often it repeats, 0 for ever."""

    frames: Sequence[Image.Image]
    durations: Sequence[int]
    loop: int = 0

    def motion(self, frames: Sequence[Image.Image]) -> dict[str, Any]:
        """What Pillow's writers want to know of it."""
        if len(frames) == 1:
            return {}
        return {"save_all": True, "append_images": list(frames[1:]), "duration": list(self.durations)}


def encode(film: Film, format: str, quality: int) -> bytes:
    """``quality`` 0 to 100 counts for jpeg, webp and avif. Raises what Pillow raises."""
    out = io.BytesIO()
    _WRITERS[format](film, quality, out)
    return out.getvalue()


def _png(film: Film, _quality: int, out: io.BytesIO) -> None:
    # Lossless at any level; the first costs a quarter of the default's time.
    film.frames[0].save(out, "PNG", compress_level=1)


def _jpeg(film: Film, quality: int, out: io.BytesIO) -> None:
    film.frames[0].save(
        out, "JPEG", quality=quality, subsampling="4:4:4" if quality >= _FULL_COLOUR else "4:2:0"
    )


def _webp(film: Film, quality: int, out: io.BytesIO) -> None:
    motion = film.motion(film.frames)
    film.frames[0].save(out, "WEBP", quality=quality, method=2, loop=film.loop, **motion)


def _avif(film: Film, quality: int, out: io.BytesIO) -> None:
    film.frames[0].save(
        out,
        "AVIF",
        quality=quality,
        speed=9,  # a third of the time of 8, for a fifteenth more bytes
        max_threads=1,  # how many pictures are encoded at once is decided above
        subsampling="4:4:4" if quality >= _FULL_COLOUR else "4:2:0",
        **film.motion(film.frames),
    )


def _gif(film: Film, _quality: int, out: io.BytesIO) -> None:
    frames = [_indexed(frame) for frame in film.frames]
    options = film.motion(frames)
    if len(frames) > 1:
        options["loop"] = film.loop
    if any("transparency" in frame.info for frame in frames):
        options |= {"transparency": _CLEAR_INDEX, "disposal": 2}
    frames[0].save(out, "GIF", optimize=False, **options)


_WRITERS: Mapping[str, Callable[[Film, int, io.BytesIO], None]] = {
    "png": _png,
    "jpeg": _jpeg,
    "webp": _webp,
    "avif": _avif,
    "gif": _gif,
}


def _indexed(frame: Image.Image) -> Image.Image:
    """At most 256 colours; what is less than half opaque becomes the one clear index."""
    alpha = frame.getchannel("A") if frame.mode == "RGBA" else None
    see_through = None if alpha is None else alpha.point(lambda value: 255 if value < 128 else 0)
    clear = see_through is not None and see_through.getbbox() is not None
    colours = frame if alpha is None else flattened(frame, WHITE)
    # The palette comes from a small copy: over the whole of a 4K picture it would take seconds.
    small = colours.reduce(max(-(-max(colours.size) // _PALETTE_EDGE), 1))
    palette = small.quantize(255 if clear else 256, method=Image.Quantize.MEDIANCUT)
    indexed = colours.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
    if clear:
        indexed.paste(_CLEAR_INDEX, mask=see_through)
        indexed.info["transparency"] = _CLEAR_INDEX
    return indexed
