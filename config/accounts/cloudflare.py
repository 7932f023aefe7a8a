"""Accounts at Cloudflare Workers AI."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.accounts.account import KeyedProvider
from config.secrets import SecretRef


class CloudflareProvider(KeyedProvider):
    """Cloudflare Workers AI."""

    type: Literal["cloudflare"] = Field(description="Names this kind of account.")
    account_id: str = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}$", description="The account's id, as its dashboard shows it."
    )
    api_key: SecretRef = Field(
        SecretRef("env:CLOUDFLARE_API_TOKEN"),
        description="An API token that may use Workers AI, sent as Authorization: Bearer.",
    )
    base_url: str = Field("https://api.cloudflare.com/client/v4", description="Up to and including /v4.")
    reject_if_busy: bool = Field(
        False,
        description="Whether a call that finds no capacity is refused at once, to be tried elsewhere, "
        "instead of queued. FLUX.2 has no way to be told.",
    )
