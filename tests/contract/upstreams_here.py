"""gpt-image-2 on fake OpenAIs behind a whole gateway: how it is configured, and how its streams are read."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.contract.gateway_here import Here
from tests.simulators.openai_upstream import Upstream

Start = Callable[..., Awaitable[Upstream]]


def config(*upstreams: Upstream, **routing: Any) -> str:
    """gpt-image-2 on each upstream in turn."""
    providers = {
        f"up{number}": {"type": "openai", "base_url": upstream.base_url, "api_key": f"file:key{number}"}
        for number, upstream in enumerate(upstreams, 1)
    }
    targets = [{"provider": name} for name in providers]
    document = {"providers": providers, "models": {"gpt-image-2": {"targets": targets}}, "routing": routing}
    return "\n".join(f"{key}: {json.dumps(value)}" for key, value in document.items() if value)


async def events(here: Here, **fields: Any) -> list[tuple[str, dict[str, Any]]]:
    response = await here.generate(stream=True, **fields)
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in response.text.split("\n\n") if block and not block.startswith(":")]
    found = []
    for block in blocks:
        name, data = block.split("\n")
        assert name.startswith("event: ")
        found.append((name[7:], json.loads(data.removeprefix("data: "))))
    return found
