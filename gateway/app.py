"""The composition root: settings in, a running gateway's parts out. Nothing else builds parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from litestar import Litestar

from config.catalog import load_catalog
from config.loader import Loaded
from config.schema import Settings
from config.secrets import SecretMissing
from config.storage import database_url, quota_url
from gateway.api.auth import Authenticator
from gateway.api.router import ApiParts, build_app
from gateway.engine.admission import Admissions
from gateway.engine.alerts import Alert, Alerts, percent
from gateway.engine.books import Books
from gateway.engine.engine import Engine
from gateway.engine.keeping import Keeping, open_keeping
from gateway.engine.webhook import Webhook, signing_key
from gateway.ledger.ledger import Ledger
from gateway.ledger.pepper import load_pepper
from gateway.media.spool import SpoolRoom
from gateway.quota.of_settings import LimitBook, names_of
from gateway.routing import directory
from gateway.routing.directory import ModelDirectory
from gateway.telemetry.meters import limit_alerts
from providers import registry
from providers.base import Provider
from providers.http import UpstreamClient


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


@asynccontextmanager
async def open_gateway(loaded: Loaded) -> AsyncIterator[Gateway]:
    """Open stores and clients, build the app, and close them in reverse. The ledger's migrations have run
    when this yields. Raises :class:`gateway.errors.Unavailable` or :class:`SecretMissing` with a text for the
    operator."""
    settings, catalog = loaded.settings, load_catalog()
    async with AsyncExitStack() as stack:
        pepper = load_pepper(settings, loaded.base)
        ledger = await Ledger.open(
            database_url(settings, loaded.base),
            loaded.base,
            arrears=loaded.base / settings.storage.data / "arrears",
        )
        stack.push_async_callback(ledger.close)
        client = UpstreamClient(settings.upstream, base=loaded.base)
        stack.push_async_callback(client.aclose)
        providers, unusable = _providers(loaded, client)
        for provider in providers.values():
            stack.push_async_callback(provider.aclose)
        models = directory.build(settings, catalog, unusable)
        book = LimitBook(settings, catalog)
        keeping = await stack.enter_async_context(
            open_keeping(settings, quota_url(settings, loaded.base), ledger, book)
        )
        alerts = Alerts(ledger.notes, _messenger(loaded, client), count=_counted)
        stack.push_async_callback(alerts.aclose)
        room = SpoolRoom(settings.spool.memory, settings.spool.max_answer, settings.spool.directory)
        stack.callback(room.close)
        engine = Engine(
            providers,
            ledger,
            room,
            Admissions(keeping.store, keeping.keeper, ledger, book, alerts),
            Books(ledger, keeping.store, keeping.keeper),
            deadline=settings.routing.deadline,
            max_attempts=settings.routing.max_attempts,
        )
        app = build_app(
            ApiParts(
                settings=settings,
                directory=models,
                catalog=catalog,
                engine=engine,
                authenticator=Authenticator(settings, ledger.keys, pepper, loaded.base),
                ready=ledger.ready,
                limits=book,
                quota=keeping.store,
            )
        )
        yield Gateway(app, settings, ledger, engine, models, pepper, book, keeping)


def _providers(loaded: Loaded, client: UpstreamClient) -> tuple[Mapping[str, Provider], Mapping[str, str]]:
    """The usable providers, and for each other one why it is not, in words for the caller."""
    built: dict[str, Provider] = {}
    unusable: dict[str, str] = {}
    for name, account in loaded.settings.providers.items():
        try:
            built[name] = registry.build(name, account, client, base=loaded.base)
        except SecretMissing as missing:
            unusable[name] = f"provider '{name}' has no key: {missing}. Set it and start the gateway again"
    return built, unusable


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
