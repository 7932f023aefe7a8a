"""What strict mode refuses: every field that a model does not take exactly as asked, in OpenAI's words.

Sizes have their own file (size_refusals.py). Models that nobody has published facts about are never strict.
"""

from __future__ import annotations

from collections.abc import Mapping

from config.catalog import CatalogModel
from gateway.errors import InvalidRequest
from gateway.images.call import ImageCall
from gateway.images.combinations import check_combinations
from gateway.images.extras import is_within
from gateway.images.fields import (
    BY_OPERATION,
    GATEWAYS_OWN,
    KNOWN,
    KNOWN_QUALITIES,
    Field,
    Kind,
    choices_of,
    is_lenient,
)
from gateway.images.fitted import Unfit
from gateway.images.wording import (
    above_maximum,
    invalid_value,
    not_a_choice,
    quoted,
    shown,
    unknown_parameter,
    unsupported_by_model,
)


def refused_in_strict_mode(call: ImageCall, entry: CatalogModel) -> Unfit | None:
    """The first field that the model does not take as it stands; None where there is none."""
    if is_lenient(entry):
        return None
    try:
        for name, value in call.params.items():
            _check(name, value, call, entry)
        check_combinations(call.params, has_mask=call.mask is not None)
    except InvalidRequest as refusal:
        return Unfit(refusal.param or "parameters", refusal)
    return None


def _check(name: str, value: object, call: ImageCall, entry: CatalogModel) -> None:
    if name in GATEWAYS_OWN or name == "size":
        return
    if name == "n" and isinstance(value, int):
        most = entry.max_n if name in entry.fields else 1
        if value > most:
            raise above_maximum(name, most, value)
        return
    if name not in entry.fields and _is_so_anyway(name, value, entry):
        return
    field = KNOWN.get(name)
    if name not in entry.fields:
        if field is not None and not field.extension:
            raise unsupported_by_model(name, call.model)
        if field is None and entry.passthrough:
            return
        raise unknown_parameter(name, BY_OPERATION[call.operation])
    if not is_within(name, value, entry):
        raise invalid_value(name, f"The model '{call.model}' does not take {name} {shown(value)}.")
    if field is not None:
        _check_value(field, name, value, call.model, entry)


def _is_so_anyway(name: str, value: object, entry: CatalogModel) -> bool:
    """Whether a target that offers no choice does just what is asked."""
    if name == "background":
        return value != "transparent" and value in entry.backgrounds
    if name == "output_format":
        return value in entry.output_formats
    return (name, value) in (
        ("stream", False),
        ("quality", "auto"),
        ("partial_images", 0),
        ("moderation", "auto"),
    )


def _check_value(field: Field, param: str, value: object, model: str, entry: CatalogModel) -> None:
    if field.kind is Kind.OBJECT and isinstance(value, Mapping):
        return
    choices = choices_of(field, entry)
    if not isinstance(value, str) or not choices or value in choices:
        return
    if field.name == "quality" and value in KNOWN_QUALITIES:
        raise invalid_value(
            param,
            f"The model '{model}' does not support quality '{value}'. "
            f"Supported values are: {quoted(choices)}.",
        )
    raise not_a_choice(param, value, choices)
