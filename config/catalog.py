"""The model catalog: what is known of each upstream model, as data with a source and a date.

One YAML file a family in ``config/catalog/``. A new model is an entry there, never a branch in code.
Entries of models that were shut down stay, without providers, so that an error can say when and name a
successor. Prices are ``Decimal`` dollars as published (config/prices.py); how many tokens a call takes is
data too (config/counting.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import Field, model_validator

from config.counting import AutoChoice, Counting
from config.inputs import Inputs
from config.nodes import plain
from config.prices import PriceVersion, Source, in_force
from config.sizing import AnySizing, Sizing
from config.units import Strict
from config.yaml12 import read


class Extension(Strict):
    """A field beyond OpenAI's dialect."""

    type: Literal["string", "integer", "number", "boolean", "object", "array"] = Field(
        description="Its JSON type."
    )
    minimum: int | None = Field(None, description="Of a number.")
    maximum: int | None = Field(None, description="Of a number.")
    description: str = Field("", description="What it does, for those who choose.")


class CatalogModel(Strict):
    """One upstream model. ``fields`` are what it takes beyond prompt, model, pictures and mask: fields of
    OpenAI's dialect and, described by ``extensions``, others. ``values`` narrows what either accepts."""

    id: str
    family: str
    providers: list[str] = Field(
        description="Adapter types that serve it under this id; none: only what names the entry is served."
    )
    aliases: list[str] = Field([], description="Dated names of the same model.")
    operations: list[Literal["generations", "edits"]]
    sizing: Sizing
    edit_sizing: Sizing | None = Field(None, description="Of edits, where it differs.")
    single_edit_sizing: Sizing | None = Field(
        None, description="Of edits of one picture, where it differs from that of several."
    )
    qualities: list[str] = Field(description="Accepted values, in the order of OpenAI's messages.")
    output_formats: list[str] = Field(description="Accepted values, in the order of OpenAI's messages.")
    backgrounds: list[str] = Field(["transparent", "opaque", "auto"])
    max_n: int = 10
    inputs: Inputs = Inputs()
    streaming: bool = True
    streams_several: bool = Field(
        True, description="Whether a stream of several pictures says what each of them cost."
    )
    fields: list[str] = Field(
        description="Fields it takes beyond prompt, model, pictures and mask; none: whatever it is sent."
    )
    extensions: dict[str, Extension] = Field(
        {}, description="What the fields are that OpenAI's dialect does not have."
    )
    passthrough: bool = Field(
        False, description="Whether fields that nobody knows may be sent on (unknown_fields: forward)."
    )
    values: dict[str, list[str]] = Field(
        {}, description="Accepted values of a field, where they are fewer than the dialect's."
    )
    needs: list[str] = Field([], description="Fields without which it does nothing.")
    needs_one_of: list[str] = Field([], description="Fields of which it needs one, other than 0.")
    variants: dict[str, str] = Field(
        {}, description="Adapter type to the entry that describes this model there, where it differs."
    )
    prices: list[PriceVersion] = Field([])
    counting: Counting | None = Field(None, description="Tokens before the call; None: not known.")
    auto: AutoChoice | None = Field(
        None, description="What auto stands for; None: every quality, and every size or the largest."
    )
    released: date | None = None
    shutdown: date | None = None
    successor: str | None = Field(None, description="What its maker says to use after the shutdown.")
    owned_by: str = "openai"
    sources: list[Source]

    @model_validator(mode="after")
    def _extends_what_it_takes(self) -> CatalogModel:
        for name in self.extensions:
            if name not in self.fields:
                raise ValueError(f"extensions describes {name}, which is not one of the fields")
        for name in (*self.needs, *self.needs_one_of):
            if name not in self.fields:
                raise ValueError(f"it needs {name}, which is not one of the fields")
        return self

    def sizing_of(self, operation: str, pictures: int) -> Sizing:
        """What it makes in an operation (``generations``, ``edits``) with so many input pictures."""
        if operation != "edits":
            return self.sizing
        single = self.single_edit_sizing if pictures == 1 else None
        return single or self.edit_sizing or self.sizing

    def price_on(self, day: date) -> PriceVersion | None:
        """The version in force on a day (UTC), or None where nothing is known."""
        return in_force(self.prices, day)

    def is_shut_down(self, day: date) -> bool:
        return self.shutdown is not None and self.shutdown <= day


class CatalogFile(Strict):
    """The shape of one file in ``config/catalog/``."""

    models: list[CatalogModel]


class Catalog:
    """Look-ups over entries whose ids and aliases are all different. Order is the files' and the lists'."""

    def __init__(self, entries: Iterable[CatalogModel]) -> None:
        """Raises ValueError when two entries share a name or one names an entry that does not exist."""
        self.entries = tuple(entries)
        self._by_name: dict[str, CatalogModel] = {}
        for entry in self.entries:
            for name in (entry.id, *entry.aliases):
                if name in self._by_name:
                    raise ValueError(f"the catalog names {name} twice")
                self._by_name[name] = entry
        for entry in self.entries:
            for name in (*entry.variants.values(), *filter(None, [entry.successor])):
                if name not in self._by_name:
                    raise ValueError(f"the catalog entry {entry.id} names {name}, which does not exist")

    def get(self, name: str) -> CatalogModel | None:
        """The entry with this id or alias, retired ones included."""
        return self._by_name.get(name)

    def names(self) -> list[str]:
        """Every id and alias, retired ones included."""
        return list(self._by_name)

    def served_by(self, provider_type: str) -> list[CatalogModel]:
        """What an account of this type serves under the catalog's own ids.

        Models that were shut down list no provider and are not among them. Deployments on Azure and models
        of OpenAI-compatible servers have names of their owners' choice: those types serve nothing here.
        """
        return [entry for entry in self.entries if provider_type in entry.providers]

    def describe(self, provider_type: str, model: str, name: str | None = None) -> CatalogModel:
        """What is known of ``model`` at an account of ``provider_type``: the entry called ``name`` where one
        is named, else the entry of the model's own id or alias, each in the variant of that provider type
        where there is one; else a free-form entry, which accepts everything and has no price."""
        entry = self.get(name if name is not None else model)
        if entry is None:
            return free_form(model)
        variant = entry.variants.get(provider_type)
        return self._by_name[variant] if variant is not None else entry


def free_form(model: str) -> CatalogModel:
    """The description of a model that nobody has published facts about: everything is passed on, nothing is
    priced."""
    return CatalogModel(
        id=model,
        family="any",
        providers=[],
        operations=["generations", "edits"],
        sizing=AnySizing(kind="any"),
        qualities=[],
        output_formats=[],
        fields=[],
        passthrough=True,
        sources=[],
    )


@cache
def load_catalog() -> Catalog:
    """The packaged catalog. Read once; a fault in it is a fault of the package and raises."""
    entries: list[CatalogModel] = []
    folder = files("config") / "catalog"
    for file in sorted(folder.iterdir(), key=lambda file: file.name):
        if file.name.endswith(".yaml"):
            entries += CatalogFile.model_validate(plain(read(file.read_bytes(), file.name))).models
    return Catalog(entries)
