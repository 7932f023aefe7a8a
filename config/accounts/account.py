"""What every provider account may say: how many calls at once, what it pays, its keys."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from config.billed_on_error import BilledOnError
from config.prices import PriceSettings
from config.secrets import SecretRef
from config.units import Strict

CostSource = Literal["catalogue", "provider"]
BILLED = (
    "What is charged where an answer says what it cost: our prices, or the answer. Both are kept; a "
    "difference over 2 % is marked price_drift."
)


class ProviderCommon(Strict):
    max_in_flight: int | None = Field(None, ge=1, description="Calls at once to this account; more wait.")
    max_queue: int = Field(
        100,
        ge=0,
        description="Calls that may wait for a place; one more, or one that would wait past its deadline, "
        "goes to the next target.",
    )
    prices: dict[str, list[PriceSettings]] = Field(
        {},
        description="What this account pays, by the provider's model name, where the catalog says another.",
    )
    cost_source: CostSource = Field("catalogue", description=BILLED)
    billed_on_error: BilledOnError = Field(
        BilledOnError(), description="What is charged for calls that bring no picture."
    )


class KeyedProvider(ProviderCommon):
    """An account that takes an API key, or several in turn."""

    api_keys: list[SecretRef] = Field(
        [],
        description="Several keys of one account, used in turn instead of api_key; one that is refused or "
        "limited is left alone for a while.",
    )

    @model_validator(mode="after")
    def _first_of_several(self) -> Self:
        """What knows of one key alone uses the first."""
        keys: list[SecretRef] = self.api_keys
        if not keys:
            return self
        if "api_key" in self.model_fields_set and getattr(self, "api_key", None) != keys[0]:
            raise ValueError("needs one of api_key and api_keys, not both")
        if len({key.text for key in keys}) < len(keys):
            raise ValueError("api_keys names a key twice")
        object.__setattr__(self, "api_key", keys[0])
        return self
