"""Accounts at Microsoft Foundry: one resource, three families of models, each with a route of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Self

from pydantic import Field, model_validator

from config.accounts.account import KeyedProvider
from config.secrets import SecretRef

FLUX_PATHS: Mapping[str, str] = {
    "FLUX.2-pro": "flux-2-pro",
    "FLUX.2-flex": "flux-2-flex",
    "FLUX.1-Kontext-pro": "flux-kontext-pro",
    "FLUX-1.1-pro": "flux-pro-1.1",
}
"""A model's place in the address; the body names the deployment, which is called as the model by default."""


class AzureResource(KeyedProvider):
    """One Microsoft Foundry resource, by a key or by a token of Entra ID."""

    api_key: SecretRef | None = Field(None, description="Sent as api-key.")
    entra_token: SecretRef | None = Field(
        None, description="Sent as Authorization: Bearer, instead of a key."
    )

    @model_validator(mode="after")
    def _one_credential(self) -> Self:
        if (self.api_key is None) == (self.entra_token is None):
            raise ValueError("needs exactly one of api_key and entra_token")
        return self


class AzureOpenAIProvider(AzureResource):
    """One Azure OpenAI (Microsoft Foundry) resource. Its models are deployments with names of your own, so
    each stands under ``models:`` with a ``catalog:`` that says what it is."""

    type: Literal["azure-openai"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="https://RESOURCE.openai.azure.com, without /openai.")
    form: Literal["v1", "deployments"] = Field(
        "v1", description="v1: /openai/v1/images/…; deployments: /openai/deployments/NAME/images/…"
    )
    api_version: str | None = Field(
        None, description="Default: none on v1, 2025-04-01-preview on deployments."
    )


class AzureFluxProvider(AzureResource):
    """Black Forest Labs' models on a Microsoft Foundry resource, by their own route."""

    type: Literal["azure-flux"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="https://RESOURCE.services.ai.azure.com, without a path.")
    api_key: SecretRef | None = Field(None, description="Sent as Authorization: Bearer.")
    api_version: str = Field("preview", description="Sent as api-version.")
    paths: dict[str, str] = Field(
        {},
        description="Deployments that are not called as their model, with the model's place in the address: "
        "my-flux: flux-2-pro.",
    )


class AzureMAIProvider(AzureResource):
    """Microsoft's own image models (MAI) on a Foundry resource. A deployment with a name of your own stands
    under ``models:`` with a ``catalog:`` that says what it is."""

    type: Literal["azure-mai"] = Field(description="Names this kind of account.")
    base_url: str = Field(description="https://RESOURCE.services.ai.azure.com, without a path.")
    api_version: str | None = Field(None, description="Default: none is sent.")
