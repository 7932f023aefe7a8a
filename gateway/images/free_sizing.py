"""The rule for models that make any W×H within limits (docs/normalization.md, Free sizes).

Widths and heights on the way are square roots of fractions, so a shape is kept as its area and its ratio,
both exact, and every rounding is done on whole numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction

from config.sizing import FreeSizing
from gateway.images.fitted import Rule
from gateway.images.intent import is_of_tier

Pixels = tuple[int, int]

TOLERANCE = Fraction(1, 10**9)
"""Relative; a computed value this near to a limit is at the limit."""

_REACH = 8
"""Steps of width on either side among which the nearest sizes are looked for first."""

_LEAST_SHARE = Fraction(4, 5)
"""Of the area asked for, what an exact ratio may come to."""


def fits(width: int, height: int, sizing: FreeSizing) -> bool:
    """Whether the model makes exactly this size."""
    return (
        not (width % sizing.step or height % sizing.step)
        and sizing.min_pixels <= width * height
        and not _is_beyond(width, height, sizing)
    )


def explicit(width: int, height: int, sizing: FreeSizing) -> tuple[Rule, Pixels]:
    """For pixels that the caller wrote."""
    if fits(width, height, sizing):
        return Rule.EXACT, (width, height)
    area, ratio = Fraction(width * height), Fraction(width, height)
    slim = _clamped_ratio(ratio, sizing)
    cut_area, largest = _cut_area(area, ratio, slim), largest_area(slim, sizing)
    sent = _settled(cut_area, slim, sizing, computed=slim != ratio)
    if slim != ratio:
        return Rule.RATIO_CUT, sent
    if area > largest:
        return Rule.LOWERED, sent
    return (Rule.RAISED if area < sizing.min_pixels else Rule.STEP), sent


def filled(
    ratio: Fraction, area: Fraction, sizing: FreeSizing, *, ratio_given: bool, area_given: bool
) -> tuple[Rule, Pixels]:
    """For a ratio and an area; ``…_given`` is whether the caller said it, so that changing it is told."""
    slim, wanted = within(ratio, area, sizing)
    largest = largest_area(slim, sizing)
    width, height = _of_exact_ratio(slim, wanted, sizing) or _settled(wanted, slim, sizing, computed=True)
    ratio_kept = not ratio_given or Fraction(width, height) == ratio
    tier_kept = not area_given or is_of_tier(width * height, area)
    if ratio_given and slim != ratio:
        rule = Rule.RATIO_CUT
    elif area_given and area < sizing.min_pixels:
        rule = Rule.RAISED
    elif area_given and area > largest:
        rule = Rule.CLAMPED
    else:
        rule = Rule.FILLED if ratio_kept and tier_kept else Rule.NEAREST
    return rule, (width, height)


def within(ratio: Fraction, area: Fraction, sizing: FreeSizing) -> tuple[Fraction, Fraction]:
    """A ratio and an area, the ratio brought within its limit first, before any rounding."""
    slim = _clamped_ratio(ratio, sizing)
    return slim, min(max(area, Fraction(sizing.min_pixels)), largest_area(slim, sizing))


def written_within(width: int, height: int, sizing: FreeSizing) -> tuple[Fraction, Fraction]:
    """The same for pixels that the caller wrote: what is beyond the ratio is cut from the longer edge."""
    ratio = Fraction(width, height)
    slim = _clamped_ratio(ratio, sizing)
    return within(slim, _cut_area(Fraction(width * height), ratio, slim), sizing)


def largest_area(ratio: Fraction, sizing: FreeSizing) -> Fraction:
    """What a ratio can have under ``max_pixels`` and ``max_edge``, before any rounding."""
    return min(Fraction(sizing.max_pixels), sizing.max_edge**2 * min(ratio, 1 / ratio))


def _is_beyond(width: int, height: int, sizing: FreeSizing) -> bool:
    longer, shorter = max(width, height), min(width, height)
    return (
        longer > sizing.max_edge
        or width * height > sizing.max_pixels
        or longer > Fraction(sizing.max_ratio) * shorter
    )


def _clamped_ratio(ratio: Fraction, sizing: FreeSizing) -> Fraction:
    most = Fraction(sizing.max_ratio)
    return min(max(ratio, 1 / most), most)


def _cut_area(area: Fraction, ratio: Fraction, slim: Fraction) -> Fraction:
    """What is left of an area when the longer edge is shortened and the shorter one stays."""
    return area * min(slim / ratio, ratio / slim)


def _of_exact_ratio(ratio: Fraction, area: Fraction, sizing: FreeSizing) -> Pixels | None:
    """The largest size of exactly this ratio that is allowed and has 80 to 100 % of the area."""
    across, down = ratio.numerator, ratio.denominator
    unit = math.lcm(*(sizing.step // math.gcd(sizing.step, side) for side in (across, down)))
    width, height = unit * across, unit * down
    times = math.isqrt(math.floor(area * (1 + TOLERANCE) / (width * height)))
    while times > 0 and times**2 * width * height >= _LEAST_SHARE * area * (1 - TOLERANCE):
        if fits(times * width, times * height, sizing):
            return times * width, times * height
        times -= 1
    return None


def _settled(area: Fraction, ratio: Fraction, sizing: FreeSizing, *, computed: bool) -> Pixels:
    """A shape brought within the limits and onto the step. ``computed``: the edges are a result and not what
    the caller wrote, so that one at a limit counts as beyond it."""
    slack = TOLERANCE if computed else Fraction(0)
    longest = area * max(ratio, 1 / ratio)  # its square
    largest_edge = Fraction(sizing.max_edge) ** 2
    large = area > sizing.max_pixels * (1 - slack) or longest > largest_edge * (1 - slack) ** 2
    if large:
        round_edge = _down
        area *= min(Fraction(1), sizing.max_pixels / area, largest_edge / longest)
    elif area < sizing.min_pixels * (1 + slack):
        round_edge = _up
        area = Fraction(max(area, Fraction(sizing.min_pixels)))
    else:
        round_edge = _nearest
    step = sizing.step
    width = step * max(1, round_edge(area * ratio / step**2))
    height = step * max(1, round_edge(area / ratio / step**2))
    return _repaired(width, height, area, ratio, sizing)


def _down(square: Fraction) -> int:
    """The root of ``square``, rounded down."""
    return math.isqrt(math.floor(square))


def _up(square: Fraction) -> int:
    return math.isqrt(math.ceil(square) - 1) + 1


def _nearest(square: Fraction) -> int:
    """Halves up."""
    return (math.isqrt(math.floor(4 * square)) + 1) // 2


def _repaired(width: int, height: int, area: Fraction, ratio: Fraction, sizing: FreeSizing) -> Pixels:
    """The size with single steps taken off the longer edge while it is beyond a limit, then put on the
    shorter edge while it is too small. Of equal edges the one that was longer in what was asked is kept
    longer, so that no orientation turns."""
    step, landscape = sizing.step, ratio >= 1
    seen: set[Pixels] = set()
    while not fits(width, height, sizing):
        if (width, height) in seen or min(width, height) < step:
            return near(area, ratio, sizing)[0]
        seen.add((width, height))
        if _is_beyond(width, height, sizing):
            if width > height or (width == height and not landscape):
                width -= step
            else:
                height -= step
        elif width < height or (width == height and landscape):
            width += step
        else:
            height += step
    return width, height


def near(area: Fraction, ratio: Fraction, sizing: FreeSizing, count: int = 1) -> list[Pixels]:
    """The sizes of all that the model makes that are nearest to a shape: by the edge that is further off,
    which is ratio and area together, then by the other edge; of equally near ones the larger, then the
    wider. Fewer than ``count`` where the model makes fewer."""
    across, down = area * ratio, area / ratio  # the squares of the edges

    def distance(size: Pixels) -> tuple[Fraction, Fraction, int, int]:
        width, height = size
        apart = off(Fraction(width**2), across), off(Fraction(height**2), down)
        return max(apart), min(apart), -width * height, -width

    step = sizing.step
    middle, reach = _down(across / step**2) * step, _REACH
    while True:
        low, high = middle - reach * step, middle + reach * step
        sizes = set(_candidates(down, sizing, range(low, high + 1, step), count))
        found = sorted(sizes, key=distance)[:count]
        beyond = off(Fraction((high + step) ** 2), across)
        if low > step:
            beyond = min(beyond, off(Fraction((low - step) ** 2), across))
        is_all = low <= step and high >= sizing.max_edge
        if is_all or (len(found) == count and distance(found[-1])[0] < beyond):
            return found
        reach *= 8


def _candidates(down: Fraction, sizing: FreeSizing, widths: range, count: int) -> Iterator[Pixels]:
    """For every width the heights nearest to the asked one, whose square is ``down``: at least ``count``,
    where there are so many."""
    step = sizing.step
    asked = _down(down / step**2) * step
    for width, low, high in sizing.shapes(widths):
        middle = min(max(asked, low), high)
        for height in range(max(low, middle - count * step), min(high, middle + count * step) + 1, step):
            yield width, height


def off(one: Fraction, other: Fraction) -> Fraction:
    """How far two ratios or areas are apart: e to the power of |ln(one/other)|, exactly; 1 where equal."""
    return max(one / other, other / one)
