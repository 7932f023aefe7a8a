"""Who calls, what they may spend, and the configuration that says so."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PROJECTS, KEYS, USERS = 5, 4, 3
TIGHT, NARROW = "p0", "p2"
"""The project that :func:`tight` leaves little, and the one with a limit on calls at once."""

USUAL_COST = 0.04
"""Dollars of an average call of :func:`ask`."""

FAILURES = (
    "error server_error", "error overloaded", "reset before_headers", "empty_data", "cut 500 bytes=20000",
    "ok usage=none",
)  # fmt: skip
"""No 429: its retry-after would let the only target rest, and nothing would be under load."""

SUCCESS = 0.83


@dataclass(frozen=True, slots=True)
class Caller:
    project: str
    key_id: str
    key: str
    users: tuple[str, ...]


def callers() -> list[Caller]:
    return [
        Caller(f"p{p}", f"p{p}/k{k}", f"key {k} of project {p}", tuple(f"u{u}" for u in range(USERS)))
        for p in range(PROJECTS)
        for k in range(KEYS)
    ]


def organization(requests: int, per_second: float) -> Mapping[str, Any]:
    """Limits of every level that refuse a good part of ``requests``, some from the middle of the run on and
    some in every minute anew."""
    spend = requests * USUAL_COST

    def usd(amount: float) -> str:
        return f"{amount:.4f}"

    projects = []
    for p in range(PROJECTS):
        limits: list[dict[str, Any]] = [
            {"spend_usd": usd(per_second * 60 * USUAL_COST / PROJECTS * 0.8), "per": "minute"},
            {"spend_usd": usd(spend / PROJECTS * (0.4 if p == 0 else 2)), "per": "total"},
        ]
        if p == 1:
            limits.append({"spend_usd": usd(spend / PROJECTS * 0.5), "per": "day", "rolling": True})
        if f"p{p}" == NARROW:
            limits.append({"concurrent": 4})
        keys = [
            {
                "name": f"k{k}",
                "sha256": hashlib.sha256(f"key {k} of project {p}".encode()).hexdigest(),
                "limits": [
                    {"spend_usd": usd(spend / PROJECTS / KEYS * (0.3 if k == 0 else 2)), "per": "total"}
                ],
            }
            for k in range(KEYS)
        ]
        users = [
            {"images": max(requests // (PROJECTS * KEYS * USERS), 3), "per": "total"},
            {"spend_usd": usd(spend / PROJECTS / KEYS / USERS * 0.9), "per": "month"},
        ]
        projects.append({"name": f"p{p}", "limits": limits, "keys": keys, "end_user_limits": users})
    whole = [
        {"spend_usd": usd(per_second * 60 * USUAL_COST * 0.7), "per": "minute"},
        {"spend_usd": usd(spend * 0.7), "per": "total"},
    ]
    return {"limits": whole, "projects": projects}


def tight(per_minute: str) -> Mapping[str, Any]:
    """Limits of every level with room for everybody, but for one project that may spend so many dollars a
    minute."""
    whole = organization(100_000, 100)
    first, *others = whole["projects"]
    assert first["name"] == TIGHT
    limits = [{"spend_usd": per_minute, "per": "minute"}, *first["limits"][1:]]
    return {**whole, "projects": [{**first, "limits": limits}, *others]}


def config(upstream: str, storage: Mapping[str, str], requests: int, per_second: float) -> Mapping[str, Any]:
    return {
        "providers": {"up": {"type": "openai", "base_url": upstream, "api_key": "env:UPSTREAM_KEY"}},
        "models": {"gpt-image-2": {"targets": [{"provider": "up"}]}},
        "routing": {"deadline": "20s"},
        "storage": storage,
        "organization": organization(requests, per_second),
    }


def ask(number: int, dice: random.Random, user: str, slow: float) -> dict[str, Any]:
    """One call, whose number the upstream finds in its prompt, with what is to become of it."""
    seconds = dice.uniform(0.2, 1.0) * slow
    failure = dice.random() >= SUCCESS
    what = dice.choice(FAILURES) if failure else "ok bytes=20000"
    delay = "" if what == "empty_data" else f" delay={seconds:.2f}"
    quality = dice.choices(("low", "medium", "high"), (55, 40, 5))[0]
    return {
        "model": "gpt-image-2",
        "prompt": f"soak #{number}# [upstream: {what}{delay}]",
        "size": "1024x1024",
        "quality": quality,
        "n": dice.choices((1, 2, 3), (80, 15, 5))[0],
        "user": user,
    }
