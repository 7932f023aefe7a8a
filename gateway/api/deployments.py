"""Azure's classic paths: ``/openai/deployments/{deployment}/images/generations?api-version=...``.

The deployment in the path is the model; the body's own ``model`` means nothing there, since Azure's clients
leave it in.
"""

from __future__ import annotations

from collections.abc import Mapping

from litestar.types import HTTPScope, Receive, Send

from gateway.api.images import ImageRequests
from gateway.api.request_ids import mark_of
from gateway.api.unsupported import explain


class Deployments:
    """Mounted on ``/openai/deployments``; ``by_path`` says who serves what follows the deployment."""

    def __init__(self, by_path: Mapping[str, ImageRequests]) -> None:
        self._by_path = by_path

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        deployment, _, rest = scope["path"].strip("/").partition("/")
        serve = self._by_path.get(rest) if scope["path"].startswith("/") else None
        if serve is None:
            raise explain(scope["method"], mark_of(scope).path)
        await serve(scope, receive, send, deployment=deployment)
