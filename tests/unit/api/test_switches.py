"""Switches of a query string."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.switches import is_on
from gateway.errors import InvalidRequest


@pytest.mark.parametrize(
    "query",
    [
        "dryRun=true",
        "dryRun",
        "dryrun=1",
        "dry_run=TRUE",
        "api-version=preview&dry-run=true",
        "dryRun=1&dryRun=",
    ],
)
def test_every_spelling_turns_it_on(query: str) -> None:
    assert is_on(query.encode(), "dryRun")


@pytest.mark.parametrize(
    "query", ["", "dryRun=false", "dryRun=0", "api-version=preview", "running=dry", "&&="]
)
def test_other_words_are_passed_over(query: str) -> None:
    assert not is_on(query.encode(), "dryRun")


@pytest.mark.parametrize("query", ["dryRun=yes", "dry_run=ture", "dryRun=true&dryRun=false"])
def test_a_value_that_is_neither_on_nor_off_is_refused(query: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        is_on(query.encode(), "dryRun")
    assert (caught.value.param, caught.value.code) == ("dryRun", "invalid_value")


@given(st.binary(max_size=60))
def test_no_bytes_break_it(query: bytes) -> None:
    try:
        assert is_on(query, "dryRun") in (True, False)
    except InvalidRequest:
        assert b"r" in query.lower()
