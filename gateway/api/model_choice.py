"""Which public model a caller means, or why it cannot have it, in words that help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from config.catalog import Catalog, CatalogModel
from gateway.caller import Caller
from gateway.errors import Forbidden, GatewayError, InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.fitted import Adjustment, How
from gateway.images.wording import USER_ERROR, refused_by_service, shown
from gateway.routing.directory import ModelDirectory, PublicModel

_NAMED = 8
SANDBOX = "sandbox"
LINE = "normalization: {legacy_models: gpt-image-2}"
"""What an operator writes to have retired names served."""


@dataclass(frozen=True, slots=True)
class Retired:
    """What becomes of names that OpenAI has retired: ``heir`` is the model that serves them, None where they
    are refused; ``strict`` requests are refused as OpenAI refuses them."""

    heir: str | None = None
    strict: bool = False


REFUSED = Retired()


def choose_model(
    name: str,
    caller: Caller,
    directory: ModelDirectory,
    catalog: Catalog,
    today: date,
    retired: Retired = REFUSED,
) -> PublicModel:
    """The model called ``name``, the one that serves a retired name, or the one behind ``PROVIDER/MODEL``
    with that target alone, which only a key whose list names it in this form may ask for. Raises 400 for one
    that does not exist, was shut down or lacks its key, and 403 for one that this key may not use."""
    forced = directory.forced(name)
    if forced is not None:
        if name not in (caller.models or ()):
            raise _names_a_target(name, forced, caller)
        return _permitted(forced, (name,), caller, directory, today)
    model = directory.get(name)
    entry = model.entry if model is not None else catalog.get(name)
    if entry is not None and _is_gone(model, entry, today):
        heir = _heir(entry, directory, retired)
        if heir is None:
            raise _shut_down(name, entry, caller, directory, retired)
        return _permitted(heir, (name, heir.name), caller, directory, today)
    if model is None:
        raise _unknown(name, caller, directory, catalog)
    return _permitted(model, (name,), caller, directory, today)


def _names_a_target(name: str, forced: PublicModel, caller: Caller) -> Forbidden:
    """A key without a list may use every model, and name no target."""
    instead = f" Ask for '{forced.name}'." if caller.may_use(forced.name) else ""
    return Forbidden(
        f"The key '{caller.key_name}' of project '{caller.project_name}' may not choose the provider: only a "
        f"key whose list of models holds '{name}' may ask for that.{instead}",
        param="model",
        code="model_not_allowed",
    )


def served_by(call: ImageCall, model: PublicModel) -> ImageCall:
    """``call`` with the word that another model than the named one serves it, where that is so."""
    if call.model == model.name:
        return call
    told = Adjustment("model", call.model, How.MAPPED, model.name)
    return replace(call, adjusted=(told, *call.adjusted))


def _is_gone(model: PublicModel | None, entry: CatalogModel, today: date) -> bool:
    if model is None:
        return entry.is_shut_down(today)
    return all(target.entry.is_shut_down(today) for target in model.targets)


def _heir(entry: CatalogModel, directory: ModelDirectory, retired: Retired) -> PublicModel | None:
    """The model that serves ``entry``'s name now: for OpenAI's own alone, and never in strict mode."""
    if retired.heir is None or retired.strict or entry.owned_by != "openai":
        return None
    return directory.get(retired.heir)


def _permitted(
    model: PublicModel, names: Sequence[str], caller: Caller, directory: ModelDirectory, today: date
) -> PublicModel:
    """``model``, where the caller may use one of ``names`` and it can be called now."""
    name = names[0]
    if not any(caller.may_use(known) for known in names):
        raise Forbidden(
            f"The key '{caller.key_name}' of project '{caller.project_name}' may not use the model '{name}'."
            f"{_offer(caller, directory)}",
            param="model",
            code="model_not_allowed",
        )
    if _is_gone(model, model.entry, today):
        raise _shut_down(model.name, model.entry, caller, directory, REFUSED)
    if not model.usable:
        raise _unusable(model, caller, directory)
    return model


def _unknown(name: str, caller: Caller, directory: ModelDirectory, catalog: Catalog) -> GatewayError:
    entry = catalog.get(name)
    known = ""
    if entry is not None and entry.providers:
        types = " or ".join(entry.providers)
        known = f" No configured provider serves it: it needs one of type {types}."
    return refused_by_service(
        "model", f"The model '{shown(name)}' does not exist.{known}{_offer(caller, directory)}"
    )


def _shut_down(
    name: str, entry: CatalogModel, caller: Caller, directory: ModelDirectory, retired: Retired
) -> InvalidRequest:
    heir = f" Use '{entry.successor}' instead." if entry.successor else ""
    line = ""
    if retired.heir is None and entry.owned_by == "openai":
        line = f" This gateway's owner can have it served by a current model with the line '{LINE}'."
    elif retired.strict:
        line = " In strict mode it is not served by another model."
    return refused_by_service(
        "model",
        f"The model '{name}' does not exist. It was shut down on {entry.shutdown}.{heir}{line}"
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
