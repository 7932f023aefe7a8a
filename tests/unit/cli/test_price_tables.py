"""docs/pricing.md says what the code does."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

import pytest

import gateway
from config.loader import load
from gateway.cli.price_tables import renewed
from gateway.images.amounts import NanoDollars, dollars
from gateway.images.call import InputSize
from tests.unit.images.priced import URL, call, entry, ranged

ROOT = Path(gateway.__file__).parent.parent
TEXT = (ROOT / "docs" / "pricing.md").read_text(encoding="utf-8")

PUBLISHED = {
    "gpt-image-2": {"low": "0.006/0.005/0.005", "medium": "0.053/0.041/0.041", "high": "0.211/0.165/0.165"},
    "gpt-image-1.5": {"low": "0.009/0.013/0.013", "medium": "0.034/0.05/0.05", "high": "0.133/0.2/0.2"},
    "gpt-image-1": {"low": "0.011/0.016/0.016", "medium": "0.042/0.063/0.063", "high": "0.167/0.25/0.25"},
    "gpt-image-1-mini": {
        "low": "0.005/0.006/0.006",
        "medium": "0.011/0.015/0.015",
        "high": "0.036/0.052/0.052",
    },
}
"""OpenAI's prices per picture: square / portrait / landscape."""

CELLS = [
    (model, quality, size, amount)
    for model, rows in PUBLISHED.items()
    for quality, row in rows.items()
    for size, amount in zip(("1024x1024", "1024x1536", "1536x1024"), row.split("/"), strict=True)
]
PROMPT = "a red cat"


def pictures_alone(model: str, quality: str, size: str) -> NanoDollars:
    """What the picture holds without the prompt."""
    described = entry(model)
    held = ranged(described, call(PROMPT, quality=quality, size=size))
    tokens = described.prices[0].tokens
    assert tokens is not None
    return NanoDollars(held.high - (16 + len(PROMPT)) * int(tokens.text_in * 1000))


@pytest.mark.parametrize(("model", "quality", "size", "published"), [c for c in CELLS if "mini" not in c[0]])
def test_the_published_price_of_a_picture_comes_out(
    model: str, quality: str, size: str, published: str
) -> None:
    """Rounded as it was published; one of gpt-image-1's ($0.167) was rounded up from $0.1664."""
    exact, shown = Decimal(dollars(pictures_alone(model, quality, size))), Decimal(published)
    assert abs(exact - shown) < Decimal("0.002")
    assert exact.quantize(shown, ROUND_HALF_UP) == shown or (model, published) == ("gpt-image-1", "0.167")


@pytest.mark.parametrize(("model", "quality", "size", "published"), [c for c in CELLS if "mini" in c[0]])
def test_where_the_published_price_is_above_the_published_tokens_the_hold_covers_it(
    model: str, quality: str, size: str, published: str
) -> None:
    assert Decimal(dollars(pictures_alone(model, quality, size))) >= Decimal(published)


def test_gpt_image_2_square_at_high_is_7024_tokens() -> None:
    assert dollars(pictures_alone("gpt-image-2", "high", "1024x1024")) == "0.21072"


def test_the_worked_examples_are_right() -> None:
    calls = {
        "1024x1024 high": call(PROMPT, size="1024x1024", quality="high"),
        "1024x1024 high, n 4": call(PROMPT, size="1024x1024", quality="high", n=4),
        "1536x1024 low, streamed with 3 partial images": call(
            PROMPT, size="1536x1024", quality="low", stream=True, partial_images=3
        ),
        "edit of one 1024x1024 picture, 1024x1024 medium": call(
            PROMPT, [URL], size="1024x1024", quality="medium"
        ),
    }
    shown = re.findall(
        r"^\| ([^|]*) \| ([\d +]+) \| ([\d. =+]+) \|$", TEXT.partition("<!--")[0], re.MULTILINE
    )
    assert [example for example, _, _ in shown] == list(calls)
    for example, tokens, amount in shown:
        held = ranged(
            entry("gpt-image-2"), calls[example], [InputSize(1024, 1024)] if "edit" in example else []
        )
        assert sum(map(int, tokens.split(" + "))) == held.tokens, example
        assert amount.split(" = ")[-1] == dollars(held.high), example
        assert sum(map(Decimal, amount.split(" = ")[0].split(" + "))) == Decimal(dollars(held.high)), example


def test_the_tables_are_fresh() -> None:
    """Renew them with: python -m gateway.cli.price_tables docs/pricing.md"""
    assert renewed(TEXT) == TEXT


def test_a_document_without_the_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="the document needs"):
        renewed("nothing here")


def test_the_example_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)[0])
    assert load(tmp_path / "c.yaml", environ={}).warnings == []


def test_every_flag_is_explained_and_no_other() -> None:
    sources = "".join(
        (ROOT / "gateway" / "images" / name).read_text(encoding="utf-8")
        for name in ("pricing.py", "settlement.py", "estimate.py")
    )
    places = (
        r'flags\.append\("(\w+)"\)',
        r'_Unknown\("(\w+)"\)',
        r'else \["(\w+)"\]',
        r'Charge\(None, \("(\w+)",\)',
        r'\("estimated", "(\w+)"\)',
        r'^ {8}"(\w+)": (?:wanted\.is_|is_|any)',
    )
    used = {name for place in places for name in re.findall(place, sources, re.MULTILINE)}
    explained = TEXT.partition("| flag |")[2].partition("\n\n")[0]
    assert used == set(re.findall(r"^\| `(\w+)` \|", explained, re.MULTILINE))
    assert len(used) == 16
