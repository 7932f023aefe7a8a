"""Alerts of limits: each threshold once per window, over all replicas and restarts.

Standings come from every admission, what it took included; so a call that passes a threshold tells of it.
The 100 % threshold is also passed by the first call that its limit refuses. Whether an alert has gone out
before is the ledger's to say (:class:`Once`); what this process has seen go out it does not ask again.

An alert is one log line, one count for the metrics and, where a webhook is configured, one message
(``webhook.py``). A process that dies between the mark and the delivery has logged it and not delivered it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import blake2b
from typing import Protocol

import structlog

from gateway.errors import Unavailable
from gateway.quota.of_settings import alerts_of, names_of
from gateway.quota.outcomes import Binding, Standing
from gateway.quota.terms import Kind, Limit
from gateway.quota.windows import BUCKETS

REMEMBERED = 10_000
"""Alerts that this process knows to have gone out."""

MOST_WAITING = 1_000
"""Alerts on their way at once; one more waits for the next admission."""

_log = structlog.get_logger("imagegate.alerts")


class Once(Protocol):
    """A durable set of names, shared by all replicas: an INSERT that does nothing where the name is there."""

    async def first(self, name: str) -> bool:
        """Add ``name``; True for exactly one caller ever. May raise :class:`Unavailable`."""
        ...


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that was passed. ``refused``: by a call that the limit refused."""

    standing: Standing
    share: Decimal
    at: datetime
    refused: bool = False

    @property
    def limit(self) -> Limit:
        return self.standing.limit

    @property
    def name(self) -> str:
        """What makes it the same alert: counter, window, amount and threshold. A raised limit is another
        threshold, so it tells again."""
        limit = self.limit
        kind = f"{limit.kind}{'shadow' if limit.shadow else ''}"
        return f"alert|{kind}|{limit.counter}|{_window(self.standing)}|{limit.amount}|{percent(self.share)}"

    @property
    def id(self) -> str:
        """The message's id, the same at every delivery."""
        return f"msg_{blake2b(self.name.encode(), digest_size=16).hexdigest()}"


class Messenger(Protocol):
    """Brings alerts to somebody outside. Raises nothing."""

    async def deliver(self, alert: Alert) -> bool: ...


def _count_nothing(_: Alert) -> None:
    pass


class Alerts:
    """One per process. ``count`` is the metrics' hook, called once for each alert of this process."""

    def __init__(
        self,
        once: Once,
        messenger: Messenger | None = None,
        *,
        count: Callable[[Alert], None] = _count_nothing,
    ) -> None:
        self._once = once
        self._messenger = messenger
        self._count = count
        self._gone: dict[str, None] = {}
        self._waiting: dict[str, asyncio.Task[None]] = {}

    def reconfigured(self, messenger: Messenger | None) -> None:
        """Another messenger from now on, for what is not on its way yet."""
        self._messenger = messenger

    def consider(
        self, standings: Sequence[Standing], bindings: Sequence[Binding] = (), *, now: datetime
    ) -> None:
        """Look for thresholds that have been passed. Returns at once; alerts go out in the background.
        Give it the standings of ``Admitted`` and of ``Refused``, and the bindings of the latter."""
        refusing = {id(each.limit) for each in bindings}
        for standing in standings:
            for share in alerts_of(standing.limit):
                refused = share == 1 and id(standing.limit) in refusing
                if refused or standing.used >= share * standing.limit.amount:
                    self._begin(Alert(standing, share, now, refused))

    async def aclose(self, seconds: float = 2.0) -> None:
        """Give what is on its way so long, then drop it."""
        tasks = list(self._waiting.values())
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _begin(self, alert: Alert) -> None:
        name = alert.name
        if name in self._gone or name in self._waiting or len(self._waiting) >= MOST_WAITING:
            return
        task = asyncio.create_task(self._tell(alert))
        self._waiting[name] = task
        task.add_done_callback(lambda _: self._waiting.pop(name, None))

    async def _tell(self, alert: Alert) -> None:
        try:
            first = await self._once.first(alert.name)
        except Unavailable:
            return  # the next admission asks again
        if len(self._gone) >= REMEMBERED:
            del self._gone[next(iter(self._gone))]
        self._gone[alert.name] = None
        if not first:
            return
        names = names_of(alert.limit.scope)
        _log.warning(
            "limit_threshold_reached",
            alert_id=alert.id,
            scope=names.level.value,
            project=names.project_id,
            key_id=names.key_id,
            model=names.model,
            counter=alert.limit.counter,
            window=alert.standing.window,
            share=percent(alert.share),
            refused=alert.refused,
            shadow=alert.limit.shadow,
        )
        self._count(alert)
        if self._messenger is not None and not await self._messenger.deliver(alert):
            _log.error("alert_not_delivered", alert_id=alert.id)


def percent(share: Decimal) -> str:
    """As it is written: ``80%``."""
    return f"{(share * 100).normalize():f}%"


def _window(standing: Standing) -> str:
    """A rolling window moves on with every bucket; it tells again after its whole length at the soonest."""
    if standing.limit.kind is Kind.ROLLING:
        return f"{standing.limit.per}:{int(standing.window) // BUCKETS}"
    return standing.window
