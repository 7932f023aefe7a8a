"""Who wants to know what becomes of a request, besides its client: so that an answer which somebody may come
back for is kept (following.py).

The engine tells, in this order, for each request that was admitted::

    on_dispatched        a call was given leave to be sent, the first time
    on_answered_error    the client is about to be told an error; ``job.awaited`` calls may still end
    on_finished          an answer is there, before a byte of it goes out; also one that came late, and None
                         where calls that were awaited after an error brought nothing
    on_client_left       the client was not given every byte; the answer's body is freed after this
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gateway.errors import GatewayError
from gateway.media.composed import Body

if TYPE_CHECKING:
    from gateway.engine.job import Job


@dataclass(frozen=True, slots=True)
class Ready:
    """An answer as its client gets it. ``body`` belongs to the engine: an observer that wants its bytes reads
    them with ``chunks(keep=True)`` before it returns."""

    status: int
    headers: Sequence[tuple[str, str]]
    content_type: str
    body: Body


class Observer(Protocol):
    """Raises nothing: what an observer cannot do must never take a picture from its client."""

    def on_dispatched(self, job: Job) -> None: ...

    async def on_answered_error(self, job: Job, error: GatewayError) -> None: ...

    async def on_finished(self, job: Job, ready: Ready | None) -> None: ...

    async def on_client_left(self, job: Job, ready: Ready | None) -> None:
        """``ready`` None: it is not there yet, and :meth:`on_finished` follows."""
        ...


class Unobserved:
    """Nobody wants to know."""

    def on_dispatched(self, job: Job) -> None:
        """Nothing."""

    async def on_answered_error(self, job: Job, error: GatewayError) -> None:
        """Nothing."""

    async def on_finished(self, job: Job, ready: Ready | None) -> None:
        """Nothing."""

    async def on_client_left(self, job: Job, ready: Ready | None) -> None:
        """Nothing."""
