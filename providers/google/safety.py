"""Google's safety signals (docs/providers/gemini.md): reasons inside a 200, support codes in its texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

BLOCKED = frozenset(
    {
        "SAFETY",
        "PROHIBITED_CONTENT",
        "BLOCKLIST",
        "SPII",
        "RECITATION",
        "MODEL_ARMOR",
        "IMAGE_SAFETY",
        "IMAGE_PROHIBITED_CONTENT",
        "IMAGE_RECITATION",
    }
)
"""Reasons to finish that refuse the content."""

ACCOUNT = frozenset({"PUP_LIMITED_DISABLED", "ESCALATION"})
"""Reasons to finish that concern the account."""

_SUPPORT = {
    "58061214": "child",
    "17301594": "child",
    "29310472": "celebrity",
    "15236754": "celebrity",
    "62263041": "dangerous",
    "57734940": "hate",
    "22137204": "hate",
    "42876398": "other",
    "29578790": "other",
    "74803281": "other",
    "39322892": "people",
    "92201652": "personal_data",
    "89371032": "prohibited",
    "49114662": "prohibited",
    "72817394": "prohibited",
    "90789179": "sexual",
    "63429089": "sexual",
    "43188360": "sexual",
    "78610348": "toxic",
    "61493863": "violence",
    "56562880": "violence",
}
_CODE = re.compile(r"\b[0-9]{8}\b")
_REASON = re.compile(r"[A-Z_]{1,64}")


def reason_of(value: object) -> str:
    """One of Google's words in capitals; empty where it is none, so that it may be shown as it is."""
    return value if isinstance(value, str) and _REASON.fullmatch(value) else ""


def support_categories(text: str) -> list[str]:
    """What the support codes in a text stand for, each once."""
    return list(dict.fromkeys(_SUPPORT[code] for code in _CODE.findall(text) if code in _SUPPORT))


def details(stage: str, source: Mapping[str, object], reason: str, said: str = "") -> dict[str, object]:
    """OpenAI's ``moderation_details``. ``source`` may hold ``safetyRatings``; ``said`` support codes. Where
    neither names a category, the reason is the one there is."""
    named = [*_rated(source), *support_categories(said)] or ([reason.lower()[:64]] if reason else [])
    return {"moderation_stage": stage, "categories": list(dict.fromkeys(named))[:32]}


def _rated(source: Mapping[str, object]) -> Iterator[str]:
    ratings = source.get("safetyRatings")
    for rating in ratings if isinstance(ratings, list) else ():
        if isinstance(rating, dict) and rating.get("blocked") is True:
            yield str(rating.get("category", "")).removeprefix("HARM_CATEGORY_").lower()[:64]
