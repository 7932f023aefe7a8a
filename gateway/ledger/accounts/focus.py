"""Lines as FOCUS 1.2 has them: the FinOps Open Cost and Usage Specification,
https://focus.finops.org/focus-specification/v1-2/

* Usage is ``ChargeCategory`` Usage, over the day on which it was admitted. What became known of a closed
  month afterwards is Usage too, with ``ChargeClass`` Correction and the day on which it was admitted, as the
  specification wants it; the billing period is the month that books it. Credits are Credit.
* ``BilledCost`` may not be null: an attempt whose cost is not known has 0 there and its expected cost in
  ``x_UnknownCost``.
* One price is all there is, so contracted, effective and list cost are the billed one, and unit prices are
  left out: a picture has no unit price.
* Labels are tags without a prefix, request tags have the prefix ``request/``: two schemes, one without.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from gateway.ledger.accounts.lines import ADJUSTMENT, CREDIT, LATE, TOKENS, Line
from gateway.ledger.accounts.money import exact
from gateway.ledger.accounts.sheet import safe
from gateway.ledger.tables import from_micros

VERSION = "1.2"
SERVICE = "Image Generation"

COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingCurrency", "BillingPeriodEnd",
    "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "EffectiveCost", "InvoiceIssuerName", "ListCost", "PricingCategory", "PricingQuantity", "PricingUnit",
    "ProviderName", "PublisherName", "ResourceId", "ResourceName", "ResourceType", "ServiceCategory",
    "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter", "SkuPriceId", "SubAccountId", "SubAccountName",
    "Tags", "x_AttemptId", "x_ExternalKeyId", "x_Flags", "x_LineId", "x_LineKind", "x_Model", "x_Note",
    "x_Operation", "x_PriceVersion", "x_Quality", "x_Size", "x_State", "x_UnknownCost",
    *("x_" + "".join(part.capitalize() for part in name.split("_")) for name in TOKENS),
)  # fmt: skip

_NUMBERS = frozenset(
    {"BilledCost", "ContractedCost", "EffectiveCost", "ListCost", "x_UnknownCost"}
    | {"ConsumedQuantity", "PricingQuantity", *(name for name in COLUMNS if name.endswith("Tokens"))}
)


@dataclass(frozen=True, slots=True)
class Period:
    """The billing period and whose bill it is."""

    organization: str
    timezone: str
    start: datetime
    end: datetime


class Focus:
    def __init__(self, period: Period) -> None:
        self._zone = ZoneInfo(period.timezone)
        self._days: dict[date, tuple[str, str]] = {}
        self._of_bill = {
            "BillingAccountId": period.organization,
            "BillingAccountName": period.organization,
            "BillingCurrency": "USD",
            "BillingPeriodEnd": _utc(period.end),
            "BillingPeriodStart": _utc(period.start),
            "ServiceCategory": "AI and Machine Learning",
            "ServiceName": SERVICE,
            "ServiceSubcategory": "Generative AI",
        }

    def facts(self, line: Line) -> dict[str, str]:
        """Every column, empty where it is null."""
        cost = exact(line.cost or 0)
        facts = dict.fromkeys(COLUMNS, "") | self._of_bill | self._period(line)
        facts |= dict.fromkeys(("BilledCost", "ContractedCost", "EffectiveCost", "ListCost"), cost)
        facts |= self._credit(line) if line.kind == CREDIT else self._usage(line)
        if line.project_id:
            facts |= {"SubAccountId": line.project_id, "SubAccountName": line.project or line.project_id}
        if line.key_id:
            facts |= {"ResourceId": line.key_id, "ResourceName": line.key, "ResourceType": "API Key"}
        return facts | _own(line)

    def cells(self, line: Line) -> list[str]:
        return [value if name in _NUMBERS else safe(value) for name, value in self.facts(line).items()]

    def _usage(self, line: Line) -> dict[str, str]:
        sku = f"{line.provider}/{line.upstream_model}"
        images = str(line.images or 0)
        size = " ".join(part for part in (line.size, line.quality) if part)
        return {
            "ChargeCategory": "Usage",
            "ChargeClass": "Correction" if line.kind in (ADJUSTMENT, LATE) else "",
            "ChargeDescription": " ".join(f"{line.model} {line.operation} {size}".split()),
            "ChargeFrequency": "Usage-Based",
            "ConsumedQuantity": images,
            "ConsumedUnit": "Images",
            "InvoiceIssuerName": line.provider,
            "PricingCategory": "Standard",
            "PricingQuantity": images,
            "PricingUnit": "Images",
            "ProviderName": line.provider,
            "PublisherName": line.provider,
            "SkuId": sku,
            "SkuMeter": "Images",
            "SkuPriceId": f"{sku}@{line.price_version or 'unpriced'}",
            "Tags": json.dumps(_tags(line), ensure_ascii=False, sort_keys=True),
        }

    def _credit(self, line: Line) -> dict[str, str]:
        issuer = self._of_bill["BillingAccountName"]
        return {
            "ChargeCategory": "Credit",
            "ChargeDescription": line.note,
            "ChargeFrequency": "One-Time",
            "InvoiceIssuerName": issuer,
            "ProviderName": issuer,
            "PublisherName": issuer,
        }

    def _period(self, line: Line) -> dict[str, str]:
        of_earlier = line.kind in (ADJUSTMENT, LATE)
        day = (
            from_micros(line.received_at).astimezone(self._zone).date()
            if of_earlier
            else date.fromisoformat(line.day)
        )
        if day not in self._days:
            self._days[day] = (self._midnight(day), self._midnight(day + timedelta(days=1)))
        start, end = self._days[day]
        return {"ChargePeriodEnd": end, "ChargePeriodStart": start}

    def _midnight(self, day: date) -> str:
        return _utc(datetime(day.year, day.month, day.day, tzinfo=self._zone))


def _own(line: Line) -> dict[str, str]:
    counts = {
        name: "" if value is None else str(value)
        for name, value in zip(COLUMNS[-len(TOKENS) :], (getattr(line, name) for name in TOKENS), strict=True)
    }
    return {
        "x_AttemptId": line.attempt_id,
        "x_ExternalKeyId": line.external_key_id,
        "x_Flags": line.flags,
        "x_LineId": line.line_id,
        "x_LineKind": line.kind,
        "x_Model": line.model,
        "x_Note": line.note,
        "x_Operation": line.operation,
        "x_PriceVersion": line.price_version,
        "x_Quality": line.quality,
        "x_Size": line.size,
        "x_State": line.state,
        "x_UnknownCost": "" if line.unknown is None else exact(line.unknown),
        **counts,
    }


def _tags(line: Line) -> Mapping[str, str]:
    return {**line.labels, **{f"request/{name}": value for name, value in line.tags.items()}}


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
