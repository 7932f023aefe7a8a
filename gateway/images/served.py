"""What one family of fields becomes at a target: what is sent, what that changed, what is left to do to the
picture. fitting.py puts the families together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.images.fields import KNOWN
from gateway.images.fitted import Adjustment, How


@dataclass(frozen=True, slots=True)
class Served:
    """``fields`` go to the target; a field of the family that is not among them is not sent."""

    fields: Mapping[str, object] = field(default_factory=dict)
    adjustments: tuple[Adjustment, ...] = ()


def as_text(value: object) -> str:
    """A value as headers and reports write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else str(value)


def adjusted(name: str, value: object, how: How, now: object = None) -> Adjustment:
    """``value`` is the caller's, None where it gave none; private words, and whatever is no plain word or
    number, are not repeated."""
    field = KNOWN.get(name)
    plain = isinstance(value, bool | int | float | str) and field is not None and not field.private
    return Adjustment(name, as_text(value) if plain else None, how, None if now is None else as_text(now))
