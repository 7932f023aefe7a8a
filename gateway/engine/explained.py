"""Quotes and plans as JSON for callers: what would be sent where, what was changed for that, what it costs.

Amounts are exact: dollars as text, micro-dollars as whole numbers rounded up. What cannot be known is null.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from gateway.engine.planning import Planned
from gateway.engine.quote import Quote
from gateway.images.amounts import NANO, NanoDollars, dollars
from gateway.images.fields import KNOWN
from gateway.images.fitted import Finish
from gateway.images.model_facts import price_source
from gateway.images.telling import told
from gateway.routing.explanation import explained
from gateway.routing.plan import Excluded
from gateway.routing.selection import Order

MICRO = 1000
"""Nano-dollars of a micro-dollar."""

Document = dict[str, object]


def amount(nano: NanoDollars) -> Document:
    return {"usd": dollars(nano), "micros": micros(nano)}


def micros(nano: int) -> int:
    return -(-nano // MICRO)


def range_told(priced: Quote) -> Document | None:
    total = priced.total
    if total is None:
        return None
    return {name: amount(getattr(total, name)) for name in ("low", "expected", "high")}


def components_told(quoted: Quote) -> list[Document]:
    """In Lumenfall's words. The micro-dollars of the parts add up to the total's."""
    parts, total = quoted.components, quoted.total
    found: list[Document] = []
    before, so_far = 0, Decimal(0)
    for place, part in enumerate(parts, 1):
        so_far += part.dollars
        after = micros(int((so_far * NANO).to_integral_value(rounding=ROUND_CEILING)))
        if place == len(parts) and total is not None:
            after = micros(total.expected)
        found.append(
            {
                "type": part.type,
                "metric": part.metric,
                "quantity": _plain(part.quantity),
                "billable_quantity": _plain(part.quantity),
                "unit_price": f"{part.unit_price.normalize():f}",
                "total_cost": after - before,
            }
        )
        before = after
    return found


def _plain(quantity: Decimal) -> int | str:
    whole = int(quantity)
    return whole if whole == quantity else f"{quantity.normalize():f}"


def candidate_told(priced: Quote) -> Document:
    """One target with the call as it would be sent there. Private fields are named and not repeated."""
    target, fitted = priced.candidate.target, priced.candidate.fitted
    call = fitted.call
    private = [name for name in call.params if name not in KNOWN or KNOWN[name].private]
    fields = {name: value for name, value in call.params.items() if name not in private}
    overlays = {"mask": call.mask, "markup": call.markup}
    return {
        "provider": target.provider,
        "model": target.model,
        "calls": list(fitted.batches),
        "request": {"model": target.model, **fields},
        "unshown": ["prompt", *private],
        "inputs": {
            "images": len(call.images),
            **{name: True for name, picture in overlays.items() if picture is not None},
        },
        **told(fitted),
        "finish": None if fitted.finish is None else _finish(fitted.finish),
        "cost": _cost(priced),
    }


def _finish(finish: Finish) -> Document:
    """What the gateway does to each picture after the model."""
    found: Document = {
        "output_format": finish.format,
        "output_compression": finish.compression,
        "size": None if finish.pixels is None else f"{finish.pixels[0]}x{finish.pixels[1]}",
        "fit": finish.fit,
        "background": finish.background,
    }
    return {name: value for name, value in found.items() if value is not None}


def _cost(priced: Quote) -> Document:
    """Low, expected and high, or why they are not known; and where the prices come from."""
    total, price = priced.total, priced.price
    found: Document = {"price_version": None, "source": None}
    if price is not None:
        found = {"price_version": price.version, "source": price_source(price)}
    if total is None:
        unpriced = priced.unpriced
        assert unpriced is not None
        nothing = dict.fromkeys(("low", "expected", "high"))
        return {**nothing, "unknown": unpriced.reason, "explanation": unpriced.explanation, **found}
    return {**(range_told(priced) or {}), "flags": list(total.flags), **found}


def routing_told(planned: Planned, found: Order, now: float) -> Document:
    """Why the targets stand in their order, and why others are left out now (``perf_counter``)."""
    return explained(planned.model.name, planned.ruled.ruling, found, now, planned.excluded)


def excluded_told(excluded: Excluded) -> Document:
    unfit = excluded.unfit
    return {
        "provider": excluded.target.provider,
        "model": excluded.target.model,
        "capability": unfit.capability,
        "param": unfit.param,
        "reason": unfit.explanation,
        "valid": list(unfit.valid),
    }
