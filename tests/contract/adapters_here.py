"""What the tests of every adapter ask of a whole gateway, and what they look for in a failure."""

from __future__ import annotations

import httpx

from tests.contract.gateway_here import Here


async def asked(here: Here, model: str, prompt: str = "a red kite", **fields: object) -> httpx.Response:
    body = {"model": model, "prompt": prompt, **fields}
    return await here.client.post("/v1/images/generations", json=body)


async def edited(
    here: Here, model: str, *given: bytes, mask: bytes | None = None, **fields: str
) -> httpx.Response:
    """``given`` and ``mask`` are PNG files."""
    name = "image" if len(given) == 1 else "image[]"
    files = [(name, (f"{number}.png", data, "image/png")) for number, data in enumerate(given)]
    if mask is not None:
        files.append(("mask", ("m.png", mask, "image/png")))
    body = {"model": model, "prompt": "make it blue", **fields}
    return await here.client.post("/v1/images/edits", data=body, files=files)


async def check_failure(
    here: Here, response: httpx.Response, status: int, code: str | None, state: str
) -> None:
    """OpenAI's envelope with this status and code, and every attempt booked as ``state``."""
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (status, code)
    assert set(error) >= {"message", "type", "param", "code"}
    assert {attempt["state"] for attempt in await here.rows("attempts")} == {state}
