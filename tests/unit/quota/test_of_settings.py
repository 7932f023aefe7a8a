"""From settings to limits: what applies to whom, when a raise ends, and that no name evades a limit."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from config.catalog import load_catalog
from config.schema import Settings
from gateway.quota.away import Away
from gateway.quota.holds import Amounts
from gateway.quota.local import LocalQuotaStore
from gateway.quota.of_settings import (
    LimitBook,
    alerts_of,
    away_of,
    calendar_of,
    declared_key_id,
    end_of,
    names_of,
)
from gateway.quota.outcomes import Admitted, Epoch, Refused, Reservation
from gateway.quota.terms import Kind, Level, Limit, Measure, Scope
from gateway.quota.windows import ZoneSince, to_ms

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
NANO = 10**9
Document = Mapping[str, Any]


def settings_of(organization: Document, **others: object) -> Settings:
    return Settings.model_validate({"organization": organization, **others})


def book_of(organization: Document, **others: object) -> LimitBook:
    return LimitBook(settings_of(organization, **others), load_catalog())


def one(limit: Document, timezone: str = "UTC", now: datetime = NOW) -> Limit:
    (made,) = book_of({"timezone": timezone, "limits": [limit]}).all_limits(now)
    return made


GROWTH = declared_key_id("growth", "ci")
WHOLE: Document = {
    "limits": [{"spend_usd": "0.1", "per": "day"}, {"images": 9, "per": "minute", "model": "gpt-image-2"}],
    "projects": [
        {
            "name": "growth",
            "limits": [{"spend_usd": 5, "per": "month", "model": "hero"}, {"concurrent": 20}],
            "end_user_limits": [{"images": 4, "per": "day"}],
            "keys": [
                {
                    "name": "ci",
                    "key": "env:K",
                    "limits": [{"requests": 7, "per": "hour", "rolling": True}],
                    "end_user_limits": [{"spend_usd": 1, "per": "total", "model": "hero"}],
                },
                {"name": "other", "key": "env:L", "limits": [{"tokens": 1, "per": "week"}]},
            ],
        },
        {"name": "brand", "limits": [{"spend_usd": 8, "per": "year"}]},
    ],
}


def said(limits: tuple[Limit, ...]) -> list[tuple[str, str, int]]:
    return [(limit.scope.level.value, limit.measure.value, limit.amount) for limit in limits]


@pytest.mark.parametrize(
    ("limit", "measure", "amount", "kind"),
    [
        ({"spend_usd": "0.000000001", "per": "day"}, Measure.SPEND, 1, Kind.WINDOW),
        ({"spend_usd": 9_000_000, "per": "total"}, Measure.SPEND, 9_000_000 * NANO, Kind.WINDOW),
        ({"spend_usd": 1, "per": "minute"}, Measure.SPEND, NANO, Kind.WINDOW),
        ({"images": 3, "per": "minute"}, Measure.IMAGES, 3, Kind.RATE),
        ({"images": 3, "per": "minute", "rolling": True}, Measure.IMAGES, 3, Kind.ROLLING),
        ({"requests": 3, "per": "quarter"}, Measure.REQUESTS, 3, Kind.WINDOW),
        ({"tokens": 2**53 - 1, "per": "week", "rolling": True}, Measure.TOKENS, 2**53 - 1, Kind.ROLLING),
        ({"concurrent": 3}, Measure.CONCURRENT, 3, Kind.CONCURRENT),
    ],
)
def test_what_is_written_is_what_is_counted(
    limit: Document, measure: Measure, amount: int, kind: Kind
) -> None:
    made = one(limit)
    assert (made.measure, made.amount, made.kind) == (measure, amount, kind)
    assert made.scope == Scope.organization()


def test_a_call_is_under_the_limits_of_all_its_scopes_and_of_nobody_elses() -> None:
    book = book_of(WHOLE)
    found = book.limits_for("growth", GROWTH, model="hero", end_user="ann", now=NOW)
    assert said(found) == [
        ("organization", "spend", NANO // 10),
        ("project", "spend", 5 * NANO),
        ("project", "concurrent", 20),
        ("key", "requests", 7),
        ("end_user", "images", 4),
        ("end_user", "spend", NANO),
    ]
    assert [limit.scope for limit in found[-2:]] == [
        Scope.end_user("growth", GROWTH, "ann"),
        Scope.end_user("growth", GROWTH, "ann", model="hero"),
    ]
    other = book.limits_for("growth", GROWTH, model="gpt-image-2", end_user="ann", now=NOW)
    assert ("organization", "images", 9) in said(other)
    assert ("project", "spend", 5 * NANO) not in said(other)
    stored = book.limits_for("growth", "key_made_later", model="hero", end_user=None, now=NOW)
    assert [limit.scope.level for limit in stored] == [
        Level.ORGANIZATION, Level.PROJECT, Level.PROJECT, Level.END_USER,
    ]  # fmt: skip
    stranger = book.limits_for("made-later", "key_1", model="hero", end_user="ann", now=NOW)
    assert said(stranger) == [("organization", "spend", NANO // 10)]


def test_limits_of_all_models_can_be_asked_for() -> None:
    found = book_of(WHOLE).limits_for("growth", GROWTH, model=None, end_user="ann", now=NOW)
    assert {limit.scope.model for limit in found} == {None, "gpt-image-2", "hero"}


def test_calls_that_name_no_end_user_count_together_so_that_silence_evades_nothing() -> None:
    book = book_of(WHOLE)
    nobody = book.limits_for("growth", GROWTH, model="m", end_user=None, now=NOW)[-1]
    assert nobody.scope == Scope.end_user("growth", GROWTH, "")
    assert nobody.scope.level is Level.END_USER
    empty = book.limits_for("growth", GROWTH, model="m", end_user="", now=NOW)[-1]
    assert empty == nobody


def test_an_end_user_of_two_keys_has_two_counters() -> None:
    book = book_of(WHOLE)
    here = book.limits_for("growth", GROWTH, model="m", end_user="ann", now=NOW)[-1]
    there = book.limits_for("growth", "key_1", model="m", end_user="ann", now=NOW)[-1]
    assert here.counter != there.counter


@pytest.mark.parametrize("asked", ["gpt-image-2", "gpt-image-2-2026-04-21"])
@pytest.mark.parametrize("written", ["gpt-image-2", "gpt-image-2-2026-04-21"])
def test_a_dated_name_does_not_evade_a_models_limit(asked: str, written: str) -> None:
    limits = [{"images": 1, "per": "day", "model": written}]
    book = book_of({"limits": limits}, providers={"openai": {"type": "openai"}})
    (limit,) = book.limits_for("p", "k", model=asked, end_user=None, now=NOW)
    assert limit.scope == Scope.organization(model="gpt-image-2")
    assert book.counts(limit, asked)
    assert book.model_of(asked) == "gpt-image-2"
    assert not book.counts(limit, "gpt-image-1.5")


def test_declared_names_are_names_of_their_own() -> None:
    targets = {"targets": [{"provider": "openai", "model": "gpt-image-2"}]}
    book = book_of(
        {"limits": [{"images": 1, "per": "day", "model": "hero"}]},
        providers={"openai": {"type": "openai"}},
        models={"hero": targets, "gpt-image-2": targets},
    )
    assert book.limits_for("p", "k", model="gpt-image-2", end_user=None, now=NOW) == ()


def test_all_limits_are_those_that_have_counters_beforehand() -> None:
    book = book_of(WHOLE)
    every = book.all_limits(NOW)
    assert len(every) == 7
    assert Level.END_USER not in {limit.scope.level for limit in every}
    assert [(project, key, limit.measure) for project, key, limit in book.of_each_end_user()] == [
        ("growth", None, Measure.IMAGES),
        ("growth", GROWTH, Measure.SPEND),
    ]
    assert book.counts_end_users("growth", "key_made_later")
    assert not book.counts_end_users("brand", "k")
    assert list(book_of({}).of_each_end_user()) == []


@pytest.mark.parametrize(
    ("until", "timezone", "end"),
    [
        ("2026-12-24", "UTC", datetime(2026, 12, 25, tzinfo=UTC)),
        ("2026-12-24", "Europe/Vienna", datetime(2026, 12, 24, 23, tzinfo=UTC)),
        ("2026-12-24T18:00", "Europe/Vienna", datetime(2026, 12, 24, 17, tzinfo=UTC)),
        ("2026-12-24T18:00Z", "Europe/Vienna", datetime(2026, 12, 24, 18, tzinfo=UTC)),
        ("2026-03-28", "Europe/Vienna", datetime(2026, 3, 28, 23, tzinfo=UTC)),
        ("2026-03-29", "Europe/Vienna", datetime(2026, 3, 29, 22, tzinfo=UTC)),
    ],
    ids=[
        "a day",
        "by its zone",
        "a local moment",
        "an instant",
        "before the clocks change",
        "and on that day",
    ],
)
def test_a_raise_ends_by_itself(until: str, timezone: str, end: datetime) -> None:
    limit = {"spend_usd": 4, "per": "month", "temporary": {"to": "6.5", "until": until}}
    before = one(limit, timezone, end - timedelta(microseconds=1))
    after = one(limit, timezone, end)
    assert (before.amount, after.amount) == (6_500_000_000, 4 * NANO)
    assert getattr(before, "raised_until", None) == end
    assert getattr(after, "raised_until", None) is None
    assert before.counter == after.counter


def test_a_raise_of_end_users_ends_too() -> None:
    limit = {"images": 4, "per": "day", "temporary": {"to": 9, "until": "2026-11-20"}}
    book = book_of({"projects": [{"name": "p", "end_user_limits": [limit]}]})
    amounts = [
        book.limits_for("p", "k", model="m", end_user="ann", now=now)[0].amount
        for now in (NOW, NOW + timedelta(days=1))
    ]
    assert amounts == [9, 4]


def test_a_day_ends_at_midnight_of_the_zone() -> None:
    assert end_of(datetime(2026, 1, 1, 5, tzinfo=UTC), ZoneInfo("Asia/Tokyo")).hour == 5


def test_what_holds_while_the_store_is_away_is_said_by_limit() -> None:
    assert away_of(one({"spend_usd": 1, "per": "day"})) is Away.CLOSED
    assert away_of(one({"images": 1, "per": "day"})) is Away.OPEN
    assert away_of(one({"spend_usd": 1, "per": "day", "when_away": "allowance"})) is Away.ALLOWANCE
    assert away_of(one({"images": 1, "per": "day", "when_away": "closed"})) is Away.CLOSED
    assert away_of(Limit(Scope.organization(), Measure.SPEND, 1, "day")) is Away.CLOSED


def test_alerts_stand_in_order() -> None:
    limit = one({"spend_usd": 1, "per": "day", "alert_at": ["100%", "50%"]})
    assert alerts_of(limit) == (Decimal("0.5"), Decimal(1))
    assert alerts_of(Limit(Scope.organization(), Measure.SPEND, 1, "day")) == ()


@pytest.mark.parametrize("model", [None, "provider/a model@1:x"])
def test_a_scope_can_be_taken_apart(model: str | None) -> None:
    organization = names_of(Scope.organization(model=model))
    assert (organization.level, organization.project_id, organization.model) == (
        Level.ORGANIZATION,
        None,
        model,
    )
    key = names_of(Scope.key("p:1@x", "p:1@x/k", model=model))
    assert (key.project_id, key.key_id, key.end_user, key.model) == ("p:1@x", "p:1@x/k", None, model)
    user = names_of(Scope.end_user("p", "k", "ann@example.com", model=model))
    assert (user.project_id, user.key_id, user.model) == ("p", "k", model)
    assert user.end_user is not None
    assert "ann" not in user.end_user
    assert names_of(Scope.project("p", model=model)).key_id is None


def test_a_change_of_the_zone_is_part_of_the_calendars_history() -> None:
    vienna = settings_of({"timezone": "Europe/Vienna"})
    first = calendar_of(vienna, (), NOW)
    assert first.history == (ZoneSince("Europe/Vienna"),)
    assert calendar_of(vienna, first.history, NOW).history == first.history
    moved = calendar_of(settings_of({"timezone": "Asia/Tokyo"}), first.history, NOW)
    assert moved.history == (ZoneSince("Europe/Vienna"), ZoneSince("Asia/Tokyo", NOW))
    assert moved.window("month", NOW).id == first.window("month", NOW).id


async def test_a_store_takes_what_the_book_makes() -> None:
    """All scopes in one reservation: whichever has no room refuses, and all of these are told."""
    store = LocalQuotaStore(clock=lambda: to_ms(NOW))
    await store.rebuild(Epoch(1), (), ())
    book = book_of(WHOLE)

    async def reserve(number: int, amounts: Amounts) -> Admitted | Refused:
        limits = book.limits_for("growth", GROWTH, model="hero", end_user="ann", now=NOW)
        return await store.reserve([Reservation(f"r{number}/1", amounts, limits)])

    call = {Measure.SPEND: 20_000_000, Measure.IMAGES: 1, Measure.REQUESTS: 1}
    outcomes = [await reserve(number, call) for number in range(6)]
    assert [isinstance(each, Admitted) for each in outcomes] == [True] * 4 + [False] * 2
    refused = outcomes[4]
    assert isinstance(refused, Refused)
    assert [(b.limit.scope.level, b.limit.measure) for b in refused.bindings] == [
        (Level.END_USER, Measure.IMAGES)
    ]
    dearer = await reserve(9, {Measure.SPEND: 30_000_000, Measure.IMAGES: 1, Measure.REQUESTS: 1})
    assert isinstance(dearer, Refused)
    assert [b.limit.scope.level for b in dearer.bindings] == [Level.ORGANIZATION, Level.END_USER]
