"""What became of the one thing that was asked: exact, mapped, emulated, refused or not offered; or wrong.

The judge knows nothing of the gateway's rules. It holds what the upstream saw and what came back against what
was asked, and every difference must stand in what the caller was told.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.conformance.asks import Ask
from tests.conformance.saw import Pixels, Saw, pixels
from tests.conformance.told import Told


class Verdict(StrEnum):
    EXACT = "exact"
    MAPPED = "mapped"
    EMULATED = "emulated"
    REFUSED = "refused"
    NOT_OFFERED = "not offered"
    WRONG = "WRONG"


@dataclass(frozen=True, slots=True)
class Cell:
    verdict: Verdict
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.verdict.value} {self.detail}".strip()


class Wrong(Exception):
    """Something is not as it was told."""


_AS_ASKED = ("exact", "auto", "filled")
_UNASKED = ("quality", "background", "seed", "negative_prompt", "user", "output_compression")
_REFUSALS = ("invalid_request_error", "image_generation_user_error")
"""OpenAI's two types for what a caller can mend."""

_LEAST_LIKENESS = 0.035
"""Of two ratios, as the difference of their logarithms: so far off are the published pixels of some."""


def judge(ask: Ask, saws: Sequence[Saw], told: Told, *, unknown: bool = False) -> Cell:
    """Of one call. ``saws`` are what its upstream calls looked like there. Of a model that is ``unknown`` to
    the catalog the upstream itself may refuse what it does not take."""
    try:
        if told.error is not None:
            return _refused(ask, [] if unknown else saws, told, " there" if saws else "")
        _holds_together(ask, saws, told)
        return _JUDGES.get(ask.subject, _field)(ask, saws, told)
    except Wrong as wrong:
        return Cell(Verdict.WRONG, str(wrong))


def _hold(fact: object, otherwise: str) -> None:
    if not fact:
        raise Wrong(otherwise)


def _refused(ask: Ask, saws: Sequence[Saw], told: Told, where: str) -> Cell:
    """A refusal is one of the request, before anything was sent, and names the field."""
    error = told.error or {}
    said = f"{told.status} {error.get('code')} {error.get('message')}"
    _hold(told.status in (400, 413), f"failed: {said}")
    _hold(not saws, f"the upstream saw it and refused: {said}")
    _hold(error.get("type") in _REFUSALS and error.get("message"), f"no refusal: {said}")
    param = str(error.get("param")).partition("[")[0]
    about = {ask.subject, "model", *ask.fields} | ({"image", "images", "mask"} if ask.inputs else set())
    _hold(param in about, f"blames {param}: {said}")
    return Cell(Verdict.REFUSED, where.strip())


def _holds_together(ask: Ask, saws: Sequence[Saw], told: Told) -> None:
    """What is so of every answer, whatever was asked."""
    _hold(told.status == 200, f"HTTP {told.status}")
    _hold(saws, "the upstream saw no call with this prompt")
    wanted = ask.fields.get("n", 1)
    _hold(len(told.pictures) == wanted, f"{len(told.pictures)} pictures for {wanted}")
    measured = [f"{width}x{height}" for width, height in (each.size for each in told.pictures)]
    if "received" in told.size:
        _hold(told.size["received"].split() in (measured, measured[:1]), f"told of {told.size['received']}")
    else:
        _hold(ask.fields.get("stream"), "not told what was received")
    for size in told.sizes:
        _hold(size in measured, f"the body says {size}, the picture is {measured[0]}")
    for saw in saws:
        for name in _UNASKED:
            _hold(name in ask.fields or getattr(saw, name) is None, f"the upstream was sent {name}")
    for name, change in told.changes.items():
        known = name in ask.fields or (name in ("image", "mask") and ask.inputs)
        _hold(known, f"told that {name} was {change.how}, which nobody asked")


def _size(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    made, sent, rule = told.pictures[0].size, told.size.get("sent", ""), told.size.get("rule", "")
    text = f"{made[0]}x{made[1]}"
    emulated = told.changes.get("fit") or told.changes.get("size")
    _was_sent(saws[0], sent, None if emulated else text)
    if emulated is not None:
        _hold(emulated.how == "emulated", f"fit was {emulated.how}")
        _hold(text == ask.fields.get("size"), f"cut to {text}")
        return Cell(Verdict.EMULATED, f"of {sent}")
    if rule not in _AS_ASKED:
        _hold(
            rule in ("clamped", "step", "raised", "lowered", "ratio_cut", "nearest"), f"the rule is {rule!r}"
        )
        return Cell(Verdict.MAPPED, text)
    _hold(_as_asked(ask, made), f"{text} was told as {rule}")
    exact = pixels(ask.fields.get("size")) == made
    return Cell(Verdict.EXACT, "" if exact else text)


def _was_sent(saw: Saw, sent: str, made: str | None) -> None:
    """The header's ``sent`` is what the upstream was told, or what that comes to by its published table."""
    if isinstance(saw.size, tuple):
        _hold(sent == f"{saw.size[0]}x{saw.size[1]}", f"sent {saw.size}, told {sent}")
        return
    if isinstance(pixels(sent), tuple):
        _hold(made in (None, sent), f"told that {sent} was sent, and {made} came")
        return
    ratio, _, tier = sent.partition("@")
    if not tier and ":" not in ratio:
        ratio, tier = "", ratio
    for name, was, now in (("ratio", ratio, saw.ratio), ("tier", tier, saw.tier)):
        same = (was or "auto").lower() in ((now or "auto").lower(), "auto")
        _hold(same, f"told the {name} {was or 'none'}, sent {now}")


def _as_asked(ask: Ask, made: Pixels) -> bool:
    """Whether a picture is what the words say, within what a ratio and a tier leave open."""
    size = pixels(ask.fields.get("size"))
    if isinstance(size, tuple):
        return made == size
    ratio = ask.fields.get("aspect_ratio") or (size if size and ":" in size else None)
    tier = ask.fields.get("resolution")
    if isinstance(ratio, str):
        across, down = map(float, ratio.split(":"))
        if abs(math.log(made[0] * down / made[1] / across)) > _LEAST_LIKENESS:
            return False
    if isinstance(tier, str):
        area = (float(tier[:-1]) * 1024) ** 2
        return 0.8 <= made[0] * made[1] / area <= 1.25
    return True


def _n(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    numbers = [saw.n for saw in saws]
    _hold(sum(numbers) == ask.fields["n"], f"the upstream was asked for {numbers}")
    if len(numbers) == 1:
        return Cell(Verdict.EXACT)
    change = told.changes.get("n")
    _hold(change is not None and change.how == "emulated", f"{len(numbers)} calls, and not told")
    return Cell(Verdict.EMULATED, "+".join(map(str, sorted(numbers, reverse=True))))


def _format(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    wanted = ask.fields["output_format"]
    made = {picture.format for picture in told.pictures}
    _hold(made == {wanted}, f"{sorted(made)} came")
    change = told.changes.get("output_format")
    if change is None:
        return Cell(Verdict.EXACT)
    _hold(change.how == "emulated" and change.was == wanted, f"output_format was {change.how}")
    asked = {saw.output_format for saw in saws}
    _hold(asked == {change.now} or asked == {None}, f"the upstream was asked for {asked}, told {change.now}")
    return Cell(Verdict.EMULATED)


def _compression(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    _format(ask, saws, told)
    return _field(ask, saws, told)


def _stream(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    _hold(told.events, "no events came")
    change = told.changes.get("stream")
    if all(saw.stream for saw in saws):
        _hold(change is None, "streamed, and told otherwise")
        return Cell(Verdict.EXACT)
    _hold(change is not None and change.how == "emulated", "the upstream did not stream, and it is not told")
    return Cell(Verdict.EMULATED)


def _inputs(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    change = told.changes.get("image")
    for saw in saws:
        if change is None:
            _hold(saw.inputs == ask.inputs, f"the upstream saw {saw.inputs}")
            continue
        _hold(change.how == "emulated", f"the picture was {change.how}")
        seen = [f"{width}x{height}" for width, height in saw.inputs]
        _hold(change.now in seen and len(seen) == len(ask.inputs), f"the upstream saw {seen}")
    return Cell(Verdict.EXACT) if change is None else Cell(Verdict.EMULATED, str(change.now))


def _mask(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    _inputs(ask, saws, told)
    change = told.changes.get("mask")
    for saw in saws:
        _hold(saw.marked == (True, False), f"the upstream edits {saw.marked}")
        if change is None:
            _hold(saw.mask == ask.mask, f"the mask became {saw.mask}")
        else:
            width, height = saw.mask or (0, 0)
            _hold(change.how == "emulated" and change.now == f"{width}x{height}", f"the mask is {saw.mask}")
    if change is not None:
        return Cell(Verdict.EMULATED, str(change.now))
    polarity = saws[0].polarity
    return Cell(Verdict.EXACT) if polarity == "transparent" else Cell(Verdict.MAPPED, f"to {polarity}")


def _field(ask: Ask, saws: Sequence[Saw], told: Told) -> Cell:
    """Fields that are sent or not: the upstream has them as asked, or in other words, or not at all."""
    name, change = ask.subject, told.changes.get(ask.subject)
    asked = ask.fields[name]
    values = {getattr(saw, name) for saw in saws}
    if change is None:
        _hold(values == {asked}, f"the upstream was sent {values}, and nothing is told")
        return Cell(Verdict.EXACT)
    if change.how == "mapped":
        _hold(values == {change.now}, f"the upstream was sent {values}, told {change.now}")
        return Cell(Verdict.MAPPED, str(change.now))
    _hold(values == {None}, f"the upstream was sent {values}, told {change.how}")
    return Cell(Verdict.EMULATED) if change.how == "emulated" else Cell(Verdict.NOT_OFFERED)


_JUDGES = {
    "size": _size,
    "n": _n,
    "output_format": _format,
    "output_compression": _compression,
    "stream": _stream,
    "image": _inputs,
    "mask": _mask,
}
