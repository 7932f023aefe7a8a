"""What the YAML may say of public names: the targets behind one, and what it fills in for the caller."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from config.normalization import ModelNormalizationSettings
from config.prices import PriceSettings
from config.routing import Select, WhenSettings
from config.units import Name, Strict


def _field_value(value: object) -> object:
    if not isinstance(value, str | int | bool):
        raise ValueError("expected text, a whole number, true or false")
    return value


FieldValue = Annotated[str | int | bool, BeforeValidator(_field_value)]


class TargetSettings(Strict):
    """One provider and that provider's own model."""

    provider: Name = Field(description="A name under providers.")
    model: str | None = Field(None, description="The provider's model or deployment name; default: ours.")
    catalog: str | None = Field(
        None,
        description="The catalog entry that describes it, where the name does not say (Azure deployments).",
    )
    prices: list[PriceSettings] = Field([], description="What this target costs, where it is not as known.")
    priority: int = Field(
        1, ge=1, le=100, description="Targets of a lower number are all tried before those of a higher one."
    )
    weight: int = Field(
        1, ge=1, le=1000, description="With select: weighted, its share of the calls among its equals."
    )
    when: WhenSettings | None = Field(None, description="Used only for calls that these conditions fit.")


class ModelSettings(Strict):
    """A name that clients send, and what stands behind it."""

    targets: list[TargetSettings] = Field(
        min_length=1, description="What may serve it, in the order of select."
    )
    select: Select = Field(
        "priority",
        description="Which of the targets of one priority comes first: as they stand, by weight, the fastest "
        "or the cheapest.",
    )
    defaults: dict[str, FieldValue] = Field({}, description="Fields used where the caller sent none.")
    resolve_auto: bool | None = Field(
        None,
        description="Whether defaults for size and quality also take the place of auto, so that what a call "
        "can cost is known exactly; default: where a dollar limit applies.",
    )
    catalog: str | None = Field(None, description="The catalog entry callers are validated against.")
    normalization: ModelNormalizationSettings = ModelNormalizationSettings()
