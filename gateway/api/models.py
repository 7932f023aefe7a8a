"""``GET /v1/models`` and ``GET /v1/models/{id}``: what this key may use, in OpenAI's shape.

``?schema=true`` on one model adds the JSON Schema of its requests, and of each target the sizing, the
capabilities and the prices with their sources (docs/models.md).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import date
from time import perf_counter

import msgspec
from litestar.types import HTTPScope, Receive, Send

from config.catalog import Catalog
from config.normalization import NormalizationSettings
from gateway.api.auth import Authenticator
from gateway.api.client_address import ClientAddresses
from gateway.api.errors import not_allowed
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.api.switches import is_on
from gateway.api.unsupported import explain
from gateway.errors import NotFound
from gateway.images.fields import known_names
from gateway.images.model_facts import facts
from gateway.images.model_schema import Served, body_schema
from gateway.images.wording import shown
from gateway.routing.directory import ModelDirectory, PublicModel, Target
from gateway.routing.names import target_name
from gateway.routing.watch import Watch
from providers.base import Operation

_encoder = msgspec.json.Encoder()


class Models:
    """Both routes, mounted on ``/models``: what follows in the path is a model's name, which may hold
    slashes."""

    def __init__(
        self,
        directory: ModelDirectory,
        authenticator: Authenticator,
        addresses: ClientAddresses,
        *,
        normalization: NormalizationSettings,
        catalog: Catalog,
        today: Callable[[], date],
        watch: Watch | None = None,
    ) -> None:
        self._directory = directory
        self._authenticator = authenticator
        self._addresses = addresses
        self._normalization = normalization
        self._known = known_names(catalog.entries)
        self._today = today
        self._watch = watch

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        rest, path = scope["path"], mark_of(scope).path
        if not rest.startswith("/"):
            raise explain(scope["method"], path)
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], path, "GET, HEAD")
        headers = dict(scope["headers"])
        caller = await self._authenticator.authenticate(headers, self._addresses.of(scope, headers))
        today = self._today()
        found = in_service(self._directory.visible(caller), today)
        name = rest.strip("/")
        if not name:
            document: dict[str, object] = {"object": "list", "data": [model_object(model) for model in found]}
        else:
            model = next((model for model in found if model.name == name), None)
            if model is None:
                raise NotFound(
                    f"The model '{shown(name)}' does not exist", param="model", code="model_not_found"
                )
            wants_schema = is_on(scope["query_string"], "schema")
            document = (
                described(model, self._normalization, self._known, today, self._watch)
                if wants_schema
                else model_object(model)
            )
        body = _encoder.encode(document)
        await reply(send, 200, json_headers(len(body)), body)


def in_service(models: Iterable[PublicModel], today: date) -> list[PublicModel]:
    """Those that have not been shut down everywhere."""
    return [model for model in models if not all(target.entry.is_shut_down(today) for target in model.usable)]


def model_object(model: PublicModel) -> dict[str, object]:
    """As OpenAI tells of a model."""
    shutdown = model.entry.shutdown
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": model.entry.owned_by,
        "shutdown_date": shutdown.isoformat() if shutdown else None,
    }


def described(
    model: PublicModel,
    normalization: NormalizationSettings,
    known: Collection[str],
    today: date,
    watch: Watch | None = None,
) -> dict[str, object]:
    """The same with everything that helps to choose: what its requests may hold, and each target's facts.
    ``known`` are the fields that some model of the gateway takes; ``watch`` None: nothing is called here."""
    served = Served(
        model.name,
        [target.entry for target in model.usable],
        [model.entry],
        model.defaults,
        is_default=model.name == normalization.default_model,
        known=known,
        unknown=normalization.unknown_fields,
    )
    return {
        **model_object(model),
        "defaults": dict(model.defaults),
        "schema": {operation.value: body_schema(served, operation) for operation in Operation},
        "targets": [
            {
                "provider": target.provider,
                "model": target.model,
                **facts(target.entry, today),
                "live": None if watch is None else live_told(watch, target),
            }
            for target in model.usable
        ],
    }


def live_told(watch: Watch, target: Target) -> dict[str, object]:
    """What a target has been like of late, as this gateway saw it; null where it has seen nothing."""
    live = watch.live(target_name(target.provider, target.model), perf_counter())
    figures = {"success": live.success, "p50_seconds": live.p50, "p95_seconds": live.p95}
    return {
        "state": live.state,
        **{name: None if figure is None else round(figure, 3) for name, figure in figures.items()},
    }
