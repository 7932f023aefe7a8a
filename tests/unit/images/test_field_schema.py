"""JSON Schemas of single fields: sizes and colours are read as the rule reads them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import InvalidRequest
from gateway.images.backgrounds import colour_of
from gateway.images.field_schema import field_schema
from gateway.images.fields import BACKGROUNDS, KNOWN
from gateway.images.intent import intent_of

SPACES = ["", "", " ", "\t", "\n", "\u00a0", "\u3000", "\x1f", "\u200b", "\ufeff"]
NUMBERS = ["0", "00", "1", "5", "9", "16", "17", "12", "512", "1024", "99999", "100000", "\u0661"]
SIGNS = [".", "5.", ".0", ".000001", "x", "X", "*", "×", ":", "k", "K", "\u212a", "-", "e", "#"]
NAMES = ["auto", "AUTO", "Auto", "f80", "FF8800", "white", "Black", "blac\u212a"]


@st.composite
def words(draw: st.DrawFn) -> str:
    middle = "".join(draw(st.lists(st.sampled_from(NUMBERS + SIGNS + NAMES), min_size=1, max_size=6)))
    return draw(st.sampled_from(SPACES)) + middle + draw(st.sampled_from(SPACES))


def accepts(schema: dict[str, Any], text: str) -> bool:
    if "anyOf" in schema:
        return any(accepts(one, text) for one in schema["anyOf"])
    if "enum" in schema:
        return text in schema["enum"]
    return re.search(schema["pattern"], text) is not None


@pytest.mark.parametrize("name", ["size", "aspect_ratio", "resolution"])
@given(text=words())
@example(text="1024x1024")
@example(text="16:9")
@example(text="1.85:1")
@example(text="0.5k")
@example(text="16.0K")
@example(text="16.1K")
@example(text="00.0K")
@example(text="0.0:1")
@example(text="1:0")
@example(text="512")
@example(text="0x5")
@example(text="5x00")
def test_a_size_statement_is_read_as_the_rule_reads_it(name: str, text: str) -> None:
    given_fields = {"size": None, "aspect_ratio": None, "resolution": None, name: text}
    try:
        intent_of(**given_fields)
        refused = None
    except InvalidRequest as refusal:
        refused = refusal
    assert accepts(field_schema(KNOWN[name]), text) is (refused is None)
    assert refused is None or refused.param == name


@given(text=words() | st.sampled_from(BACKGROUNDS))
def test_a_background_is_a_word_or_a_colour(text: str) -> None:
    assert accepts(field_schema(KNOWN["background"]), text) is (
        text in BACKGROUNDS or colour_of(text) is not None
    )
