"""Accounts at OpenAI and at any server that speaks its Images API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from config.accounts.account import KeyedProvider
from config.secrets import SecretRef


def _secret_or_text(value: object) -> object:
    """``env:NAME`` and ``file:PATH`` are references wherever they stand; left as text, the gateway would
    send the literal words upstream."""
    return SecretRef(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value


HeaderValue = Annotated[SecretRef | str, BeforeValidator(_secret_or_text)]


class OpenAIProvider(KeyedProvider):
    """OpenAI itself."""

    type: Literal["openai"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(SecretRef("env:OPENAI_API_KEY"), description="Sent as Authorization: Bearer.")
    base_url: str = Field(
        "https://api.openai.com/v1",
        description="Change it for a residency host, such as https://eu.api.openai.com/v1.",
    )
    organization: str | None = Field(None, description="Sent as OpenAI-Organization.")
    project: str | None = Field(None, description="Sent as OpenAI-Project.")


class OpenAICompatibleProvider(KeyedProvider):
    """Any server that speaks OpenAI's Images API. Its models stand under ``models:``."""

    type: Literal["openai-compatible"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="Up to and including /v1, as an OpenAI SDK would take it.")
    api_key: SecretRef | None = Field(
        None, description="Sent as Authorization: Bearer; none for a server without keys."
    )
    headers: dict[str, HeaderValue] = Field(
        {}, description="Fixed headers sent with every call; a value may be env:NAME or file:PATH."
    )
    edits: bool = Field(True, description="Whether it serves /images/edits.")
