"""What proves to an upstream who calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from config.secrets import Secret


@dataclass(frozen=True, slots=True)
class Credential:
    """The headers that say it, and what of their values no message may repeat."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


NO_CREDENTIAL = Credential()
"""Of an account that needs none, or whose calls are signed one by one."""


def bearer(token: Secret) -> Credential:
    """``Authorization: Bearer``."""
    return Credential({"authorization": f"Bearer {token.reveal()}"}, (token.reveal(),))


def key_in(header: str, key: Secret) -> Credential:
    """A key as it is, in a header of its own."""
    return Credential({header: key.reveal()}, (key.reveal(),))
