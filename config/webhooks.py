"""What the YAML may say of messages to projects: where it is told that a call is complete."""

from __future__ import annotations

from pydantic import Field

from config.secrets import SecretRef
from config.units import Strict


class WebhookSettings(Strict):
    """Where it is told that a call which is answered later (Prefer: respond-async) is complete."""

    url: str = Field(
        max_length=2048, description="An https:// address that takes a POST, signed as Standard Webhooks do."
    )
    secret: SecretRef = Field(description="The signing secret: whsec_ and base64 of at least 24 bytes.")
