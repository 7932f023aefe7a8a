"""Catalog entries and calls that tests of prices are made with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from config.catalog import CatalogModel, load_catalog
from config.prices import PriceVersion, Source
from config.sizing import AnySizing
from gateway.images.call import ImageCall, InputSize
from gateway.images.estimate import PriceRange, estimate
from providers.base import InputImage, InputRef, Operation

DAY = date(2026, 11, 20)
SOURCE = Source(text="a test", mark="tested", verified_on=DAY)
URL = InputRef("https://pictures.example/a.png")


def entry(name: str) -> CatalogModel:
    found = load_catalog().get(name)
    assert found is not None, name
    return found


def price_of(model: CatalogModel) -> PriceVersion:
    found = model.price_on(DAY)
    assert found is not None, model.id
    return found


def version(since: date = date(2026, 4, 21), **price: Any) -> PriceVersion:
    return PriceVersion.model_validate({"since": since, "source": SOURCE, **price})


def model(*prices: PriceVersion, **facts: Any) -> CatalogModel:
    """A model that nothing else is known of."""
    return CatalogModel(
        id="m",
        family="f",
        providers=[],
        operations=["generations"],
        sizing=AnySizing(kind="any"),
        qualities=[],
        output_formats=[],
        fields=[],
        prices=list(prices),
        sources=[SOURCE],
    ).model_copy(update=facts)


def call(prompt: str = "a red cat", images: Sequence[InputImage] = (), **params: object) -> ImageCall:
    operation = Operation.EDIT if images else Operation.GENERATE
    mask, markup = params.pop("mask", None), params.pop("markup", None)
    return ImageCall(operation, "m", prompt, params, images, mask, markup)  # type: ignore[arg-type]


def ranged(described: CatalogModel, wanted: ImageCall, inputs: Sequence[InputSize] = ()) -> PriceRange:
    """The estimate at today's price, which must exist."""
    found = estimate(described, described.price_on(DAY), wanted, inputs)
    assert isinstance(found, PriceRange), found
    return found
