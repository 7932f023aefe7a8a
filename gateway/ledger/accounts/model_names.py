"""Under which names a bill and the ledger are compared: each model's own, or one for all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from config.catalog import Catalog
from gateway.ledger.accounts.bills import ALL_MODELS


@dataclass(frozen=True, slots=True)
class ModelNames:
    """``one`` gives a model and its dated names one name; ``is_known`` says whether a model that was not used
    here can be compared at all: an account may be billed for other things."""

    one: Callable[[str], str]
    is_known: Callable[[str], bool]


def names_in(catalog: Catalog) -> ModelNames:
    """The catalog's models, each with its dated names."""

    def named(model: str) -> str:
        entry = catalog.get(model)
        return model if entry is None else entry.id

    return ModelNames(named, lambda model: catalog.get(model) is not None)


BY_DAY = ModelNames(lambda _: ALL_MODELS, lambda _: True)
