"""Lines as they may come out of a ledger."""

from __future__ import annotations

from typing import Any

from gateway.ledger.accounts.lines import Line
from gateway.ledger.tables import to_micros
from tests.unit.ledger.entries import NOON

MADE = Line(
    kind="usage",
    line_id="r/1",
    attempt_id="r/1",
    day="2026-11-20",
    received_at=to_micros(NOON),
    made_at=to_micros(NOON),
    project_id="proj_growth",
    project="growth",
    key_id="key_1",
    key="ci",
    external_key_id="ext",
    labels={},
    tags={},
    model="gpt-image-2",
    provider="openai",
    upstream_model="gpt-image-2",
    operation="generations",
    size="1024x1024",
    quality="high",
    state="settled",
    images=1,
    input_tokens=11,
    input_text_tokens=11,
    input_image_tokens=None,
    cached_text_tokens=None,
    cached_image_tokens=None,
    output_tokens=7024,
    output_text_tokens=None,
    output_image_tokens=None,
    total_tokens=7035,
    cost=210_775_000,
    unknown=0,
    price_version="2026-04-21",
    flags="",
    note="",
)


def line(**changes: Any) -> Line:
    return MADE._replace(**changes)
