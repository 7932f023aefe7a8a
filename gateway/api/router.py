"""All routes in one application. gateway/app/ makes the parts; nothing here opens or reads anything."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import date

from litestar import Litestar, asgi
from litestar.config.cors import CORSConfig
from litestar.handlers import ASGIRouteHandler
from litestar.routes import ASGIRoute
from litestar.types import ControllerRouterHandler, HTTPScope, Receive, Send

from config.catalog import Catalog
from config.schema import Settings
from gateway.api.auth import Authenticator
from gateway.api.base_url import BaseUrls
from gateway.api.client_address import ClientAddresses
from gateway.api.config_stands import InForce
from gateway.api.deployments import Deployments
from gateway.api.errors import handle
from gateway.api.health import Health, Readiness, Ready
from gateway.api.images import DryRuns, Engine, ImageRequests, utc_today
from gateway.api.media import Media
from gateway.api.metrics import Metrics
from gateway.api.models import Models
from gateway.api.openapi import OpenApi
from gateway.api.operators import Operators
from gateway.api.request_ids import RequestIds
from gateway.api.requests import Requests
from gateway.api.usage import Standings, Usage
from gateway.api.watched import RouteNames, Watched
from gateway.engine.request_records import RecordTelling
from gateway.engine.running import Running
from gateway.media.store import MediaStore
from gateway.quota.of_settings import LimitBook
from gateway.routing.directory import ModelDirectory
from gateway.routing.watch import Watch
from gateway.telemetry.tracing import Tracing
from gateway.version import VERSION
from providers.base import Operation

PREFIXES = ("/v1", "/openai/v1")


@dataclass(frozen=True, slots=True)
class ApiParts:
    """What the HTTP face works with. ``ready`` says whether paid work can be taken now, ``running`` whether
    any is still taken at all; ``limits`` and ``quota`` are what ``/v1/usage`` tells of, ``media`` is what
    ``/media`` gives out, ``records`` what ``/v1/images/requests`` tells of, ``metrics`` what ``/metrics``
    does; none is served without. ``config`` is what ``/readyz`` says is in force, to ``operators`` the whole
    of it. ``watch`` is what ``/v1/models`` tells of targets. ``watched``: requests are timed, and traced by
    ``tracing``. ``routes`` are other rooms' handlers; ``today`` is the UTC day by which models are shut
    down."""

    settings: Settings
    directory: ModelDirectory
    catalog: Catalog
    engine: Engine
    authenticator: Authenticator
    dry_runs: DryRuns
    ready: Ready
    running: Running = field(default_factory=Running)
    limits: LimitBook | None = None
    quota: Standings | None = None
    media: MediaStore | None = None
    records: RecordTelling | None = None
    watch: Watch | None = None
    metrics: Metrics | None = None
    config: InForce | None = None
    operators: Operators = field(default_factory=lambda: Operators(None, private=False))
    watched: bool = False
    tracing: Tracing | None = None
    routes: Sequence[ControllerRouterHandler] = ()
    today: Callable[[], date] = utc_today


def build_app(parts: ApiParts) -> Litestar:
    """The application, ready to be served."""
    origins = parts.settings.server.cors_origins
    app = Litestar(
        route_handlers=[*_image_routes(parts), *_other_routes(parts), *parts.routes],
        exception_handlers={Exception: handle},
        cors_config=CORSConfig(allow_origins=list(origins)) if origins else None,
        openapi_config=None,
        # Our own handler logs what nobody expected; Litestar's would also reconfigure the process's logging.
        logging_config=None,
        request_max_body_size=None,
        debug=False,
    )
    # Litestar's middleware list runs inside its router; the id must also be on what no route takes.
    inner = app.asgi_handler
    if parts.watched:
        inner = Watched(inner, RouteNames(_paths(app)), parts.tracing)
    app.asgi_handler = RequestIds(inner)
    return app


def _paths(app: Litestar) -> dict[str, bool]:
    """Every route's path, and whether it also takes what lies below."""
    return {route.path: isinstance(route, ASGIRoute) and route.route_handler.is_mount for route in app.routes}


def _image_routes(parts: ApiParts) -> list[ASGIRouteHandler]:
    routes, by_path = [], {}
    for operation in Operation:
        serve = ImageRequests(
            operation,
            settings=parts.settings,
            directory=parts.directory,
            catalog=parts.catalog,
            engine=parts.engine,
            authenticator=parts.authenticator,
            dry_runs=parts.dry_runs,
            running=parts.running,
            today=parts.today,
        )
        routes.append(_route([f"{prefix}/images/{operation.value}" for prefix in PREFIXES], serve))
        by_path[f"images/{operation.value}"] = serve
    return [*routes, _route(["/openai/deployments"], Deployments(by_path), mount=True)]


def _other_routes(parts: ApiParts) -> list[ASGIRouteHandler]:
    server = parts.settings.server
    addresses = ClientAddresses(server.trusted_proxies)
    models = Models(
        parts.directory,
        parts.authenticator,
        addresses,
        normalization=parts.settings.normalization,
        catalog=parts.catalog,
        today=parts.today,
        watch=parts.watch,
    )
    routes = [
        _route([f"{prefix}/models" for prefix in (*PREFIXES, "/openai")], models, mount=True),
        _route(["/livez"], Health()),
        _route(["/readyz"], Readiness(parts.ready, parts.running, parts.config, parts.operators)),
        _route(["/openapi.json"], OpenApi(VERSION, server.public_url)),
    ]
    if parts.limits is not None and parts.quota is not None:
        usage = Usage(parts.limits, parts.quota, parts.authenticator, addresses)
        routes.append(_route([f"{prefix}/usage" for prefix in PREFIXES], usage))
    if parts.records is not None:
        requests = Requests(parts.records, parts.authenticator, addresses, BaseUrls(server))
        routes.append(_route([f"{prefix}/images/requests" for prefix in PREFIXES], requests, mount=True))
    if parts.metrics is not None:
        routes.append(_route(["/metrics"], parts.metrics))
    if parts.media is not None:
        routes.append(_route(["/media"], Media(parts.media, server.read_stall, BaseUrls(server)), mount=True))
    return routes


HttpHandler = Callable[[HTTPScope, Receive, Send], Awaitable[None]]


def _route(paths: Sequence[str], serve: HttpHandler, *, mount: bool = False) -> ASGIRouteHandler:
    """A raw ASGI route; mounted, it also takes what lies below (Litestar gives such routes no path
    parameters)."""

    async def endpoint(scope: HTTPScope, receive: Receive, send: Send) -> None:
        await serve(scope, receive, send)

    return asgi(list(paths), is_mount=mount, copy_scope=False)(endpoint)
