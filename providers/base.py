"""What every upstream adapter speaks: one request in, one answer or one classified error out.

An adapter translates and nothing else (docs/architecture.md). It knows no keys of ours, no money and no
routing. What it raises is a :class:`ProviderError`, which answers two questions the engine must ask before
it may try elsewhere or refund: *what* went wrong, and *how certain* it is that no picture was paid for::

    ProviderError
      kind       auth · throttled · overloaded · invalid · moderation · not_found · timeout · empty
                 · bad_payload · server
      certainty  not_sent        nothing left this machine that could have started work
                 rejected        a complete answer that proves no work was done
                 failed          a complete 5xx in the provider's own envelope: it says it made nothing
                 maybe_accepted  silence: read time-out, reset after the body was sent, an intermediary's 5xx
                 answered        the provider answered; something about the answer is wrong

An answer is always a stream of bytes in OpenAI's ``ImagesResponse`` dialect, whatever the upstream speaks:
an OpenAI-like upstream's bytes pass through untouched, other adapters write that dialect themselves. So
spool, verification, delivery and accounting exist once.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import BinaryIO, Protocol, runtime_checkable

from providers.scrub import Scrubber


class Operation(StrEnum):
    """The two jobs; the values are OpenAI's path words and the ledger's ``operation`` column."""

    GENERATE = "generations"
    EDIT = "edits"


class Kind(StrEnum):
    AUTH = "auth"
    THROTTLED = "throttled"
    OVERLOADED = "overloaded"
    INVALID = "invalid"
    MODERATION = "moderation"
    NOT_FOUND = "not_found"
    TIMEOUT = "timeout"
    EMPTY = "empty"
    BAD_PAYLOAD = "bad_payload"
    SERVER = "server"


class Certainty(StrEnum):
    NOT_SENT = "not_sent"
    REJECTED = "rejected"
    FAILED = "failed"
    MAYBE_ACCEPTED = "maybe_accepted"
    ANSWERED = "answered"


@dataclass(frozen=True, slots=True)
class InputFile:
    """One uploaded picture (or mask), on disk or in memory, never held twice.

    ``open()`` gives a fresh handle positioned at 0, so that a second target can send the same bytes again.
    The caller of ``open()`` closes the handle. ``size`` is in bytes. ``filename`` and ``content_type`` are
    what goes upstream: already cleaned, never the client's raw header text.
    """

    filename: str
    content_type: str
    size: int
    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class InputRef:
    """A picture named by an https URL or a base64 data URL (JSON edits); forwarded as given."""

    image_url: str


InputImage = InputFile | InputRef


@dataclass(frozen=True, slots=True)
class ImageRequest:
    """A request already fitted to one target, in OpenAI's words.

    ``model`` is the upstream's own model or deployment name. ``params`` holds every field other than
    model, prompt, images, mask and markup, with JSON types (``n`` int, ``stream`` bool, ``svg`` dict).
    """

    operation: Operation
    model: str
    prompt: str
    params: Mapping[str, object] = field(default_factory=dict)
    images: Sequence[InputImage] = ()
    mask: InputImage | None = None
    markup: InputImage | None = None

    @property
    def n(self) -> int:
        n = self.params.get("n")
        return n if isinstance(n, int) else 1

    @property
    def stream(self) -> bool:
        return self.params.get("stream") is True


@dataclass(slots=True)
class ImageResult:
    """A 2xx answer whose body has not been read yet.

    ``body`` yields the bytes of one OpenAI ``ImagesResponse`` JSON document, or, with
    ``content_type`` ``text/event-stream``, OpenAI's image events. It raises :class:`ProviderError`
    (certainty ``answered`` for a cut body, ``maybe_accepted`` for silence) when it cannot be read to its
    end. ``aclose`` must be awaited exactly once, read or not.
    """

    body: AsyncIterator[bytes]
    aclose: Callable[[], Awaitable[None]]
    content_type: str = "application/json"
    upstream_request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    scrub: Scrubber = field(default_factory=Scrubber)
    """Knows the account's secrets, for errors that the upstream speaks inside its answer."""
    cost: Decimal | None = None
    """Dollars that the upstream itself says this call cost, known once the body was read to its end; None
    where it does not say."""


class ProviderError(Exception):
    """A classified upstream failure. ``message`` is scrubbed of keys; it may be shown to the client.

    ``status``, ``code``, ``type``, ``param`` are the upstream's own words where it gave any;
    ``retry_after`` is in seconds; ``billed`` says what the provider's terms say of this failure
    ("yes" / "no" / "unknown", None where there is nothing to say); ``cost`` is what the upstream says that
    this very call cost, in dollars, ``reported_usage`` the tokens that it says it took, as OpenAI's ``usage``
    object; ``details`` is OpenAI's ``moderation_details`` object where one came.
    """

    def __init__(
        self,
        kind: Kind,
        certainty: Certainty,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        type: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        billed: str | None = None,
        cost: Decimal | None = None,
        reported_usage: Mapping[str, object] | None = None,
        details: Mapping[str, object] | None = None,
        upstream_request_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.certainty = certainty
        self.message = message
        self.status = status
        self.code = code
        self.type = type
        self.param = param
        self.retry_after = retry_after
        self.billed = billed
        self.cost = cost
        self.reported_usage = reported_usage
        self.details = details
        self.upstream_request_id = upstream_request_id

    def __repr__(self) -> str:
        return f"ProviderError({self.kind}, {self.certainty}, status={self.status}, code={self.code})"


@dataclass(frozen=True, slots=True)
class Probe:
    """What a free look at an upstream found; it never buys a picture."""

    reachable: bool | None
    """None where nothing was asked, for want of credentials to ask with."""
    key_accepted: bool | None = None
    models: tuple[str, ...] = ()
    detail: str = ""
    shutdowns: Mapping[str, date] = field(default_factory=dict)
    """The days on which models end, of those for which the upstream itself names one."""


@runtime_checkable
class Provider(Protocol):
    """One configured upstream account."""

    name: str
    """The name it has in the YAML (``providers:``)."""

    type: str
    """The adapter's name, e.g. ``openai``, ``azure-openai``."""

    async def send(
        self, request: ImageRequest, deadline: float, *, patience: float | None = None
    ) -> ImageResult:
        """Call the upstream and return as soon as its status line is known to be 2xx.

        ``deadline`` is in seconds from now and bounds the whole call, body included. A call that has no
        connection within ``patience`` seconds (None: until the deadline) is never sent.
        Raises :class:`ProviderError` and nothing else (``CancelledError`` aside).
        """
        ...

    async def probe(self) -> Probe: ...

    async def aclose(self) -> None: ...
