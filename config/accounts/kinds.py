"""Every kind of provider account there is, told apart by ``type:``."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from config.accounts.azure import AzureFluxProvider, AzureMAIProvider, AzureOpenAIProvider
from config.accounts.bedrock import BedrockProvider
from config.accounts.cloudflare import CloudflareProvider
from config.accounts.google import GeminiProvider, VertexProvider
from config.accounts.openai import OpenAICompatibleProvider, OpenAIProvider
from config.accounts.openrouter import OpenRouterProvider
from config.accounts.sandbox import SandboxProvider
from config.accounts.xai import XAIProvider

ProviderSettings = Annotated[
    OpenAIProvider
    | AzureOpenAIProvider
    | AzureFluxProvider
    | AzureMAIProvider
    | OpenAICompatibleProvider
    | XAIProvider
    | OpenRouterProvider
    | CloudflareProvider
    | GeminiProvider
    | VertexProvider
    | BedrockProvider
    | SandboxProvider,
    Field(discriminator="type"),
]


def provider_types() -> list[str]:
    """The types of accounts there are."""
    accounts = get_args(get_args(ProviderSettings)[0])
    return [get_args(account.model_fields["type"].annotation)[0] for account in accounts]
