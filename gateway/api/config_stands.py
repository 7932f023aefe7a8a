"""Which version of the configuration is in force, and what became of the last one: for those who look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Refused:
    """The files' newest state, which cannot be served. ``problems`` are lines of ``file:line:column: path:
    message``."""

    at: datetime
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ConfigStands:
    """``version`` counts from 1 in each process; ``digest`` is of the files' contents, the same wherever the
    same files are in force. ``because``: start, files, command or signal. ``waiting`` are the settings whose
    new value waits for a restart. ``refused`` is None where the newest state is the one in force."""

    version: int
    digest: str
    origin: str
    applied_at: datetime
    because: str = "start"
    waiting: tuple[str, ...] = ()
    refused: Refused | None = None

    def public(self) -> dict[str, Any]:
        """What anybody may know."""
        refused = None
        if self.refused is not None:
            refused = {"at": _moment(self.refused.at), "problems": len(self.refused.problems)}
        return {
            "version": self.version,
            "digest": self.digest,
            "applied_at": _moment(self.applied_at),
            "waiting_for_restart": len(self.waiting),
            "refused": refused,
        }

    def whole(self) -> dict[str, Any]:
        """What operators are told: names of files and settings, and why."""
        told = {**self.public(), "origin": self.origin, "because": self.because}
        told["waiting_for_restart"] = list(self.waiting)
        if self.refused is not None:
            told["refused"] = {"at": _moment(self.refused.at), "problems": list(self.refused.problems)}
        return told


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


class InForce:
    """The one place that says it; whoever asks gets the newest."""

    def __init__(self, now: ConfigStands) -> None:
        self.now = now
