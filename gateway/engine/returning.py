"""All that serves those who come back for an answer, as one thing that is opened and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.schema import Settings
from gateway.engine.following import Follower
from gateway.engine.joining import Engine, Joining
from gateway.engine.orphans import Orphans
from gateway.engine.outbox import Courier, Destination
from gateway.engine.request_records import RecordTelling
from gateway.engine.results import ResultStore, results_kept
from gateway.engine.running import Running
from gateway.engine.webhook import signing_key
from gateway.ledger.ledger import Ledger
from gateway.media.store import MediaStore
from providers.guarded import GuardedFetch


@dataclass(frozen=True, slots=True)
class Returning:
    """``follower`` is the engine's observer; ``telling`` says what became of a request."""

    follower: Follower
    telling: RecordTelling
    _results: ResultStore
    _orphans: Orphans
    _running: Running

    def joining(self, engine: Engine, *, patience: float) -> Joining:
        """What stands before the engine."""
        return Joining(
            engine,
            self.follower,
            self._orphans,
            self._results,
            self._running,
            self.telling.accepted,
            patience=patience,
        )


@asynccontextmanager
async def open_returning(
    settings: Settings, base: Path, ledger: Ledger, media: MediaStore, fetch: GuardedFetch, running: Running
) -> AsyncIterator[Returning]:
    """Answers are kept and swept, and messages delivered, while this is open. Raises
    :class:`config.secrets.SecretMissing`, and ValueError for a signing secret that is none."""
    results, orphans = ResultStore(ledger.results, media), Orphans(ledger.results)
    destinations = _destinations(settings, base)
    courier = Courier(ledger.outbox, fetch, destinations, origins=settings.organization.webhook_origins)
    follower = Follower(results, orphans, running, told=destinations, message_waits=courier.wake)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(results_kept(results, follower.with_rows))
        await stack.enter_async_context(orphans.watched())
        await stack.enter_async_context(courier.at_work())
        yield Returning(follower, RecordTelling(ledger.requests, results), results, orphans, running)


def _destinations(settings: Settings, base: Path) -> Mapping[str, Destination]:
    """By project."""
    return {
        project.project_id: Destination(
            project.webhook.url,
            signing_key(
                project.webhook.secret.resolve(base).reveal(),
                f"organization.projects.{project.name}.webhook.secret",
            ),
        )
        for project in settings.organization.projects
        if project.webhook is not None
    }
