"""What is charged for an answered attempt: our prices, the answer's own word, or the estimate.

::

    cost_source: catalogue     our prices × what was delivered; else what the answer says; else the estimate
    cost_source: provider      what the answer says; else as above

An answer without a picture costs what it says: prices are for pictures. Both are kept where there are both,
and more than 2 % between them is ``price_drift``. The price version is the one of admission, whatever the
catalogue says by now.
"""

from __future__ import annotations

from typing import Literal

from config.prices import PriceVersion
from gateway.images.amounts import Charge, NanoDollars
from gateway.images.estimate import PriceRange
from gateway.images.pricing import Delivered, charge_at

CostSource = Literal["catalogue", "provider"]

DRIFT_PERCENT = 2


def settle(
    price: PriceVersion | None,
    delivered: Delivered,
    *,
    held: PriceRange | None = None,
    cost_source: CostSource = "catalogue",
) -> Charge:
    """The charge of one attempt. ``held`` is the estimate that it was admitted with.

    Flags beyond those of ``charge_at``: ``estimated`` (the expected cost of the pictures that came, since the
    answer does not tell), ``provider_cost`` (charged as the answer says), ``price_drift``,
    ``hold_underestimate`` (more than was held). Cost None where nothing at all is known.
    """
    ours = charge_at(price, delivered)
    reported, estimated = delivered.cost, _estimated(delivered, held)
    flags = list(ours.flags)
    known = ours.cost if delivered.images else None
    if reported is not None and known is not None and drifts(known, reported):
        flags.append("price_drift")
    if reported is not None and (cost_source == "provider" or known is None):
        cost: NanoDollars | None = reported
        flags.append("provider_cost")
    elif ours.cost is None and estimated is not None:
        cost = estimated
        flags.append("estimated")
    else:
        cost = ours.cost
    if held is not None and cost is not None and cost > held.high:
        flags.append("hold_underestimate")
    kept = ours.cost if reported is not None else None
    return Charge(cost, tuple(flags), ours.price_version, catalogue=kept, reported=reported)


def settle_failed(price_version: str | None, held: PriceRange | None) -> Charge | None:
    """The charge of an attempt that its provider bills although it gave no picture and does not say what that
    costs: what was expected of it. None where nobody knew what to expect."""
    if held is None:
        return None
    return Charge(held.expected, ("estimated", "billed_on_error"), price_version)


def drifts(ours: NanoDollars, reported: NanoDollars) -> bool:
    """Whether two costs of the same thing differ by more than 2 % of ours."""
    return abs(reported - ours) * 100 > ours * DRIFT_PERCENT


def _estimated(delivered: Delivered, held: PriceRange | None) -> NanoDollars | None:
    """The expected cost, in proportion to the pictures that came. None came: nothing is known."""
    if held is None or not delivered.images:
        return None
    return NanoDollars(-(-held.expected * delivered.images // held.images))
