"""Any host that serves OpenAI's image routes under its own base URL (openai-like.md, local servers)."""

from __future__ import annotations

from config.schema import OpenAICompatibleProvider
from config.secrets import SecretRef
from providers.base import Certainty, ImageRequest, ImageResult, Kind, Operation, ProviderError
from providers.http import UpstreamClient
from providers.openai_dialect import OpenAIDialect, Resolve


class OpenAICompatible(OpenAIDialect):
    """An optional key, fixed headers, and perhaps no edits. ``response_format`` is forwarded: such hosts
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
        if settings.api_key is not None:
            secrets.append(resolve(settings.api_key).reveal())
            headers["authorization"] = f"Bearer {secrets[-1]}"
        super().__init__(
            name,
            client,
            base_url=settings.base_url,
            headers=headers,
            secrets=secrets,
        )
        self._edits = settings.edits

    async def send(
        self, request: ImageRequest, deadline: float, *, patience: float | None = None
    ) -> ImageResult:
        if request.operation is Operation.EDIT and not self._edits:
            raise ProviderError(
                Kind.INVALID,
                Certainty.REJECTED,
                f"Provider '{self.name}' does not edit images; it only generates them.",
            )
        return await super().send(request, deadline, patience=patience)
