"""Case 62: collector or Prometheus is down. Clients see nothing, memory is bounded, losses are counted."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from gateway.telemetry import delivery, opening
from tests import servers
from tests.contract.gateway_here import Here, gateway_here
from tests.contract.upstreams_here import config
from tests.gateway_process import Gateway
from tests.simulators.openai_upstream import Upstream
from tests.simulators.otlp_collector import Collector

NO_ROOM = ("imagegate_telemetry_dropped", "queue_full")
QUEUE = 8
CALLS = 30
PATIENCE = 5.0
"""Seconds after which a message is given up (:class:`gateway.telemetry.collector.Collector`): whatever waits
for a silent collector waits at least as long."""


@pytest.fixture
def collectors() -> Iterator[Callable[..., Collector]]:
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(Collector(**how))


@pytest.fixture(autouse=True)
def small_and_quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A queue that is soon full, and messages that are soon sent."""
    for name, value in {"QUEUE": QUEUE, "BATCH": 2, "EVERY": 0.02}.items():
        monkeypatch.setattr(delivery, name, value)


@asynccontextmanager
async def told_to(collector: str, upstream: Upstream, folder: Path) -> AsyncIterator[Here]:
    (folder / "key1").write_text(upstream.key)
    otlp = {"otlp": {"endpoint": collector, "every": 1}}
    async with gateway_here(f"{config(upstream)}\ntelemetry: {json.dumps(otlp)}", folder) as here:
        yield here


async def answered(here: Here, calls: int = CALLS) -> float:
    """So many pictures, all well; the seconds that the slowest took."""
    answers = await asyncio.gather(*(here.generate() for _ in range(calls)))
    assert {answer.status_code for answer in answers} == {200}
    assert all(answer.json()["data"][0]["b64_json"] for answer in answers)
    return max(answer.elapsed.total_seconds() for answer in answers)


async def counted(here: Here) -> dict[tuple[str, str], float]:
    """What telemetry says of its own losses, by name and label."""
    text = (await here.client.get("/metrics")).text
    return {
        (family.name, next(iter(sample.labels.values()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.name.startswith("imagegate_telemetry")
        for sample in family.samples
        if any(sample.labels.values())
    }


async def more(here: Here, name: str, label: str, than: float) -> float:
    """The count, once it is above ``than``."""
    async with asyncio.timeout(30):
        while (found := (await counted(here)).get((name, label), 0.0)) <= than:
            await asyncio.sleep(0.05)
    return found


def lost(logs: list[dict[str, Any]], signal_: str = "traces") -> list[dict[str, Any]]:
    return [line for line in logs if line["event"] == "telemetry_lost" and line.get("signal") == signal_]


async def test_f62_a_collector_that_is_down(upstream: Upstream, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{servers.free_port()}"
    with capture_logs() as logs:
        async with told_to(nobody, upstream, tmp_path) as here:
            before = await counted(here)
            assert await answered(here) < PATIENCE
            for name, label in (
                ("imagegate_telemetry_dropped", "not_taken"),
                ("imagegate_telemetry_export_failures", "traces"),
                ("imagegate_telemetry_export_failures", "metrics"),
            ):
                await more(here, name, label, before.get((name, label), 0.0))
            begun = time.monotonic()
        assert time.monotonic() - begun < opening.LAST_WORD_SECONDS + PATIENCE
    assert len(lost(logs)) == 1, "told once, and not for each span"
    assert len(await here.rows("attempts")) == CALLS


async def test_f62_a_collector_that_takes_messages_and_never_answers(
    upstream: Upstream, tmp_path: Path, collectors: Callable[..., Collector]
) -> None:
    silent = collectors(silent=True)
    with capture_logs() as logs:
        async with told_to(silent.url, upstream, tmp_path) as here:
            before = (await counted(here)).get(NO_ROOM, 0.0)
            assert await answered(here, 1) < PATIENCE
            await asyncio.to_thread(silent.wait_for, "/v1/traces")
            assert await answered(here) < PATIENCE, "the thread that sends is stuck, and nobody else"
            await more(here, *NO_ROOM, before)
            begun = time.monotonic()
        assert time.monotonic() - begun < opening.LAST_WORD_SECONDS + PATIENCE
    assert lost(logs)[0]["because"] == "queue_full"
    assert len(lost(logs)) == 1


async def test_f62_a_collector_that_is_slow(
    upstream: Upstream, tmp_path: Path, collectors: Callable[..., Collector]
) -> None:
    slow = collectors(delay=0.5)
    async with told_to(slow.url, upstream, tmp_path) as here:
        before = (await counted(here)).get(NO_ROOM, 0.0)
        assert await answered(here) < PATIENCE
        dropped = await more(here, *NO_ROOM, before) - before
    assert 2 * CALLS - dropped >= QUEUE, "what found room was sent"
    assert slow.spans()


async def test_f62_a_collector_that_answers_errors(
    upstream: Upstream, tmp_path: Path, collectors: Callable[..., Collector]
) -> None:
    for status in (500, 503, 401):
        broken = collectors(status=status)
        folder = tmp_path / str(status)
        folder.mkdir()
        async with told_to(broken.url, upstream, folder) as here:
            name, label = "imagegate_telemetry_export_failures", "traces"
            before = (await counted(here)).get((name, label), 0.0)
            assert await answered(here, 5) < PATIENCE
            await asyncio.to_thread(broken.wait_for, "/v1/traces")
            if status != 503:  # that one is tried again until the message is given up
                await more(here, name, label, before)


async def test_f62_readers_of_metrics_that_never_read(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with gateway_here(config(upstream), tmp_path) as here:
        readers = [socket.create_connection(("127.0.0.1", here.port)) for _ in range(20)]
        try:
            for reader in readers:
                reader.setblocking(False)
                reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                reader.send(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n" * 50)
            assert await answered(here) < PATIENCE
            assert (await here.client.get("/metrics")).status_code == 200
        finally:
            for reader in readers:
                reader.close()


def test_f62_the_process_ends_though_its_collector_is_silent(
    start_gateway: Callable[..., Gateway], collectors: Callable[..., Collector]
) -> None:
    silent = collectors(silent=True)
    otlp = {"otlp": {"endpoint": silent.url, "every": 1}}
    gateway = start_gateway(
        f"providers: {{sandbox: {{type: sandbox, latency: 0}}}}\ntelemetry: {json.dumps(otlp)}\n"
    )
    silent.wait_for("/v1/metrics")
    begun = time.monotonic()
    assert servers.stop(gateway.process, signal.SIGINT, seconds=30) == 0
    assert time.monotonic() - begun < 15
    assert '"event": "telemetry_lost"' in gateway.log_text()
