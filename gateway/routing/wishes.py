"""``x-imagegate-providers``: which providers a caller prefers and which it will not have."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gateway.errors import Forbidden, InvalidRequest

HEADER = "x-imagegate-providers"
_MOST = 16
_NOT = "-!"


@dataclass(frozen=True, slots=True)
class Wishes:
    """Names of providers; ``prefer`` in order."""

    prefer: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()


def read_wishes(text: str | None, allowed: Collection[str], providers: Collection[str]) -> Wishes:
    """From ``google, -azure``: google first, azure not at all; ``!azure`` says the same. ``allowed`` are the
    project's ``providers_header``. Raises :class:`InvalidRequest` or :class:`Forbidden`."""
    words = [word.strip() for word in (text or "").split(",") if word.strip()]
    if len(words) > _MOST:
        raise InvalidRequest(f"{HEADER} names at most {_MOST} providers.", code="invalid_value", param=HEADER)
    prefer = [word for word in words if word[0] not in _NOT]
    exclude = [word[1:].strip() for word in words if word[0] in _NOT]
    for names, verb in ((prefer, "prefer"), (exclude, "exclude")):
        if names and verb not in allowed:
            raise Forbidden(
                f"This project may not {verb} providers. Leave {HEADER} out, or ask for "
                f"providers_header: [{verb}] in the project's settings.",
                code="providers_header_not_allowed",
                param=HEADER,
            )
        for name in names:
            if name not in providers:
                raise InvalidRequest(
                    f"{HEADER} names a provider that is not configured. Write names such as "
                    f"'{min(providers, default='openai')}', with a '-' before those to leave out.",
                    code="invalid_value",
                    param=HEADER,
                )
    return Wishes(tuple(dict.fromkeys(prefer)), frozenset(exclude))
