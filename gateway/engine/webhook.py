"""Alerts as signed messages: a POST in the form of Standard Webhooks (https://www.standardwebhooks.com).

::

    webhook-id          the alert's own, the same at every try, so that a receiver can drop repetitions
    webhook-timestamp   seconds since 1970 of this try
    webhook-signature   v1,BASE64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY"))

The address comes from the configuration and from nowhere else; redirects are not followed, and what the
receiver answers is not read.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256

import msgspec
import structlog

from gateway.engine.alerts import Alert, percent
from gateway.engine.refusals import described, moment
from gateway.quota.of_settings import names_of
from providers.base import ProviderError
from providers.http import UpstreamClient
from providers.upload import Upload

PAUSES: Sequence[float] = (0.0, 5.0, 30.0, 300.0, 1800.0)
"""Seconds before each try."""

TRY_SECONDS = 10.0
SHORTEST_SECRET = 24
_GONE = 410
_log = structlog.get_logger("imagegate.alerts")


def signing_key(secret: str, setting: str = "organization.alerts.secret") -> bytes:
    """``whsec_`` and base64 of at least 24 bytes. Raises ValueError with what to do, without the secret."""
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or len(key) < SHORTEST_SECRET:
        raise ValueError(
            f"{setting} must be whsec_ and base64 of at least 24 bytes; make one with: "
            'echo "whsec_$(openssl rand -base64 32)"'
        )
    return key


def signature(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, sha256).digest()
    return f"v1,{base64.b64encode(signed).decode()}"


def signed(key: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """The three headers of a try."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(key, message_id, timestamp, body),
    }


class Webhook:
    """A :class:`gateway.engine.alerts.Messenger`. ``sleep`` and ``clock`` (seconds since 1970) are for
    tests."""

    def __init__(
        self,
        client: UpstreamClient,
        url: str,
        key: bytes,
        *,
        organization: str,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._url = url
        self._key = key
        self._organization = organization
        self._sleep = sleep
        self._clock = clock

    async def deliver(self, alert: Alert) -> bool:
        """Whether the receiver took it (2xx), after at most ``len(PAUSES)`` tries."""
        body = msgspec.json.encode(message(alert, self._organization))
        for pause in PAUSES:
            if pause:
                await self._sleep(pause)
            status = await self._post(alert.id, body)
            if status is not None and 200 <= status < 300:
                return True
            _log.warning("alert_refused", alert_id=alert.id, status=status)
            if status == _GONE:
                return False
        return False

    async def _post(self, message_id: str, body: bytes) -> int | None:
        headers = signed(self._key, message_id, int(self._clock()), body)
        try:
            reply = await self._client.send(
                "POST",
                self._url,
                headers,
                ends_at=asyncio.get_running_loop().time() + TRY_SECONDS,
                provider="the alerts' webhook",
                upload=Upload("application/json", [body]),
            )
        except ProviderError:
            return None
        await reply.aclose()
        return reply.status


def message(alert: Alert, organization: str) -> dict[str, object]:
    """The body. An end user is named by a digest: the client's own word stays inside."""
    names = names_of(alert.limit.scope)
    return {
        "type": "limit.threshold_reached",
        "timestamp": moment(alert.at),
        "data": {
            "organization": organization,
            "project_id": names.project_id,
            "key_id": names.key_id,
            "end_user_digest": names.end_user,
            "threshold": percent(alert.share),
            "refused": alert.refused,
            "window": alert.standing.window,
            **described(alert.standing),
        },
    }
