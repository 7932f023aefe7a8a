"""Accounts at AWS Bedrock."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from config.accounts.account import KeyedProvider
from config.secrets import SecretRef


class BedrockProvider(KeyedProvider):
    """AWS Bedrock in one region. Calls are signed with AWS credentials (the extra imagegate[bedrock]) unless
    there is a Bedrock API key."""

    type: Literal["bedrock"] = Field(description="Names this kind of account.")
    region: str = Field(
        pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$", description="Such as us-west-2, which has all its models."
    )
    api_key: SecretRef | None = Field(
        None, description="A Bedrock API key, sent as Authorization: Bearer instead of a signature."
    )
    access_key_id: SecretRef | None = Field(
        None,
        description="With secret_access_key. Without these and api_key, AWS's own chain is asked: "
        "environment, shared files, web identity, container and instance roles.",
    )
    secret_access_key: SecretRef | None = Field(None, description="With access_key_id.")
    session_token: SecretRef | None = Field(None, description="Of temporary keys.")
    profile: str | None = Field(None, description="A profile of AWS's shared files, instead of keys.")
    base_url: str | None = Field(
        None, description="Default: https://bedrock-runtime.REGION.amazonaws.com; or a FIPS or VPC endpoint."
    )

    @model_validator(mode="after")
    def _one_credential(self) -> BedrockProvider:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("needs both of access_key_id and secret_access_key, or neither")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token goes with access_key_id and secret_access_key")
        given = [name for name in ("api_key", "access_key_id", "profile") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"needs one of {' and '.join(given)}, not both")
        return self
