"""Why a request goes where it goes, as plain data: the same for ``imagegate route``, dry runs and records.

Times are whole seconds from now; dollars are text.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

from gateway.images.amounts import NanoDollars, dollars
from gateway.routing.plan import Excluded
from gateway.routing.rules import Ruling
from gateway.routing.selection import LeftOut, Order, Place, Ranked


def explained(
    model: str, ruling: Ruling, order: Order | None, now: float, unfit: Sequence[Excluded] = ()
) -> dict[str, Any]:
    """``model`` is the public one that serves the request, ``order`` None where a rule denies it, ``unfit``
    the targets that cannot serve what it asks for."""
    document: dict[str, Any] = {
        "rule": ruling.rule,
        "passed": [{"rule": passed.rule, "unmet": list(passed.unmet)} for passed in ruling.passed],
        "denied": ruling.deny,
        "model": model,
    }
    if order is None:
        return document
    left_out = [_left_out(out, now) for out in order.left_out]
    left_out += [
        {
            "provider": excluded.target.provider,
            "model": excluded.target.model,
            "because": "unfit",
            "detail": excluded.unfit.capability,
        }
        for excluded in unfit
    ]
    return document | {
        "select": "rule" if order.by_rule else order.select,
        "order": [_ranked(ranked) for ranked in order.ranked],
        "left_out": left_out,
    }


def _ranked(ranked: Ranked) -> dict[str, Any]:
    contender, standing = ranked.contender, ranked.standing
    return {
        "provider": contender.provider,
        "model": contender.model,
        "place": ranked.place.value,
        "priority": contender.priority,
        "weight": contender.weight,
        "state": standing.state.value,
        "share_percent": round(standing.share * 100),
        "success_percent": round(standing.success * 100),
        "expected_seconds": None if standing.seconds is None else round(standing.seconds),
        "expected_usd": None if contender.price is None else dollars(NanoDollars(contender.price)),
    }


def _left_out(out: LeftOut, now: float) -> dict[str, Any]:
    return {
        "provider": out.contender.provider,
        "model": out.contender.model,
        "because": out.because.value,
        "detail": out.detail,
        "back_in_seconds": None if out.until is None else ceil(max(out.until - now, 0.0)),
    }


_PLACES = {
    Place.RULE: "the rule's order",
    Place.PREFERRED: "preferred by the caller",
    Place.RECOVERING: "recovering, {share:.0%} of its calls",
    Place.TRIAL: "was taken out; this request tries it",
    Place.READMITTED: "was taken out, but no more than half may be",
    Place.LAST_RESORT: "was taken out; asked when the others have failed",
}


def in_words(ranked: Ranked, order: Order) -> str:
    """Why it stands where it does, for people."""
    if ranked.place is not Place.SELECTED:
        return _PLACES[ranked.place].format(share=ranked.standing.share)
    contender, standing = ranked.contender, ranked.standing
    priority = f"priority {contender.priority}"
    seconds = "no picture yet" if standing.seconds is None else f"{standing.seconds:.0f} s expected"
    price = "price unknown" if contender.price is None else f"${dollars(NanoDollars(contender.price))}"
    said = {
        "priority": "as declared",
        "weighted": f"by weight {contender.weight}",
        "fastest": f"fastest: {seconds}, {standing.success:.0%} succeed",
        "cheapest": f"cheapest: {price}",
    }
    return f"{priority}, {said[order.select]}"
