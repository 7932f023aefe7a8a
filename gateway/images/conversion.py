"""One picture made into another: its format, its exact pixels, its colours. Bytes in, bytes out.

Rules, in words in docs/normalization.md:

* Sizes are judged from the header before anything is decoded; what is too large is refused.
* Pictures are turned upright by their orientation tag, brought into sRGB by their colour profile where they
  have one, and lose all metadata.
* ``output_compression`` is the quality of JPEG, WebP and AVIF; 100 where nothing is said, as at OpenAI.
* Frames of an animation are kept by formats that have them (gif, webp, avif); the others get the first.
* The same input gives the same output.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageOps

from gateway.images.colours import WHITE, flattened, srgb
from gateway.images.encoding import ANIMATED, OPAQUE, Film, encode
from gateway.images.fitted import Finish
from gateway.images.formats import CONVERTIBLE
from gateway.images.look import MAX_PIXELS
from gateway.images.sniff import Picture, sniff

MAX_FRAMES = 256

FORMATS = CONVERTIBLE
"""What can be read and written."""

_LONGEST_EDGE: Mapping[str, int] = {"webp": 16_383, "jpeg": 65_500, "gif": 65_535, "avif": 32_768}
_CLEAR = (0, 0, 0, 0)
_ORIENTATION = 0x0112
_FRAME_MS = 100
"""Of a frame that does not say how long it stands; browsers do the same."""


class Unconvertible(ValueError):
    """This picture cannot be converted; the text says why, without its content."""


@dataclass(frozen=True, slots=True)
class Converted:
    """``format`` is OpenAI's word; ``width`` and ``height`` are pixels."""

    data: bytes
    format: str
    width: int
    height: int


def can_make(format: str, width: int, height: int) -> bool:
    """Whether a picture of these pixels can be delivered in ``format``: to be asked before it is paid for."""
    within = 0 < width * height <= MAX_PIXELS and max(width, height) <= longest_edge(format)
    return format in FORMATS and within


def longest_edge(format: str) -> int:
    """Pixels."""
    return _LONGEST_EDGE.get(format, MAX_PIXELS)


def is_needed(picture: Picture, finish: Finish) -> bool:
    """Whether ``finish`` changes a picture that is what ``picture`` says. SVG is never touched."""
    if picture.format == "svg":
        return False
    if finish.pixels is not None and finish.pixels != (picture.width, picture.height):
        return True
    return finish.format is not None and (finish.format != picture.format or finish.compression is not None)


def decoded_pixels(picture: Picture, finish: Finish) -> int:
    """About how many pixels are held while it is converted, those of all frames that are kept; those of the
    largest allowed where its head does not tell."""
    before = (picture.width or 0) * (picture.height or 0) or MAX_PIXELS
    width, height = finish.pixels or (0, 0)
    return (before + width * height) * (picture.frames if keeps_frames(picture, finish) else 1)


def keeps_frames(picture: Picture, finish: Finish) -> bool:
    """Whether an animation is one afterwards."""
    return (finish.format or picture.format) in ANIMATED


def convert(data: bytes, finish: Finish) -> Converted:
    """Make ``data`` what ``finish`` asks for. Raises :class:`Unconvertible`."""
    opened = open_picture(data)
    format = finish.format or sniff(data).format or "png"
    if finish.pixels is not None and not can_make(format, *finish.pixels):
        raise Unconvertible(f"{finish.pixels[0]}x{finish.pixels[1]} is more than a {format} may have here")
    try:
        film = _film(opened, format in ANIMATED)
        finished = replace(film, frames=[_finished(frame, format, finish) for frame in film.frames])
        width, height = finished.frames[0].size
        if not can_make(format, width, height):
            raise Unconvertible(f"{width}x{height} is more than a {format} may have here")
        made = encode(finished, format, 100 if finish.compression is None else finish.compression)
    except Unconvertible:
        raise
    except Exception as error:  # Pillow's codecs raise whatever malformed bytes make them raise
        raise Unconvertible(f"it cannot be converted to {format} ({type(error).__name__})") from None
    return Converted(made, format, width, height)


def open_picture(data: bytes, formats: Sequence[str] = FORMATS) -> Image.Image:
    """The picture, its header read and judged, nothing decoded. Raises :class:`Unconvertible`."""
    seen = sniff(data[:65_536])
    if seen.format is None or seen.format not in formats:
        raise Unconvertible(f"a {seen.format or 'picture in an unknown format'} cannot be converted")
    _within(seen.width or 1, seen.height or 1)
    try:
        opened = Image.open(io.BytesIO(data), formats=[seen.format.upper()])
    except Exception:  # as above; Pillow's own bomb check among them
        raise Unconvertible(f"it is not a whole {seen.format}") from None
    _within(*opened.size)
    return opened


def is_turned(opened: Image.Image) -> bool:
    """Whether its orientation tag turns or mirrors it."""
    return opened.getexif().get(_ORIENTATION) in range(2, 9)


def _within(width: int, height: int, frames: int = 1) -> None:
    if width * height * frames > MAX_PIXELS or frames > MAX_FRAMES:
        raise Unconvertible(f"it has more than {MAX_PIXELS} pixels or {MAX_FRAMES} frames")


def _film(opened: Image.Image, animated: bool) -> Film:
    """Its first frame, or all of them; plain and upright."""
    frames: list[Image.Image] = []
    durations: list[int] = []
    while animated or not frames:
        try:
            opened.seek(len(frames))
        except EOFError:
            break
        # Frame by frame: counting them first takes as long as whoever wrote the file pleases, and a frame
        # may claim more pixels than the header did.
        _within(*opened.size, len(frames) + 1)
        opened.load()
        durations.append(int(opened.info.get("duration", 0) or _FRAME_MS))
        # The next frame would be drawn over this one; a picture that has no other is not copied for nothing.
        frames.append(srgb(ImageOps.exif_transpose(opened) if animated or is_turned(opened) else opened))
    return Film(frames, durations, int(opened.info.get("loop", 0)))


def _finished(frame: Image.Image, format: str, finish: Finish) -> Image.Image:
    if finish.pixels is not None and frame.size != finish.pixels:
        shape = _contained if finish.fit == "contain" else _covering
        frame = shape(frame, finish.pixels, _rgb(finish.background), format in OPAQUE)
    if format in OPAQUE and frame.mode == "RGBA":
        frame = flattened(frame, _rgb(finish.background) or WHITE)
    frame.info = {}  # writers would take words of another format from there
    return frame


def _covering(
    frame: Image.Image, size: tuple[int, int], _colour: tuple[int, int, int] | None, _opaque: bool
) -> Image.Image:
    """The largest centred part of the right shape, scaled."""
    (width, height), (wide, high) = frame.size, size
    part_wide, part_high = float(width), float(height)
    if width * high > wide * height:
        part_wide = height * wide / high
    else:
        part_high = width * high / wide
    left, top = (width - part_wide) / 2, (height - part_high) / 2
    box = (left, top, left + part_wide, top + part_high)
    return frame.resize(size, Image.Resampling.LANCZOS, box=box)


def _contained(
    frame: Image.Image, size: tuple[int, int], colour: tuple[int, int, int] | None, opaque: bool
) -> Image.Image:
    """The whole, scaled, in the middle of a ground of ``colour``; None: clear, white where ``opaque``."""
    (width, height), (wide, high) = frame.size, size
    if width * high > wide * height:
        inner = (wide, max((2 * height * wide + width) // (2 * width), 1))
    else:
        inner = (max((2 * width * high + height) // (2 * height), 1), high)
    scaled = frame.resize(inner, Image.Resampling.LANCZOS)
    if inner == size:
        return scaled
    if colour is None and not opaque:
        ground = Image.new("RGBA", size, _CLEAR)
    elif frame.mode == "RGBA":
        ground = Image.new("RGBA", size, (*(colour or WHITE), 255))
    else:
        ground = Image.new("RGB", size, colour or WHITE)
    # Without a mask: the picture's own transparency stays what it was.
    ground.paste(scaled.convert(ground.mode), ((wide - inner[0]) // 2, (high - inner[1]) // 2))
    return ground


def _rgb(colour: str | None) -> tuple[int, int, int] | None:
    """``#rrggbb`` as numbers."""
    if colour is None:
        return None
    try:
        red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    except ValueError:
        raise Unconvertible(f"'{colour}' is not a colour of the form #rrggbb") from None
    return red, green, blue
