from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.keyformat import ADMIN_PREFIX, digest, new_key, redact, well_formed


@pytest.mark.parametrize("prefix", ["sk-ig-", ADMIN_PREFIX])
def test_a_new_key_has_its_prefix_43_characters_and_a_checksum(prefix: str) -> None:
    key = new_key(prefix)
    assert re.fullmatch(re.escape(prefix) + r"[0-9A-Za-z]{49}", key)
    assert well_formed(key)


def test_no_two_keys_are_alike() -> None:
    assert len({new_key() for _ in range(1000)}) == 1000


def test_a_key_has_256_random_bits_and_all_of_them_show(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def most(number: int) -> bytes:
        asked.append(number)
        return b"\xff" * number

    monkeypatch.setattr("gateway.ledger.keyformat.secrets.token_bytes", most)
    body = new_key()[6:49]
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for character in body:
        number = number * 62 + alphabet.index(character)
    assert asked == [32]
    assert number == 2**256 - 1


@given(st.integers(0, 48), st.characters(codec="ascii", categories=["L", "N"]))
def test_one_wrong_character_is_noticed(position: int, character: str) -> None:
    key = "sk-ig-" + KNOWN[6:]
    wrong = key[: 6 + position] + character + key[7 + position :]
    assert well_formed(wrong) is (wrong == key)


KNOWN = "sk-ig-Fa5COP0MBsSGkSR8QWwZHlJdcG165R9O9AYIrOCTsl62Oz0CI"
"""Made once: a random one would give each test process tests of other names."""


@pytest.mark.parametrize(
    "key", ["sk-ig-", "sk-ig-short", KNOWN + "x", KNOWN[:-1], "sk-ig-" + "é" * 49, "sk-admin-1"]
)
def test_a_text_with_our_prefix_that_cannot_be_ours_is_not_well_formed(key: str) -> None:
    assert not well_formed(key)


@pytest.mark.parametrize("key", ["sk-proj-abc", "", "anything at all", "sk-ant-1", "test key"])
def test_foreign_keys_are_not_judged(key: str) -> None:
    assert well_formed(key)


def test_a_digest_depends_on_key_and_pepper_and_tells_neither() -> None:
    found = digest("key", b"pepper")
    assert re.fullmatch("[0-9a-f]{64}", found)
    assert found == digest("key", b"pepper")
    assert len({found, digest("key", b"other"), digest("other", b"pepper")}) == 3
    assert digest("\ud800", b"pepper")
    with pytest.raises(ValueError, match="secret"):
        digest("key", b"")


@given(st.text())
def test_a_redacted_key_shows_at_most_four_characters_of_it(key: str) -> None:
    shown = redact(key)
    assert shown.removeprefix("sk-ig-").removeprefix("sk-admin-") in {"...", f"...{key[-4:]}"}


@pytest.mark.parametrize(("length", "shown"), [(15, "sk-ig-..."), (16, "sk-ig-...xxxx")])
def test_sixteen_characters_beyond_the_prefix_are_enough_to_show_four(length: int, shown: str) -> None:
    assert redact("sk-ig-" + "x" * length) == shown


def test_the_checksum_is_over_all_before_it_and_of_a_fixed_alphabet() -> None:
    assert well_formed(KNOWN)
    assert not well_formed("sk-admin-" + KNOWN[6:])
    assert {len(new_key()) for _ in range(20)} == {6 + 43 + 6}


def test_our_keys_are_shown_by_prefix_and_last_four() -> None:
    assert redact(KNOWN) == f"sk-ig-...{KNOWN[-4:]}"
    assert redact("short secret") == "..."
