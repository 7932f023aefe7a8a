"""The drawing: a landscape of flowing layers whose shapes and colours come from the prompt. Pure.

The same prompt, size and index give the same picture. It is drawn small and enlarged, since its shapes are
smooth; the caption is set at full size.
"""

from __future__ import annotations

import colorsys
import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont, ImageOps

Color = tuple[int, int, int]
Size = tuple[int, int]

LAYERS: Mapping[str, int] = {"low": 3, "medium": 5, "high": 8, "xhigh": 10, "max": 12}
"""Quality is detail: how many layers there are; from ``high`` on they have contour lines too."""

_WORKING_EDGE = 1280
_SMALLEST_CAPTION = 96
"""Pixels of the shorter edge below which nobody could read a caption."""


@dataclass(frozen=True, slots=True)
class Palette:
    """Light to dark from sky to foreground, and one accent for the sun."""

    sky: tuple[Color, ...]
    far: Color
    near: Color
    accent: Color


def draw(
    prompt: str, size: Size, *, index: int = 0, quality: str = "medium", transparent: bool = False
) -> Image.Image:
    """An RGBA picture of ``size``. ``transparent`` leaves the sky out, so that it has real alpha."""
    seed = hashlib.sha256(f"{index}\0{prompt}".encode("utf-8", "surrogatepass")).digest()
    chance = random.Random(seed)
    scale = min(1.0, _WORKING_EDGE / max(size))
    small = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    palette = _palette(chance)
    canvas = _sky(small, palette, chance)
    if transparent:
        canvas = Image.new("RGBA", small)
    canvas.alpha_composite(_sun(small, palette, chance))
    count = LAYERS.get(quality, LAYERS["medium"])
    for layer in range(count):
        _add_layer(canvas, (layer + 1) / count, palette, chance, lined=count >= LAYERS["high"])
    return canvas if canvas.size == size else canvas.resize(size, Image.Resampling.BICUBIC)


def _palette(chance: random.Random) -> Palette:
    hue = chance.random()
    spread = chance.choice((0.06, 0.1, 0.16))

    def color(turn: float, lightness: float, saturation: float) -> Color:
        red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1, lightness, saturation)
        return round(red * 255), round(green * 255), round(blue * 255)

    sky = tuple(
        color(chance.uniform(-spread, spread), chance.uniform(0.62, 0.88), chance.uniform(0.5, 0.9))
        for _ in range(12)
    )
    return Palette(
        sky=sky,
        far=color(spread, 0.66, 0.62),
        near=color(-spread * 1.5, 0.15, 0.65),
        accent=color(0.5 + chance.uniform(-0.08, 0.08), 0.78, 0.95),
    )


def _sky(size: Size, palette: Palette, chance: random.Random) -> Image.Image:
    """A mesh gradient: a handful of colours, enlarged smoothly."""
    mesh = Image.new("RGB", (3, 4))
    colors = list(palette.sky)
    chance.shuffle(colors)
    mesh.putdata(colors)
    return mesh.resize(size, Image.Resampling.BICUBIC).convert("RGBA")


def _sun(size: Size, palette: Palette, chance: random.Random) -> Image.Image:
    width, height = size
    radius = max(1, round(min(size) * chance.uniform(0.09, 0.16)))
    center = (round(width * chance.uniform(0.2, 0.8)), round(height * chance.uniform(0.18, 0.42)))
    glow = ImageOps.invert(Image.radial_gradient("L")).resize((radius * 7, radius * 7))
    glow = glow.point([round(255 * 0.75 * (level / 255) ** 2.2) for level in range(256)])
    disc = Image.new("L", (radius * 4, radius * 4))
    ImageDraw.Draw(disc).ellipse((0, 0, radius * 4 - 1, radius * 4 - 1), fill=255)
    disc = disc.reduce(2)
    alpha = Image.new("L", size)
    alpha.paste(glow, _around(center, glow.size))
    alpha.paste(255, _around(center, disc.size), disc)
    sun = Image.new("RGBA", size, palette.accent)
    sun.putalpha(alpha)
    return sun


def _around(center: tuple[int, int], size: Size) -> tuple[int, int]:
    return center[0] - size[0] // 2, center[1] - size[1] // 2


def _add_layer(
    canvas: Image.Image, depth: float, palette: Palette, chance: random.Random, *, lined: bool
) -> None:
    """One wave across the canvas, from far (``depth`` near 0) to near (1), lighter at its crest."""
    width, height = canvas.size
    level = height * (0.42 + 0.5 * depth**1.15)
    swell = height * (0.05 + 0.05 * depth)
    waves = [
        (
            swell / order * chance.uniform(0.5, 1.0),
            order * chance.uniform(0.6, 1.2),
            chance.uniform(0, math.tau),
        )
        for order in (1, 2, 4)
    ]

    def crest(lower: float) -> list[tuple[float, float]]:
        steps = 160
        return [
            (
                2 * width * step / steps,
                2 * (lower + level + sum(a * math.sin(math.tau * f * step / steps + p) for a, f, p in waves)),
            )
            for step in range(steps + 1)
        ]

    # Twice the size and halved again: Pillow's polygons have no smooth edges of their own.
    shape = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(shape)
    pen.polygon([*crest(0), (2 * width, 2 * height), (0, 2 * height)], fill=255)
    mask = shape.reduce(2)

    body = _mix(palette.far, palette.near, depth)
    light = _mix(body, palette.sky[0], 0.4)
    shade = Image.linear_gradient("L").resize((1, height))
    top = max(0.0, (level - swell) / height)
    ramp = [min(255, max(0, round(255 * (position / 255 - top) / 0.35))) for position in range(256)]
    fill = ImageOps.colorize(shade.point(ramp), light, body).resize((width, height)).convert("RGBA")
    if lined:
        lines = Image.new("L", (2 * width, 2 * height))
        pen = ImageDraw.Draw(lines)
        for line in range(1, 5):
            pen.line(crest(line * height * 0.018), fill=200 - 40 * line, width=3)
        fill.paste(palette.accent, (0, 0), lines.reduce(2))
    fill.putalpha(mask)
    canvas.alpha_composite(fill)


def _mix(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def caption(picture: Image.Image, text: str, small: str) -> None:
    """Set ``text`` (at most three lines) and a ``small`` line on a dark plate, bottom left, in place."""
    width, height = picture.size
    if min(picture.size) < _SMALLEST_CAPTION:
        return
    edge = max(10, round(min(picture.size) * 0.042))
    # Loaded anew each time: FreeType's faces must not be shared between threads.
    large, little = ImageFont.load_default(edge), ImageFont.load_default(max(9, round(edge * 0.6)))
    margin, room = edge, width - 4 * edge
    lines = _wrapped(text, large, room, most=3)
    rows = [(line, large, round(edge * 1.25)) for line in lines] + [(small, little, round(edge * 0.8))]
    plate = Image.new("RGBA", picture.size)
    pen = ImageDraw.Draw(plate)
    wide = max(font.getlength(line) for line, font, _ in rows)
    top = height - margin - sum(step for *_, step in rows) - edge
    box = (margin, top, min(width - margin, margin + wide + 2 * edge), height - margin)
    pen.rounded_rectangle(box, radius=edge * 0.7, fill=(12, 14, 22, 150))
    y = top + edge * 0.5
    for line, font, step in rows:
        pen.text((margin + edge, y), line, font=font, fill=(255, 255, 255, 235 if font is large else 190))
        y += step
    picture.alpha_composite(plate)


def _wrapped(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float, most: int
) -> list[str]:
    lines: list[str] = []
    # No more than the plate can hold is worth measuring; a prompt may have 32,000 characters.
    for word in text[:400].split():
        if lines and font.getlength(f"{lines[-1]} {word}") <= room:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    shortened = len(lines) > most or len(text) > 400
    lines = [_clipped(line, font, room) for line in lines[:most]]
    if shortened and lines and not lines[-1].endswith("…"):
        lines[-1] = _clipped(f"{lines[-1]} …", font, room)
    return lines


def _clipped(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    if font.getlength(line) <= room:
        return line
    while line and font.getlength(f"{line}…") > room:
        line = line[:-1]
    return f"{line}…"


def edited(
    pattern: Image.Image,
    overlay: Image.Image,
    inputs: Sequence[Image.Image],
    *,
    mask: Image.Image | None = None,
    markup: Image.Image | None = None,
) -> Image.Image:
    """The first input, visibly changed. With a mask its transparent part becomes ``pattern`` and the rest
    keeps the original's pixels; without one, ``overlay`` is laid over it. Further inputs are set in small
    at the top. All pictures are RGBA of one size, but the further inputs."""
    base = inputs[0].copy()
    if markup is not None:
        base.alpha_composite(markup)
    if mask is not None:
        return Image.composite(pattern, base, ImageOps.invert(mask.getchannel("A")))
    base.alpha_composite(overlay)
    _inset(base, inputs[1:])
    return base


def _inset(base: Image.Image, others: Sequence[Image.Image]) -> None:
    if not others:
        return
    gap = max(1, round(min(base.size) * 0.02))
    edge = min(base.height // 4, (base.width - gap) // len(others) - gap)
    if edge < 4:
        return
    for place, other in enumerate(others):
        tile = Image.new("RGBA", (edge, edge), (255, 255, 255, 255))
        inner = max(1, edge - 2 * max(1, edge // 30))
        tile.alpha_composite(ImageOps.fit(other, (inner, inner)), dest=((edge - inner) // 2,) * 2)
        base.alpha_composite(tile, dest=(gap + place * (edge + gap), gap))


def faded(picture: Image.Image, share: float) -> Image.Image:
    """The same picture with its opacity multiplied."""
    result = picture.copy()
    alpha = picture.getchannel("A")
    result.putalpha(ImageChops.multiply(alpha, Image.new("L", alpha.size, round(255 * share))))
    return result


def unfinished(picture: Image.Image, progress: float) -> Image.Image:
    """What the picture looked like at ``progress`` (0..1): blurred, as partial pictures are."""
    radius = max(picture.size) * 0.04 * (1 - progress) + 1
    return picture.filter(ImageFilter.GaussianBlur(radius))
