"""What a process opens once and keeps, whatever its configuration says later: stores, telemetry, calls."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from opentelemetry.sdk.trace import SpanProcessor

from config.drain import MARGIN_SECONDS
from config.loader import Loaded
from config.storage import database_url, quota_url
from gateway.api.config_stands import InForce
from gateway.api.failed_keys import FailedKeys
from gateway.api.operators import is_private
from gateway.app.drafts import Draft, draft
from gateway.app.retirement import Retirement
from gateway.engine.alerts import Alert, Alerts, percent
from gateway.engine.conversions import Conversions
from gateway.engine.gauges import Gauges
from gateway.engine.keeping import Keeping, open_keeping
from gateway.engine.retention import retained
from gateway.engine.returning import Returning, open_returning
from gateway.engine.running import Running
from gateway.engine.upstreams import Lines
from gateway.ledger.ledger import Ledger
from gateway.ledger.pepper import load_pepper
from gateway.media.spool import SpoolRoom
from gateway.media.store import MediaStore, open_media
from gateway.media.sweeping import kept_swept
from gateway.quota.connection import UrlNow, connect
from gateway.quota.of_settings import names_of
from gateway.routing.course import Budgets
from gateway.routing.shared import SharedHealth
from gateway.routing.shared_redis import RedisHealth
from gateway.routing.watch import Watch
from gateway.telemetry.meters import limit_alerts
from gateway.telemetry.opening import Telemetry, open_telemetry

LOOK_SECONDS = 15.0
"""Between two looks at limits and targets, for a collector."""


@dataclass(frozen=True, slots=True)
class Lasting:
    """``config`` says which version is in force; ``lines`` are those before all accounts."""

    telemetry: Telemetry
    pepper: bytes
    media: MediaStore
    ledger: Ledger
    failed_keys: FailedKeys
    keeping: Keeping
    alerts: Alerts
    room: SpoolRoom
    conversions: Conversions
    running: Running
    lines: Lines
    budgets: Budgets
    watch: Watch
    returning: Returning
    gauges: Gauges
    config: InForce
    retirement: Retirement

    def expect(self, new: Draft, before: Draft) -> None:
        """The counters are kept for the limits of ``new``, so that they can learn what was spent under them
        before they hold."""
        longest = max(before.settings.routing.longest_call, self.retirement.remaining)
        self.keeping.reconfigured(new.book, new.settings.organization.unknown, longest)

    def follow(self, new: Draft) -> None:
        """Everything else here goes by ``new`` from now on. Raises nothing, so that it is done wholly."""
        settings = new.settings
        self.alerts.reconfigured(new.messenger)
        self.returning.reconfigured(new.told)
        self.watch.reconfigured(settings.routing.breaker)
        self.budgets.reconfigured(count=new.policy.retry_count, spend=new.policy.retry_spend)
        self.gauges.reconfigured(new.directory, new.book, settings.telemetry.keys)
        self.lines.reconfigured(settings.providers)

    def retire(self, old: Draft, new: Draft) -> None:
        """What only ``old`` needs is closed once the last call that it may have begun is over."""
        longest = old.settings.routing.longest_call + MARGIN_SECONDS
        self.retirement.close_later(old.without(new), longest)


@asynccontextmanager
async def open_lasting(
    loaded: Loaded, config: InForce, spans: SpanProcessor | None = None
) -> AsyncIterator[tuple[Lasting, Draft]]:
    """With the draft of the first version, whose limits the counters are built for. The ledger's migrations
    have run when this yields. ``spans`` takes the traces in place of a collector. Raises
    :class:`gateway.errors.Unavailable` or :class:`config.secrets.SecretMissing` with a text for the
    operator."""
    settings, base = loaded.settings, loaded.base
    async with AsyncExitStack() as stack:
        readable = settings.server.metrics_token is not None or is_private(settings.server)
        telemetry = await stack.enter_async_context(
            open_telemetry(settings.telemetry, base, readable=readable, processor=spans)
        )
        pepper = load_pepper(settings, base)
        media = open_media(settings, base, pepper)
        stack.push_async_callback(media.aclose)
        await stack.enter_async_context(kept_swept(media, settings.media.sweep_every))
        ledger = await Ledger.open(
            database_url(settings, base),
            base,
            arrears=base / settings.storage.data / "arrears",
            now=partial(database_url, settings, base),
        )
        stack.push_async_callback(ledger.close)
        await stack.enter_async_context(retained(ledger, settings.storage.retention))
        lines, retirement = Lines(), Retirement()
        stack.push_async_callback(retirement.aclose)
        first = draft(loaded, lines)
        quota, quota_now = quota_url(settings, base), partial(quota_url, settings, base)
        keeping = await stack.enter_async_context(
            open_keeping(settings, quota, ledger, first.book, quota_now)
        )
        alerts = Alerts(ledger.notes, count=_counted)
        stack.push_async_callback(alerts.aclose)
        room = SpoolRoom(settings.spool.memory, settings.spool.max_answer, settings.spool.directory)
        stack.callback(room.close)
        conversions = Conversions()
        stack.callback(conversions.close)
        running = Running()
        running.when_draining(lines.turn_away)
        shared = await stack.enter_async_context(_shared_health(quota, ledger, quota_now))
        watch = Watch(settings.routing.breaker, shared)
        budgets = Budgets(count=first.policy.retry_count, spend=first.policy.retry_spend)
        returning = await stack.enter_async_context(open_returning(first.told, ledger, media, running))
        gauges = Gauges(telemetry.board, first.directory, first.book, keeping.store, watch, budgets.spend)
        await stack.enter_async_context(_kept_looked_at(gauges, telemetry))
        yield (
            Lasting(
                telemetry=telemetry,
                pepper=pepper,
                media=media,
                ledger=ledger,
                failed_keys=FailedKeys(),
                keeping=keeping,
                alerts=alerts,
                room=room,
                conversions=conversions,
                running=running,
                lines=lines,
                budgets=budgets,
                watch=watch,
                returning=returning,
                gauges=gauges,
                config=config,
                retirement=retirement,
            ),
            first,
        )


@asynccontextmanager
async def _kept_looked_at(gauges: Gauges, telemetry: Telemetry) -> AsyncIterator[None]:
    """A collector that is sent metrics does not ask first."""
    if not telemetry.pushes:
        yield
        return
    looking = asyncio.create_task(gauges.keep_looking(LOOK_SECONDS), name="gauges")
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)


@asynccontextmanager
async def _shared_health(url: str | None, ledger: Ledger, now: UrlNow) -> AsyncIterator[SharedHealth | None]:
    """What replicas tell each other of targets; None where there is but one."""
    if url is None:
        yield None
        return
    link = connect(url, ledger.instance_id, now=now)
    try:
        async with RedisHealth(link, ledger.instance_id) as shared:
            yield shared
    finally:
        await link.aclose()


def _counted(alert: Alert) -> None:
    names = names_of(alert.limit.scope)
    limit_alerts.add(
        1,
        {
            "scope": names.level.value,
            "project": names.project_id or "",
            "measure": alert.limit.measure.value,
            "share": percent(alert.share),
        },
    )
