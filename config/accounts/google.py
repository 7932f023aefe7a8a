"""Accounts at Google: the Gemini API and Google Cloud (Vertex AI)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from config.accounts.account import KeyedProvider, ProviderCommon
from config.secrets import SecretRef

HarmCategory = Literal[
    "HARASSMENT",
    "HATE_SPEECH",
    "SEXUALLY_EXPLICIT",
    "DANGEROUS_CONTENT",
    "IMAGE_HARASSMENT",
    "IMAGE_HATE",
    "IMAGE_SEXUALLY_EXPLICIT",
    "IMAGE_DANGEROUS_CONTENT",
]
HarmThreshold = Literal[
    "BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH", "BLOCK_NONE", "OFF"
]
_SAFETY = "From which likelihood on Google blocks a category; what is left out is Google's own default."


class GeminiProvider(KeyedProvider):
    """Google's Gemini API."""

    type: Literal["gemini"] = Field(description="Names this kind of account.")
    api_key: SecretRef = Field(SecretRef("env:GEMINI_API_KEY"), description="Sent as x-goog-api-key.")
    base_url: str = Field(
        "https://generativelanguage.googleapis.com/v1beta", description="Up to and including the version."
    )
    safety: dict[HarmCategory, HarmThreshold] = Field({}, description=_SAFETY)


class VertexProvider(ProviderCommon):
    """Gemini image models on Google Cloud (Vertex AI). Without a token or a key it takes Application Default
    Credentials. All but access_token need the extra imagegate[vertex]."""

    type: Literal["vertex"] = Field(description="Names this kind of account.")
    project: str = Field(min_length=1, description="The Google Cloud project's id.")
    location: str = Field(
        "global",
        pattern=r"^[a-z][a-z0-9-]{0,40}$",
        description="A region, us, eu or global; most image models are only in global.",
    )
    base_url: str | None = Field(None, description="Default: the location's own host.")
    service_account_key: SecretRef | None = Field(None, description="The JSON key of a service account.")
    access_token: SecretRef | None = Field(
        None, description="Sent as Authorization: Bearer as it is; such tokens last an hour."
    )
    safety: dict[HarmCategory, HarmThreshold] = Field({}, description=_SAFETY)
    imagen: bool = Field(
        False,
        description="Whether models called imagen-… may be asked for, for accounts that still have them.",
    )

    @model_validator(mode="after")
    def _one_credential(self) -> VertexProvider:
        if self.service_account_key is not None and self.access_token is not None:
            raise ValueError("needs one of service_account_key and access_token, not both")
        return self
