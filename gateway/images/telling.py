"""What the caller is told of how its call was served: two headers, and the same as one document, which the
body's report, the request's record and the dry run share (docs/normalization.md, What the caller is told).
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.images.fitted import Adjustment, Fitted, SizeChoice
from gateway.images.structured_fields import dictionary, inner_list, item, listing, string, token
from gateway.images.wording import shown

SIZE_HEADER = "x-imagegate-size"
ADJUSTMENTS_HEADER = "x-imagegate-adjustments"

_MOST_BYTES = 3000
"""Of the adjustments' header: proxies refuse answers whose headers are much larger."""

Pixels = tuple[int, int]


def size_header(size: SizeChoice, received: Sequence[Pixels] = ()) -> str:
    """The value of ``x-imagegate-size``. ``received`` are the pixels of each delivered picture as its bytes
    show them, in order; empty where none came or none could be seen."""
    members = {"requested": string(size.requested)} if size.requested is not None else {}
    members["sent"] = string(size.sent)
    if received:
        texts = _texts(received)
        members["received"] = string(texts[0]) if _are_alike(texts) else inner_list(texts)
    members["rule"] = token(size.rule.value)
    return dictionary(members)


def adjustments_header(adjustments: Sequence[Adjustment]) -> str | None:
    """The value of ``x-imagegate-adjustments``; None where nothing was changed. A list that is too long for a
    header ends with how many more there are; the record has them all."""
    members: list[str] = []
    length = 0
    for count, adjustment in enumerate(adjustments):
        member = _member(adjustment)
        length += len(member) + 2
        if length > _MOST_BYTES:
            members.append(item("*", {"more": str(len(adjustments) - count)}))
            break
        members.append(member)
    return listing(members) if members else None


def told(fitted: Fitted, received: Sequence[Pixels] = ()) -> dict[str, object]:
    """``size`` and ``adjustments`` as a document; before the call ``received`` is null."""
    return {
        "size": size_told(fitted.size, received),
        "adjustments": [adjustment_told(one) for one in fitted.adjustments],
    }


def size_told(size: SizeChoice, received: Sequence[Pixels] = ()) -> dict[str, object]:
    """``received`` is one text where all pictures are alike, else one for each."""
    texts = _texts(received)
    seen: object = None
    if texts:
        seen = texts[0] if _are_alike(texts) else texts
    return {"requested": size.requested, "sent": size.sent, "received": seen, "rule": size.rule.value}


def adjustment_told(adjustment: Adjustment) -> dict[str, object]:
    return {
        "field": shown(adjustment.field),
        "from": None if adjustment.was is None else shown(adjustment.was),
        "to": None if adjustment.now is None else shown(adjustment.now),
        "how": adjustment.how.value,
    }


def report(
    fitted: Fitted,
    received: Sequence[Pixels],
    *,
    provider: str,
    model: str,
    cost_usd: str | None,
    request_id: str,
) -> dict[str, object]:
    """The key ``imagegate`` of a body or of a ``completed`` event. ``cost_usd`` is exact dollars as text,
    None where the cost is not known."""
    return {
        "cost_usd": cost_usd,
        "provider": provider,
        "model": model,
        **told(fitted, received),
        "request_id": request_id,
    }


def _member(adjustment: Adjustment) -> str:
    parameters = {}
    if adjustment.was is not None:
        parameters["from"] = string(shown(adjustment.was))
    if adjustment.now is not None:
        parameters["to"] = string(shown(adjustment.now))
    parameters["how"] = token(adjustment.how.value)
    return item(token(shown(adjustment.field)), parameters)


def _texts(received: Sequence[Pixels]) -> list[str]:
    return [f"{width}x{height}" for width, height in received]


def _are_alike(texts: Sequence[str]) -> bool:
    return len(set(texts)) == 1
