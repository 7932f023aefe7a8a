"""What an account's provider bills where it gives no picture, as far as its terms say."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from config.units import Strict

Billed = Literal["yes", "no", "unknown"]


class BilledOnError(Strict):
    """yes: what was expected is charged; no: nothing; unknown: it counts against limits until it is found
    out, or organization.unknown decides it. What an answer itself says of its cost comes first."""

    moderation: Billed = Field(
        "unknown", description="A safety refusal, unless it says that it came before any work."
    )
    failed: Billed = Field("no", description="A complete error (5xx) in the provider's own words.")
