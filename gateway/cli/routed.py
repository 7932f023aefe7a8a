"""Where a request would go, worked out without a server: rules, plan, order, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from time import perf_counter
from typing import Any

from config.routing import BreakerSettings
from gateway.api.preferences import Preferences
from gateway.api.understanding import Understanding
from gateway.caller import Caller
from gateway.cli.offline import Offline, planning_of
from gateway.engine.answer import RequestFacts
from gateway.images.call import ImageCall
from gateway.images.raw import RawRequest
from gateway.quota.of_settings import LimitBook
from gateway.routing.directory import PublicModel
from gateway.routing.explanation import explained
from gateway.routing.failure import Failure
from gateway.routing.names import TargetName
from gateway.routing.selection import Order
from gateway.routing.watch import Watch
from gateway.routing.wishes import read_wishes
from providers.base import Certainty, Kind


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What is not in the request itself. ``providers`` is what x-imagegate-providers would say, ``down`` are
    providers to be taken for dead, ``seed`` is for the dice."""

    moment: datetime
    end_user: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    spent: Decimal | None = None
    providers: str | None = None
    down: Sequence[str] = ()
    seed: int = 0


async def routed(
    offline: Offline, raw: RawRequest, caller: Caller, when: Circumstances
) -> tuple[dict[str, Any], Order | None]:
    """The explanation, and the order where no rule denies it. Raises
    :class:`gateway.errors.GatewayError` for what the gateway would refuse."""
    settings, now = offline.settings, perf_counter()
    reading = Understanding(settings.normalization, offline.directory, offline.catalog, when.moment.date)

    async def reread(name: str) -> tuple[ImageCall, PublicModel]:
        return reading.swapped(raw, caller, Preferences(), name)

    call, model = reading.call(raw, caller, Preferences())
    facts = RequestFacts(
        "",
        when.moment,
        now,
        end_user=when.end_user,
        tags=when.tags,
        wishes=read_wishes(when.providers, caller.providers_header, settings.providers),
        reread=reread,
    )
    watch, book = Watch(settings.routing.breaker), LimitBook(settings, offline.catalog)
    async with planning_of(offline, book, watch=watch, spent=when.spent, seed=when.seed) as planning:
        ruled = await planning.ruled(call, model, caller, facts)
        if ruled.ruling.deny is not None:
            return explained(model.name, ruled.ruling, None, now), None
        planned = await planning.fitted(ruled, caller, facts)
        for each in planned.contenders:
            if each.provider in when.down:
                _take_out(watch, each.name, settings.routing.breaker, now)
        found = planning.order(planned, now)
    document = explained(planned.model.name, ruled.ruling, found, now, planned.excluded)
    for entry, candidate in zip(document["order"], planned.ordered(found), strict=True):
        entry["size"] = candidate.fitted.size.sent
    return document, found


def _take_out(watch: Watch, target: TargetName, terms: BreakerSettings, now: float) -> None:
    dead = Failure(Kind.SERVER, Certainty.FAILED)
    for _ in range(terms.consecutive_failures):
        watch.failed(target, watch.begin(target, now), dead, now)
