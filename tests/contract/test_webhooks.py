"""A project's webhook: told of calls that were answered later, signed, at least once, and nowhere inside."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from gateway.engine import outbox
from tests.contract.gateway_here import KEY, Here, gateway_here
from tests.contract.leaving import ask
from tests.contract.upstreams_here import config
from tests.simulators import behaviours as on
from tests.simulators.openai_upstream import Upstream

SECRET = b"thirty-two bytes of a test secret"
LATER = {"prefer": "respond-async"}


@dataclass
class Receiver:
    """Takes POSTs and answers with ``statuses`` in turn, then with 204."""

    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        self.got.append((headers, await reader.readexactly(int(headers["content-length"]))))
        status = self.statuses.pop(0) if self.statuses else 204
        more = "location: /elsewhere\r\n" if status == 302 else ""
        writer.write(f"HTTP/1.1 {status} x\r\n{more}content-length: 0\r\n\r\n".encode())
        writer.close()

    async def until(self, count: int, seconds: float = 8.0) -> None:
        async with asyncio.timeout(seconds):
            while len(self.got) < count:
                await asyncio.sleep(0.02)


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncIterator[Receiver]:
    receiver = Receiver(list(statuses))
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    async with server:
        yield receiver


def telling(upstream: Upstream, folder: Path, url: str, *origins: str) -> str:
    (folder / "key1").write_text(upstream.key)
    (folder / "secret").write_text(f"whsec_{base64.b64encode(SECRET).decode()}")
    organization = {
        "webhook_origins": origins,
        "projects": [
            {
                "name": "tests",
                "webhook": {"url": url, "secret": "file:secret"},
                "keys": [{"name": "suite", "sha256": hashlib.sha256(KEY.encode()).hexdigest()}],
            }
        ],
    }
    return f"{config(upstream)}\norganization: {json.dumps(organization)}\n"


@asynccontextmanager
async def told(upstream: Upstream, folder: Path, url: str, *origins: str) -> AsyncIterator[Here]:
    async with gateway_here(telling(upstream, folder, url, *origins), folder) as here:
        yield here


async def test_one_that_comes_with_a_changed_file_is_told(upstream: Upstream, tmp_path: Path) -> None:
    (tmp_path / "key1").write_text(upstream.key)
    async with receiving() as receiver, gateway_here(config(upstream), tmp_path) as here:
        origin = f"http://127.0.0.1:{receiver.port}"
        here.config.write_text(telling(upstream, tmp_path, f"{origin}/hook", origin))
        assert (await here.reloading.reload("command")).refused is None
        await ask(here, LATER)
        await receiver.until(1)


async def test_a_completed_call_is_told_signed(upstream: Upstream, tmp_path: Path) -> None:
    async with receiving() as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        async with told(upstream, tmp_path, f"{origin}/hook?team=1", origin) as here:
            accepted = await ask(here, {**LATER, "x-client-request-id": "mine"})
            await receiver.until(1)
            assert await here.rows("outbox", settle=0) == [] or await _emptied(here)
    (headers, body) = receiver.got[0]
    message_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    signed = hmac.digest(SECRET, f"{message_id}.{timestamp}.".encode() + body, "sha256")
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(signed).decode()}"
    assert abs(int(timestamp) - time.time()) < 30
    message = json.loads(body)
    assert message["type"] == "image.request.succeeded"
    data = message["data"]
    assert (data["id"], data["client_request_id"]) == (accepted.json()["id"], "mine")
    assert (data["http_status"], data["images"], data["model"]) == (200, 1, "gpt-image-2")
    assert float(data["cost_usd"]) > 0
    assert b"a red kite" not in body


async def _emptied(here: Here) -> bool:
    for _ in range(100):
        if not await here.rows("outbox", settle=0):
            return True
        await asyncio.sleep(0.02)
    return False


async def test_a_failed_call_is_told_and_one_that_was_waited_for_is_not(
    upstream: Upstream, tmp_path: Path
) -> None:
    async with receiving() as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        async with told(upstream, tmp_path, origin, origin) as here:
            await ask(here, {"idempotency-key": "k"})
            upstream.plan(on.error("moderation"))
            await ask(here, LATER)
            await receiver.until(1)
            assert await _emptied(here)
    (message,) = [json.loads(body) for _, body in receiver.got]
    assert (message["type"], message["data"]["error_code"]) == ("image.request.failed", "moderation_blocked")


async def test_a_message_is_tried_again_until_it_is_taken(
    upstream: Upstream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PAUSES", (0.05, 0.1))
    monkeypatch.setattr(outbox, "LOOK_SECONDS", 0.05)
    async with receiving(500, 302, 503) as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        async with told(upstream, tmp_path, origin, origin) as here:
            await ask(here, LATER)
            await receiver.until(4)
            assert await _emptied(here)
    assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 1
    assert len({body for _, body in receiver.got}) == 1


async def test_a_message_outlives_its_process(upstream: Upstream, tmp_path: Path) -> None:
    async with receiving() as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        nobody = "http://127.0.0.1:9"
        async with told(upstream, tmp_path, nobody, nobody) as here:
            await ask(here, LATER)
            async with asyncio.timeout(5):
                while not [row for row in await here.rows("outbox", settle=0) if row["tries"]]:
                    await asyncio.sleep(0.05)
            (row,) = await here.rows("outbox", settle=0)
            await here.gateway.ledger.outbox.again(row["message_id"], datetime.now(UTC))
        async with told(upstream, tmp_path, origin, origin):
            await receiver.until(1)


@pytest.mark.parametrize(("status", "age"), [(410, 0), (500, 25)])
async def test_a_message_is_given_up_when_it_is_gone_or_a_day_has_passed(
    upstream: Upstream, tmp_path: Path, status: int, age: int
) -> None:
    from gateway.ledger.outbox import Message
    from gateway.ledger.results import Outcome, Result

    async with receiving(status) as receiver:
        origin = f"http://127.0.0.1:{receiver.port}"
        async with told(upstream, tmp_path, origin, origin) as here:
            now = datetime.now(UTC)
            rows = here.gateway.ledger.results
            await rows.begin(Result("r", "tests", "k", "generations", "f", now, now + timedelta(minutes=1)))
            message = Message("msg", "tests", "r", "{}", now - timedelta(hours=age), now)
            with capture_logs() as logs:
                await rows.finish("r", Outcome(200, now, now + timedelta(hours=1)), message)
                await receiver.until(1)
                assert await _emptied(here)
            assert "webhook_given_up" in [entry["event"] for entry in logs]


@pytest.mark.parametrize("host", ["https://127.0.0.1", "https://169.254.169.254/latest", "https://localhost"])
async def test_an_address_inside_is_never_posted_to(upstream: Upstream, tmp_path: Path, host: str) -> None:
    with capture_logs() as logs:
        async with told(upstream, tmp_path, host) as here:
            await ask(here, LATER)
            async with asyncio.timeout(5):
                while "webhook_refused" not in [entry["event"] for entry in logs]:
                    await asyncio.sleep(0.02)
            assert len(await here.rows("outbox", settle=0)) == 1
    assert "ssrf_blocked" in [entry["event"] for entry in logs]
