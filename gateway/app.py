"""The composition root: settings in, a running gateway's parts out. Nothing else builds parts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar
from opentelemetry.sdk.trace import SpanProcessor

from config.loader import Loaded
from config.own_catalog import catalog_of
from config.schema import KeyedProvider, ProviderSettings, Settings
from config.secrets import SecretMissing
from config.storage import database_url, quota_url
from gateway.api.auth import Authenticator
from gateway.api.metrics import Metrics, is_private
from gateway.api.router import ApiParts, build_app
from gateway.engine.admission import Admissions
from gateway.engine.alerts import Alert, Alerts, percent
from gateway.engine.attempts import Attempts
from gateway.engine.books import Books
from gateway.engine.conversions import Conversions
from gateway.engine.dry_run import DryRuns
from gateway.engine.engine import Engine
from gateway.engine.failover import Failover
from gateway.engine.gauges import Gauges
from gateway.engine.keeping import Keeping, open_keeping
from gateway.engine.pictures import Pictures
from gateway.engine.planning import Planning, fullest
from gateway.engine.returning import open_returning
from gateway.engine.running import Running
from gateway.engine.told import AttemptsTold
from gateway.engine.upstreams import Upstream, Upstreams
from gateway.engine.webhook import Webhook, signing_key
from gateway.images.estimates import Estimates
from gateway.ledger.ledger import Ledger
from gateway.ledger.pepper import load_pepper
from gateway.media.spool import SpoolRoom
from gateway.media.store import MediaStore, open_media
from gateway.media.sweeping import kept_swept
from gateway.quota.connection import connect
from gateway.quota.of_settings import LimitBook, names_of
from gateway.routing import directory
from gateway.routing.directory import ModelDirectory
from gateway.routing.policy import compiled
from gateway.routing.shared import SharedHealth
from gateway.routing.shared_redis import RedisHealth
from gateway.routing.watch import Watch
from gateway.telemetry.meters import limit_alerts
from gateway.telemetry.opening import Telemetry, open_telemetry
from providers import registry
from providers.extras import ExtraMissing
from providers.guarded import GuardedFetch
from providers.http import UpstreamClient

LOOK_SECONDS = 15.0
"""Between two looks at limits and targets, for a collector."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything a process serves with."""

    app: Litestar
    settings: Settings
    ledger: Ledger
    engine: Engine
    directory: ModelDirectory
    pepper: bytes
    limits: LimitBook
    keeping: Keeping
    media: MediaStore
    fetch: GuardedFetch
    room: SpoolRoom
    watch: Watch


@asynccontextmanager
async def open_gateway(loaded: Loaded, spans: SpanProcessor | None = None) -> AsyncIterator[Gateway]:
    """Open stores and clients, build the app, and close them in reverse. The ledger's migrations have run
    when this yields. ``spans`` takes the traces in place of a collector. Raises
    :class:`gateway.errors.Unavailable` or :class:`SecretMissing` with a text for the operator."""
    settings, catalog = loaded.settings, catalog_of(loaded.settings)
    async with AsyncExitStack() as stack:
        token = _metrics_token(loaded)
        telemetry = await stack.enter_async_context(
            open_telemetry(
                settings.telemetry,
                loaded.base,
                readable=token is not None or is_private(settings.server),
                processor=spans,
            )
        )
        pepper = load_pepper(settings, loaded.base)
        media = open_media(settings, loaded.base, pepper)
        stack.push_async_callback(media.aclose)
        await stack.enter_async_context(kept_swept(media, settings.media.sweep_every))
        fetch = GuardedFetch(settings.media.fetch, settings.upstream, base=loaded.base)
        stack.push_async_callback(fetch.aclose)
        ledger = await Ledger.open(
            database_url(settings, loaded.base),
            loaded.base,
            arrears=loaded.base / settings.storage.data / "arrears",
        )
        stack.push_async_callback(ledger.close)
        client = UpstreamClient(settings.upstream, base=loaded.base)
        stack.push_async_callback(client.aclose)
        upstreams, unusable = _upstreams(loaded, client)
        stack.push_async_callback(upstreams.aclose)
        models = directory.build(settings, catalog, unusable)
        book = LimitBook(settings, catalog)
        keeping = await stack.enter_async_context(
            open_keeping(settings, quota_url(settings, loaded.base), ledger, book)
        )
        alerts = Alerts(ledger.notes, _messenger(loaded, client), count=_counted)
        stack.push_async_callback(alerts.aclose)
        room = SpoolRoom(settings.spool.memory, settings.spool.max_answer, settings.spool.directory)
        stack.callback(room.close)
        conversions = Conversions()
        stack.callback(conversions.close)
        policy, estimates, running = compiled(settings), Estimates(), Running()
        running.when_draining(upstreams.turn_away)
        shared = await stack.enter_async_context(_shared_health(quota_url(settings, loaded.base), ledger))
        watch = Watch(settings.routing.breaker, shared)
        planning = Planning(
            models, book, fetch, policy, watch, spent=fullest(keeping.store), estimates=estimates
        )
        told = AttemptsTold(
            {name: account.type for name, account in settings.providers.items()}, telemetry.tracer
        )
        books = Books(ledger, keeping.store, keeping.keeper, told)
        pictures = Pictures(
            room,
            conversions,
            media,
            fetch,
            pass_on=settings.media.results == "pass_on",
            homes=_homes(settings.providers),
        )
        returning = await stack.enter_async_context(
            open_returning(settings, loaded.base, ledger, media, fetch, running)
        )
        engine = Engine(
            planning,
            Failover(
                planning,
                Admissions(keeping.store, keeping.keeper, ledger, book, alerts, estimates),
                books,
                conversions,
                upstreams,
                running,
                policy=policy,
                watch=watch,
                estimates=estimates,
            ),
            Attempts(upstreams, room, pictures, books, running, watch, told),
            pictures,
            ledger,
            running,
            deadline=settings.routing.deadline,
            observer=returning.follower,
        )
        gauges = Gauges(telemetry.board, models, book, keeping.store, watch, settings.telemetry.keys)
        await stack.enter_async_context(_kept_looked_at(gauges, telemetry))
        app = build_app(
            ApiParts(
                settings=settings,
                directory=models,
                catalog=catalog,
                engine=returning.joining(engine, patience=settings.routing.deadline),
                authenticator=Authenticator(settings, ledger.keys, pepper, loaded.base),
                dry_runs=DryRuns(planning, book, keeping.store),
                ready=ledger.ready,
                running=engine.running,
                limits=book,
                quota=keeping.store,
                media=media,
                watch=watch,
                records=returning.telling,
                metrics=Metrics(
                    gauges.look, telemetry.prometheus.text if telemetry.prometheus else None, token
                ),
                watched=telemetry.is_on,
                tracing=telemetry.tracing,
            )
        )
        yield Gateway(app, settings, ledger, engine, models, pepper, book, keeping, media, fetch, room, watch)


def _metrics_token(loaded: Loaded) -> str | None:
    token = loaded.settings.server.metrics_token
    return None if token is None else token.resolve(loaded.base).reveal()


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


def _upstreams(loaded: Loaded, client: UpstreamClient) -> tuple[Upstreams, Mapping[str, str]]:
    """The usable accounts, and for each other one why it is not, in words for the caller."""
    built: dict[str, Upstream] = {}
    unusable: dict[str, str] = {}
    for name, account in loaded.settings.providers.items():
        try:
            keys = [registry.build(name, each, client, base=loaded.base) for each in by_key(account)]
        except SecretMissing as missing:
            unusable[name] = f"provider '{name}' has no key: {missing}. Set it and start the gateway again"
        except ExtraMissing as missing:
            unusable[name] = f"provider '{name}' cannot be called: {missing}, and start the gateway again"
        else:
            built[name] = Upstream(
                name, keys, max_in_flight=account.max_in_flight, max_queue=account.max_queue
            )
    return Upstreams(built), unusable


def _homes(accounts: Mapping[str, ProviderSettings]) -> dict[str, str]:
    """Where each account's own server is, for those that have one."""
    found = {name: getattr(account, "base_url", None) for name, account in accounts.items()}
    return {name: url for name, url in found.items() if isinstance(url, str)}


def by_key(account: ProviderSettings) -> list[ProviderSettings]:
    """The account once for each of its keys."""
    keys = account.api_keys if isinstance(account, KeyedProvider) else []
    return [account.model_copy(update={"api_key": key}) for key in keys] or [account]


@asynccontextmanager
async def _shared_health(url: str | None, ledger: Ledger) -> AsyncIterator[SharedHealth | None]:
    """What replicas tell each other of targets; None where there is but one."""
    if url is None:
        yield None
        return
    link = connect(url)
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


def _messenger(loaded: Loaded, client: UpstreamClient) -> Webhook | None:
    """Where alerts of limits go besides the log."""
    organization = loaded.settings.organization
    if organization.alerts is None:
        return None
    key = signing_key(organization.alerts.secret.resolve(loaded.base).reveal())
    return Webhook(client, organization.alerts.webhook, key, organization=organization.name)
