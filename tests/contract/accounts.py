"""Adapters of every type against a fake: made from settings as the YAML has them, without a gateway."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

from PIL import Image
from pydantic import TypeAdapter

from config.schema import ProviderSettings
from providers.base import Provider
from providers.http import UpstreamClient
from providers.registry import build


def account(settings: Mapping[str, object], client: UpstreamClient, key: str) -> Provider:
    """``key`` is what ``env:KEY`` stands for in ``settings``."""
    config: ProviderSettings = TypeAdapter(ProviderSettings).validate_python(settings)
    return build("fake", config, client, base=Path(), environ={"KEY": key})


def png(width: int = 64, height: int = 64, mode: str = "RGB") -> bytes:
    out = io.BytesIO()
    Image.new(mode, (width, height)).save(out, "PNG")
    return out.getvalue()
