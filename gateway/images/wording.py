"""OpenAI's sentences for a request that is wrong, as its live API wrote them in August 2026.

Clients match on ``code`` and ``param``, people read the message; a sentence of our own comes only after
OpenAI's, or where OpenAI's is not known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from gateway.errors import InvalidRequest

USER_ERROR = "image_generation_user_error"
"""The ``type`` of refusals by OpenAI's picture service itself: bad sizes, unknown models, moderation."""

_SHOWN = 100
_KINDS: tuple[tuple[type, str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
)


def shown(value: object) -> str:
    """A caller's own value for a message to that caller, cut to 100 characters."""
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def kind_of(value: object) -> str:
    """``a string``, ``null`` …"""
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "null")


def listing(values: Sequence[str]) -> str:
    """``a``, ``a and b`` or ``a, b, and c``."""
    if len(values) < 3:
        return " and ".join(values)
    return f"{', '.join(values[:-1])}, and {values[-1]}"


def quoted(values: Iterable[str]) -> str:
    return listing([f"'{value}'" for value in values])


def missing(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter"
    )


def wrong_type(param: str, expected: str, value: object) -> InvalidRequest:
    return got_instead(param, expected, kind_of(value))


def got_instead(param: str, expected: str, got: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid type for '{shown(param)}': expected {expected}, but got {got} instead.",
        param=shown(param),
        code="invalid_type",
    )


def unconvertible(param: str, expected: str) -> InvalidRequest:
    """A form's text that is no number or boolean."""
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got a string value that could not be "
        f"converted into {expected}.",
        param=param,
        code="invalid_type",
    )


def below_minimum(param: str, minimum: int, value: float) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': integer below minimum value. Expected a value >= {minimum}, "
        f"but got {shown(value)} instead.",
        param=param,
        code="integer_below_min_value",
    )


def above_maximum(param: str, maximum: int, value: float) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': integer above maximum value. Expected a value <= {maximum}, "
        f"but got {shown(value)} instead.",
        param=param,
        code="integer_above_max_value",
    )


def not_a_choice(param: str, value: str, choices: Sequence[str]) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid value: '{shown(value)}'. Supported values are: {quoted(choices)}.",
        param=param,
        code="invalid_value",
    )


def empty_string(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': empty string. Expected a string with minimum length 1, "
        "but got an empty string instead.",
        param=param,
        code="empty_string",
    )


def string_too_long(param: str, maximum: int, length: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': string too long. Expected a string with maximum length {maximum}, "
        f"but got a string with length {length} instead.",
        param=param,
        code="string_above_max_length",
    )


def empty_array(param: str) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': empty array. Expected an array with minimum length 1, "
        "but got an empty array instead.",
        param=param,
        code="empty_array",
    )


def array_too_long(param: str, maximum: int, length: int) -> InvalidRequest:
    return InvalidRequest(
        f"Invalid '{param}': array too long. Expected an array with maximum length {maximum}, "
        f"but got an array with length {length} instead.",
        param=param,
        code="array_above_max_length",
    )


def unknown_parameter(param: str, known: Iterable[str] = ()) -> InvalidRequest:
    """OpenAI's sentence, and the nearest name where one is near."""
    near = get_close_matches(param[:64], list(known), n=1, cutoff=0.75)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    name = shown(param)
    return InvalidRequest(f"Unknown parameter: '{name}'.{hint}", param=name, code="unknown_parameter")


def unsupported_by_model(param: str, model: str) -> InvalidRequest:
    """A parameter of the dialect that this model does not take."""
    code = "invalid_input_fidelity_model" if param == "input_fidelity" else "unsupported_parameter"
    return InvalidRequest(
        f"The model '{model}' does not support the '{param}' parameter.", param=param, code=code
    )


def invalid_value(param: str, message: str) -> InvalidRequest:
    """A value that is well-formed, but that this model or this combination cannot serve."""
    return InvalidRequest(message, param=param, code="invalid_value")


def refused_by_service(param: str, message: str) -> InvalidRequest:
    """The same where OpenAI's picture service says it: sizes and models."""
    return InvalidRequest(message, param=param, code="invalid_value", type=USER_ERROR)


def duplicate(param: str) -> InvalidRequest:
    name = shown(param)
    return InvalidRequest(
        f"Duplicate parameter: '{name}'. You provided multiple values for this parameter, whereas only one "
        "is allowed. If you are trying to provide a list of values, use the array syntax instead "
        f"e.g. '{name}[]=<value>'.",
        param=name,
        code="duplicate_parameter",
    )
