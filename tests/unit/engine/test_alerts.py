"""Alerts: each threshold once per window, whoever asks; and messages that a receiver can verify."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.engine.alerts import Alert, Alerts, percent
from gateway.engine.webhook import PAUSES, Webhook, signature, signing_key
from gateway.errors import Unavailable
from gateway.quota.of_settings import DeclaredLimit
from gateway.quota.outcomes import Binding, Standing
from gateway.quota.terms import Limit, Measure, Scope
from providers.http import UpstreamClient

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
SHARES = (Decimal("0.5"), Decimal("0.8"), Decimal(1))
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PROJECT = Scope.project("growth")
USER = Scope.end_user("growth", "growth/ci", "ann@example.com")


def limit(scope: Scope = PROJECT, amount: int = 100, **more: Any) -> DeclaredLimit:
    return DeclaredLimit(scope, Measure.SPEND, amount, "month", alert_at=SHARES, **more)


def standing(of: Limit, used: int, window: str = "month:2026-11@UTC") -> Standing:
    return Standing(of, window, used, 0, 0, None)


class InMemory:
    """What the ledger keeps, shared by replicas and starts."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.asked = 0
        self.away = False

    async def first(self, name: str) -> bool:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise Unavailable("The ledger does not answer.")
        new = name not in self.names
        self.names.add(name)
        return new


@dataclass
class Replica:
    """One process: its alerts and what it told."""

    once: InMemory
    told: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.alerts = Alerts(self.once, count=lambda alert: self.told.append(percent(alert.share)))

    async def consider(self, *standings: Standing, bindings: tuple[Binding, ...] = ()) -> list[str]:
        """What was told because of these."""
        before = len(self.told)
        self.alerts.consider(standings, bindings, now=NOW)
        await self.alerts.aclose()
        return self.told[before:]


@pytest.fixture
def replica() -> Replica:
    return Replica(InMemory())


async def test_each_threshold_fires_once_as_it_is_passed(replica: Replica) -> None:
    month = limit()
    passed = [
        await replica.consider(standing(month, used)) for used in (10, 49, 50, 60, 79, 80, 99, 100, 100)
    ]
    assert passed == [[], [], ["50%"], [], [], ["80%"], [], ["100%"], []]


async def test_a_jump_over_several_thresholds_fires_all_of_them(replica: Replica) -> None:
    assert sorted(await replica.consider(standing(limit(), 85))) == ["50%", "80%"]


async def test_what_is_held_and_unresolved_counts(replica: Replica) -> None:
    assert await replica.consider(Standing(limit(), "w", 20, 20, 10, None)) == ["50%"]


async def test_replicas_and_restarts_do_not_repeat_an_alert(replica: Replica) -> None:
    month = limit()
    others = [Replica(replica.once) for _ in range(5)]
    told = await asyncio.gather(*(each.consider(standing(month, 55)) for each in [replica, *others]))
    assert sorted(told, key=len) == [[], [], [], [], [], ["50%"]]
    assert await Replica(replica.once).consider(standing(month, 56)) == []


async def test_an_alert_that_went_out_is_not_asked_for_again(replica: Replica) -> None:
    for used in range(50, 60):
        await replica.consider(standing(limit(), used))
    assert replica.once.asked == 1


async def test_a_new_window_and_a_raised_limit_fire_anew(replica: Replica) -> None:
    assert await replica.consider(standing(limit(), 60)) == ["50%"]
    assert await replica.consider(standing(limit(), 60, "month:2026-12@UTC")) == ["50%"]
    assert await replica.consider(standing(limit(amount=120), 60)) == ["50%"]
    assert await replica.consider(standing(limit(shadow=True), 60)) == ["50%"]
    assert await replica.consider(standing(limit(Scope.project("other")), 60)) == ["50%"]


async def test_a_rolling_window_fires_once_in_its_whole_length(replica: Replica) -> None:
    day = DeclaredLimit(Scope.organization(), Measure.IMAGES, 10, "day", True, alert_at=(Decimal("0.5"),))
    told = [await replica.consider(standing(day, 6, str(bucket))) for bucket in range(600, 661)]
    assert [index for index, each in enumerate(told) if each] == [0, 60]


async def test_the_first_refusal_passes_the_hundred_percent(replica: Replica) -> None:
    month, other = limit(), limit(Scope.organization(), amount=1000)
    where = standing(month, 90)
    bindings = (Binding(where, 21, None),)
    assert sorted(await replica.consider(where, standing(other, 90), bindings=bindings)) == [
        "100%",
        "50%",
        "80%",
    ]


async def test_limits_without_thresholds_ask_nobody(replica: Replica) -> None:
    plain = Limit(Scope.organization(), Measure.SPEND, 1, "day")
    assert await replica.consider(standing(plain, 5)) == []
    assert replica.once.asked == 0


async def test_without_the_ledger_an_alert_waits_for_the_next_admission(replica: Replica) -> None:
    replica.once.away = True
    assert await replica.consider(standing(limit(), 60)) == []
    replica.once.away = False
    assert await replica.consider(standing(limit(), 60)) == ["50%"]


async def test_one_log_line_says_what_was_passed_and_names_no_end_user(replica: Replica) -> None:
    with capture_logs() as lines:
        await replica.consider(standing(limit(USER), 60))
    (line,) = lines
    assert (line["event"], line["share"], line["scope"]) == ("limit_threshold_reached", "50%", "end_user")
    assert (line["project"], line["key_id"]) == ("growth", "growth/ci")
    assert "ann" not in repr(line)


@dataclass
class Receiver:
    """An HTTP server that keeps what it gets. ``statuses`` are its answers, the last one for good."""

    statuses: list[int]
    port: int = 0
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
            body = await reader.readexactly(int(headers["content-length"]))
            self.got.append((headers, body))
            self.arrived.set()
            status = self.statuses[min(len(self.got), len(self.statuses)) - 1]
            extra = "location: http://127.0.0.1:1/\r\n" if status == 302 else ""
            writer.write(
                f"HTTP/1.1 {status} X\r\n{extra}content-length: 0\r\nconnection: close\r\n\r\n".encode()
            )
            await writer.drain()
        finally:
            writer.close()


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[Receiver]:
    made = Receiver(list(statuses))
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


@dataclass
class Sender:
    webhook: Webhook
    pauses: list[float]


@asynccontextmanager
async def sender(port: int) -> AsyncIterator[Sender]:
    client, pauses = UpstreamClient(), []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    webhook = Webhook(
        client,
        f"http://127.0.0.1:{port}/hook",
        signing_key(SECRET),
        organization="acme",
        sleep=sleep,
        clock=lambda: 1_763_640_000.9,
    )
    try:
        yield Sender(webhook, pauses)
    finally:
        await client.aclose()


ALERT = Alert(standing(limit(amount=400 * 10**9), 321 * 10**9), Decimal("0.8"), NOW)


async def test_a_message_says_which_limit_and_where_it_stands() -> None:
    async with receiver(204) as hook, sender(hook.port) as alerts:
        assert await alerts.webhook.deliver(ALERT)
    ((headers, body),) = hook.got
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {
        "type": "limit.threshold_reached",
        "timestamp": "2026-11-20T12:00:00Z",
        "data": {
            "organization": "acme",
            "project_id": "growth",
            "key_id": None,
            "end_user_digest": None,
            "threshold": "80%",
            "refused": False,
            "window": "month:2026-11@UTC",
            "scope": "project",
            "model": None,
            "measure": "spend_usd",
            "per": "month",
            "rolling": False,
            "shadow": False,
            "limit": "400",
            "used": "321",
            "held": "0",
            "unknown": "0",
            "remaining": "79",
            "resets_at": None,
        },
    }


async def test_a_message_is_signed_as_standard_webhooks_are() -> None:
    async with receiver(200) as hook, sender(hook.port) as alerts:
        await alerts.webhook.deliver(ALERT)
    ((headers, body),) = hook.got
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (ALERT.id, "1763640000")
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = hmac.new(key, f"{ALERT.id}.1763640000.".encode() + body, sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()


def test_a_signature_is_that_of_the_standards_own_example() -> None:
    """The test vector of https://github.com/standard-webhooks/standard-webhooks."""
    key = signing_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    assert signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body) == (
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    )


async def test_a_receiver_that_fails_is_tried_again_with_the_same_id() -> None:
    async with receiver(500, 429, 200) as hook, sender(hook.port) as alerts:
        assert await alerts.webhook.deliver(ALERT)
    assert [headers["webhook-id"] for headers, _ in hook.got] == [ALERT.id] * 3
    assert alerts.pauses == list(PAUSES[1:3])


@pytest.mark.parametrize("status", [500, 302, 404])
async def test_tries_are_bounded_and_redirects_are_not_followed(status: int) -> None:
    async with receiver(status) as hook, sender(hook.port) as alerts:
        assert not await alerts.webhook.deliver(ALERT)
    assert len(hook.got) == len(PAUSES)


async def test_a_receiver_that_is_gone_is_left_alone() -> None:
    async with receiver(410) as hook, sender(hook.port) as alerts:
        assert not await alerts.webhook.deliver(ALERT)
    assert len(hook.got) == 1


async def test_a_receiver_that_is_not_there_is_no_error() -> None:
    async with receiver(200) as hook:
        port = hook.port
    async with sender(port) as alerts:
        assert not await alerts.webhook.deliver(ALERT)
    assert alerts.pauses == list(PAUSES[1:])


async def test_an_alert_reaches_the_receiver_once_whoever_passes_the_threshold() -> None:
    once = InMemory()
    async with receiver(200) as hook, sender(hook.port) as sending:
        replicas = [Alerts(once, sending.webhook) for _ in range(3)]
        for alerts in replicas:
            alerts.consider([standing(limit(), 55)], now=NOW)
        for alerts in replicas:
            await alerts.aclose()
    assert len(hook.got) == 1


async def test_an_alert_that_cannot_be_delivered_is_in_the_log() -> None:
    async with receiver(410) as hook, sender(hook.port) as sending:
        alerts = Alerts(InMemory(), sending.webhook)
        with capture_logs() as lines:
            alerts.consider([standing(limit(), 55)], now=NOW)
            await alerts.aclose()
    assert [line["event"] for line in lines] == [
        "limit_threshold_reached",
        "alert_refused",
        "alert_not_delivered",
    ]
    assert "whsec" not in repr(lines)


async def test_closing_does_not_wait_for_a_receiver_that_is_slow() -> None:
    class Never:
        async def deliver(self, alert: Alert) -> bool:
            await asyncio.Event().wait()
            return True

    alerts = Alerts(InMemory(), Never())
    alerts.consider([standing(limit(), 55)], now=NOW)
    async with asyncio.timeout(15):
        await alerts.aclose(0.05)


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "hunter2",
        "whsec_",
        "whsec_not base64!",
        "whsec_" + base64.b64encode(b"short").decode(),
        SECRET.removeprefix("whsec_"),
    ],
)
def test_a_secret_that_cannot_sign_is_refused_and_not_shown(secret: str) -> None:
    with pytest.raises(ValueError, match="must be whsec_ and base64 of at least 24 bytes") as caught:
        signing_key(secret)
    assert secret in ("", "whsec_") or secret not in str(caught.value)
