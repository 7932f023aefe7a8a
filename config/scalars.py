"""YAML 1.2's core schema: what a plain scalar means."""

from __future__ import annotations

import re
from decimal import Decimal

_MAX_DIGITS = 40

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INTS = (
    (re.compile(r"[-+]?[0-9]+"), "", 10),
    (re.compile(r"0o[0-7]+"), "0o", 8),
    (re.compile(r"0x[0-9a-fA-F]+"), "0x", 16),
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

Value = str | int | bool | Decimal | None


def core(text: str) -> Value:
    """The value of a plain scalar. A number with a fraction or an exponent is a ``Decimal`` of exactly what
    was written. Raises ValueError, with what to do, for numbers that no setting can have."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return bool(_TRUE.fullmatch(text))
    if _NOT_FINITE.fullmatch(text):
        raise ValueError(
            f"{text} is not a number that a setting can have; put quotes around it if it is text"
        )
    for pattern, prefix, base in _INTS:
        if pattern.fullmatch(text):
            return int(_short(text).removeprefix(prefix), base)
    if _FLOAT.fullmatch(text):
        number = Decimal(_short(text))
        # An exponent can stand for more digits than there is memory.
        if abs(number.adjusted()) > _MAX_DIGITS:
            raise ValueError(f"{text} is out of range; put quotes around it if it is text")
        return number
    return text


def tagged(text: str, tag: str) -> Value:
    """The value of a scalar with one of the core tags (``int``, ``float``, ``bool``, ``null``). Raises
    ValueError where the text is something else."""
    value = core(text)
    is_number = isinstance(value, int | Decimal) and not isinstance(value, bool)
    fits = {
        "int": is_number and isinstance(value, int),
        "float": is_number,
        "bool": isinstance(value, bool),
        "null": value is None,
    }
    if not fits[tag]:
        raise ValueError(f"this is not what its tag !!{tag} says; remove the tag")
    return value


def _short(text: str) -> str:
    # Python refuses integers of over 4300 digits, and no setting has a use for 40.
    if len(text) > _MAX_DIGITS:
        raise ValueError("a number with too many digits; put quotes around it if it is text")
    return text
