"""Adapters of every type against a fake: made from settings as the YAML has them, without a gateway."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from config.accounts.kinds import ProviderSettings
from providers.base import ImageRequest, Provider
from providers.http import UpstreamClient
from providers.registry import build
from tests.unit.providers.wire import body_of


def settings_of(given: Mapping[str, object]) -> ProviderSettings:
    """What the YAML says of an account, checked."""
    checked: ProviderSettings = TypeAdapter(ProviderSettings).validate_python(given)
    return checked


def account(
    settings: Mapping[str, object], client: UpstreamClient, key: str = "", **secrets: str
) -> Provider:
    """``key`` is what ``env:KEY`` stands for in ``settings``; ``secrets`` are what else there is."""
    return build("fake", settings_of(settings), client, base=Path(), environ={"KEY": key, **secrets})


async def document(provider: Provider, request: ImageRequest) -> dict[str, Any]:
    """The whole answer to a call."""
    found = json.loads(await body_of(await provider.send(request, 10)))
    assert isinstance(found, dict)
    return found


async def pieces_of(provider: Provider, request: ImageRequest) -> list[bytes]:
    """The same in the pieces that it came in."""
    result = await provider.send(request, 10)
    try:
        return [piece async for piece in result.body]
    finally:
        await result.aclose()
