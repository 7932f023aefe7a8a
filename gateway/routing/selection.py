"""In which order the targets of a plan are tried, and which are left out, each with its reason.

::

    rule, when, caller's exclusions    left out for good
    cooling                            left out: the provider asked for it
    taken out                          left out, but never more than half of the targets, and one always stays
    priority → select                  the rest: by priority, within one by the model's select
    recovering                         its turn only now and then, else at the end of its priority
    preferred by the caller            to the front
    needed all the same                what was taken out and is readmitted, at the end
    last resort                        what was taken out, where two or more others come first: asking it
                                       beats giving up, and a breaker can be wrong

Pure: what is known of targets, the moment and the dice come in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from config.routing import Select
from gateway.routing.conditions import Condition, Question
from gateway.routing.decision import LONGEST_WAIT
from gateway.routing.health import State
from gateway.routing.names import Shape, TargetName, target_name
from gateway.routing.rules import Ruling, names_target
from gateway.routing.watch import Standing
from gateway.routing.wishes import Wishes


class Known(Protocol):
    """What is known of targets (``watch.Watch``)."""

    def standing(self, target: TargetName, shape: Shape, now: float) -> Standing: ...


@dataclass(frozen=True, slots=True)
class Contender:
    """A target that could serve the request. ``price`` is what it is expected to cost there in nano-dollars,
    None where that is not known; ``index`` is its number in the plan."""

    provider: str
    model: str
    shape: Shape
    priority: int = 1
    weight: int = 1
    when: Condition | None = None
    price: int | None = None
    index: int = 0

    @property
    def name(self) -> TargetName:
        return target_name(self.provider, self.model)


class Place(StrEnum):
    """Why a target stands where it does."""

    SELECTED = "selected"
    RULE = "rule"
    PREFERRED = "preferred"
    RECOVERING = "recovering"
    TRIAL = "trial"
    READMITTED = "readmitted"
    LAST_RESORT = "last_resort"


class Out(StrEnum):
    """Why a target is left out."""

    RULE = "rule"
    WHEN = "when"
    EXCLUDED = "excluded"
    COOLING = "cooling"
    OPEN = "open"
    TRYING = "trying"


@dataclass(frozen=True, slots=True)
class Ranked:
    contender: Contender
    place: Place
    standing: Standing

    @property
    def forced(self) -> bool:
        """Whether it is called although it was taken out (``Watch.may_begin``)."""
        return self.place in (Place.READMITTED, Place.LAST_RESORT)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """``detail`` is a word or two: the conditions that do not hold, the kind of limit that ran out, the
    failure that took it out. ``until`` is when it comes back, None where time does not bring it back."""

    contender: Contender
    because: Out
    detail: str = ""
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """``select`` is how it was made; ``by_rule`` that a rule put the targets in its own order."""

    ranked: tuple[Ranked, ...]
    left_out: tuple[LeftOut, ...]
    select: Select
    by_rule: bool = False

    @property
    def soonest(self) -> float | None:
        """When the first of those left out comes back; None where none ever does."""
        return min((out.until for out in self.left_out if out.until is not None), default=None)

    def wait(self, now: float) -> float | None:
        """Seconds worth waiting where the one target there is only cools for a moment; None: go on, or tell
        the client ``no_healthy_provider`` with ``soonest``."""
        cooling = [out for out in self.left_out if out.because is Out.COOLING]
        if self.ranked or len(cooling) != 1 or cooling[0].until is None:
            return None
        seconds = max(cooling[0].until - now, 0.0)
        return seconds if seconds <= LONGEST_WAIT else None


_NO_RESORT = frozenset({"auth", "timeout"})
"""Causes that no single call outlives: refused credentials, and silence, which takes all the time left."""

_NO_RULING = Ruling()
_NO_WISHES = Wishes()


def order(
    contenders: Sequence[Contender],
    select: Select,
    known: Known,
    now: float,
    dice: Callable[[], float],
    *,
    question: Question | None = None,
    ruling: Ruling = _NO_RULING,
    wishes: Wishes = _NO_WISHES,
) -> Order:
    """Order ``contenders``, which stand as declared. ``dice`` gives numbers in [0, 1)."""
    select = ruling.select or select
    left_out: list[LeftOut] = []
    usable: list[Contender] = []
    for contender in contenders:
        barred = _barred(contender, question, ruling, wishes)
        if barred is None:
            usable.append(contender)
        else:
            left_out.append(barred)
    standings = {each.name: known.standing(each.name, each.shape, now) for each in usable}
    well, readmitted, resort, out = _by_health(usable, standings)
    by_rule = ruling.targets is not None and ruling.select is None

    def place(each: Contender) -> Place:
        if standings[each.name].state is State.DUE:
            return Place.TRIAL
        if each.provider in wishes.prefer:
            return Place.PREFERRED
        if standings[each.name].share < 1:
            return Place.RECOVERING
        return Place.RULE if by_rule else Place.SELECTED

    within = _within(select, standings, dice)
    keyed = [
        (
            _wish(each, wishes),
            _rule_place(each, ruling) if by_rule else each.priority,
            not _has_turn(standings[each.name], select, dice),
            () if by_rule else within(each),
            each,
        )
        for each in well
    ]
    keyed.sort(key=lambda entry: entry[:-1])
    ranked = [Ranked(each, place(each), standings[each.name]) for *_, each in keyed]
    ranked += [Ranked(each, Place.READMITTED, standings[each.name]) for each in readmitted]
    ranked += [Ranked(each, Place.LAST_RESORT, standings[each.name]) for each in resort]
    return Order(tuple(ranked), (*left_out, *out), select, by_rule)


def _barred(
    contender: Contender, question: Question | None, ruling: Ruling, wishes: Wishes
) -> LeftOut | None:
    """What no change of health could bring back."""
    named = ruling.targets
    if named is not None and not any(
        names_target(word, contender.provider, contender.model) for word in named
    ):
        return LeftOut(contender, Out.RULE, ruling.rule or "")
    if contender.when is not None and question is not None:
        unmet = contender.when.unmet(question)
        if unmet:
            return LeftOut(contender, Out.WHEN, ", ".join(unmet))
    if contender.provider in wishes.exclude:
        return LeftOut(contender, Out.EXCLUDED)
    return None


def _by_health(
    usable: Sequence[Contender], standings: Mapping[TargetName, Standing]
) -> tuple[list[Contender], list[Contender], list[Contender], list[LeftOut]]:
    """Those that may be called, those that are readmitted, the last resort, and those that are left out."""
    due = [each for each in usable if standings[each.name].state is State.DUE]
    trial = min(due, key=_price, default=None)
    well: list[Contender] = []
    bad: list[Contender] = []
    out: list[LeftOut] = []
    for each in usable:
        standing = standings[each.name]
        if standing.cooldown is not None:
            out.append(LeftOut(each, Out.COOLING, standing.cooldown.kind, standing.cooldown.until))
        elif standing.state is State.CLOSED or each is trial:
            well.append(each)
        else:
            bad.append(each)
    # Last to be readmitted is what no time mends: credentials that were refused.
    bad.sort(key=lambda each: (standings[each.name].cause == "auth", standings[each.name].until))
    needed = max(len(bad) - len(usable) // 2, 0 if well else 1)
    rest = bad[needed:]
    others = len(well) + needed
    resort = [each for each in rest if others > 1 and standings[each.name].cause not in _NO_RESORT]
    out += [_unwell(each, standings[each.name]) for each in rest if each not in resort]
    return well, bad[:needed], resort, out


def _unwell(contender: Contender, standing: Standing) -> LeftOut:
    because = Out.TRYING if standing.state is State.TRYING else Out.OPEN
    return LeftOut(contender, because, standing.cause, standing.until)


def _has_turn(standing: Standing, select: Select, dice: Callable[[], float]) -> bool:
    """Whether a target that recovers gets this call; with weights its weight is less instead."""
    return select == "weighted" or standing.share >= 1 or dice() < standing.share


def _within(
    select: Select, standings: Mapping[TargetName, Standing], dice: Callable[[], float]
) -> Callable[[Contender], tuple[float, ...]]:
    """The sort key among targets of one priority; equal keys stay as declared."""

    def weighted(each: Contender) -> tuple[float, ...]:
        # Draws without replacement, each with the odds of the weights (Efraimidis and Spirakis, 2006).
        return (-(dice() ** (1 / (each.weight * standings[each.name].share))),)

    def fastest(each: Contender) -> tuple[float, ...]:
        return (_seconds_to_a_picture(standings[each.name]),)

    def cheapest(each: Contender) -> tuple[float, ...]:
        return (_price(each), _seconds_to_a_picture(standings[each.name]))

    def declared(each: Contender) -> tuple[float, ...]:
        return ()

    rules = {"weighted": weighted, "fastest": fastest, "cheapest": cheapest, "priority": declared}
    return rules[select]


def _seconds_to_a_picture(standing: Standing) -> float:
    """Expected until one succeeds; where the shape was never made, compared by pace alone."""
    seconds = standing.pace if standing.seconds is None else standing.seconds
    return seconds / max(standing.success, 0.01)


def _price(contender: Contender) -> float:
    """Only compared, never added; unknown prices come last."""
    return float("inf") if contender.price is None else contender.price


def _wish(contender: Contender, wishes: Wishes) -> int:
    prefer = wishes.prefer
    return prefer.index(contender.provider) if contender.provider in prefer else len(prefer)


def _rule_place(contender: Contender, ruling: Ruling) -> int:
    return next(
        number
        for number, word in enumerate(ruling.targets or ())
        if names_target(word, contender.provider, contender.model)
    )
