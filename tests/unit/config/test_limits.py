"""Limits as they are written: what can be said, and what is refused because it would mean nothing."""
# ruff: noqa: E501 (a row of a table of faults is one line)

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import config
from config.limits import LimitSettings, parse_until
from config.loader import ConfigErrors, Loaded, load
from config.storage import quota_url
from gateway.quota.terms import MAX_AMOUNT, MAX_RATE, Limit, Measure, Scope

ALL_WINDOWS = ("minute", "hour", "day", "week", "month", "quarter", "year", "total")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "c.yaml"


def loaded(file: Path, text: str, today: date = date(2026, 11, 20), **environ: str) -> Loaded:
    file.write_text("providers: {s: {type: sandbox}}\n" + text)
    return load(file, environ=environ, today=today)


def problems(file: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        loaded(file, text)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]


@pytest.mark.parametrize("measure", ["spend_usd", "images", "requests", "tokens"])
@pytest.mark.parametrize("per", ALL_WINDOWS)
def test_every_measure_can_be_limited_in_every_window(measure: str, per: str) -> None:
    limit = LimitSettings.model_validate({measure: 5, "per": per})
    assert (limit.measure, limit.amount, limit.per) == (measure, 5, per)


def test_everything_that_a_limit_may_say_can_be_said_at_once() -> None:
    limit = LimitSettings.model_validate(
        {
            "spend_usd": "400",
            "per": "month",
            "model": "gpt-image-2",
            "alert_at": ["50%", "80%", "100%"],
            "temporary": {"to": 600, "until": "2026-12-24"},
            "when_away": "allowance",
        }
    )
    assert limit.alert_at == [Decimal("0.5"), Decimal("0.8"), Decimal(1)]
    assert limit.temporary is not None
    assert (limit.temporary.to, limit.temporary.until) == (600, date(2026, 12, 24))
    assert limit.words == "spend_usd: 400 per month"


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("{per: day}", "limits[0]: needs exactly one of spend_usd, images, requests, tokens and concurrent"),
        ("{images: 3, tokens: 4, per: day}", "and concurrent, not images and tokens"),
        ("{images: 3}", "needs per: minute, hour, day, week, month, quarter, year or total"),
        ("{concurrent: 3, per: day}", "concurrent counts what runs now; leave per: out"),
        ("{concurrent: 3, rolling: true}", "concurrent counts what runs now; leave rolling: out"),
        ("{images: 3, per: total, rolling: true}", "a total has no end, so it cannot roll"),
        ("{images: 0, per: day}", "images: must be greater than or equal to 1"),
        ("{images: true, per: day}", "images: expected a whole number"),
        ("{images: '3', per: day}", "images: expected a whole number"),
        ("{images: 2.5, per: day}", "images: expected a whole number"),
        ("{spend_usd: 9000000.01, per: day}", "spend_usd: must be less than or equal to 9000000"),
        ("{tokens: 9007199254740992, per: day}", "tokens: must be less than or equal to 9007199254740991"),
        ("{tokens: 10000000001, per: minute}", "a rate of more than 10000000000 per minute cannot be counted"),
        ("{images: 3, per: minute, alert_at: [50%]}", "an alert fires once in a window, and this limit has none"),
        ("{concurrent: 3, alert_at: [50%]}", "an alert fires once in a window, and this limit has none"),
        ("{images: 3, per: day, alert_at: [0%]}", "alert_at takes shares above 0% and up to 100%"),
        ("{images: 3, per: day, alert_at: [100.1%]}", "alert_at takes shares above 0% and up to 100%"),
        ("{images: 3, per: day, alert_at: [50%, 50.0%]}", "alert_at names a share twice"),
        ("{images: 3, per: day, temporary: {to: 3, until: 2026-12-24}}", "temporary.to is a raise: write more than 3"),
        ("{images: 3, per: day, temporary: {to: 3.5, until: 2026-12-24}}", "temporary.to is a whole number of images"),
        ("{images: 3, per: minute, temporary: {to: 10000000001, until: 2026-12-24}}", "temporary.to is at most 10000000000"),
        ("{spend_usd: 3, per: day, temporary: {to: 9000001, until: 2026-12-24}}", "temporary.to is at most 9000000"),
        ("{spend_usd: 3, per: day, temporary: {to: 5, until: 24.12.2026}}", "until: expected a day or a moment such as"),
        ("{spend_usd: 3, per: day, temporary: {to: 5, until: 9999-12-31}}", "until: expected a day or a moment such as"),
        ("{spend_usd: 3, per: day, temporary: {to: 5}}", "temporary.until: is required."),
        ("{images: 3, per: day, when_away: allowance}", "only spend_usd can have an allowance"),
        ("{spend_usd: 3, per: day, rolling: true, when_away: allowance}", "nothing can be set aside in a rolling window"),
        ("{spend_usd: 3, per: day, shadow: true, when_away: open}", "when_away: means nothing; leave it out"),
        ("{spend_usd: 3, per: day, shadow: true, temporary: {to: 5, until: 2026-12-24}}", "there is nothing to raise"),
        ("{spend_usd: 3, per: day, model: nobody}", "limits[0].model: there is no model 'nobody'"),
        ("{spend_usd: 3, per: day}, {spend_usd: 4, per: day}", "limits[1]: counts the same as limits[0] (spend_usd: 3 per day)"),
    ],
)  # fmt: skip
def test_a_limit_that_would_mean_nothing_is_refused(file: Path, limit: str, expected: str) -> None:
    (found,) = problems(file, f"organization: {{limits: [{limit}]}}")
    assert expected in found


def test_limits_that_differ_in_anything_stand_side_by_side(file: Path) -> None:
    text = """organization:
  limits:
    - {images: 3, per: day}
    - {images: 3, per: day, rolling: true}
    - {images: 3, per: day, shadow: true}
    - {images: 3, per: day, model: sandbox}
    - {images: 3, per: week}
    - {requests: 3, per: day}
"""
    assert len(loaded(file, text).settings.organization.limits) == 6


@pytest.mark.parametrize(
    ("project", "expected"),
    [
        ("{name: a, models: [sandbox], limits: [{images: 1, per: day, model: s/other}]}", "limits[0].model: 's/other' may not be used here"),
        ("{name: a, keys: [{name: k, key: 'env:K', models: [sandbox], end_user_limits: [{images: 1, per: day, model: s/x}]}]}", "keys[0].end_user_limits[0].model: 's/x' may not be used here"),
        ("{name: a, end_user_limits: [{per: day}]}", "end_user_limits[0]: needs exactly one of"),
        ("{name: a, end_user_header: 'x user'}", "end_user_header: 'x user' is not a header's name"),
        ("{name: a, end_user_header: Authorization}", "Authorization never names an end user"),
        ("{name: a, tags: [team, team]}", "tags[1]: 'team' stands here twice"),
        ("{name: a, tags: [everywhere]}", "tags[0]: the organization allows 'everywhere' already"),
        ("{name: a, tags: ['a,b']}", "tags[0]: a name is letters, digits"),
    ],
)  # fmt: skip
def test_what_a_project_says_of_its_callers_is_checked(file: Path, project: str, expected: str) -> None:
    (found,) = problems(file, f"organization: {{tags: [everywhere], projects: [{project}]}}")
    assert expected in found


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("https://alerts.example/hook?team=red", None),
        ("http://127.0.0.1:9000/hook", None),
        ("http://localhost/hook", None),
        ("http://alerts.example/hook", "expected an address such as https://"),
        ("alerts.example", "expected an address such as https://"),
        ("https://", "expected an address such as https://"),
        ("https://u:p@alerts.example", "holds a user or a password"),
        ("https://[", "expected an address such as https://"),
    ],
)
def test_alerts_go_out_encrypted_or_stay_on_this_machine(file: Path, url: str, fault: str | None) -> None:
    text = f"organization: {{alerts: {{webhook: '{url}', secret: 'env:S'}}}}"
    if fault is None:
        assert loaded(file, text, S="x").settings.organization.alerts is not None
    else:
        (found,) = problems(file, text)
        assert fault in found


@pytest.mark.parametrize(
    ("quota", "fault"),
    [
        ("local", None),
        ("redis://cache:6379/0", None),
        ("rediss://u@cache", None),
        ("redis+sentinel://s1:26380/mymaster/0", None),
        ("rediss+cluster://c1:7000", None),
        ("redis+sentinel://s1", "lacks the service's name"),
        ("redis+sentinel://s1/m?sentinel_password=hunter2", "holds a password"),
        ("redis+cluster://:hunter2@c1", "holds a password"),
        ("redis+cluster://c1/1", "a cluster has one database"),
        ("env:Q", None),
        ("file:q", None),
        ("redis://:hunter2@cache", "holds a password; put the whole address into a variable"),
        ("redis://cache?password=hunter2", "holds a password"),
        ("redis://", "expected local, redis://HOST:PORT/DB"),
        ("redis://cache/main", "a database's number"),
        ("memcached://cache", "expected local, redis://HOST:PORT/DB"),
        ("redis://cache:port", "expected local, redis://HOST:PORT/DB"),
        ("'env:'", "expected env:NAME or file:PATH"),
    ],
)
def test_the_store_of_counters_has_an_address_without_secrets(
    file: Path, quota: str, fault: str | None
) -> None:
    text = f"storage: {{quota: {quota}}}"
    if fault is None:
        assert loaded(file, text).settings.storage.quota == quota
    else:
        (found,) = problems(file, text)
        assert fault in found
        assert "hunter2" not in found


def test_the_address_of_the_counters_may_come_from_a_variable(file: Path) -> None:
    result = loaded(file, "storage: {quota: 'env:QUOTA_URL'}")
    (unset,) = result.unset
    assert unset.endswith("storage.quota: the environment variable QUOTA_URL is not set")
    for wrong in ("redis://:hunter2@a,b", "postgresql://hunter2@db"):
        with pytest.raises(ValueError, match="what env:QUOTA_URL holds cannot be used") as refusal:
            quota_url(result.settings, result.base, {"QUOTA_URL": wrong})
        assert "hunter2" not in str(refusal.value)
        (unset,) = loaded(file, "storage: {quota: 'env:QUOTA_URL'}", QUOTA_URL=wrong).unset
        assert "storage.quota: what env:QUOTA_URL holds cannot be used" in unset
    assert quota_url(result.settings, result.base, {"QUOTA_URL": "redis://:x@h"}) == "redis://:x@h"
    assert quota_url(result.settings, result.base, {"QUOTA_URL": "local"}) is None
    assert quota_url(loaded(file, "").settings, result.base) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("organization: {limits: [{images: 1, per: day, temporary: {to: 2, until: 2026-11-18}}]}", "limits[0].temporary: this raise is over, and images: 1 holds; remove it"),
        ("organization: {limits: [{images: 1, per: day, temporary: {to: 2, until: 2026-11-19T09:00}}]}", "this raise is over"),
        ("organization: {limits: [{spend_usd: 1, per: day, when_away: closed}]}", "limits[0].when_away: the counters are in the process"),
        ("organization: {alerts: {webhook: 'https://a.example', secret: 'env:S'}}", "organization.alerts: no limit has alert_at"),
        ("storage: {quota: 'redis://c', allowance: {most_usd: 5}}", "storage.allowance: no limit has when_away: allowance"),
    ],
)  # fmt: skip
def test_what_means_nothing_today_is_a_warning(file: Path, text: str, expected: str) -> None:
    (warning,) = loaded(file, text, S="x").warnings
    assert expected in warning


def test_a_raise_is_not_over_on_its_last_day_anywhere(file: Path) -> None:
    text = "organization: {limits: [{images: 1, per: day, temporary: {to: 2, until: 2026-11-19}}]}"
    assert loaded(file, text).warnings == []


def test_only_dollar_limits_in_force_need_prices(file: Path) -> None:
    models = "models: {m: {targets: [{provider: l}]}, n: {targets: [{provider: s, model: sandbox}]}}\n"
    upstream = (
        "providers: {l: {type: openai-compatible, base_url: 'http://127.0.0.1:1/v1'}, s: {type: sandbox}}\n"
    )
    for limits, warned in (
        ("[{images: 1, per: day}]", False),
        ("[{spend_usd: 1, per: day, shadow: true}]", False),
        ("[{spend_usd: 1, per: day, model: n}]", False),
        ("[{spend_usd: 1, per: day, model: m}]", True),
    ):
        file.write_text(upstream + models + f"organization: {{limits: {limits}}}")
        warnings = load(file, environ={}, today=date(2026, 11, 20)).warnings
        assert any("the price of 'm' is not known" in warning for warning in warnings) is warned
    file.write_text(
        upstream
        + models
        + "organization: {projects: [{name: a, end_user_limits: [{spend_usd: 1, per: day}]}]}"
    )
    assert "the price of 'm' is not known" in load(file, environ={}).warnings[0]


def test_an_end_is_a_day_or_a_moment() -> None:
    assert parse_until("2026-12-24") == date(2026, 12, 24)
    assert parse_until("2026-12-24T18:00") == datetime(2026, 12, 24, 18)
    assert parse_until("2026-12-24T18:00:30Z") == datetime(2026, 12, 24, 18, 0, 30, tzinfo=UTC)


@given(
    st.sampled_from(["spend_usd", "images", "requests", "tokens", "concurrent"]),
    st.one_of(st.none(), st.sampled_from(ALL_WINDOWS)),
    st.booleans(),
    st.one_of(st.integers(1, 10**17), st.sampled_from([MAX_AMOUNT, MAX_RATE, 9_000_000])),
)
def test_whatever_is_accepted_can_be_counted_exactly(
    measure: str, per: str | None, rolling: bool, amount: int
) -> None:
    """What the schema lets through, the quota room takes without an error."""
    try:
        limit = LimitSettings.model_validate({measure: amount, "per": per, "rolling": rolling})
    except ValidationError:
        return
    counted = Measure("spend" if measure == "spend_usd" else measure)
    nano = amount * 10**9 if measure == "spend_usd" else amount
    made = Limit(Scope.organization(), counted, nano, limit.per, limit.rolling)
    assert made.amount == nano


def test_the_documented_limits_can_be_used(file: Path) -> None:
    text = (Path(config.__file__).parents[1] / "docs" / "limits.md").read_text(encoding="utf-8")
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert len(examples) == 2
    providers = "providers: {openai: {type: openai}}\n"
    for example in examples:
        file.write_text(providers + example)
        assert load(file, environ={}, today=date(2026, 11, 20)).warnings == []
