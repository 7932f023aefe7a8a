"""What a limit says: scope, measure, amount, window. Values only.

A limit is a threshold over a counter. The counter's identity is scope × measure × window × model, under the
project's id and never under the limit's name or amount: renaming or editing a limit hands out nothing afresh.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import quote

from gateway.quota.windows import ROLLING_MS, Period

MAX_AMOUNT = 2**53 - 1
"""Lua computes with doubles, which are exact up to here: $9.0 million in nano-dollars."""

MAX_RATE = 10**10
"""Per minute. A rate's debt is kept in 1/60,000 of a unit and must stay exact as well."""


class Measure(StrEnum):
    """What is counted. Nano-dollars and tokens are settled at what was used; requests and images count once
    per client request, from dispatch on; ``concurrent`` counts attempts that run."""

    SPEND = "spend"
    REQUESTS = "requests"
    IMAGES = "images"
    TOKENS = "tokens"
    CONCURRENT = "concurrent"

    @property
    def settles(self) -> bool:
        """Whether the amount held gives way to what was used."""
        return self in (Measure.SPEND, Measure.TOKENS)


class Level(StrEnum):
    ORGANIZATION = "organization"
    PROJECT = "project"
    KEY = "key"
    END_USER = "end_user"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a limit is attached to. Make one with the class methods; ``text`` is its identity."""

    level: Level
    text: str
    model: str | None = None

    @property
    def is_end_user(self) -> bool:
        return self.level is Level.END_USER

    @property
    def owner(self) -> str:
        """The scope without its model."""
        return self.text.partition("@")[0]

    @classmethod
    def organization(cls, *, model: str | None = None) -> Scope:
        return cls(Level.ORGANIZATION, _joined("org", model=model), model)

    @classmethod
    def project(cls, project_id: str, *, model: str | None = None) -> Scope:
        return cls(Level.PROJECT, _joined("project", project_id, model=model), model)

    @classmethod
    def key(cls, project_id: str, key_id: str, *, model: str | None = None) -> Scope:
        return cls(Level.KEY, _joined("key", project_id, key_id, model=model), model)

    @classmethod
    def end_user(cls, project_id: str, key_id: str, end_user: str, *, model: str | None = None) -> Scope:
        """``end_user`` is the client's own word, of any length: only its digest becomes part of a name."""
        digest = hashlib.blake2b(end_user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return cls(Level.END_USER, _joined("user", project_id, key_id, digest, model=model), model)


def _joined(*parts: str, model: str | None) -> str:
    text = ":".join(quote(part, safe="") for part in parts)
    return text if model is None else f"{text}@{quote(model, safe='')}"


class Kind(StrEnum):
    """How a counter works. The letters are those of the stores' keys and scripts."""

    WINDOW = "w"
    """One sum per calendar window."""
    ROLLING = "b"
    """Sums per bucket of a rolling window."""
    RATE = "g"
    """GCRA: a debt that decays by the limit per minute, burst = limit."""
    CONCURRENT = "c"
    """A set of leases."""


@dataclass(frozen=True, slots=True)
class Limit:
    """``amount`` of ``measure`` per window. Requests, images and tokens ``per="minute"`` are rates (GCRA)
    unless ``rolling``; ``concurrent`` has no window. A ``shadow`` limit is counted and reported and refuses
    nothing.

    Raises ValueError for what cannot be counted exactly.
    """

    scope: Scope
    measure: Measure
    amount: int
    per: Period | None = None
    rolling: bool = False
    shadow: bool = False
    kind: Kind = field(init=False)
    counter: str = field(init=False)
    """The identity of what is counted; the window's id comes on top."""

    def __post_init__(self) -> None:
        concurrent = self.measure is Measure.CONCURRENT
        if concurrent != (self.per is None):
            raise ValueError("a limit on concurrent requests has no window, and every other limit has one")
        if self.rolling and self.per not in ROLLING_MS:
            raise ValueError(f"a window of '{self.per}' cannot roll")
        if concurrent:
            kind = Kind.CONCURRENT
        elif self.rolling:
            kind = Kind.ROLLING
        elif self.per == "minute" and self.measure is not Measure.SPEND:
            kind = Kind.RATE
        else:
            kind = Kind.WINDOW
        highest = MAX_RATE if kind is Kind.RATE else MAX_AMOUNT
        lowest = 1 if kind is Kind.RATE else 0
        if not lowest <= self.amount <= highest:
            raise ValueError(
                f"a limit on {self.measure} is between {lowest} and {highest}, not {self.amount}"
            )
        name = f"{self.scope.text}|{self.measure}"
        if self.per is not None:
            name += f"|{self.per}"
        # A rate's debt decays at the limit's own speed, so a rate on trial cannot share it with one in force.
        if kind is Kind.RATE and self.shadow:
            name += "|shadow"
        object.__setattr__(self, "kind", kind)
        object.__setattr__(self, "counter", name)
