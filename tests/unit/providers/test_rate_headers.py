"""What an account's rate headers say has run out, and until when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.rate_headers import duration, hints, wait


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0), ("6m0s", 360.0), ("20ms", 0.02), ("1.5s", 1.5), ("1h2m3s", 3723.0), ("12", 12.0),
        ("٣", None), ("0.5", 0.5), ("", None), ("soon", None), ("1s later", None), ("-1", None),
    ],
)  # fmt: skip
def test_durations_as_providers_write_them(text: str, seconds: float | None) -> None:
    assert duration(text) == (seconds if seconds is None else pytest.approx(seconds))


@given(st.text(max_size=60))
def test_no_header_is_too_odd_to_be_read(text: str) -> None:
    found = duration(text)
    assert found is None or found >= 0


def test_what_has_run_out_says_until_when() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "6m0s",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "nobody knows",
        "x-ratelimit-remaining-images": "3",
        "x-ratelimit-reset-images": "1s",
        "x-ratelimit-remaining-input-images": "0",
        "x-ratelimit-reset-input-images": "58.891s",
    }
    assert dict(hints(headers)) == {"requests": 360.0, "input-images": 58.891}
    assert wait(headers) == 360.0


@pytest.mark.parametrize("left", [{}, {"x-ratelimit-remaining-tokens": "12"}])
def test_what_is_left_says_nothing_of_waiting(left: dict[str, str]) -> None:
    assert wait({"x-ratelimit-reset-tokens": "9s", **left}) is None
    assert wait({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "0s"}) is None
