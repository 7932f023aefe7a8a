"""What passes between the HTTP face and the engine, besides the call itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from gateway.images.call import ImageCall
from gateway.media.uploads import Uploads
from gateway.routing.directory import PublicModel
from gateway.routing.drills import Drill
from gateway.routing.wishes import Wishes

CLIENT_GONE = 499
"""What log and ledger say of a request whose client left before there was an answer."""


Reread = Callable[[str], Awaitable[tuple[ImageCall, PublicModel]]]
"""The same request read for another public model, which a rule puts in the place of the one it names."""


def _nobody_left() -> bool:
    return False


async def unreadable(model: str) -> tuple[ImageCall, PublicModel]:
    """A request whose body is not there any more."""
    raise LookupError(f"the request cannot be read again for the model {model}")


def _nobody_watches(act: Callable[[], None]) -> None:
    pass


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """``request_id`` is ours (``req_`` + 32 hex), ``client_request_id`` the client's ``X-Client-Request-Id``,
    ``received_at`` UTC, ``started`` the ``perf_counter`` at which the request arrived, in seconds."""

    request_id: str
    received_at: datetime
    started: float
    client_request_id: str | None = None
    notes: dict[str, object] = field(default_factory=dict)
    """What the request's one log line will say; the engine adds to it, the HTTP face writes it."""
    end_user: str | None = None
    """From the project's ``end_user_header``, where the call itself names none."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """The allowed names of ``x-imagegate-tags``."""
    gone: Callable[[], bool] = _nobody_left
    """Whether the client has left by now."""
    uploads: Uploads = field(default_factory=Uploads)
    """Owns the request's files; pictures that are fetched for it go there, too."""
    base_url: str = ""
    """How the client reaches the gateway, for links in its answer."""
    wishes: Wishes = field(default_factory=Wishes)
    """Which providers the caller prefers, and which it will not have."""
    drill: Drill = field(default_factory=Drill)
    """Failures that the caller wants to see."""
    reread: Reread = unreadable
    """Until the call is planned."""
    when_gone: Callable[[Callable[[], None]], None] = _nobody_watches
    """Has something done when the client leaves."""
    idempotency_key: str | None = None
    is_retry: bool = False
    """Whether the call says that it repeats an earlier one."""
    respond_async: bool = False


@dataclass(slots=True)
class Answer:
    """A success, ready to be delivered. ``length`` is in bytes, None for a stream of events.

    ``chunks`` may be read once; ``delivered`` must be awaited exactly once with whether the client was
    given every byte: it frees the spool and writes the request's last record.
    """

    status: int
    headers: Sequence[tuple[str, str]]
    content_type: str
    chunks: AsyncIterator[bytes]
    length: int | None
    delivered: Callable[[bool], Awaitable[None]]
