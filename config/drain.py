"""What the YAML may say of the way out: how long a gateway that was told to stop goes on.

The meaning of each step is in docs/operations.md.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from config.routing import RoutingSettings
from config.units import Seconds, Strict

LAST_SECONDS = 10.0
"""Of the grace; in them what still runs is written down as unknown, and the process ends."""

MARGIN_SECONDS = 15.0
"""Added to the longest time that a call can take, where no grace is set."""


class DrainSettings(Strict):
    """What happens between SIGTERM and the end of the process."""

    delay: Seconds = Field(
        5.0,
        ge=0,
        le=300,
        description="After SIGTERM the gateway says on /readyz that it takes no more, refuses new images and "
        "listens for so long, until whoever sends it requests has noticed. Ctrl+C does without.",
    )
    grace: Seconds | None = Field(
        None,
        gt=0,
        le=7200,
        description="From the signal to the end of the process, at most; what still runs 10 s before is "
        "broken off and written down as unknown. Default: routing.deadline + 135 s, within which every call "
        "comes to its end. Whoever stops the process must wait longer than this before he kills it.",
    )

    @model_validator(mode="after")
    def _leaves_time(self) -> DrainSettings:
        if self.grace is not None and self.grace <= self.delay + LAST_SECONDS:
            raise ValueError(
                "grace must be longer than delay by more than 10 s, which the end itself may take"
            )
        return self


def grace_of(drain: DrainSettings, routing: RoutingSettings) -> float:
    """Seconds from the signal to the end of the process, at most."""
    return routing.longest_call + MARGIN_SECONDS if drain.grace is None else drain.grace
