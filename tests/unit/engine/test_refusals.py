"""What a caller is told when a limit refuses: failures 9, 10, 11 and 14, and the rate headers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from gateway.api.errors import answer
from gateway.caller import Caller
from gateway.engine.refusals import (
    Alternative,
    described,
    duration,
    noted,
    price_unknown,
    rate_headers,
    refusal,
)
from gateway.errors import GatewayError, RateLimited, SpendLimitReached
from gateway.quota.outcomes import Binding, Refused, Standing
from gateway.quota.terms import Limit, Measure, Scope
from gateway.quota.windows import Period

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MONTH_END = datetime(2026, 12, 1, tzinfo=UTC)
CALLER = Caller("growth/ci", "ci", "growth", "Growth")
ORGANIZATION = Scope.organization()
PROJECT = Scope.project("growth")
KEY = Scope.key("growth", "growth/ci")
USER = Scope.end_user("growth", "growth/ci", "ann@example.com")
CENT = 10_000_000


def standing(
    scope: Scope,
    measure: Measure,
    amount: int,
    per: Period | None = "month",
    *,
    settled: int = 0,
    held: int = 0,
    unknown: int = 0,
    resets_at: datetime | None = MONTH_END,
    rolling: bool = False,
    shadow: bool = False,
) -> Standing:
    limit = Limit(scope, measure, amount, per, rolling, shadow)
    return Standing(limit, "w", settled, held, unknown, resets_at)


def binding(where: Standing, needed: int, retry_after_ms: int | None = None) -> Binding:
    return Binding(where, needed, retry_after_ms)


def spend(scope: Scope, needed: int = 21 * CENT, **more: int) -> Binding:
    return binding(standing(scope, Measure.SPEND, 100 * CENT, **more), needed, 10**9)


def told(*bindings: Binding, alternatives: tuple[Alternative, ...] = ()) -> GatewayError:
    return refusal(Refused(bindings), CALLER, "gpt-image-2", alternatives, now=NOW)


@pytest.mark.parametrize(
    ("scope", "code", "name"),
    [
        (ORGANIZATION, "organization_spend_limit_exceeded", "the organization"),
        (PROJECT, "project_spend_limit_exceeded", "project 'Growth'"),
        (KEY, "insufficient_quota", "key 'ci'"),
        (USER, "insufficient_quota", "this end user"),
    ],
)
def test_f11_a_budget_that_would_be_exceeded(scope: Scope, code: str, name: str) -> None:
    error = told(spend(scope, settled=64 * CENT, held=21 * CENT, unknown=4 * CENT))
    assert isinstance(error, SpendLimitReached)
    assert (error.status, error.type, error.code, error.retryable) == (429, "insufficient_quota", code, False)
    assert error.message == (
        f"This call can cost $0.21, and the spend limit of {name} ($1 per month) has $0.11 left: $0.64 is "
        "spent, running calls hold $0.21 and $0.04 is of unknown outcome. It resets at 2026-12-01T00:00:00Z."
    )


def test_f11_on_the_wire_it_tells_the_sdk_not_to_retry_and_programs_the_numbers() -> None:
    wire = answer(told(spend(PROJECT, settled=90 * CENT)))
    headers = dict(wire.headers)
    assert (wire.status, headers[b"x-should-retry"]) == (429, b"false")
    assert b"retry-after" not in headers
    error = msgspec.json.decode(wire.body)["error"]
    assert list(error)[:4] == ["message", "type", "param", "code"]
    assert error["limits"] == [
        {
            "scope": "project",
            "model": None,
            "measure": "spend_usd",
            "per": "month",
            "rolling": False,
            "shadow": False,
            "limit": "1",
            "used": "0.9",
            "held": "0",
            "unknown": "0",
            "remaining": "0.1",
            "resets_at": "2026-12-01T00:00:00Z",
            "needed": "0.21",
        }
    ]


def test_f11_every_limit_that_refused_is_named_and_the_widest_gives_the_code() -> None:
    error = told(
        spend(ORGANIZATION, settled=95 * CENT),
        spend(KEY, settled=90 * CENT),
        binding(standing(PROJECT, Measure.IMAGES, 5, "minute", settled=5), 1, 12_000),
        binding(standing(PROJECT, Measure.CONCURRENT, 2, None, held=2, resets_at=None), 1),
    )
    assert error.code == "organization_spend_limit_exceeded"
    assert error.retryable is False
    for words in ("the organization", "key 'ci'", "images per min: Limit 5", "2 calls of project 'Growth'"):
        assert words in error.message
    assert isinstance(error.extra["limits"], list)
    assert len(error.extra["limits"]) == 4


def test_f11_the_nearest_change_that_would_be_admitted_is_offered() -> None:
    changes = (
        Alternative("quality: high", {Measure.SPEND: 15 * CENT}),
        Alternative("quality: medium", {Measure.SPEND: 53_000_000}),
        Alternative("quality: low", {Measure.SPEND: 6_000_000}),
    )
    error = told(spend(PROJECT, settled=90 * CENT), alternatives=changes)
    assert error.message.endswith("'quality: medium' would be admitted now: it holds $0.053.")
    tight = told(spend(PROJECT, settled=90 * CENT), spend(KEY, settled=99 * CENT), alternatives=changes)
    assert tight.message.endswith("'quality: low' would be admitted now: it holds $0.006.")
    nothing = told(spend(PROJECT, settled=100 * CENT), alternatives=changes)
    assert "would be admitted" not in nothing.message


def test_f11_a_change_is_offered_only_where_every_measure_fits() -> None:
    images = binding(standing(PROJECT, Measure.IMAGES, 10, "day", settled=8), 4)
    fewer = Alternative("n: 2", {Measure.SPEND: 5 * CENT, Measure.IMAGES: 2})
    cheaper = Alternative("quality: low", {Measure.SPEND: CENT, Measure.IMAGES: 4})
    error = told(spend(PROJECT, settled=90 * CENT), images, alternatives=(cheaper, fewer))
    assert error.message.endswith("'n: 2' would be admitted now: it holds $0.05.")


def test_f11_a_call_dearer_than_the_whole_limit_is_told_that_no_reset_helps() -> None:
    error = told(spend(KEY, needed=120 * CENT))
    assert error.message.endswith("It is more than the whole limit.")


def test_f11_a_limit_of_one_model_and_without_end_says_so() -> None:
    scope = Scope.key("growth", "growth/ci", model="hero")
    where = standing(scope, Measure.SPEND, 100 * CENT, "total", settled=99 * CENT, resets_at=None)
    error = told(binding(where, 5 * CENT))
    assert "the spend limit of key 'ci' for 'hero' ($1 in total) has $0.01 left" in error.message
    assert error.message.endswith("It does not reset.")


@pytest.mark.parametrize(
    ("measure", "dimension"),
    [(Measure.REQUESTS, "requests"), (Measure.IMAGES, "images"), (Measure.TOKENS, "tokens")],
)
def test_f09_a_rate_that_is_exceeded(measure: Measure, dimension: str) -> None:
    where = standing(PROJECT, measure, 5, "minute", settled=5, resets_at=NOW + timedelta(minutes=1))
    error = told(binding(where, 1, 12_000))
    assert isinstance(error, RateLimited)
    assert (error.status, error.type, error.code) == (429, dimension, "rate_limit_exceeded")
    assert error.message == (
        f"Rate limit reached for gpt-image-2 in project 'Growth' on {dimension} per min: Limit 5, Used 5, "
        "Requested 1. Please try again in 12s."
    )
    headers = dict(answer(error).headers)
    assert headers[b"x-should-retry"] == b"true"
    assert (headers[b"retry-after"], headers[b"retry-after-ms"]) == (b"12", b"12000")


@pytest.mark.parametrize(("wait", "retryable"), [(60_000, True), (60_001, False), (None, False)])
def test_f09_only_a_wait_of_a_minute_is_worth_a_retry(wait: int | None, retryable: bool) -> None:
    where = standing(PROJECT, Measure.IMAGES, 5, "hour", settled=5, resets_at=NOW + timedelta(hours=1))
    error = told(binding(where, 1, wait))
    assert error.retryable is retryable
    assert ("It resets at 2026-11-20T13:00:00Z." in error.message) is not retryable


def test_f09_of_several_rates_the_longest_wait_counts() -> None:
    minute = binding(standing(PROJECT, Measure.IMAGES, 5, "minute", settled=5), 1, 12_000)
    other = binding(standing(KEY, Measure.REQUESTS, 3, "minute", settled=3), 1, 20_000)
    error = told(minute, other)
    assert (error.retry_after, error.type) == (20.0, "images")
    day = binding(standing(KEY, Measure.REQUESTS, 3, "total", settled=3, resets_at=None), 1)
    assert told(minute, day).retry_after is None
    assert told(minute, day).retryable is False


def test_f09_more_than_a_rate_ever_gives_is_told_as_that() -> None:
    error = told(binding(standing(PROJECT, Measure.IMAGES, 5, "minute"), 8))
    assert error.message.endswith("One call asks for more than the whole limit; ask for less at once.")
    assert error.retryable is False


def test_f09_a_rolling_window_says_when_there_is_room() -> None:
    where = standing(
        KEY, Measure.IMAGES, 5, "hour", settled=5, rolling=True, resets_at=NOW + timedelta(minutes=9)
    )
    assert "images per rolling hour: " in told(binding(where, 1, 540_000)).message
    assert "There is room again at 2026-11-20T12:09:00Z." in told(binding(where, 1, 540_000)).message
    unknown = standing(KEY, Measure.IMAGES, 5, "hour", settled=5, rolling=True, resets_at=None)
    assert "is not known" in told(binding(unknown, 1)).message


def test_f10_too_many_calls_at_once() -> None:
    where = standing(PROJECT, Measure.CONCURRENT, 20, None, held=20, resets_at=None)
    error = refusal(Refused((binding(where, 1),)), CALLER, "m", now=NOW, typical_wait=31.5)
    assert (error.status, error.code, error.retryable) == (429, "concurrency_limit", True)
    assert error.message == (
        "20 calls of project 'Growth' are running, and 20 may run at once. Try again when one has ended."
    )
    assert dict(answer(error).headers)[b"retry-after"] == b"32"


def test_pictures_that_take_several_calls_are_told_whether_they_can_ever_run_side_by_side() -> None:
    busy = standing(PROJECT, Measure.CONCURRENT, 4, None, held=2, resets_at=None)
    later, never = told(binding(busy, 3)), told(binding(busy, 5))
    assert (later.retryable, never.retryable) == (True, False)
    assert later.message.endswith("take 3 calls side by side. Try again when enough have ended.")
    assert never.message.endswith("take 5 calls side by side. Ask for fewer at once.")
    assert never.retry_after is None
    one = Alternative("n: 1", {Measure.CONCURRENT: 1})
    assert told(binding(busy, 5), alternatives=(one,)).message.endswith("'n: 1' would be admitted now.")


def test_f14_an_unknown_price_is_refused_where_dollars_are_limited() -> None:
    error = price_unknown("flux", "It is priced by tokens that nobody can count beforehand.")
    assert (error.status, error.code, error.param, error.retryable) == (400, "price_unknown", "model", False)
    assert (
        "nobody can count beforehand. The operator can write its price (models.flux.targets" in error.message
    )


def test_f14_so_is_an_unknown_number_of_tokens_where_tokens_are_limited() -> None:
    error = price_unknown("flux", measure=Measure.TOKENS)
    assert error.message.startswith(
        "What a call of 'flux' can take in tokens is not known to this gateway, and a"
    )
    assert "a token limit applies to your key" in error.message


def test_no_refusal_names_an_end_user() -> None:
    error = told(spend(USER, settled=90 * CENT), binding(standing(USER, Measure.IMAGES, 1, settled=1), 1))
    told_all = answer(error).body.decode() + repr(noted(Refused((spend(USER),))))
    assert "ann" not in told_all


def test_the_log_has_the_level_what_was_left_and_what_was_wanted() -> None:
    assert noted(Refused((spend(PROJECT, settled=90 * CENT),))) == {
        "refused_by": [
            {
                "scope": "project",
                "model": None,
                "measure": "spend_usd",
                "per": "month",
                "remaining": "0.1",
                "needed": "0.21",
            }
        ]
    }


def test_rate_headers_are_those_of_the_tightest_limit() -> None:
    soon, later = NOW + timedelta(seconds=6), NOW + timedelta(hours=12)
    found = rate_headers(
        [
            standing(ORGANIZATION, Measure.IMAGES, 200, "minute", settled=6, resets_at=soon),
            standing(PROJECT, Measure.IMAGES, 10, "day", settled=2, held=5, resets_at=later),
            standing(KEY, Measure.IMAGES, 1, "day", settled=1, resets_at=later, shadow=True),
            standing(
                KEY, Measure.REQUESTS, 60, "minute", settled=1, resets_at=NOW + timedelta(milliseconds=20)
            ),
            standing(KEY, Measure.TOKENS, 9, "total", settled=9, resets_at=None),
            standing(KEY, Measure.SPEND, 9, "day"),
        ],
        NOW,
    )
    assert found == [
        ("x-ratelimit-limit-requests", "60"),
        ("x-ratelimit-remaining-requests", "59"),
        ("x-ratelimit-reset-requests", "20ms"),
        ("x-ratelimit-limit-tokens", "9"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-limit-images", "10"),
        ("x-ratelimit-remaining-images", "3"),
        ("x-ratelimit-reset-images", "12h0m0s"),
    ]


def test_a_refusal_carries_the_rate_headers() -> None:
    where = standing(PROJECT, Measure.IMAGES, 5, "minute", settled=5, resets_at=NOW + timedelta(minutes=1))
    error = refusal(Refused((binding(where, 1, 12_000),), (where,)), CALLER, "m", now=NOW)
    assert error.headers["x-ratelimit-remaining-images"] == "0"
    assert error.headers["x-ratelimit-reset-images"] == "1m0s"


def test_f17_limits_that_nobody_counted_are_marked() -> None:
    assert rate_headers((), NOW, enforced=False) == [("x-ratelimit-enforced", "false")]
    assert rate_headers((), NOW) == []


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0s"),
        (timedelta(seconds=-5), "0s"),
        (timedelta(microseconds=1), "1ms"),
        (timedelta(milliseconds=20), "20ms"),
        (timedelta(milliseconds=999, microseconds=1), "1s"),
        (timedelta(seconds=1), "1s"),
        (timedelta(seconds=59, milliseconds=1), "1m0s"),
        (timedelta(minutes=6), "6m0s"),
        (timedelta(minutes=6, seconds=5), "6m5s"),
        (timedelta(hours=1), "1h0m0s"),
        (timedelta(days=30), "720h0m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(span: timedelta, text: str) -> None:
    assert duration(span) == text


def test_amounts_are_exact_text_for_dollars_and_numbers_for_the_rest() -> None:
    dollars = described(standing(KEY, Measure.SPEND, 1, "day", settled=1))
    assert (dollars["limit"], dollars["used"], dollars["remaining"]) == ("0.000000001", "0.000000001", "0")
    images = described(standing(KEY, Measure.IMAGES, 5, "day", settled=7))
    assert (images["limit"], images["used"], images["remaining"]) == (5, 7, 0)
