"""Azure OpenAI: the same dialect at other addresses (azure-openai.md, families A and A').

``form: v1`` names the deployment in the body's ``model``; ``form: deployments`` in the path, and there the
body must not name it: gpt-image-2 fails on a ``model`` that holds a deployment's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote, urlencode

from config.schema import AzureOpenAIProvider, AzureResource
from providers.base import ImageRequest, Operation
from providers.http import UpstreamClient
from providers.openai_dialect import OpenAIDialect, Resolve

_DEPLOYMENTS_VERSION = "2025-04-01-preview"


def signed(settings: AzureResource, resolve: Resolve, *, as_bearer: bool = False) -> dict[str, str]:
    """The header that proves who calls. ``as_bearer``: a key goes as a token does."""
    if settings.entra_token is not None:
        return {"authorization": f"Bearer {resolve(settings.entra_token).reveal()}"}
    if settings.api_key is None:
        return {}
    key = resolve(settings.api_key).reveal()
    return {"authorization": f"Bearer {key}"} if as_bearer else {"api-key": key}


def secrets_of(headers: Mapping[str, str]) -> list[str]:
    """What of :func:`signed` no message may repeat."""
    return [value.removeprefix("Bearer ") for value in headers.values()]


class AzureOpenAI(OpenAIDialect):
    """``api-key``, or ``Authorization: Bearer`` with an Entra token."""

    type = "azure-openai"

    def __init__(
        self, name: str, settings: AzureOpenAIProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        headers = signed(settings, resolve)
        super().__init__(
            name,
            client,
            base_url=settings.base_url,
            headers=headers,
            secrets=secrets_of(headers),
        )
        # The portal shows the address in each of these forms.
        self._root = self.base_url.removesuffix("/v1").removesuffix("/openai")
        self._by_path = settings.form == "deployments"
        version = settings.api_version or (_DEPLOYMENTS_VERSION if self._by_path else None)
        self._query = f"?{urlencode({'api-version': version})}" if version else ""

    def url(self, operation: Operation, model: str) -> str:
        where = f"deployments/{quote(model, safe='')}" if self._by_path else "v1"
        return f"{self._root}/openai/{where}/images/{operation}{self._query}"

    def models_url(self) -> str:
        return f"{self._root}/openai/{'' if self._by_path else 'v1/'}models{self._query}"

    def params(self, request: ImageRequest) -> dict[str, object]:
        params = super().params(request)
        if self._by_path:
            del params["model"]
        return params
