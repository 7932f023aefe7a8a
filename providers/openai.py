"""OpenAI itself (openai.md)."""

from __future__ import annotations

from config.schema import OpenAIProvider
from providers.http import UpstreamClient
from providers.openai_dialect import OpenAIDialect, Resolve


class OpenAI(OpenAIDialect):
    """``Authorization: Bearer``, and the account headers where they are configured."""

    type = "openai"

    def __init__(self, name: str, settings: OpenAIProvider, client: UpstreamClient, resolve: Resolve) -> None:
        key = resolve(settings.api_key).reveal()
        account = {"openai-organization": settings.organization, "openai-project": settings.project}
        super().__init__(
            name,
            client,
            base_url=settings.base_url,
            headers={"authorization": f"Bearer {key}"} | {k: v for k, v in account.items() if v},
            secrets=[key],
        )
