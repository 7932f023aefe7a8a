"""Every type of account that takes keys takes several: one adapter for each, and each signs with its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

from config.accounts.account import KeyedProvider
from config.accounts.kinds import ProviderSettings
from gateway.app.accounts import by_key
from providers.http import UpstreamClient
from providers.registry import build
from tests.simulators.json_upstream import JSONUpstream, Reply, Seen, said

NEEDED: dict[str, dict[str, Any]] = {
    "bedrock": {"region": "us-west-2"},
    "cloudflare": {"account_id": "abc123"},
}
KEYED = [
    account.model_fields["type"].annotation
    for account in get_args(get_args(ProviderSettings)[0])
    if issubclass(account, KeyedProvider)
]


class Listener(JSONUpstream):
    def answer(self, call: Seen) -> Reply:
        return said(200, {})


@pytest.fixture
async def upstream() -> AsyncIterator[JSONUpstream]:
    async with Listener() as running:
        yield running


@pytest.mark.parametrize("type", [get_args(literal)[0] for literal in KEYED])
async def test_each_key_of_an_account_signs_in_its_turn(upstream: JSONUpstream, type: str) -> None:
    written = {"type": type, "base_url": upstream.origin, "api_keys": ["env:A", "env:B"]}
    settings: ProviderSettings = TypeAdapter(ProviderSettings).validate_python(
        {**written, **NEEDED.get(type, {})}
    )
    client = UpstreamClient()
    try:
        for each in by_key(settings):
            provider = build("p", each, client, base=Path(), environ={"A": "key-one", "B": "key-two"})
            await provider.probe()
    finally:
        await client.aclose()
    signed = [
        {name for name, value in call.headers.items() if value.removeprefix("Bearer ") == key}
        for call, key in zip(upstream.calls, ("key-one", "key-two"), strict=True)
    ]
    assert signed[0] == signed[1]
    assert len(signed[0]) == 1
