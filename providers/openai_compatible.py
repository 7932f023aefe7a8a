"""Any host that serves OpenAI's image routes under its own base URL, local servers among them."""

from __future__ import annotations

from config.accounts.openai import OpenAICompatibleProvider
from config.secrets import SecretRef
from providers.account import Resolve
from providers.credential import NO_CREDENTIAL, Credential, bearer
from providers.http import UpstreamClient
from providers.openai_dialect import OpenAIDialect


class OpenAICompatible(OpenAIDialect):
    """An optional key and fixed headers. ``response_format`` is forwarded: such hosts
    often serve models that know it."""

    type = "openai-compatible"
    unforwarded: frozenset[str] = frozenset()

    def __init__(
        self, name: str, settings: OpenAICompatibleProvider, client: UpstreamClient, resolve: Resolve
    ) -> None:
        headers = {}
        secrets = []
        for header, value in settings.headers.items():
            if isinstance(value, SecretRef):
                value = resolve(value).reveal()
                secrets.append(value)
            headers[header.lower()] = value
        key = NO_CREDENTIAL if settings.api_key is None else bearer(resolve(settings.api_key))
        credential = Credential({**headers, **key.headers}, (*secrets, *key.secrets))
        super().__init__(name, client, settings.base_url, credential)
