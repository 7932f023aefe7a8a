"""From a provider's settings to the provider: one table, no branches."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from config.accounts.kinds import ProviderSettings
from config.secrets import Secret, SecretRef
from config.upstream import UpstreamSettings
from providers.account import Account, Resolve
from providers.azure import AzureOpenAI
from providers.azure_flux import AzureFlux
from providers.azure_mai import AzureMAI
from providers.base import Provider
from providers.bedrock import Bedrock
from providers.cloudflare import Cloudflare
from providers.gemini import Gemini
from providers.http import UpstreamClient
from providers.openai import OpenAI
from providers.openai_compatible import OpenAICompatible
from providers.openrouter import OpenRouter
from providers.sandbox import Sandbox
from providers.vertex import Vertex
from providers.xai import XAI


class _Adapter(Protocol):
    def __call__(self, name: str, settings: Any, client: UpstreamClient, resolve: Resolve) -> Provider: ...


ADAPTERS: Mapping[str, _Adapter] = {
    adapter.type: adapter
    for adapter in (
        OpenAI,
        AzureOpenAI,
        AzureFlux,
        AzureMAI,
        OpenAICompatible,
        XAI,
        OpenRouter,
        Cloudflare,
        Gemini,
        Vertex,
        Bedrock,
        Sandbox,
    )
}
"""``type:`` in the YAML → the adapter."""


def build(
    name: str,
    settings: ProviderSettings,
    upstream: UpstreamClient | UpstreamSettings,
    *,
    base: Path,
    environ: Mapping[str, str] | None = None,
) -> Provider:
    """One configured account, ready to be called.

    Give every provider of a process the same :class:`UpstreamClient`; from bare settings a client of its own
    is made, which the provider closes. ``base`` is where ``file:`` secrets and ``ca_file`` start. Raises
    :class:`config.secrets.SecretMissing` when its key is missing and ValueError for a bad ``base_url``.
    """

    def resolve(reference: SecretRef) -> Secret:
        return reference.resolve(base, environ)

    shared = isinstance(upstream, UpstreamClient)
    client = upstream if isinstance(upstream, UpstreamClient) else UpstreamClient(upstream, base=base)
    provider = ADAPTERS[settings.type](name, settings, client, resolve)
    if isinstance(provider, Account):
        provider.owns_client = not shared
    return provider
