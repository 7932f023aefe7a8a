"""Accounts at xAI."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.accounts.account import BILLED, CostSource, KeyedProvider
from config.secrets import SecretRef


class XAIProvider(KeyedProvider):
    """xAI: Grok Imagine."""

    type: Literal["xai"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(SecretRef("env:XAI_API_KEY"), description="Sent as Authorization: Bearer.")
    base_url: str = Field("https://api.x.ai/v1", description="Up to and including /v1.")
    cost_source: CostSource = Field("provider", description=BILLED)
