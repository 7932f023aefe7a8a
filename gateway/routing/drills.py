"""``x-imagegate-drill``: a caller makes attempts fail on purpose, to see that its requests outlive it.

``azure=overloaded`` fails every attempt at a provider, ``timeout@1`` the first attempt wherever it goes; a
failure is named by its kind or its certainty. The provider is not called, nothing is paid, and what is known
of its health does not change: other people's requests must not feel a drill.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from gateway.errors import Forbidden, InvalidRequest
from gateway.routing.failure import Failure
from providers.base import Certainty, Kind

HEADER = "x-imagegate-drill"
_MOST = 10
"""Attempts that a request may make."""

_USUAL: Mapping[Kind, Certainty] = {
    Kind.SERVER: Certainty.FAILED,
    Kind.TIMEOUT: Certainty.MAYBE_ACCEPTED,
    Kind.EMPTY: Certainty.ANSWERED,
    Kind.BAD_PAYLOAD: Certainty.ANSWERED,
}
"""The certainty that failures of a kind most often have; ``rejected`` where a kind is missing."""

_TYPICAL: Mapping[Certainty, Kind] = {
    Certainty.NOT_SENT: Kind.SERVER,
    Certainty.REJECTED: Kind.OVERLOADED,
    Certainty.FAILED: Kind.SERVER,
    Certainty.MAYBE_ACCEPTED: Kind.SERVER,
    Certainty.ANSWERED: Kind.BAD_PAYLOAD,
}


@dataclass(frozen=True, slots=True)
class Drill:
    """Failures by provider, and by the number of the attempt, from 1."""

    providers: dict[str, Failure] = field(default_factory=dict)
    attempts: dict[int, Failure] = field(default_factory=dict)

    def failure(self, provider: str, attempt: int) -> Failure | None:
        """What happens to this attempt instead of a call."""
        return self.attempts.get(attempt) or self.providers.get(provider)


def read_drill(text: str | None, allowed: bool, providers: Collection[str]) -> Drill:
    """``allowed`` is the project's ``drills``. Raises :class:`InvalidRequest` or :class:`Forbidden`."""
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if words and not allowed:
        raise Forbidden(
            f"This project may not hold drills. Leave {HEADER} out, or ask for drills: true in the project's "
            "settings.",
            code="drill_not_allowed",
            param=HEADER,
        )
    drill = Drill({}, {})
    for word in words:
        if not _takes(word, drill, providers):
            raise InvalidRequest(
                f"{HEADER} takes PROVIDER=FAILURE, such as azure=overloaded, or FAILURE@ATTEMPT, such as "
                f"timeout@1. Failures: {', '.join([*Kind, *Certainty])}.",
                code="invalid_value",
                param=HEADER,
            )
    return drill


def _takes(word: str, drill: Drill, providers: Collection[str]) -> bool:
    """Whether the word could be read; it is in the drill then."""
    provider, equals, failure = (part.strip() for part in word.partition("="))
    if equals:
        drilled = _failure(failure)
        if provider not in providers or drilled is None:
            return False
        drill.providers[provider] = drilled
        return True
    failure, _, number = (part.strip() for part in word.partition("@"))
    drilled = _failure(failure)
    if drilled is None or not number.isdecimal() or not 1 <= int(number[:3]) <= _MOST:
        return False
    drill.attempts[int(number)] = drilled
    return True


def _failure(word: str) -> Failure | None:
    if word in set(Certainty):
        return Failure(_TYPICAL[Certainty(word)], Certainty(word))
    if word in set(Kind):
        return Failure(Kind(word), _USUAL.get(Kind(word), Certainty.REJECTED))
    return None
