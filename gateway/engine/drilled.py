"""A failure that a caller asked for with ``x-imagegate-drill``: no provider was called, nothing was paid."""

from __future__ import annotations

from gateway.routing.drills import HEADER
from gateway.routing.failure import Failure
from providers.base import ProviderError


class Drilled(ProviderError):
    """``failure`` is what happens to an attempt at ``provider`` instead of its call."""

    def __init__(self, failure: Failure, provider: str) -> None:
        super().__init__(
            failure.kind,
            failure.certainty,
            f"Provider '{provider}' was not called: {HEADER} asked for this failure.",
            code=None,
            billed="no",
        )
