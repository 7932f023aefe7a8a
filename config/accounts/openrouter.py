"""Accounts at OpenRouter."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.accounts.account import BILLED, CostSource, KeyedProvider
from config.secrets import SecretRef
from config.units import Strict


class OpenRouterEndpoints(Strict):
    """Which of the providers behind OpenRouter may serve, in its own names (google-vertex)."""

    only: list[str] | None = Field(None, description="No others.")
    order: list[str] | None = Field(None, description="These first.")
    ignore: list[str] | None = Field(None, description="None of these.")
    sort: Literal["price", "throughput", "latency"] | None = Field(
        None, description="By what OpenRouter chooses."
    )
    allow_fallbacks: bool | None = Field(
        None, description="Whether OpenRouter tries another one by itself; default: it does."
    )


class OpenRouterProvider(KeyedProvider):
    """OpenRouter: models of many makers under one key, named author/model."""

    type: Literal["openrouter"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(
        SecretRef("env:OPENROUTER_API_KEY"), description="Sent as Authorization: Bearer."
    )
    base_url: str = Field("https://openrouter.ai/api/v1", description="Up to and including /v1.")
    cost_source: CostSource = Field("provider", description=BILLED)
    referer: str | None = Field(None, description="Sent as HTTP-Referer: names your application there.")
    title: str | None = Field(None, description="Sent as X-OpenRouter-Title.")
    endpoints: OpenRouterEndpoints = OpenRouterEndpoints()
