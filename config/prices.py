"""What a call is billed by, as data: the forms that prices come in, and when and where they hold.

Forms that stand together add up; none at all means that the price is not known, which is never 0. All amounts
are ``Decimal`` dollars as published; the gateway turns them into integer nano-dollars
(gateway/images/pricing.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from config.units import Day, Dollars, Share, Strict, parse_dollars

Mark = Literal["read", "secondary", "tested", "unverified"]

Quantity = Annotated[
    Dollars,
    BeforeValidator(parse_dollars),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "number"}], "format": "number", "examples": [4, "6.5"]}
    ),
]
"""A count with decimals, exact like money."""

ANY = "any"
"""In a price table: every quality or size that the table does not name."""


class Source(Strict):
    """Where a group of facts comes from and how far it can be trusted."""

    text: str
    mark: Mark
    verified_on: date


class TokenPrices(Strict):
    """Dollars per million tokens. What is left out is not billed separately by this model."""

    text_in: Dollars = Field(description="Text of the prompt.")
    image_in: Dollars = Field(description="Input pictures.")
    image_out: Dollars = Field(description="Pictures made.")
    text_out: Dollars | None = Field(
        None, description="Text beside the pictures; default: the rate of pictures made."
    )
    cached_text_in: Dollars | None = Field(
        None, description="Prompt text from the provider's cache; default: in full."
    )
    cached_image_in: Dollars | None = Field(
        None, description="Input pictures from its cache; default: in full."
    )


class MegapixelPrices(Strict):
    """Dollars per megapixel, of pictures made and of pictures sent along."""

    output: Dollars = Field(description="The first megapixel of each picture made.")
    further: Dollars | None = Field(
        None, description="Each further megapixel of it; default: like the first."
    )
    input: Dollars | None = Field(
        None, description="Each megapixel of an input picture; default: not billed."
    )
    pixels: Literal[262_144, 1_000_000, 1_048_576] = Field(
        1_048_576, description="What the provider counts as a megapixel."
    )
    whole: bool = Field(True, description="Whether each picture is rounded up to whole megapixels.")
    most_input: int | None = Field(
        None,
        ge=1,
        description="Megapixels billed for one input picture, at most; without it an input picture of "
        "unknown size has no price.",
    )


class CreditPrices(Strict):
    """A provider that bills in credits of its own."""

    dollars: Dollars = Field(description="What one credit costs.")
    per_image: Quantity | None = Field(
        None, description="Credits of one picture; without it only an answer tells, so no limit can hold it."
    )


class PriceForms(Strict):
    """What a call is billed by. Forms that stand together add up."""

    tokens: TokenPrices | None = Field(None, description="By tokens.")
    per_image: Dollars | None = Field(None, description="Dollars for each picture, whatever it is.")
    image_table: dict[str, dict[str, Dollars]] | None = Field(
        None,
        description="Dollars for each picture by quality, then size (WIDTHxHEIGHT or the provider's word); "
        "any stands for all others.",
    )
    per_input: Dollars | None = Field(
        None, description="Dollars for each picture sent along, once a call, whatever number it makes."
    )
    per_megapixel: MegapixelPrices | None = Field(None, description="By megapixels.")
    credits: CreditPrices | None = Field(None, description="By credits.")
    minimum: Dollars | None = Field(None, description="What a call that costs anything costs at least.")
    free: bool = Field(False, description="Nothing is billed.")
    margin: Share | None = Field(
        None,
        description="Held on top of what a call can cost at most; default: none where the amount is exact, "
        "10% where tokens are a guess.",
    )

    @property
    def forms(self) -> list[str]:
        """The forms that are given, by name."""
        names = ("tokens", "per_image", "image_table", "per_input", "per_megapixel", "credits")
        return [name for name in names if getattr(self, name) is not None]

    @property
    def is_known(self) -> bool:
        return self.free or bool(self.forms)

    @model_validator(mode="after")
    def _not_both_free_and_billed(self) -> PriceForms:
        if self.free and self.forms:
            raise ValueError(f"is either free or billed, not both (free and {self.forms[0]})")
        if self.image_table is not None and not all([self.image_table, *self.image_table.values()]):
            raise ValueError("a price table needs at least one quality, and each quality at least one size")
        return self


Origin = Literal["catalog", "entry", "provider", "target"]
"""Where a price was written: the packaged catalog, an entry of the operator's own, or for one account or
target. The later one wins over the earlier ones."""

_RANK = {"catalog": 0, "entry": 1, "provider": 2, "target": 3}


class PriceVersion(PriceForms):
    """Prices from a day on, to a last day where ``until`` names one. No form at all: from then on unknown."""

    since: date
    until: date | None = None
    extras: dict[str, list[str]] = Field(
        {}, description="Values of fields that cost something besides which is not priced here."
    )
    source: Source
    origin: Origin = "catalog"

    @property
    def version(self) -> str:
        """Names these prices in the ledger: the first day, for prices of the operator's own with their place
        and a digest, since a file can change without a new date."""
        if self.origin == "catalog":
            return self.since.isoformat()
        since = "always" if self.since == date.min else self.since.isoformat()
        written = self.model_dump_json(exclude={"since", "source", "origin"})
        return f"{self.origin}:{since}:{hashlib.sha256(written.encode()).hexdigest()[:8]}"

    def extra_of(self, params: Mapping[str, object]) -> str | None:
        """The field of a call that costs something besides, or None."""
        return next((field for field, values in self.extras.items() if params.get(field) in values), None)

    def holds_on(self, day: date) -> bool:
        return self.since <= day and (self.until is None or day <= self.until)


class PriceSettings(PriceForms):
    """Prices of your own, such as a contract's. Where they hold they win over the catalog's: a target's over
    its provider's, a later ``since`` over an earlier one."""

    like: str | None = Field(None, description="Billed as this entry of the catalog, instead of any form.")
    since: Day | None = Field(None, description="The first day (UTC); default: always.")
    until: Day | None = Field(None, description="The last day (UTC); after it the next one that holds.")
    note: str = Field("the configuration", description="Where it comes from, such as a contract's number.")

    @model_validator(mode="after")
    def _says_something(self) -> PriceSettings:
        if self.like is not None and (self.forms or self.free):
            raise ValueError("like takes the place of every other form; leave one of them out")
        if self.like is None and not self.is_known:
            raise ValueError(
                "needs a form: tokens, per_image, image_table, per_input, per_megapixel, credits, free or "
                "like"
            )
        if self.since is not None and self.until is not None and self.until < self.since:
            raise ValueError(f"until ({self.until}) is before since ({self.since})")
        return self


def in_force(versions: list[PriceVersion], day: date) -> PriceVersion | None:
    """The version that counts on a day, or None where nothing is known."""
    holding = [version for version in versions if version.holds_on(day)]
    return max(holding, key=lambda version: (_RANK[version.origin], version.since), default=None)
