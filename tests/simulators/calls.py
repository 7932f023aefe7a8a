"""What the fake upstream remembers of each request, for a test to assert on."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.simulators.behaviours import Behaviour
from tests.simulators.forms import FilePart
from tests.simulators.refusals import Refusal


@dataclass(slots=True, eq=False)
class Call:
    """One request that arrived whole (but for behaviours that act at its head).

    ``fields`` are its values: JSON types from JSON, text from a form, without the files, which are in
    ``files`` in their order. ``usage`` is what OpenAI would charge for, None for a refusal. ``status`` is
    what was answered, None where nothing was. ``disconnected``: the client left before it had been given
    every byte of the answer (those that its machine had taken, read or not, count as given).
    """

    number: int
    connection: int
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    header_list: list[tuple[str, str]]
    body: bytes
    received_at: float
    """The event loop's clock, in seconds."""
    operation: str | None = None
    """``generations`` or ``edits``."""
    fields: Mapping[str, object] = field(default_factory=dict)
    files: list[FilePart] = field(default_factory=list)
    behaviour: Behaviour | None = None
    problem: Refusal | None = None
    """What OpenAI would have refused, also where a plan made the upstream do something else."""
    request_id: str = ""
    status: int | None = None
    usage: Mapping[str, object] | None = None
    sent: int = 0
    """Bytes of the answer's body handed over."""
    answered: bool = False
    disconnected: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the upstream has nothing more to do with it."""

    @property
    def json(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/json")

    def summary(self) -> dict[str, object]:
        """The JSON form that a process of its own tells."""
        return {
            "number": self.number,
            "connection": self.connection,
            "method": self.method,
            "path": self.path,
            "headers": dict(self.headers),
            "fields": dict(self.fields),
            "files": [{"name": part.name, "filename": part.filename} for part in self.files],
            "request_id": self.request_id,
            "status": self.status,
            "usage": self.usage,
            "sent": self.sent,
            "answered": self.answered,
            "disconnected": self.disconnected,
        }
