"""Output tokens by quality and size: the published tables, cell by cell."""

from __future__ import annotations

import pytest

from config.counting import FlatTokens, TableTokens
from gateway.images.output_tokens import picture_tokens
from tests.unit.images.priced import entry

SIZES = [
    "1024x1024", "1536x1024", "1024x1536", "1536x864", "2048x2048", "2560x1440", "3840x2160", "2880x2880",
    "1024x640",
]  # fmt: skip
TABLES = {
    "gpt-image-2": {
        "low": [196, 158, 158, 120, 397, 205, 371, 659, 107],
        "medium": [1756, 1372, 1372, 1078, 3568, 1843, 3336, 5930, 956],
        "high": [7024, 5488, 5488, 4312, 14272, 7370, 13342, 23719, 3824],
    },
    "gpt-image-2.5-flare": {
        "low": [196, 158, 158, 120, 397, 205, 371, 659, 107],
        "medium": [439, 343, 343, 280, 892, 478, 865, 1483, 239],
        "high": [1756, 1372, 1372, 1078, 3568, 1843, 3336, 5930, 956],
        "xhigh": [3122, 2459, 2459, 1917, 6343, 3276, 5930, 10542, 1700],
        "max": [7024, 5488, 5488, 4312, 14272, 7370, 13342, 23719, 3824],
    },
    "gpt-image-1.5": {"low": [272, 400, 408], "medium": [1056, 1568, 1584], "high": [4160, 6208, 6240]},
}
CELLS = [
    (model, quality, size, tokens)
    for model, rows in TABLES.items()
    for quality, row in rows.items()
    for size, tokens in zip(SIZES, row, strict=False)
]


@pytest.mark.parametrize(("model", "quality", "size", "tokens"), CELLS)
def test_every_cell_of_the_published_tables(model: str, quality: str, size: str, tokens: int) -> None:
    counting = entry(model).counting
    assert counting is not None
    assert picture_tokens(counting.output, quality, size) == tokens


@pytest.mark.parametrize(("size", "rows"), [("1536x1008", 32), ("1536x976", 30)])  # of 31.5 and 30.5
def test_halves_are_rounded_to_the_even_row(size: str, rows: int) -> None:
    counting = entry("gpt-image-2").counting
    assert counting is not None
    width, height = map(int, size.split("x"))
    expected = -(-48 * rows * (2_000_000 + width * height) // 4_000_000)
    assert picture_tokens(counting.output, "medium", size) == expected


@pytest.mark.parametrize("model", ["gpt-image-2", "gpt-image-1.5"])
def test_a_quality_that_nobody_published_counts_as_the_dearest(model: str) -> None:
    counting = entry(model).counting
    assert counting is not None
    dearest = picture_tokens(counting.output, "high", "1024x1024")
    assert picture_tokens(counting.output, "hd", "1024x1024") == dearest
    assert picture_tokens(counting.output, None, "1024x1024") == dearest


@pytest.mark.parametrize("size", [None, "auto", "4K", "1024*1024"])
def test_a_formula_needs_a_size(size: str | None) -> None:
    counting = entry("gpt-image-2").counting
    assert counting is not None
    assert picture_tokens(counting.output, "low", size) is None


def test_a_size_that_a_table_lacks_counts_as_its_dearest() -> None:
    counting = entry("gpt-image-1.5").counting
    assert counting is not None
    assert picture_tokens(counting.output, "low", "2048x2048") == 408


def test_a_table_may_say_what_holds_for_all_others() -> None:
    rule = TableTokens(rule="table", tokens={"any": {"4K": 2000, "any": 1290}})
    assert picture_tokens(rule, "high", "4K") == 2000
    assert picture_tokens(rule, None, "1K") == 1290
    assert picture_tokens(rule, None, None) == 2000


def test_a_flat_figure_hangs_on_nothing() -> None:
    assert picture_tokens(FlatTokens(rule="flat", tokens=1290), None, None) == 1290


def test_nothing_is_never_an_estimate() -> None:
    counting = entry("gpt-image-2").counting
    assert counting is not None
    assert picture_tokens(counting.output, "low", "16x1024") == 1
