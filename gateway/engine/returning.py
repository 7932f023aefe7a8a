"""All that serves those who come back for an answer, as one thing that is opened and closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from config.schema import Settings
from gateway.engine.following import Follower
from gateway.engine.joining import Engine, Joining
from gateway.engine.orphans import Orphans
from gateway.engine.outbox import Courier, Destination, Poster
from gateway.engine.request_records import RecordTelling
from gateway.engine.results import ResultStore, results_kept
from gateway.engine.running import Running
from gateway.engine.webhook import signing_key
from gateway.ledger.ledger import Ledger
from gateway.media.store import MediaStore


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told of what was answered later: destinations by project, what posts to them, and the origins
    inside that are allowed."""

    poster: Poster
    destinations: Mapping[str, Destination]
    origins: Sequence[str]


def told_of(settings: Settings, base: Path, poster: Poster) -> Told:
    """Raises :class:`config.secrets.SecretMissing`, and ValueError for a signing secret that is none."""
    return Told(poster, _destinations(settings, base), settings.organization.webhook_origins)


@dataclass(frozen=True, slots=True)
class Returning:
    """``follower`` is the engine's observer; ``telling`` says what became of a request."""

    follower: Follower
    telling: RecordTelling
    _results: ResultStore
    _orphans: Orphans
    _running: Running
    _courier: Courier

    def reconfigured(self, told: Told) -> None:
        """Messages go elsewhere from now on."""
        self.follower.reconfigured(told.destinations)
        self._courier.reconfigured(told.poster, told.destinations, told.origins)

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
    told: Told, ledger: Ledger, media: MediaStore, running: Running
) -> AsyncIterator[Returning]:
    """Answers are kept and swept, and messages delivered, while this is open."""
    results, orphans = ResultStore(ledger.results, media), Orphans(ledger.results)
    courier = Courier(ledger.outbox, told.poster, told.destinations, origins=told.origins)
    follower = Follower(results, orphans, running, told=told.destinations, message_waits=courier.wake)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(results_kept(results, follower.with_rows))
        await stack.enter_async_context(orphans.watched())
        await stack.enter_async_context(courier.at_work())
        yield Returning(follower, RecordTelling(ledger.requests, results), results, orphans, running, courier)


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
