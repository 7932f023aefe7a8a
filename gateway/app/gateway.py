"""The composition root: settings in, a running gateway out, which takes other settings while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime

import structlog
from litestar import Litestar
from litestar.types import Receive, Scope, Send
from opentelemetry.sdk.trace import SpanProcessor

from config.drain import grace_of
from config.lasting import lasting_secrets, waiting, with_lasting
from config.loader import Loaded
from config.references import Seen, seen
from config.schema import Settings
from gateway.api.config_stands import ConfigStands, InForce
from gateway.app.drafts import authorities, draft
from gateway.app.lasting import Lasting, open_lasting
from gateway.app.versions import Version, at_work
from gateway.engine.engine import Engine
from gateway.engine.keeping import Keeping
from gateway.errors import Unavailable
from gateway.ledger.ledger import Ledger
from gateway.media.spool import SpoolRoom
from gateway.media.store import MediaStore
from gateway.quota.of_settings import LimitBook
from gateway.routing.directory import ModelDirectory
from gateway.routing.watch import Watch
from gateway.version import VERSION
from providers.guarded import GuardedFetch

_log = structlog.get_logger("imagegate.config")

COUNT_SECONDS = 5.0
"""That new limits may take to learn what was spent under them before they hold."""

RECOUNT_SECONDS = 1.0


class Gateway:
    """Everything a process serves with, and what it serves: an ASGI application. What hangs on the
    configuration is that of the newest version."""

    def __init__(self, lasting: Lasting, first: Version) -> None:
        self._lasting = lasting
        self._version = first
        self._started_with = first.draft.settings
        self._at_start = lasting_secrets(first.draft.settings, first.draft.loaded.base)
        self._recount: asyncio.Task[None] | None = None
        self._tell_metrics()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application; a request stays with the version that it came to."""
        await self._version.app(scope, receive, send)

    async def take_over(self, loaded: Loaded, because: str) -> ConfigStands:
        """Serve with ``loaded`` from the next request on: wholly, or, where this raises, not at all. Settings
        that last a process stay as they were at its start. Raises
        :class:`config.secrets.SecretMissing`, ValueError, OSError and :class:`GatewayError` with words for
        the operator."""
        secrets = lasting_secrets(loaded.settings, loaded.base)
        late = tuple(waiting(loaded.settings, self._started_with, secrets, self._at_start))
        if self._lasting.telemetry.prometheus is None and loaded.settings.server.metrics_token is not None:
            late = (*late, "server.metrics_token")
        effective = replace(loaded, settings=with_lasting(loaded.settings, self._started_with))
        before = self._version.draft
        new = draft(effective, self._lasting.lines, before)
        version = at_work(new, self._lasting)
        self._lasting.expect(new, before)
        try:
            is_counted = await self._counted()
        except BaseException:
            self._lasting.expect(before, before)
            raise
        # From here on nothing waits and nothing fails.
        self._lasting.follow(new)
        self._version = version
        self._lasting.retire(before, new)
        if not is_counted:
            if self._recount is not None:
                self._recount.cancel()
            self._recount = asyncio.create_task(self._count_when_possible(), name="recount")
        number = self.config.now.version + 1
        self.config.now = ConfigStands(number, loaded.digest, loaded.origin, datetime.now(UTC), because, late)
        self._tell_metrics()
        return self.config.now

    def serves_with(self, loaded: Loaded) -> bool:
        """Whether ``loaded`` is what is in force, down to its secrets and certificates; but for what lasts,
        which stays as it is."""
        now = self._version.draft
        return (
            self.config.now.digest == loaded.digest
            and now.secrets == seen(with_lasting(loaded.settings, self._started_with), loaded.base)
            and now.authorities == authorities(loaded)
        )

    def keep(self, stands: ConfigStands) -> None:
        """The version in force stays; ``stands`` says why the newest one does not take its place."""
        self.config.now = stands
        self._tell_metrics()

    @property
    def config(self) -> InForce:
        """Which version that is."""
        return self._lasting.config

    @property
    def app(self) -> Litestar:
        """The newest version's own application."""
        return self._version.app

    @property
    def settings(self) -> Settings:
        return self._version.draft.settings

    @property
    def loaded(self) -> Loaded:
        """What the newest version was read as."""
        return self._version.draft.loaded

    @property
    def secrets(self) -> Seen:
        """What the references of the newest version led to when it was made."""
        return self._version.draft.secrets

    @property
    def grace(self) -> float:
        """Seconds from the signal to the end of the process, at most. Where none is set, calls of versions
        that gave them more time have it."""
        drain = self.settings.server.drain
        grace = grace_of(drain, self.settings.routing)
        return grace if drain.grace is not None else max(grace, self._lasting.retirement.remaining)

    @property
    def ledger(self) -> Ledger:
        return self._lasting.ledger

    @property
    def engine(self) -> Engine:
        return self._version.engine

    @property
    def directory(self) -> ModelDirectory:
        return self._version.draft.directory

    @property
    def pepper(self) -> bytes:
        return self._lasting.pepper

    @property
    def limits(self) -> LimitBook:
        return self._version.draft.book

    @property
    def keeping(self) -> Keeping:
        return self._lasting.keeping

    @property
    def media(self) -> MediaStore:
        return self._lasting.media

    @property
    def fetch(self) -> GuardedFetch:
        return self._version.draft.fetch

    @property
    def room(self) -> SpoolRoom:
        return self._lasting.room

    @property
    def watch(self) -> Watch:
        return self._lasting.watch

    async def aclose(self) -> None:
        if self._recount is not None:
            self._recount.cancel()
            await asyncio.gather(self._recount, return_exceptions=True)
        for part in self._version.draft.parts:
            await part.aclose()

    async def _counted(self) -> bool:
        """Whether the store could be told what was spent under limits that are new."""
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                await self._lasting.keeping.counted()
        except (Unavailable, TimeoutError):
            return False
        return True

    async def _count_when_possible(self) -> None:
        while True:  # the store tells nobody that it is back
            await asyncio.sleep(RECOUNT_SECONDS)
            with suppress(Unavailable):
                return await self._lasting.keeping.counted()

    def _tell_metrics(self) -> None:
        now = self.config.now
        self._lasting.telemetry.board.config_stands(
            version=VERSION,
            digest=now.digest,
            applied_at=now.applied_at.timestamp(),
            refused=now.refused is not None,
            pending=len(now.waiting),
        )


@asynccontextmanager
async def open_gateway(loaded: Loaded, spans: SpanProcessor | None = None) -> AsyncIterator[Gateway]:
    """Open everything, and close it in reverse. Raises as :func:`gateway.app.lasting.open_lasting`."""
    stands = ConfigStands(1, loaded.digest, loaded.origin, datetime.now(UTC))
    async with open_lasting(loaded, InForce(stands), spans) as (lasting, first):
        lasting.follow(first)
        gateway = Gateway(lasting, at_work(first, lasting))
        try:
            yield gateway
        finally:
            await gateway.aclose()
