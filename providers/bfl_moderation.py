"""How Black Forest Labs' API, and hosts that took its words over, tell refused content inside a 200: by a
``status`` of two words, with the reasons in ``details``."""

from __future__ import annotations

from collections.abc import Mapping

from providers.base import Certainty, Kind, ProviderError

_STAGES: Mapping[str, str] = {"request moderated": "input", "content moderated": "output"}
"""What was refused: before the work, and after it."""


def moderated(
    document: Mapping[str, object], *, provider: str, number: str | None = None
) -> ProviderError | None:
    """The refusal that an answer without pictures tells; None where it tells none. ``number`` is the
    upstream's id of the call."""
    status = document.get("status")
    stage = _STAGES.get(status.lower()) if isinstance(status, str) else None
    if stage is None:
        return None
    return ProviderError(
        Kind.MODERATION,
        Certainty.REJECTED if stage == "input" else Certainty.ANSWERED,
        f"Provider '{provider}' refused the request for its content.",
        status=200,
        code="content_filter",
        details={"moderation_stage": stage, "categories": _reasons(document.get("details"))},
        upstream_request_id=number,
    )


def _reasons(details: object) -> list[str]:
    listed = details.get("Moderation Reasons") if isinstance(details, dict) else None
    return [each[:64] for each in listed if isinstance(each, str)][:32] if isinstance(listed, list) else []
