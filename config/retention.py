"""What the YAML may say of how long the ledger's rows are kept; docs/storage.md has what else is kept, and
for how long."""

from __future__ import annotations

from pydantic import Field, model_validator

from config.units import Seconds, Strict

DAY = 86_400.0


class RetentionSettings(Strict):
    """How long rows of the ledger are kept. Sums and closed months stay for good."""

    requests: Seconds = Field(
        30 * DAY,
        ge=3600,
        description="The log of requests: what GET /v1/images/requests tells. Then end users' names, the "
        "request ids of clients and what was adjusted are removed from the rows.",
    )
    ledger: Seconds = Field(
        400 * DAY,
        ge=32 * DAY,
        description="The rows of calls and what they cost, counted from when they were received. They stay "
        "until their month and the one after it are closed, and while a call near them has no known end.",
    )

    @model_validator(mode="after")
    def _log_within_ledger(self) -> RetentionSettings:
        if self.requests > self.ledger:
            raise ValueError("requests is longer than ledger: the log goes with the ledger's rows")
        return self
