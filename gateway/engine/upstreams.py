"""The upstream accounts as the engine calls them: each with its keys, used in turn, and its line."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

import structlog

from config.accounts.account import ProviderCommon
from gateway.routing.admission_queue import AdmissionQueue, NoPlace, Refusal
from gateway.routing.concurrency import ConcurrencyCap
from gateway.routing.failure import Failure
from gateway.routing.health import HALF_LIFE
from gateway.routing.upstream_keys import KeyRing
from gateway.routing.windows import Decayed
from gateway.telemetry import meters
from providers.base import Certainty, Kind, Provider, ProviderError

_log = structlog.get_logger("imagegate.engine")

_KNOWN = 0.1
"""Calls, as they count after forgetting, before their mean says anything."""

_WORDS = {
    Refusal.FULL: "has as many calls waiting for a place as may wait",
    Refusal.TOO_LATE: "has no free place for a call in time",
}


class TurnedAway(ProviderError):
    """Waited for a place when the process was told to end."""

    def __init__(self) -> None:
        super().__init__(Kind.OVERLOADED, Certainty.NOT_SENT, "This gateway is being restarted.")


class Places:
    """The line before one account, and how long its calls take. It outlasts changes of the account's
    settings: what is under way there counts, whichever of them it was sent with."""

    def __init__(self, max_in_flight: int | None = None, max_queue: int = 100) -> None:
        self._seconds = Decayed(HALF_LIFE)
        self.line = AdmissionQueue(ConcurrencyCap(max_in_flight), max_queue, self._mean)

    def took(self, seconds: float, now: float) -> None:
        self._seconds.add(seconds, now)

    def _mean(self) -> float | None:
        now = perf_counter()
        if self._seconds.weight(now) < _KNOWN:
            return None
        return self._seconds.mean(now, prior=0.0, worth=0.0)


class Upstream:
    """One account. ``keys`` are the same provider with one of its keys each, at least one."""

    def __init__(self, name: str, keys: Sequence[Provider], places: Places | None = None) -> None:
        self.name = name
        self._keys = keys
        self._ring = KeyRing(len(keys))
        self._places = places or Places()
        self.line = self._places.line

    @asynccontextmanager
    async def call(self, p95: float | None, patience: float) -> AsyncIterator[Provider]:
        """A place for one call and the provider to make it with, whose failures are learnt from. ``p95`` is
        what a slow picture of its shape takes (None: not known), ``patience`` how long a place may be waited
        for; both in seconds. Raises :class:`ProviderError` (overloaded, not_sent) where there is none."""
        try:
            async with self.line.place(p95, patience):
                began, in_flight = perf_counter(), self.line.in_flight
                number = self._ring.take(began)
                try:
                    yield self._keys[number]
                except ProviderError as error:
                    self._failed(number, Failure.of(error), began, in_flight)
                    raise
                self._succeeded(number, began)
        except NoPlace as none:
            raise ProviderError(
                Kind.OVERLOADED,
                Certainty.NOT_SENT,
                f"Provider '{self.name}' {_WORDS[none.because]}.",
                retry_after=none.retry_after,
            ) from None

    def has_other_key(self, kind: Kind) -> bool:
        """Whether a call that failed so may be made with another key at once."""
        if len(self._keys) == 1 or kind not in (Kind.AUTH, Kind.THROTTLED):
            return False
        return len(self._ring.resting(perf_counter())) < len(self._keys)

    @property
    def has_one_key(self) -> bool:
        return len(self._keys) == 1

    async def aclose(self) -> None:
        for key in self._keys:
            await key.aclose()

    def _succeeded(self, number: int, began: float) -> None:
        now = perf_counter()
        self._ring.succeeded(number)
        self._places.took(now - began, now)
        self.line.cap.succeeded()

    def _failed(self, number: int, failure: Failure, began: float, in_flight: int) -> None:
        now = perf_counter()
        self._ring.failed(number, failure, now)
        if failure.kind is Kind.AUTH:
            meters.provider_auth_failed.add(1, {"provider": self.name})
            _log.error("provider_auth_failed", provider=self.name, key=number + 1, of=len(self._keys))
        limited = failure.kind in (Kind.THROTTLED, Kind.OVERLOADED) and not failure.is_our_own
        if limited and failure.retry_after is None:
            self.line.cap.refused(in_flight, began, now)


Upstreams = Mapping[str, Upstream]
"""All accounts that can be called, by name."""


class Lines:
    """The lines before all accounts there have been. One per process."""

    def __init__(self) -> None:
        self._places: dict[str, Places] = {}
        self._is_over = False

    def before(self, account: str) -> Places:
        """The one before this account; its bounds are the caller's to set."""
        found = self._places.get(account)
        if found is None:
            found = self._places[account] = Places()
            if self._is_over:
                found.line.turn_away(TurnedAway())
        return found

    def reconfigured(self, accounts: Mapping[str, ProviderCommon]) -> None:
        """The lines are as long, and let as many through, as these settings say."""
        for name, account in accounts.items():
            self.before(name).line.reconfigured(account.max_in_flight, account.max_queue)

    def turn_away(self) -> None:
        """The process is about to end: nobody who waits for a place is sent any more."""
        self._is_over = True
        for places in self._places.values():
            places.line.turn_away(TurnedAway())
