"""An entry of ``catalog:`` in the YAML: a model of the operator's own, or a correction of a packaged entry.

Everything may be left out; config/own_catalog.py fills it from what it extends.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.catalog import Extension
from config.inputs import Inputs
from config.prices import PriceSettings
from config.sizing import Sizing
from config.units import Day, Strict

ModelName = Annotated[str, Field(pattern=r"^[\x21-\x7e]{1,200}$")]


class CatalogSettings(Strict):
    """What is known of one upstream model. What is left out is taken from the entry that it extends, else
    from the catalog's own entry of this id, else nothing is known and everything is passed on."""

    id: ModelName = Field(description="The model's name at its provider.")
    extends: ModelName | None = Field(
        None, description="The entry to start from, such as gpt-image-2; default: the catalog's of this id."
    )
    family: str | None = Field(None, description="Models that are alike; default: the id.")
    providers: list[str] | None = Field(
        None, description="Types of accounts that serve it under this id where there is no models:."
    )
    aliases: list[ModelName] | None = Field(None, description="Further names of the same model.")
    operations: list[Literal["generations", "edits"]] | None = Field(
        None, min_length=1, description="What it serves."
    )
    sizing: Sizing | None = Field(None, description="Which sizes it makes.")
    edit_sizing: Sizing | None = Field(None, description="Which sizes edits come in, where that differs.")
    single_edit_sizing: Sizing | None = Field(
        None, description="Of edits of one picture, where it differs from that of several."
    )
    qualities: list[str] | None = Field(None, description="Values of quality; none: any.")
    output_formats: list[str] | None = Field(None, description="Values of output_format; none: any.")
    backgrounds: list[str] | None = Field(None, description="Values of background; none: any.")
    max_n: int | None = Field(None, ge=1, le=100, description="Pictures of one call, at most.")
    inputs: Inputs | None = Field(None, description="Input pictures; what is left out stays as it was.")
    streaming: bool | None = Field(None, description="Whether it can answer as a stream.")
    fields: list[str] | None = Field(
        None, description="Fields it takes beyond prompt, model, pictures and mask; none: any."
    )
    extensions: dict[str, Extension] | None = Field(
        None, description="What the fields are that OpenAI's dialect does not have."
    )
    passthrough: bool | None = Field(None, description="Whether fields that nobody knows may be sent on.")
    values: dict[str, list[str]] | None = Field(
        None, description="Accepted values of a field, where they are fewer than the dialect's."
    )
    needs: list[str] | None = Field(None, description="Fields without which it does nothing.")
    needs_one_of: list[str] | None = Field(
        None, description="Fields of which it needs one, with a value other than 0."
    )
    variants: dict[str, str] | None = Field(
        None, description="Provider type to the entry that describes this model there, where it differs."
    )
    prices: list[PriceSettings] | None = Field(
        None, description="What it costs, instead of all prices of what it extends."
    )
    released: Day | None = Field(None, description="The first day.")
    shutdown: Day | None = Field(None, description="The day from which it is gone.")
    successor: str | None = Field(None, description="What follows it.")
    owned_by: str | None = Field(None, description="Its maker, as clients see it.")
