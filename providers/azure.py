"""Azure OpenAI: the same dialect at other addresses (docs/providers/azure.md).

``form: v1`` names the deployment in the body's ``model``; ``form: deployments`` in the path, and there the
body must not name it: gpt-image-2 fails on a ``model`` that holds a deployment's name.
"""

from __future__ import annotations

from urllib.parse import quote, urlencode

from config.accounts.azure import AzureOpenAIProvider, AzureResource
from providers.account import Resolve
from providers.base import ImageRequest, Operation
from providers.credential import NO_CREDENTIAL, Credential, bearer, key_in
from providers.http import UpstreamClient
from providers.openai_dialect import OpenAIDialect

_DEPLOYMENTS_VERSION = "2025-04-01-preview"


def credential_of(settings: AzureResource, resolve: Resolve, *, as_bearer: bool = False) -> Credential:
    """A resource's key or its token of Entra ID. ``as_bearer``: a key goes as a token does."""
    if settings.entra_token is not None:
        return bearer(resolve(settings.entra_token))
    if settings.api_key is None:
        return NO_CREDENTIAL
    key = resolve(settings.api_key)
    return bearer(key) if as_bearer else key_in("api-key", key)


class AzureOpenAI(OpenAIDialect):
    """``api-key``, or ``Authorization: Bearer`` with an Entra token."""

    type = "azure-openai"

    def __init__(
        self, name: str, settings: AzureOpenAIProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        super().__init__(name, client, settings.base_url, credential_of(settings, resolve))
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
