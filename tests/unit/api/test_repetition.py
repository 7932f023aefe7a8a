"""What headers say of a call's being made once, later, or again."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gateway.api.repetition import with_repetition
from gateway.engine.answer import RequestFacts
from gateway.errors import InvalidRequest

FACTS = RequestFacts("req_1", datetime(2026, 11, 20, tzinfo=UTC), 0.0)


def read(**headers: str) -> RequestFacts:
    return with_repetition(
        FACTS, {name.replace("_", "-").encode(): text.encode("latin-1") for name, text in headers.items()}
    )


def test_a_call_that_says_nothing_is_left_as_it_is() -> None:
    assert read(accept="*/*", x_stainless_retry_count="0", x_envoy_attempt_count="1") is FACTS


@pytest.mark.parametrize(
    ("header", "count", "is_retry"),
    [
        ("x_stainless_retry_count", "1", True),
        ("x_stainless_retry_count", "2", True),
        ("x_envoy_attempt_count", "2", True),
        ("x_stainless_retry_count", "-1", False),
        ("x_stainless_retry_count", "one", False),
        ("x_stainless_retry_count", "9" * 400, False),
        ("x_stainless_retry_count", "", False),
    ],
)
def test_who_sends_again_and_says_so(header: str, count: str, is_retry: bool) -> None:
    assert read(**{header: count}).is_retry is is_retry


@pytest.mark.parametrize(
    ("prefer", "later"),
    [
        ("respond-async", True),
        ("Respond-Async, wait=10", True),
        ("wait=10,respond-async", True),
        ("respond-async; x=1", True),
        ("return=minimal", False),
        ("x-respond-async", False),
        ("respond-asynchronously", False),
        ("", False),
    ],
)
def test_who_prefers_to_be_answered_later(prefer: str, later: bool) -> None:
    assert read(prefer=prefer).respond_async is later


@pytest.mark.parametrize("key", ["a", "x" * 255, '"quoted"', "with space"])
def test_a_key_is_taken_as_it_is(key: str) -> None:
    assert read(idempotency_key=key).idempotency_key == key


@pytest.mark.parametrize("key", ["", "  ", "x" * 256, "tab\there", "caf\xe9", "\x7f"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read(idempotency_key=key)
    assert (caught.value.param, caught.value.status) == ("Idempotency-Key", 400)
