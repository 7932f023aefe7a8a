"""Nearby forms of a call that would take less of the limits: a lower quality, then fewer pictures. Pure."""

from __future__ import annotations

from gateway.engine.quote import Estimating, Quote
from gateway.engine.refusals import Alternative
from gateway.images.estimate import PriceRange, estimate
from gateway.quota.terms import Measure


def alternatives(quoted: Quote, images: int, estimating: Estimating = estimate) -> list[Alternative]:
    """The nearest first. ``images`` is the number that the client asked for."""
    entry, fitted = quoted.candidate.target.entry, quoted.candidate.fitted
    asked = fitted.call.params.get("quality")
    ladder = [level for level in entry.qualities if level != "auto"]
    lower = ladder[: ladder.index(asked)] if asked in ladder else ladder
    changes: list[tuple[str, dict[str, object], tuple[int, ...]]] = [
        (f"quality: {level}", {"quality": level}, fitted.batches) for level in reversed(lower)
    ]
    if images > 1:
        changes.append(("n: 1", {}, (1,)))
    found = []
    for words, fields, batches in changes:
        calls = [fitted.call.changed({**fields, "n": n}) for n in batches]
        estimates = [estimating(entry, quoted.price, call, call.inputs) for call in calls]
        ranges = [each for each in estimates if isinstance(each, PriceRange)]
        if len(ranges) == len(estimates):
            amounts: dict[Measure, int] = {
                Measure.SPEND: sum(each.high for each in ranges),
                Measure.TOKENS: sum(each.tokens for each in ranges),
                Measure.REQUESTS: 1,
                Measure.IMAGES: sum(batches),
                Measure.CONCURRENT: len(batches),
            }
            found.append(Alternative(words, amounts))
    return found
