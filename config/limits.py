"""What a limit may say: one measure, an amount, a window; and what goes with limits (alerts, the time after
which an unknown outcome is decided, what may be spent while the store is away).

Every combination that would mean nothing is refused here: a limit that is written down and does nothing is
worse than none, because its owner believes in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from config.secrets import SecretRef
from config.units import Dollars, Seconds, Share, Strict, parse_day

Period = Literal["minute", "hour", "day", "week", "month", "quarter", "year", "total"]
Measure = Literal["spend_usd", "images", "requests", "tokens", "concurrent"]
MEASURES: Sequence[Measure] = ("spend_usd", "images", "requests", "tokens", "concurrent")

MAX_DOLLARS = 9_000_000
"""Nano-dollars are counted exactly below 2^53: $9.0 million."""

MAX_COUNT = 2**53 - 1
MAX_PER_MINUTE = 10**10
"""Of a rate, whose debt is kept in 1/60,000 of a unit."""


_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(Z|[+-]\d\d:\d\d)?")


def parse_amount(value: object) -> Decimal:
    """An amount of any measure: dollars with at most nine decimals, or a whole number."""
    text = f"{value:f}" if isinstance(value, Decimal) else str(value).strip()
    if isinstance(value, bool) or re.fullmatch(r"\d{1,16}(\.\d{1,9})?", text) is None:
        raise ValueError(f"expected an amount such as 500 or 0.50, got {str(value)!r}")
    return Decimal(text)


def parse_until(value: object) -> date | datetime:
    """``2026-12-24`` (a day), ``2026-12-24T18:00`` (by the organisation's clock) or, with an offset or Z, an
    instant."""
    if isinstance(value, date):
        return value
    try:
        is_moment = isinstance(value, str) and _MOMENT.fullmatch(value)
        until = datetime.fromisoformat(str(value)) if is_moment else parse_day(value)
        if not 2000 <= until.year < 3000:
            raise ValueError
        return until
    except ValueError:
        raise ValueError(
            f"expected a day or a moment such as 2026-12-24 or 2026-12-24T18:00, got {str(value)!r}"
        ) from None


Count = Annotated[int, Field(strict=True, ge=1, le=MAX_COUNT)]
Amount = Annotated[
    Decimal,
    BeforeValidator(parse_amount),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number"}], "format": "amount", "examples": [500, "0.50"]}
    ),
]
Until = Annotated[
    date,
    PlainValidator(parse_until),
    PlainSerializer(lambda moment: moment.isoformat(), return_type=str),
    WithJsonSchema({"type": "string", "format": "moment", "examples": ["2026-12-24T18:00", "2026-12-24"]}),
]


class TemporarySettings(Strict):
    """A raise that ends by itself."""

    to: Amount = Field(description="The amount that holds instead, until then; more than the limit's own.")
    until: Until = Field(
        description="The last day on which it holds, or a moment; in the organisation's time zone."
    )


class LimitSettings(Strict):
    """A threshold on one measure over a window. The same for organization, project, key and end user; where
    several apply, each must hold."""

    spend_usd: Dollars | None = Field(
        None, le=MAX_DOLLARS, description="Dollars. No call is admitted that could cost more than is left."
    )
    images: Count | None = Field(None, description="Pictures asked for.")
    requests: Count | None = Field(None, description="Calls; one that is repeated inside counts once.")
    tokens: Count | None = Field(None, description="Tokens in and out.")
    concurrent: Count | None = Field(None, description="Calls that run at once. Takes no per.")
    per: Period | None = Field(
        None,
        description="The window, a calendar's in the organisation's time zone; weeks begin on Monday, total "
        "has no end. A minute of images, requests or tokens is a rate: it refills all the time.",
    )
    rolling: bool = Field(
        False, description="The last 60 minutes instead of this hour, and so on; a month is 30 days then."
    )
    model: str | None = Field(
        None, description="Counts calls of this public model alone; default: all models together."
    )
    shadow: bool = Field(False, description="On trial: counted and reported, but refuses nothing.")
    alert_at: list[Share] = Field(
        [], description="Shares of the amount at which an alert goes out, once in each window."
    )
    temporary: TemporarySettings | None = Field(None, description="A raise with an end date.")
    when_away: Literal["closed", "allowance", "open"] | None = Field(
        None,
        description="What holds while the store of counters cannot be reached: refuse, spend what was set "
        "aside (spend_usd only), or admit. Default: closed for spend_usd, open for the others.",
    )

    @property
    def measure(self) -> Measure:
        """Which of the five it is on."""
        return next(name for name in MEASURES if getattr(self, name) is not None)

    @property
    def amount(self) -> Decimal:
        """Dollars, or a count."""
        return Decimal(getattr(self, self.measure))

    @property
    def is_rate(self) -> bool:
        """Whether it refills all the time, so that it has no window."""
        return self.per == "minute" and not self.rolling and self.measure != "spend_usd"

    @property
    def words(self) -> str:
        """As it is written: ``spend_usd: 5 per day``."""
        rolling = " rolling" if self.rolling else ""
        return f"{self.measure}: {self.amount}" + (f" per{rolling} {self.per}" if self.per else "")

    @model_validator(mode="after")
    def _says_something(self) -> LimitSettings:
        found = [name for name in MEASURES if getattr(self, name) is not None]
        if len(found) != 1:
            said = f", not {' and '.join(found)}" if found else ""
            raise ValueError(f"needs exactly one of spend_usd, images, requests, tokens and concurrent{said}")
        for wrong in (self._window(), self._counting(), self._on_trial(), self._alerts(), self._raise()):
            if wrong is not None:
                raise ValueError(wrong)
        return self

    def _window(self) -> str | None:
        if self.concurrent is not None:
            given = "per" if self.per is not None else "rolling" if self.rolling else None
            return f"concurrent counts what runs now; leave {given}: out" if given else None
        if self.per is None:
            return "needs per: minute, hour, day, week, month, quarter, year or total"
        if self.rolling and self.per == "total":
            return "a total has no end, so it cannot roll; leave rolling: out"
        return None

    def _counting(self) -> str | None:
        if self.is_rate and self.amount > MAX_PER_MINUTE:
            return f"a rate of more than {MAX_PER_MINUTE} per minute cannot be counted exactly"
        if self.when_away == "allowance" and self.measure != "spend_usd":
            return "only spend_usd can have an allowance; write when_away: closed or open"
        if self.when_away == "allowance" and self.rolling:
            return "nothing can be set aside in a rolling window; write when_away: closed or open"
        return None

    def _on_trial(self) -> str | None:
        if self.shadow and self.when_away is not None:
            return "a limit in shadow refuses nothing, so when_away: means nothing; leave it out"
        if self.shadow and self.temporary is not None:
            return "a limit in shadow refuses nothing, so there is nothing to raise; leave temporary: out"
        return None

    def _alerts(self) -> str | None:
        if self.alert_at and (self.is_rate or self.concurrent is not None):
            return "an alert fires once in a window, and this limit has none; leave alert_at: out"
        if any(not 0 < share <= 1 for share in self.alert_at):
            return "alert_at takes shares above 0% and up to 100%"
        if len(set(self.alert_at)) < len(self.alert_at):
            return "alert_at names a share twice"
        return None

    def _raise(self) -> str | None:
        if self.temporary is None:
            return None
        to, highest = self.temporary.to, MAX_DOLLARS if self.spend_usd is not None else MAX_COUNT
        if self.is_rate:
            highest = MAX_PER_MINUTE
        if self.spend_usd is None and to != to.to_integral_value():
            return f"temporary.to is a whole number of {self.measure}"
        if to <= self.amount:
            return f"temporary.to is a raise: write more than {self.amount}"
        if to > highest:
            return f"temporary.to is at most {highest}; more cannot be counted exactly"
        return None


class AlertSettings(Strict):
    """Where alerts of limits (alert_at) go, besides the log and the metrics."""

    webhook: str = Field(description="An https:// address that takes a POST, signed as Standard Webhooks do.")
    secret: SecretRef = Field(description="The signing secret: whsec_ and base64 of at least 24 bytes.")


class UnknownSettings(Strict):
    """What becomes of a call whose outcome nobody knows. Until then its hold counts against its limits."""

    after: Seconds = Field(86400.0, gt=0, description="How long its real outcome is waited for.")
    then: Literal["charge", "release"] = Field(
        "charge", description="Charge what was expected, marked as estimated, or charge nothing."
    )


class AllowanceSettings(Strict):
    """What each replica sets aside of a budget under ``when_away: allowance``, to be spent while the store of
    counters cannot be reached. It is reserved beforehand, so it lies inside the limit."""

    most_usd: Dollars = Field(Decimal(1), gt=0, le=MAX_DOLLARS, description="At most so many dollars.")
    share: Share = Field(
        Decimal("0.01"),
        gt=0,
        le=Decimal("0.5"),
        description="At most this share of what is left.",
        json_schema_extra={"default": "1%"},
    )
