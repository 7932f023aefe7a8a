"""What the YAML and the catalog are written in: bytes, seconds, dollars, shares, days, names.

Numbers with units are strings there (``280s``, ``64MiB``, ``10%``) and plain numbers here. Money and whatever
is multiplied with it is ``Decimal``, never a float.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

_BYTES = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_bytes(value: object) -> int:
    """``64MiB``, ``50MB`` or a bare number of bytes."""
    match = re.fullmatch(r"\s*(\d+)\s*([a-zA-Z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or match[2].lower() not in _BYTES:
        raise ValueError(f"expected a size such as 64MiB, got {str(value)!r}")
    return int(match[1]) * _BYTES[match[2].lower()]


def parse_seconds(value: object) -> float:
    """``280s``, ``10m``, ``1500ms`` or a bare number of seconds."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value))
    if isinstance(value, bool) or match is None or (match[2] or "s") not in _SECONDS:
        raise ValueError(f"expected a duration such as 280s, got {str(value)!r}")
    return float(match[1]) * _SECONDS[match[2] or "s"]


def parse_dollars(value: object) -> Decimal:
    """Dollars with at most nine decimals, from a YAML number or string; never through a float."""
    # Decimal's own text of a small amount has an exponent.
    text = f"{value:f}" if isinstance(value, Decimal) else str(value).strip()
    if isinstance(value, bool) or re.fullmatch(r"\d{1,7}(\.\d{1,9})?", text) is None:
        raise ValueError(f"expected dollars such as 10 or 0.50 (under 10 million), got {str(value)!r}")
    return Decimal(text)


def parse_share(value: object) -> Decimal:
    """``10%`` as 0.10; at most 1000 %, at most four decimals."""
    text = str(value).strip()
    match = re.fullmatch(r"(\d{1,4}(?:\.\d{1,4})?)\s*%", text)
    if match is None or Decimal(match[1]) > 1000:
        raise ValueError(f"expected a share such as 10%, got {str(value)!r}")
    return Decimal(match[1]) / 100


def parse_day(value: object) -> date:
    """``2026-11-20``."""
    if type(value) is date:
        return value
    try:
        if not isinstance(value, str) or re.fullmatch(r"\d{4}-\d\d-\d\d", value) is None:
            raise ValueError
        return date.fromisoformat(value)
    except ValueError:
        raise ValueError(f"expected a day such as 2026-11-20, got {str(value)!r}") from None


_NUMBER_OR_TEXT = {"anyOf": [{"type": "string"}, {"type": "number"}]}
Bytes = Annotated[
    int,
    BeforeValidator(parse_bytes),
    WithJsonSchema({**_NUMBER_OR_TEXT, "format": "size", "examples": ["64MiB"]}),
]
Seconds = Annotated[
    float,
    BeforeValidator(parse_seconds),
    WithJsonSchema({**_NUMBER_OR_TEXT, "format": "duration", "examples": ["280s"]}),
]
Dollars = Annotated[
    Decimal,
    BeforeValidator(parse_dollars),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({**_NUMBER_OR_TEXT, "format": "dollars", "examples": [10, "0.50"]}),
]
Share = Annotated[
    Decimal,
    BeforeValidator(lambda value: value if isinstance(value, Decimal) else parse_share(value)),
    PlainSerializer(lambda value: f"{(value * 100).normalize():f}%", return_type=str),
    WithJsonSchema({"type": "string", "format": "percent", "examples": ["10%"]}),
]
Day = Annotated[
    date,
    BeforeValidator(parse_day),
    WithJsonSchema({"type": "string", "format": "date", "examples": ["2026-11-20"]}),
]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}$")]


class Strict(BaseModel):
    """Refuses unknown keys, so that a typing error is an error and not a silent default."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
