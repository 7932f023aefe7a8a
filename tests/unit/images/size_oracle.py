"""The size rule a second time, straight from docs/normalization.md: decimals of 50 digits where the gateway
has fractions, and every candidate looked at where it reckons. It knows nothing of the gateway's own code."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext

from config.catalog import CatalogModel
from config.sizing import FreeSizing, ListedSizing, RatioSizing

EPS = Decimal("1e-9")
TINY = Decimal("1e-30")
"""What 50 digits are surely right to."""


@dataclass(frozen=True)
class Ask:
    size: str | None = None
    aspect_ratio: str | None = None
    resolution: str | None = None
    input: str | None = None
    """The ratio of an edit's first picture."""


def oracle(ask: Ask, entry: CatalogModel) -> tuple[str, str]:
    """What is sent, and the rule."""
    with localcontext(prec=50):
        return _oracle(ask, entry)


def _oracle(ask: Ask, entry: CatalogModel) -> tuple[str, str]:
    pixels, ratio, area = _wanted(ask)
    sizing = entry.sizing
    if isinstance(sizing, FreeSizing):
        if ratio is None and area is None and sizing.auto:
            return "auto", "auto"
        sent, rule = _free(pixels, ratio, area, _input(ask), sizing)
    elif isinstance(sizing, ListedSizing):
        if ratio is None and area is None and sizing.auto:
            return "auto", "auto"
        sent, rule = _listed(pixels, ratio, area, _input(ask), sizing)
    elif isinstance(sizing, RatioSizing):
        if ratio is None and area is None and sizing.auto:
            return "auto", "auto"
        sent, rule = _ratios(pixels, ratio, area, _input(ask), sizing)
    else:
        asked = [text for text in (ask.size, ask.aspect_ratio, ask.resolution) if text and text != "auto"]
        return "@".join(asked) or "auto", "exact" if pixels else "filled" if asked else "auto"
    return sent, "auto" if ratio is None and area is None else rule


def _wanted(ask: Ask) -> tuple[tuple[int, int] | None, Decimal | None, Decimal | None]:
    pixels = ratio = area = None
    for text in (ask.resolution, ask.aspect_ratio, ask.size):  # the strongest last
        if text is None or text == "auto":
            continue
        if found := re.fullmatch(r"(\d+)x(\d+)", text):
            pixels = int(found[1]), int(found[2])
        elif found := re.fullmatch(r"([\d.]+):([\d.]+)", text):
            ratio = Decimal(found[1]) / Decimal(found[2])
        else:
            area = _tier(text)
    if pixels:
        return pixels, Decimal(pixels[0]) / pixels[1], Decimal(pixels[0] * pixels[1])
    return None, ratio, area


def _tier(text: str) -> Decimal:
    return Decimal(512 * 512) if text == "512" else (Decimal(text.rstrip("Kk")) * 1024) ** 2


def _input(ask: Ask) -> Decimal:
    across, _, down = (ask.input or "1:1").partition(":")
    return Decimal(across) / Decimal(down)


def _far(one: Decimal, other: Decimal) -> Decimal:
    return abs((one / other).ln())


def _same(one: Decimal, other: Decimal) -> bool:
    return abs(one - other) <= TINY * max(one, other)


def _of_tier(area: Decimal, tier: Decimal) -> bool:
    return Decimal("0.8") <= area / tier <= Decimal("1.25")


def _listed(
    pixels: tuple[int, int] | None,
    ratio: Decimal | None,
    area: Decimal | None,
    other: Decimal,
    s: ListedSizing,
) -> tuple[str, str]:
    wanted, room = ratio or other, area or Decimal(s.default_area)
    best: list[tuple[Decimal, Decimal, Decimal, int, str]] = []
    for place, text in enumerate(s.sizes):
        width, height = map(Decimal, text.split("x"))
        distance = _far(width / height, wanted).quantize(TINY)
        best.append((distance, _far(width * height, room).quantize(TINY), -width * height, place, text))
    chosen = min(best)
    width, height = map(int, chosen[4].split("x"))
    if pixels:
        return chosen[4], "exact" if (width, height) == pixels else "nearest"
    rooms = [-one[2] for one in best if one[0] == chosen[0]]
    return chosen[4], _kept(
        ratio is None or _same(Decimal(width) / height, ratio),
        area is None or _of_tier(Decimal(width * height), area),
        area,
        rooms,
    )


def _ratios(
    pixels: tuple[int, int] | None,
    ratio: Decimal | None,
    area: Decimal | None,
    other: Decimal,
    s: RatioSizing,
) -> tuple[str, str]:
    wanted = ratio or other

    def value(name: str) -> Decimal:
        across, _, down = name.partition(":")
        return Decimal(across) / Decimal(down)

    name = min(s.ratios, key=lambda one: (_far(value(one), wanted).quantize(TINY), s.ratios.index(one)))
    tiers = s.tiers or [s.default_tier]
    room = area or _tier(s.default_tier)
    tier = min(tiers, key=lambda one: (_far(_tier(one), room).quantize(TINY), _tier(one)))
    published = s.pixels.get(tier, {}).get(name)
    sent = published or (f"{name}@{tier}" if s.tiers else name)
    if pixels:
        meant = published or ("x".join(map(str, pixels)) if _nominal(pixels, value(name), tier) else "")
        return sent, "exact" if meant == f"{pixels[0]}x{pixels[1]}" else "nearest"
    rooms = [_tier(one) for one in tiers]
    kept = area is None or _same(_tier(tier), area)
    return sent, _kept(ratio is None or _same(value(name), ratio), kept, area, rooms)


def _nominal(pixels: tuple[int, int], ratio: Decimal, tier: str) -> bool:
    width, height = pixels
    return _same(Decimal(width) / height, ratio) and _same(Decimal(width * height), _tier(tier))


def _kept(ratio_kept: bool, tier_kept: bool, area: Decimal | None, rooms: list[Decimal]) -> str:
    if area is not None and not tier_kept and area < min(rooms):
        return "raised"
    if area is not None and not tier_kept and area > max(rooms):
        return "clamped"
    return "filled" if ratio_kept and tier_kept else "nearest"


def _ok(width: int, height: int, s: FreeSizing) -> bool:
    return (
        width % s.step == 0
        and height % s.step == 0
        and max(width, height) <= s.max_edge
        and s.min_pixels <= width * height <= s.max_pixels
        and max(width, height) <= s.max_ratio * min(width, height)
    )


def _free(
    pixels: tuple[int, int] | None, ratio: Decimal | None, area: Decimal | None, other: Decimal, s: FreeSizing
) -> tuple[str, str]:
    if pixels:
        if _ok(*pixels, s):
            return f"{pixels[0]}x{pixels[1]}", "exact"
        width, height = map(Decimal, pixels)
        cut = max(width, height) > s.max_ratio * min(width, height)
        if cut and width > height:
            width = s.max_ratio * height
        elif cut:
            height = s.max_ratio * width
        at = EPS if cut else Decimal(0)
        before = Decimal(pixels[0] * pixels[1])
        sent = _rounded(width, height, at, s)
        if cut:
            return sent, "ratio_cut"
        if before > s.max_pixels or max(pixels) > s.max_edge:
            return sent, "lowered"
        return sent, "raised" if before < s.min_pixels else "step"
    wanted, room = ratio or other, area or Decimal(s.default_area)
    slim = min(max(wanted, 1 / s.max_ratio), s.max_ratio)
    most = min(Decimal(s.max_pixels), s.max_edge**2 * min(slim, 1 / slim))
    clamped = min(max(room, Decimal(s.min_pixels)), most)
    exact = [
        (width * height, width, height)
        for width in range(s.step, s.max_edge + 1, s.step)
        for height in _around(width / slim, s.step)
        if _same(Decimal(width) / height, slim)
        and _ok(width, height, s)
        and Decimal("0.8") * clamped * (1 - EPS) <= width * height <= clamped * (1 + EPS)
    ]
    if exact:
        sent = f"{max(exact)[1]}x{max(exact)[2]}"
    else:
        sent = _rounded((clamped * slim).sqrt(), (clamped / slim).sqrt(), EPS, s)
    width, height = map(Decimal, sent.split("x"))
    if ratio is not None and not _same(slim, wanted):
        return sent, "ratio_cut"
    if area is not None and area < s.min_pixels:
        return sent, "raised"
    if area is not None and area > most and not _same(area, most):
        return sent, "clamped"
    kept = (ratio is None or _same(width / height, ratio)) and (
        area is None or _of_tier(width * height, area)
    )
    return sent, "filled" if kept else "nearest"


def _around(edge: Decimal, step: int) -> list[int]:
    low = math.floor(edge / step) * step
    return [height for height in (low, low + step) if height > 0]


def _rounded(width: Decimal, height: Decimal, at: Decimal, s: FreeSizing) -> str:
    across = width >= height
    if width * height > s.max_pixels * (1 - at) or max(width, height) > s.max_edge * (1 - at):
        scale = min(Decimal(1), (s.max_pixels / (width * height)).sqrt(), s.max_edge / max(width, height))
        w, h = (_whole(edge * scale / s.step, ROUND_FLOOR) for edge in (width, height))
    elif width * height < s.min_pixels * (1 + at):
        scale = max(Decimal(1), (s.min_pixels / (width * height)).sqrt())
        w, h = (_whole(edge * scale / s.step, ROUND_CEILING) for edge in (width, height))
    else:
        w, h = (_whole(edge / s.step + Decimal("0.5"), ROUND_FLOOR) for edge in (width, height))
    w, h = max(w, 1) * s.step, max(h, 1) * s.step
    while max(w, h) > s.max_edge or w * h > s.max_pixels or max(w, h) > s.max_ratio * min(w, h):
        if w > h or (w == h and not across):
            w -= s.step
        else:
            h -= s.step
    while w * h < s.min_pixels:
        if w < h or (w == h and across):
            w += s.step
        else:
            h += s.step
    return f"{w}x{h}"


def _whole(value: Decimal, rounding: str) -> int:
    """Rounded so, but a number that is whole but for the last digits is that number."""
    near = value.to_integral_value()
    return int(near) if abs(value - near) < TINY else int(value.to_integral_value(rounding=rounding))
