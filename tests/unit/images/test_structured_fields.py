"""Structured field values, against the grammar of RFC 9651."""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.images.structured_fields import dictionary, inner_list, item, string, token

PLAIN = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
DISPLAY = re.compile(r'%"((?:[\x20\x21\x23\x24\x26-\x7e]|%[0-9a-f]{2})*)"')


def read(written: str) -> str:
    """What a reader of RFC 9651 §4.2.5 and §4.2.10 makes of it."""
    plain, display = PLAIN.fullmatch(written), DISPLAY.fullmatch(written)
    if plain is not None:
        return re.sub(r"\\(.)", r"\1", plain[1])
    assert display is not None, written
    return unquote_to_bytes(display[1]).decode("utf-8")


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_is_read_back_as_it_was(text: str) -> None:
    written = string(text)
    assert read(written) == text
    assert written.isascii()
    assert written.isprintable()


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a", '"a"'),
        ('say "hi" \\', '"say \\"hi\\" \\\\"'),
        ("füü", '%"f%c3%bc%c3%bc"'),
        ("50%\n", '%"50%25%0a"'),
        ("", '""'),
    ],
)
def test_a_string_is_plain_where_it_can_be(text: str, written: str) -> None:
    assert string(text) == written


@pytest.mark.parametrize(("text", "written"), [("clamped", "clamped"), ("*", "*"), ("a b", '"a b"'),
                                               ("1a", '"1a"'), ("", '""'), ("é", '%"%c3%a9"')])  # fmt: skip
def test_a_token_is_one_where_it_can_be(text: str, written: str) -> None:
    assert token(text) == written


def test_a_lone_surrogate_does_no_harm() -> None:
    assert string("\ud800") == '%"?"'


def test_members_are_put_together() -> None:
    assert inner_list(["a", "b"]) == '("a" "b")'
    assert item("x", {"from": '"a"', "how": "mapped"}) == 'x;from="a";how=mapped'
    assert dictionary({"a": "1", "b": '"c"'}) == 'a=1, b="c"'
