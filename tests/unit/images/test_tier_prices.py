"""Models with ratios and tiers are priced by the tier that is sent, or by their default one."""

from __future__ import annotations

import pytest

from gateway.images.call import UNSEEN, InputSize
from tests.unit.images.priced import URL, call, entry, ranged, version

TEXT = 16 + len("a red cat")


@pytest.mark.parametrize(
    ("model", "tier", "tokens"),
    [
        ("gemini-3.1-flash-image", "512", 747),
        ("gemini-3.1-flash-image", "1K", 1120),
        ("gemini-3.1-flash-image", "4K", 2520),
        ("gemini-3.1-flash-image", None, 1120),
        ("gemini-3.1-flash-image", "auto", 1120),
        ("gemini-3-pro-image", "2K", 1120),
        ("gemini-3-pro-image", "4K", 2000),
        ("gemini-2.5-flash-image", None, 1290),
    ],
)
def test_a_picture_takes_the_tokens_of_its_tier(model: str, tier: str | None, tokens: int) -> None:
    sent = {"aspect_ratio": "16:9", **({"resolution": tier} if tier else {})}
    found = ranged(entry(model), call(**sent))
    assert found.tokens == tokens + TEXT


def test_a_tier_gives_the_published_price_of_a_picture_and_a_margin_for_thoughts() -> None:
    found = ranged(entry("gemini-3.1-flash-image"), call(resolution="4K"))
    assert found.expected == 2520 * 60_000 + 9 * 500
    assert found.high == (2520 * 60_000 + TEXT * 500) * 3 // 2


def test_an_input_picture_takes_the_same_tokens_whatever_its_size() -> None:
    model = entry("gemini-3.1-flash-image")
    for size in (InputSize(64, 64), InputSize(4000, 4000), UNSEEN):
        assert ranged(model, call(images=[URL]), [size]).tokens == 1120 + 1120 + TEXT


def test_a_price_table_may_name_tiers() -> None:
    table = version(image_table={"any": {"1K": "0.05", "2K": "0.08", "4K": "0.12"}})
    model = entry("gemini-3-pro-image").model_copy(update={"prices": [table], "counting": None})
    assert ranged(model, call(resolution="2K")).high == 80_000_000
    assert ranged(model, call()).high == 50_000_000
