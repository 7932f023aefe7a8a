"""OpenRouter's ``usage``: tokens, and dollars that were charged."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal


def cost_of(usage: Mapping[str, object]) -> Decimal | None:
    """What the call cost in dollars. On a key of one's own at the provider (``is_byok``) OpenRouter's part is
    not all of it."""
    cost = _dollars(usage.get("cost"))
    if usage.get("is_byok") is not True or cost is None:
        return cost
    details = usage.get("cost_details")
    behind = _dollars(details.get("upstream_inference_cost")) if isinstance(details, dict) else None
    return None if behind is None else cost + behind


def _dollars(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    amount = Decimal(value)
    return amount if amount.is_finite() and amount >= 0 else None


def usage_of(usage: Mapping[str, object]) -> dict[str, object]:
    """``usage`` in OpenAI's words; nothing where no tokens are told."""
    into, out = count(usage, "prompt_tokens"), count(usage, "completion_tokens")
    if into is None or out is None:
        return {}
    found: dict[str, object] = {"input_tokens": into, "output_tokens": out, "total_tokens": into + out}
    details = usage.get("completion_tokens_details")
    pictures = count(details, "image_tokens") if isinstance(details, dict) else None
    if pictures is not None and pictures <= out:
        found["output_tokens_details"] = {"image_tokens": pictures, "text_tokens": out - pictures}
    return {"usage": found}


def count(fields: Mapping[str, object], name: str) -> int | None:
    value = fields.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
