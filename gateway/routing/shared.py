"""What replicas tell each other of targets: who was taken out and who asked to be left alone, and until when.

Nobody waits for it. A replica writes a note and goes on, and reads what it last heard; a note carries its own
end, so that one that is never taken back is over all the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.routing.names import TargetName

OPEN = "open"
"""A note's kind for a target that was taken out; every other kind is a cooldown's."""


@dataclass(frozen=True, slots=True)
class Note:
    """``seconds`` are left from now on; ``cause`` is a word for explanations."""

    target: TargetName
    kind: str
    seconds: float
    cause: str = ""


class SharedHealth(Protocol):
    """Never raises and never blocks."""

    def publish(self, note: Note) -> None: ...

    def withdraw(self, target: TargetName) -> None:
        """A target that was taken out is well again."""

    def heard(self) -> Sequence[Note] | None:
        """What holds over all replicas, as far as it is known; None where nothing is (nobody else, or the
        store cannot be reached)."""


class Alone:
    """One replica: what it knows is all there is."""

    def publish(self, note: Note) -> None:
        return None

    def withdraw(self, target: TargetName) -> None:
        return None

    def heard(self) -> Sequence[Note] | None:
        return None
