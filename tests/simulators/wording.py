"""OpenAI's words for a request that is wrong; each function makes the exception that carries the answer."""

from __future__ import annotations

from tests.simulators.forms import FilePart
from tests.simulators.refusals import USER_ERROR, Refusal, refusal

MAX_IMAGES = 16


class Refused(Exception):
    def __init__(self, answer: Refusal) -> None:
        super().__init__(answer.body.decode())
        self.answer = answer


def missing(name: str) -> Refused:
    message = f"Missing required parameter: '{name}'."
    return Refused(refusal(400, message, param=name, code="missing_required_parameter"))


def invalid(name: str, message: str) -> Refused:
    return Refused(refusal(400, message, param=name, code="invalid_value"))


def bad_size(size: str, why: str) -> Refused:
    message = f"Invalid size '{size}'. {why}"
    return Refused(refusal(400, message, type=USER_ERROR, param="size", code="invalid_value"))


def duplicate(name: str) -> Refused:
    return Refused(
        refusal(
            400,
            f"Duplicate parameter: '{name}'. You provided multiple values for this parameter, whereas only "
            "one is allowed. If you are trying to provide a list of values, use the array syntax instead "
            f"e.g. '{name}[]=<value>'.",
            param=name,
            code="duplicate_parameter",
        )
    )


def too_many(name: str, count: int) -> Refused:
    return Refused(
        refusal(
            400,
            f"Invalid '{name}': array too long. Expected an array with maximum length {MAX_IMAGES}, but got "
            f"an array with length {count} instead.",
            param=name,
            code="array_above_max_length",
        )
    )


_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (bool, "a boolean"),
    (int, "an integer"),
    (float, "a decimal number"),
    (str, "a string"),
    (list, "an array"),
    (dict, "an object"),
    (FilePart, "a file"),
)


def wrong_type(name: str, wanted: str, value: object) -> Refused:
    got = next((words for kind, words in _KINDS if isinstance(value, kind)), "null")
    message = f"Invalid type for '{name}': expected {wanted}, but got {got} instead."
    return Refused(refusal(400, message, param=name, code="invalid_type"))


def wrong_content_type(kind: str) -> Refused:
    return Refused(
        refusal(
            400,
            f"Unsupported content type: '{kind}'. This API method only accepts 'application/json' requests, "
            f"but you specified the header 'Content-Type: {kind}'. Please try again with a supported content "
            "type.",
            code="unsupported_content_type",
        )
    )
