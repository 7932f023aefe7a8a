"""The ways in which an upstream fails, and what each must come to for the caller and in the books."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.conformance.judging import Cell, Verdict
from tests.conformance.told import Told


@dataclass(frozen=True, slots=True)
class Outcome:
    """``code`` None: whatever the upstream says. ``states`` are the ends that the attempt's row may have."""

    status: tuple[int, ...]
    code: str | None
    states: frozenset[str]


_CLEAR = frozenset({"released"})
_UNCLEAR = frozenset({"unknown"})
_ANSWERED = frozenset({"unknown", "settled"})

TROUBLES: Mapping[str, Outcome] = {
    "wrong key": Outcome((502,), "upstream_auth_failed", _CLEAR),
    "unknown model": Outcome((502,), "upstream_model_not_found", _CLEAR),
    "rate limit": Outcome((429,), "rate_limit_exceeded", _CLEAR),
    "no credit": Outcome((429,), "insufficient_quota", _CLEAR),
    "overloaded": Outcome((503,), "server_is_overloaded", _CLEAR),
    "bad request": Outcome((400, 413, 422), None, _CLEAR),
    "prompt refused": Outcome((400,), "moderation_blocked", frozenset({"released", "unknown", "settled"})),
    "picture refused": Outcome((400,), "moderation_blocked", _ANSWERED),
    "server error": Outcome(tuple(range(500, 600)), None, _CLEAR),
    "proxy's 502": Outcome((502,), "upstream_unknown", _UNCLEAR),
    "reset": Outcome((502,), "upstream_unknown", _UNCLEAR),
    "cut answer": Outcome((502,), "bad_upstream_payload", _ANSWERED),
    "no picture": Outcome((502,), "empty_result", _ANSWERED),
}


def judge_trouble(
    name: str, told: Told, states: list[str], secrets: list[str], text: str, *, pause: bool = False
) -> Cell:
    """``states`` are those of the request's attempts, ``text`` the whole answer, which tells no secret. SDKs
    must not repeat by themselves what may have been paid for. A ``pause`` that was asked for is told."""
    expected, error = TROUBLES[name], told.error or {}
    retries = f"retry {told.should_retry} after {told.retry_after}"
    said = f"{told.status} {error.get('code')} {states}, {retries}: {error.get('message')}"
    right = (
        told.status in expected.status
        and {"message", "type", "param", "code"} <= error.keys()
        and (expected.code is None or error["code"] == expected.code)
        and len(states) == 1
        and states[0] in expected.states
        and (states[0] == "released" or told.should_retry == "false")
        and (told.retry_after is not None or not pause)
        and not any(secret in text for secret in secrets)
    )
    return Cell(Verdict.REFUSED, states[0]) if right else Cell(Verdict.WRONG, said)
