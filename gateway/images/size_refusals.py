"""Why a model does not serve a size: OpenAI's sentence where it has one, then the nearest that it serves."""

from __future__ import annotations

from collections.abc import Sequence

from config.sizing import InputSizing, ListedSizing, Sizing
from gateway.errors import InvalidRequest
from gateway.images.intent import Intent
from gateway.images.size_wording import check_size
from gateway.images.wording import invalid_value, listing, quoted, refused_by_service, shown

_AS_INPUT = "What the model makes of the picture is as large as the picture, or has its shape."


def size_refused(intent: Intent, sizing: Sizing, field: str, nearest: Sequence[str]) -> InvalidRequest:
    """The 400 for an intent that ``sizing`` cannot serve exactly, for the sake of ``field``; ``nearest`` are
    values of it that it can."""
    served = f" The nearest that it serves: {listing(nearest)}." if nearest else ""
    asked = intent.asked.get(field, intent.requested or "")
    if field == "size":
        return refused_by_service(field, f"{_sentence(asked, intent, sizing)}{served}")
    values = quoted(intent.asked.values())
    reason = f" {_AS_INPUT}" if isinstance(sizing, InputSizing) else ""
    return invalid_value(
        field, f"Invalid '{field}': the model does not serve {values} exactly.{reason}{served}"
    )


def contradiction(intent: Intent) -> InvalidRequest:
    """The 400 for the first field that contradicts a stronger one."""
    name, value, reason = intent.ignored[0]
    return invalid_value(name, f"Invalid '{name}': '{shown(value)}' cannot be served, since {reason}.")


def _sentence(asked: str, intent: Intent, sizing: Sizing) -> str:
    if isinstance(sizing, InputSizing):
        return f"Invalid size '{shown(asked)}'. {_AS_INPUT}"
    if intent.pixels is not None or isinstance(sizing, ListedSizing):
        try:
            check_size(asked, sizing)
        except InvalidRequest as refusal:
            return refusal.message
    return f"Invalid size '{shown(asked)}'. The model does not serve it exactly."
