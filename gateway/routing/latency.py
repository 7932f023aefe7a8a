"""How long pictures take: a sketch for each target and shape, and a pace that compares targets over shapes.

Quantiles come from buckets of 5 % width, so they are right within a few per cent; samples lose half of their
weight every hour there, and every five minutes in the means that targets are compared by.
"""

from __future__ import annotations

import math
from array import array
from collections import OrderedDict
from collections.abc import Sequence

from gateway.routing.attempt_time import ENOUGH as ENOUGH_FOR_THE_SLOWEST
from gateway.routing.attempt_time import SETTLED_AFTER
from gateway.routing.health import HALF_LIFE
from gateway.routing.names import Shape, TargetName
from gateway.routing.windows import Decayed

_FIRST = 0.05
"""Seconds at which the second bucket begins."""

_WIDTH = 1.05
_LOG_WIDTH = math.log(_WIDTH)
_BUCKETS = 213
"""Up to 25 minutes."""

SKETCH_HALF_LIFE = 3600.0
MOST_SHAPES = 2000
"""Sketches kept, about 2 KB each; the one unused for longest gives way."""

ENOUGH = 3.0
"""Samples for a mean of one shape to be believed without the others."""


class Sketch:
    """A decaying histogram of durations with logarithmic buckets."""

    __slots__ = ("_at", "_counts", "_since", "_total")

    def __init__(self) -> None:
        self._counts = array("d", bytes(8 * _BUCKETS))
        self._total = 0.0
        self._at = 0.0
        self._since = math.inf

    def add(self, seconds: float, now: float) -> None:
        self._since = min(self._since, now)
        # Instead of all buckets losing weight, new samples gain it; brought down before floats lose digits.
        gained = 2.0 ** min((now - self._at) / SKETCH_HALF_LIFE, 1000.0) if self._total else 1.0
        if not self._total or gained > 1e9:
            self._bring_down(gained)
            self._at, gained = now, 1.0
        self._counts[_bucket(seconds)] += gained
        self._total += gained

    def weight(self, now: float) -> float:
        """How many samples it still rests on."""
        return float(self._total * 0.5 ** ((now - self._at) / SKETCH_HALF_LIFE))

    def take_in(self, other: Sketch, now: float) -> None:
        """Count what the other holds, at what it weighs now. For sums that are read at once."""
        kept = other.weight(now) / other._total if other._total else 0.0
        for number, count in enumerate(other._counts):
            self._counts[number] += count * kept
        self._total = sum(self._counts)

    def is_settled(self, now: float) -> bool:
        return now - self._since >= SETTLED_AFTER and self.weight(now) >= ENOUGH_FOR_THE_SLOWEST

    def quantile(self, share: float) -> float | None:
        """Seconds that this share of pictures took at most; None where nothing is known."""
        if self._total <= 0:
            return None
        wanted = share * self._total
        below = 0.0
        for number, count in enumerate(self._counts):
            if count > 0 and below + count >= wanted:
                return float(_FIRST * _WIDTH ** (number - 1 + (wanted - below) / count))
            below += count
        return float(_FIRST * _WIDTH ** (_BUCKETS - 1))

    def _bring_down(self, gained: float) -> None:
        for number, count in enumerate(self._counts):
            self._counts[number] = count / gained
        self._total = sum(self._counts)


def _bucket(seconds: float) -> int:
    if seconds <= _FIRST:
        return 0
    return min(int(math.log(seconds / _FIRST) / _LOG_WIDTH) + 1, _BUCKETS - 1)


class Latencies:
    """Of all targets. ``None`` in place of a target stands for all of them together."""

    def __init__(self) -> None:
        self._sketches: OrderedDict[tuple[TargetName | None, Shape], tuple[Sketch, Decayed]] = OrderedDict()
        self._paces: dict[TargetName, Decayed] = {}

    def note(self, target: TargetName, shape: Shape, seconds: float, now: float) -> None:
        """A picture of this shape took so long there."""
        usual = self._mean(None, shape, now)
        if usual is not None and usual > 0:
            self._paces.setdefault(target, Decayed(HALF_LIFE)).add(seconds / usual, now)
        for whose in (target, None):
            sketch, mean = self._kept((whose, shape))
            sketch.add(seconds, now)
            mean.add(seconds, now)

    def expected(self, target: TargetName, shape: Shape, now: float) -> float | None:
        """Mean seconds for this shape there: from its own pictures, else from what the shape takes anywhere
        and how this target compares. None where the shape was never made."""
        own = self._sketches.get((target, shape))
        if own is not None and own[1].weight(now) >= ENOUGH:
            return own[1].mean(now, prior=0.0, worth=0.0)
        usual = self._mean(None, shape, now)
        return None if usual is None else usual * self.pace(target, now)

    def pace(self, target: TargetName, now: float) -> float:
        """How long it takes compared with all targets, over all shapes: 1 is as usual, 2 twice as long."""
        pace = self._paces.get(target)
        return 1.0 if pace is None else pace.mean(now, prior=1.0, worth=1.0)

    def quantile(self, shape: Shape, share: float, target: TargetName | None = None) -> float | None:
        """Of this shape at a target, or anywhere."""
        found = self._sketches.get((target, shape))
        return found[0].quantile(share) if found is not None else None

    def is_settled(self, shape: Shape, now: float, target: TargetName | None = None) -> bool:
        """Whether enough pictures of this shape came back, over long enough, for its slowest to be known."""
        found = self._sketches.get((target, shape))
        return found is not None and found[0].is_settled(now)

    def overall(self, target: TargetName, shares: Sequence[float], now: float) -> list[float] | None:
        """Quantiles over all shapes of a target; None where it has made nothing."""
        every = Sketch()
        for (whose, _), (sketch, _) in self._sketches.items():
            if whose == target:
                every.take_in(sketch, now)
        found = [every.quantile(share) for share in shares]
        return None if None in found else [seconds for seconds in found if seconds is not None]

    def _mean(self, whose: TargetName | None, shape: Shape, now: float) -> float | None:
        found = self._sketches.get((whose, shape))
        if found is None:
            return None
        mean = found[1]
        # After long silence the mean's weight is next to nothing: the sketch's median stands in.
        if mean.weight(now) < 0.01:
            return found[0].quantile(0.5)
        return mean.mean(now, prior=0.0, worth=0.0)

    def _kept(self, key: tuple[TargetName | None, Shape]) -> tuple[Sketch, Decayed]:
        if key not in self._sketches and len(self._sketches) >= MOST_SHAPES:
            self._sketches.popitem(last=False)
        found = self._sketches.setdefault(key, (Sketch(), Decayed(HALF_LIFE)))
        self._sketches.move_to_end(key)
        return found
