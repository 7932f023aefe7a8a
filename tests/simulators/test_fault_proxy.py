"""The network that misbehaves does so exactly: as many bytes, as many copies, as much silence as asked."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from tests.simulators import fault_proxy as net
from tests.simulators.fault_proxy import Fault, FaultProxy
from tests.simulators.openai_upstream import Upstream


@pytest.fixture
async def network(upstream: Upstream) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(upstream.port) as proxy:
        yield proxy


async def _ask(network: FaultProxy, *, times: int = 1, seconds: float = 0.3) -> bytes:
    """What comes on one connection; the end is where it ends, or where nothing more comes for ``seconds``."""
    body = json.dumps({"model": "gpt-image-2", "prompt": "x", "size": "1024x1024", "quality": "low"}).encode()
    head = (
        "POST /v1/images/generations HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sk-upstream\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port, limit=2**24)
    heard = b""
    for _ in range(times):
        with suppress(TimeoutError, ConnectionResetError):
            writer.write(head.encode() + body)
            while piece := await asyncio.wait_for(reader.read(65536), seconds):
                heard += piece
    writer.close()
    return heard


async def test_without_a_fault_nothing_changes(network: FaultProxy, upstream: Upstream) -> None:
    answer = await _ask(network)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert json.loads(net.body_of(answer))["data"]
    assert (network.connections, network.exchanges, len(upstream.images)) == (1, 1, 1)


@pytest.mark.parametrize("fault", [net.half_close(300), net.reset_answer(300)])
async def test_the_answer_ends_after_so_many_bytes(network: FaultProxy, fault: Fault) -> None:
    network.plan(fault)
    assert len(await _ask(network)) == 300


@pytest.mark.parametrize(("fault", "arrived"), [(net.black_hole(), 0), (net.silence(), 1)])
async def test_nothing_is_ever_heard(
    network: FaultProxy, upstream: Upstream, fault: Fault, arrived: int
) -> None:
    network.plan(fault)
    assert await _ask(network) == b""
    assert len(upstream.images) == arrived


async def test_a_request_that_is_cut_never_arrives_whole(network: FaultProxy, upstream: Upstream) -> None:
    network.plan(net.reset_request(150))
    assert await _ask(network) == b""
    assert len(upstream.images) == 0


async def test_an_answer_is_replaced_doubled_or_shortened(network: FaultProxy, upstream: Upstream) -> None:
    network.plan(net.answered("502 Bad Gateway"), net.garbage(), net.duplicated(), net.truncated_json(0.25))
    replaced, garbage, doubled, short = [await _ask(network) for _ in range(4)]
    assert replaced.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert garbage[:3] == b"\x15\x03\x01"
    half = len(doubled) // 2
    assert doubled[:half] == doubled[half:]
    length = int(short.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(net.body_of(short)) == length
    with pytest.raises(json.JSONDecodeError):
        json.loads(net.body_of(short))
    assert len(upstream.images) == 3


async def test_it_is_late_or_drips(network: FaultProxy, upstream: Upstream) -> None:
    for fault, least in ((net.slow(0.3), 0.3), (net.slow_drip(100, 0.02), 0.1)):
        network.plan(fault)
        begun = time.monotonic()
        assert json.loads(net.body_of(await _ask(network, seconds=0.5)))["data"]
        assert time.monotonic() - begun > least


async def test_connections_are_refused_and_taken_again_on_the_same_port(network: FaultProxy) -> None:
    await network.refuse()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", network.port)
    await network.listen()
    assert await _ask(network)


async def test_open_connections_are_broken_off_where_a_network_goes_down(network: FaultProxy) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", network.port)
    while not network.connections:
        await asyncio.sleep(0.01)
    await network.drop()
    assert await reader.read() == b""
    writer.close()
    assert await _ask(network)


async def test_each_request_of_a_kept_connection_has_its_own_fault(
    network: FaultProxy, upstream: Upstream
) -> None:
    network.plan(net.FINE, net.answered("502 Bad Gateway"))
    heard = await _ask(network, times=2)
    assert heard.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/1.1 502 Bad Gateway" in heard
    assert (network.connections, network.exchanges) == (1, 2)
