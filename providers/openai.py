"""OpenAI itself."""

from __future__ import annotations

from config.accounts.openai import OpenAIProvider
from providers.account import Resolve
from providers.credential import bearer
from providers.http import UpstreamClient
from providers.openai_dialect import OpenAIDialect


class OpenAI(OpenAIDialect):
    """``Authorization: Bearer``, and the account headers where they are configured."""

    type = "openai"

    def __init__(self, name: str, settings: OpenAIProvider, client: UpstreamClient, resolve: Resolve) -> None:
        account = {"openai-organization": settings.organization, "openai-project": settings.project}
        super().__init__(name, client, settings.base_url, bearer(resolve(settings.api_key)), account)
