"""Sums over a moving window of time, and averages that forget by time and not by count."""

from __future__ import annotations

from collections import deque

_BUCKETS = 20


class WindowSum:
    """A sum of whole numbers over the last ``seconds``, in twentieths: what was added may count for up to one
    twentieth longer, and never for less."""

    __slots__ = ("_buckets", "_length", "_total")

    def __init__(self, seconds: float) -> None:
        self._length = seconds / _BUCKETS
        self._buckets: deque[tuple[int, int]] = deque()
        self._total = 0

    def add(self, amount: int, now: float) -> None:
        self._forget(now)
        number = int(now // self._length)
        if self._buckets and self._buckets[-1][0] >= number:
            number, before = self._buckets.pop()
            amount, self._total = amount + before, self._total - before
        self._buckets.append((number, amount))
        self._total += amount

    def total(self, now: float) -> int:
        self._forget(now)
        return self._total

    def correct(self, amount: int, at: float, now: float) -> None:
        """Change what was added at ``at`` by ``amount``; nothing, where that has left the window."""
        self._forget(now)
        number = int(at // self._length)
        for index, (found, before) in enumerate(self._buckets):
            if found == number:
                self._buckets[index] = (found, before + amount)
                self._total += amount
                return

    def _forget(self, now: float) -> None:
        oldest = int(now // self._length) - _BUCKETS
        while self._buckets and self._buckets[0][0] < oldest:
            self._total -= self._buckets.popleft()[1]


class Decayed:
    """A weighted mean whose samples lose half of their weight every ``half_life`` seconds."""

    __slots__ = ("_at", "_half_life", "_sum", "_weight")

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._sum = self._weight = self._at = 0.0

    def add(self, value: float, now: float) -> None:
        self._age(now)
        self._sum += value
        self._weight += 1.0

    def mean(self, now: float, *, prior: float, worth: float) -> float:
        """The mean, leaning on ``prior`` as on ``worth`` samples of it."""
        self._age(now)
        return (self._sum + prior * worth) / (self._weight + worth)

    def weight(self, now: float) -> float:
        """How many samples it still rests on."""
        self._age(now)
        return self._weight

    def _age(self, now: float) -> None:
        if now > self._at:
            kept = 0.5 ** ((now - self._at) / self._half_life)
            self._sum *= kept
            self._weight *= kept
            self._at = now
