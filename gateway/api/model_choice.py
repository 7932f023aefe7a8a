"""Which public model a caller means, or why it cannot have it, in words that help."""

from __future__ import annotations

from datetime import date

from config.catalog import Catalog, CatalogModel
from gateway.caller import Caller
from gateway.errors import Forbidden, GatewayError, InvalidRequest
from gateway.images.wording import USER_ERROR, refused_by_service, shown
from gateway.routing.directory import ModelDirectory, PublicModel

_NAMED = 8
SANDBOX = "sandbox"


def choose_model(
    name: str, caller: Caller, directory: ModelDirectory, catalog: Catalog, today: date
) -> PublicModel:
    """The model called ``name``. Raises 400 for one that does not exist, was shut down or lacks its key, and
    403 for one that this key may not use."""
    model = directory.get(name)
    if model is None:
        raise _unknown(name, caller, directory, catalog, today)
    if not caller.may_use(name):
        raise Forbidden(
            f"The key '{caller.key_name}' of project '{caller.project_name}' may not use the model '{name}'."
            f"{_offer(caller, directory)}",
            param="model",
            code="model_not_allowed",
        )
    if all(target.entry.is_shut_down(today) for target in model.targets):
        raise _shut_down(name, model.entry, caller, directory)
    if not model.usable:
        raise _unusable(model, caller, directory)
    return model


def _unknown(
    name: str, caller: Caller, directory: ModelDirectory, catalog: Catalog, today: date
) -> GatewayError:
    entry = catalog.get(name)
    if entry is not None and entry.is_shut_down(today):
        return _shut_down(name, entry, caller, directory)
    known = ""
    if entry is not None and entry.providers:
        types = " or ".join(entry.providers)
        known = f" No configured provider serves it: it needs one of type {types}."
    return refused_by_service(
        "model", f"The model '{shown(name)}' does not exist.{known}{_offer(caller, directory)}"
    )


def _shut_down(name: str, entry: CatalogModel, caller: Caller, directory: ModelDirectory) -> InvalidRequest:
    heir = f" Use '{entry.successor}' instead." if entry.successor else ""
    return refused_by_service(
        "model",
        f"The model '{name}' does not exist. It was shut down on {entry.shutdown}.{heir}"
        f"{_offer(caller, directory)}",
    )


def _unusable(model: PublicModel, caller: Caller, directory: ModelDirectory) -> InvalidRequest:
    reasons = dict.fromkeys(target.unusable for target in model.targets if target.unusable)
    sandbox = directory.get(SANDBOX)
    free = sandbox is not None and sandbox.usable and caller.may_use(SANDBOX)
    return InvalidRequest(
        f"The model '{model.name}' cannot be used yet: {'; '.join(reasons)}."
        + (f" The model '{SANDBOX}' works without a key." if free else ""),
        param="model",
        code="model_not_configured",
        type=USER_ERROR,
    )


def _offer(caller: Caller, directory: ModelDirectory) -> str:
    names = [model.name for model in directory.visible(caller)]
    if not names:
        return " No model can be used with this key now."
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" This key may use: {', '.join(names[:_NAMED])}{more}."
