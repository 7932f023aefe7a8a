"""From a request to finished, encoded pictures. Runs in a worker thread; knows no latency and no failures."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass

from PIL import Image

from providers.base import Certainty, ImageRequest, InputImage, Kind, Operation, ProviderError
from providers.sandbox import picture as drawing
from providers.sandbox.inputs import Look, decode, look_at

FORMATS = ("png", "jpeg", "webp")
MAX_PIXELS = 16_777_216
MAX_EDGE = 16_383
"""WebP's limit."""

_SQUARE, _WIDE, _TALL = (1024, 1024), (1536, 1024), (1024, 1536)
_OVERLAY = 0.8
"""Opacity of what an edit without a mask lays over the original."""


@dataclass(frozen=True, slots=True)
class Commission:
    """What is to be drawn, with every ``auto`` resolved."""

    prompt: str
    size: tuple[int, int]
    quality: str
    output_format: str
    compression: int
    transparent: bool
    n: int
    partials: int
    lenient: bool
    images: tuple[InputImage, ...]
    mask: InputImage | None
    markup: InputImage | None
    input_sizes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Drawn:
    """One encoded picture and its encoded earlier states."""

    final: bytes
    partials: tuple[bytes, ...]


def commission(request: ImageRequest, prompt: str, *, lenient: bool) -> Commission:
    """Raises :class:`ProviderError` (invalid, rejected) for what the sandbox cannot draw."""
    params = request.params
    edit = request.operation is Operation.EDIT
    images = tuple(request.images) if edit else ()
    sizes = tuple(
        look_at(image, _name(images, index), lenient=lenient).size for index, image in enumerate(images)
    )
    if edit and not images:
        raise _invalid("image", "An edit needs at least one picture.")
    output_format = str(params.get("output_format") or "png")
    if output_format not in FORMATS:
        raise _invalid(
            "output_format", f"The sandbox draws {', '.join(FORMATS)}, not {output_format[:32]!r}."
        )
    transparent = params.get("background") == "transparent"
    if transparent and output_format == "jpeg":
        raise _invalid("background", "A transparent background needs output_format png or webp.")
    quality = str(params.get("quality") or "auto")
    return Commission(
        prompt=prompt,
        size=_size(str(params.get("size") or "auto"), sizes),
        quality=quality if quality in drawing.LAYERS else "medium",
        output_format=output_format,
        compression=_int(params.get("output_compression"), 100),
        transparent=transparent,
        n=request.n,
        partials=_int(params.get("partial_images"), 0) if request.stream else 0,
        lenient=lenient,
        images=images,
        mask=request.mask if edit else None,
        markup=request.markup if edit else None,
        input_sizes=sizes,
    )


def _name(images: tuple[InputImage, ...], index: int) -> str:
    return "image" if len(images) == 1 else f"image[{index}]"


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _size(text: str, inputs: tuple[tuple[int, int], ...]) -> tuple[int, int]:
    """``auto`` is a square, or for an edit the standard size nearest to the first picture's shape."""
    if text == "auto":
        if not inputs:
            return _SQUARE
        width, height = inputs[0]
        return _WIDE if width > height * 1.2 else _TALL if height > width * 1.2 else _SQUARE
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise _invalid("size", f"Invalid size {text[:32]!r}. Expected WIDTHxHEIGHT, for example '1024x1024'.")
    width, height = int(match[1]), int(match[2])
    if width * height > MAX_PIXELS or max(width, height) > MAX_EDGE:
        raise _invalid(
            "size",
            f"Invalid size '{text}'. The sandbox draws at most {MAX_PIXELS} pixels, {MAX_EDGE} an edge.",
        )
    return width, height


def draw(job: Commission, index: int) -> Drawn:
    """The ``index``-th picture. Raises :class:`ProviderError` (invalid, rejected) for unreadable inputs."""
    final = _compose(job, index)
    partials = tuple(
        _encoded(drawing.unfinished(final, step / (job.partials + 1)), job)
        for step in range(1, job.partials + 1)
    )
    return Drawn(_encoded(final, job), partials)


def _compose(job: Commission, index: int) -> Image.Image:
    pattern = drawing.draw(
        job.prompt, job.size, index=index, quality=job.quality, transparent=job.transparent and not job.images
    )
    numbered = f" · {index + 1} of {job.n}" if job.n > 1 else ""
    small = f"{job.size[0]} x {job.size[1]} · {job.quality}{numbered} · sandbox"
    drawing.caption(pattern, job.prompt, small)
    if not job.images:
        return pattern
    inputs = [
        decode(image, job.size, _name(job.images, place), lenient=job.lenient)
        for place, image in enumerate(job.images)
    ]
    overlay = drawing.draw(job.prompt, job.size, index=index, quality=job.quality, transparent=True)
    overlay = drawing.faded(overlay, _OVERLAY)
    drawing.caption(overlay, job.prompt, small)
    return drawing.edited(pattern, overlay, inputs, mask=_mask(job), markup=_over(job.markup, job, "markup"))


def _mask(job: Commission) -> Image.Image | None:
    if job.mask is None:
        return None
    if not job.lenient:
        _check_mask(look_at(job.mask, "mask", lenient=False), job.input_sizes[0])
    return _over(job.mask, job, "mask")


def _check_mask(mask: Look, wanted: tuple[int, int]) -> None:
    if mask.size != wanted:
        raise _invalid(
            "mask",
            f"The mask is {mask.size[0]}x{mask.size[1]}; it must be {wanted[0]}x{wanted[1]}, "
            "as the first picture.",
        )
    if not mask.alpha:
        raise _invalid("mask", "The mask has no alpha channel; its transparent part is what is edited.")


def _over(source: InputImage | None, job: Commission, param: str) -> Image.Image | None:
    return None if source is None else decode(source, job.size, param, lenient=job.lenient)


def _encoded(picture: Image.Image, job: Commission) -> bytes:
    out = io.BytesIO()
    if not job.transparent:
        plain = Image.new("RGBA", picture.size, (255, 255, 255, 255))
        plain.alpha_composite(picture)
        picture = plain.convert("RGB")
    # Level 1 and method 2: a third of the time for a few per cent more bytes.
    quality = min(max(job.compression, 1), 95)
    options = {
        "png": {"compress_level": 1},
        "jpeg": {"quality": quality},
        "webp": {"quality": quality, "method": 2},
    }[job.output_format]
    picture.save(out, job.output_format.upper(), **options)
    return out.getvalue()


def _invalid(param: str, message: str) -> ProviderError:
    return ProviderError(
        Kind.INVALID,
        Certainty.REJECTED,
        message,
        status=400,
        type="invalid_request_error",
        param=param,
        code="invalid_value",
    )
