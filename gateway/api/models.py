"""``GET /v1/models`` and ``GET /v1/models/{id}``: what this key may use, in OpenAI's shape."""

from __future__ import annotations

import msgspec
from litestar.types import HTTPScope, Receive, Send

from gateway.api.auth import Authenticator
from gateway.api.client_address import ClientAddresses
from gateway.api.errors import not_allowed
from gateway.api.replies import json_headers, reply
from gateway.api.request_ids import mark_of
from gateway.api.unsupported import explain
from gateway.errors import NotFound
from gateway.images.wording import shown
from gateway.routing.directory import ModelDirectory, PublicModel

_encoder = msgspec.json.Encoder()


class Models:
    """Both routes, mounted on ``/models``: what follows in the path is a model's name, which may hold
    slashes."""

    def __init__(
        self, directory: ModelDirectory, authenticator: Authenticator, addresses: ClientAddresses
    ) -> None:
        self._directory = directory
        self._authenticator = authenticator
        self._addresses = addresses

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        rest, path = scope["path"], mark_of(scope).path
        if not rest.startswith("/"):
            raise explain(scope["method"], path)
        if scope["method"] not in ("GET", "HEAD"):
            raise not_allowed(scope["method"], path, "GET, HEAD")
        headers = dict(scope["headers"])
        caller = await self._authenticator.authenticate(headers, self._addresses.of(scope, headers))
        visible = self._directory.visible(caller)
        name = rest.strip("/")
        if not name:
            document: dict[str, object] = {
                "object": "list",
                "data": [model_object(model) for model in visible],
            }
        else:
            found = next((model for model in visible if model.name == name), None)
            if found is None:
                raise NotFound(
                    f"The model '{shown(name)}' does not exist", param="model", code="model_not_found"
                )
            document = model_object(found)
        body = _encoder.encode(document)
        await reply(send, 200, json_headers(len(body)), body)


def model_object(model: PublicModel) -> dict[str, object]:
    shutdown = model.entry.shutdown
    return {
        "id": model.name,
        "object": "model",
        "created": model.created,
        "owned_by": model.entry.owned_by,
        "shutdown_date": shutdown.isoformat() if shutdown else None,
    }
