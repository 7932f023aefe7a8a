"""What the network between the gateway and a provider can do to a call that is paid for, and what its client
is told: the failure cases by their numbers, and every fault of the proxy that makes them."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.gateway_here import Here, gateway_here
from tests.faults.budgeted import refused
from tests.simulators import behaviours as on
from tests.simulators import fault_proxy as net
from tests.simulators.fault_proxy import Fault, FaultProxy
from tests.simulators.openai_upstream import Upstream

LOW = 196 * 30_000


def _config(*addresses: str, **routing: Any) -> str:
    providers = {
        f"up{number}": {"type": "openai", "base_url": address, "api_key": "file:key"}
        for number, address in enumerate(addresses, 1)
    }
    targets = [{"provider": name} for name in providers]
    document = {"providers": providers, "models": {"gpt-image-2": {"targets": targets}}, "routing": routing}
    return "\n".join(f"{name}: {json.dumps(value)}" for name, value in document.items())


@asynccontextmanager
async def _through(
    network: FaultProxy, upstream: Upstream, folder: Path, *others: str, **routing: Any
) -> AsyncIterator[Here]:
    (folder / "key").write_text(upstream.key)
    async with gateway_here(_config(network.base_url, *others, **routing), folder) as here:
        yield here


@pytest.fixture
async def network(upstream: Upstream) -> AsyncIterator[FaultProxy]:
    """What lies between the gateway and ``upstream``."""
    async with FaultProxy(upstream.port) as proxy:
        yield proxy


@pytest.fixture
async def one(network: FaultProxy, upstream: Upstream, tmp_path: Path) -> AsyncIterator[Here]:
    """A gateway whose only provider lies behind ``network``."""
    async with _through(network, upstream, tmp_path, max_attempts=1) as here:
        yield here


async def _states(here: Here) -> list[str]:
    return [row["state"] for row in await here.rows("attempts")]


async def _eventually(here: Here, states: list[str], seconds: float = 20.0) -> list[dict[str, Any]]:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while (rows := await here.rows("attempts")) and [row["state"] for row in rows] != states:
        assert loop.time() < until, rows
        await asyncio.sleep(0.05)
    return rows


async def test_f28_a_provider_that_refuses_connections_is_passed_over(
    network: FaultProxy, upstream: Upstream, tmp_path: Path
) -> None:
    async with _through(network, upstream, tmp_path, upstream.base_url) as here:
        await network.refuse()
        answer = await here.generate()
        assert answer.status_code == 200
        assert answer.headers["x-imagegate-provider"] == "up2"
        first, second = await here.rows("attempts")
        assert (first["state"], first["certainty"], first["provider"]) == ("released", "not_sent", "up1")
        assert (second["state"], second["provider"]) == ("settled", "up2")
        assert len(upstream.images) == 1


@pytest.mark.parametrize("fault", [net.reset_request(), net.garbage()], ids=["cut_request", "garbage"])
async def test_f28_so_is_one_that_never_had_the_whole_request(
    network: FaultProxy, upstream: Upstream, tmp_path: Path, fault: Fault
) -> None:
    """Garbage comes before anybody can have worked, but only what was not handed over whole is certain."""
    network.plan(fault)
    async with _through(network, upstream, tmp_path, upstream.base_url) as here:
        answer = await here.generate(prompt="a red kite " * 2000)
        first = (await here.rows("attempts"))[0]
        if first["certainty"] == "not_sent":
            assert (answer.status_code, first["state"]) == (200, "released")
        else:
            refused(answer, 502, "upstream_unknown", again=False)
            assert first["state"] == "unknown"


async def test_f33_a_providers_own_failure_is_tried_elsewhere(
    network: FaultProxy, upstream: Upstream, tmp_path: Path
) -> None:
    body = json.dumps({"error": {"message": "Oops.", "type": "server_error", "param": None, "code": None}})
    network.plan(net.answered("500 Internal Server Error", body.encode(), "application/json"))
    async with _through(network, upstream, tmp_path, upstream.base_url) as here:
        answer = await here.generate()
        assert answer.status_code == 200
        rows = await here.rows("attempts")
        assert [row["certainty"] for row in rows] == ["failed", None]
        assert [row["state"] for row in rows] == ["released", "settled"]


UNCLEAR = {
    "reset_before_the_answer": net.reset_answer(),
    "half_closed_before_the_answer": net.half_close(),
    "bad_gateway": net.answered("502 Bad Gateway"),
    "service_unavailable_page": net.answered("503 Service Unavailable"),
}


@pytest.mark.parametrize("how", UNCLEAR)
async def test_f34_an_outcome_that_nobody_knows_is_not_paid_for_twice(
    one: Here, network: FaultProxy, upstream: Upstream, how: str
) -> None:
    network.plan(UNCLEAR[how])
    answer = await one.generate()
    refused(answer, 502, "upstream_unknown", again=False)
    (attempt,) = await one.rows("attempts")
    assert (attempt["state"], attempt["certainty"]) == ("unknown", "maybe_accepted")
    assert len(upstream.images) == 1
    assert (await one.generate()).status_code == 200


async def test_f34_an_intermediary_that_lost_patience_is_a_timeout(one: Here, network: FaultProxy) -> None:
    network.plan(net.answered("504 Gateway Timeout"))
    refused(await one.generate(), 504, "upstream_timeout", again=False)
    assert await _states(one) == ["unknown"]


async def test_f34_it_is_paid_for_twice_where_the_owner_says_so(
    network: FaultProxy, upstream: Upstream, tmp_path: Path
) -> None:
    network.plan(net.answered("502 Bad Gateway"))
    routing = {"on_failure": {"maybe_accepted": "next"}}
    async with _through(network, upstream, tmp_path, upstream.base_url, **routing) as here:
        answer = await here.generate()
        assert answer.status_code == 200
        assert answer.headers["x-imagegate-provider"] == "up2"
        assert await _states(here) == ["unknown", "settled"]
        assert len(upstream.images) == 2


async def test_f35_an_answer_after_the_deadline_is_settled_when_it_comes(
    network: FaultProxy, upstream: Upstream, tmp_path: Path
) -> None:
    network.plan(net.slow(5.0))
    async with _through(network, upstream, tmp_path, deadline="1s", max_attempts=1) as here:
        begun = asyncio.get_running_loop().time()
        answer = await here.generate()
        assert asyncio.get_running_loop().time() - begun < 4.5
        error = refused(answer, 504, "upstream_timeout", again=False)
        assert answer.headers["x-request-id"] in error["message"]
        (attempt,) = await _eventually(here, ["settled"])
        assert attempt["cost"] > LOW
        assert len(upstream.images) == 1


async def test_f35_silence_to_the_end_stays_unknown(
    network: FaultProxy, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.engine import attempts

    monkeypatch.setattr(attempts, "LATE", 0.5)
    network.plan(net.silence())
    async with _through(network, upstream, tmp_path, deadline="1s", max_attempts=1) as here:
        refused(await here.generate(), 504, "upstream_timeout", again=False)
        assert await _states(here) == ["unknown"]
        assert len(here.gateway.engine.running) == 0


async def test_f35_a_request_that_vanishes_is_a_timeout_too(
    network: FaultProxy, upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.engine import attempts

    monkeypatch.setattr(attempts, "LATE", 0.2)
    network.plan(net.black_hole())
    async with _through(network, upstream, tmp_path, deadline="1s", max_attempts=1) as here:
        refused(await here.generate(), 504, "upstream_timeout", again=False)
        assert await _states(here) == ["unknown"]
        assert len(upstream.images) == 0


@pytest.mark.parametrize(
    "fault",
    [net.reset_answer(5_000), net.half_close(5_000), net.truncated_json()],
    ids=["reset", "half_closed", "truncated"],
)
async def test_f41_an_answer_that_is_cut_on_its_way_is_an_error(
    one: Here, network: FaultProxy, upstream: Upstream, fault: Fault
) -> None:
    network.plan(fault)
    upstream.plan(on.ok(bytes=100_000))
    answer = await one.generate()
    refused(answer, 502, "bad_upstream_payload", again=False)
    assert await _states(one) == ["unknown"]
    assert (await one.generate()).status_code == 200


async def test_an_answer_that_comes_twice_is_taken_once(
    one: Here, network: FaultProxy, upstream: Upstream
) -> None:
    """The second copy is nobody's answer, least of all the next request's."""
    network.plan(net.duplicated())
    first, second = await one.generate(prompt="first"), await one.generate(prompt="second, and longer")
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json()["usage"]["input_tokens"] != second.json()["usage"]["input_tokens"]
    assert await _states(one) == ["settled", "settled"]
    assert len(upstream.images) == 2


async def test_an_answer_that_drips_is_delivered_whole(
    one: Here, network: FaultProxy, upstream: Upstream
) -> None:
    network.plan(net.slow_drip(7_000, 0.01))
    upstream.plan(on.ok(bytes=200_000))
    answer = await one.generate()
    assert (answer.status_code, len(answer.content)) == (200, 200_000)
    assert base64.b64decode(answer.json()["data"][0]["b64_json"])


async def test_f46_a_client_that_leaves_does_not_stop_what_is_paid_for(
    one: Here, network: FaultProxy, upstream: Upstream
) -> None:
    """It is settled and kept; who comes back for it is given it, and it is paid for once."""
    network.plan(net.slow(1.0))
    ask = {"model": "gpt-image-2", "prompt": "x", "size": "1024x1024", "quality": "low"}
    with pytest.raises(httpx.ReadTimeout):
        await one.client.post("/v1/images/generations", json=ask, timeout=httpx.Timeout(5, read=0.4))
    (attempt,) = await _eventually(one, ["settled"])
    assert attempt["cost"] > LOW
    (request,) = await one.rows("requests")
    assert (request["client_gone"], request["images"]) == (1, 1)
    assert one.gateway.room.in_memory == 0

    again = {"x-stainless-retry-count": "1"}
    answer = await one.client.post("/v1/images/generations", json=ask, headers=again)
    assert (answer.status_code, answer.headers["x-imagegate-replayed"]) == (200, "true")
    assert answer.json()["data"][0]["b64_json"]
    assert len(upstream.images) == len(await one.rows("attempts")) == 1
