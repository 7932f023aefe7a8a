"""Counters belong to scope × measure × window × model, whatever a limit is called or amounts to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.quota.holds import Hold, load
from gateway.quota.plan import line
from gateway.quota.terms import MAX_RATE, Kind, Limit, Measure, Scope
from gateway.quota.windows import Calendar, from_ms

ORG = Scope.organization()


def test_scopes_and_windows_have_counters_of_their_own() -> None:
    scopes = [
        ORG,
        Scope.organization(model="gpt-image-2"),
        Scope.project("p"),
        Scope.project("p", model="gpt-image-2"),
        Scope.key("p", "k"),
        Scope.key("p:k", ""),
        Scope.key("p", "k", model="m"),
        Scope.key("p", "k@m"),
        Scope.end_user("p", "k", "u"),
        Scope.end_user("p", "k", "v"),
        Scope.end_user("p", "k2", "u"),
    ]
    limits = [Limit(scope, Measure.SPEND, 1, per) for scope in scopes for per in ("day", "month")]
    limits += [Limit(scope, Measure.IMAGES, 1, "minute") for scope in scopes]
    limits += [Limit(scope, Measure.CONCURRENT, 1) for scope in scopes]
    assert len({limit.counter for limit in limits}) == len(limits)


def test_an_amount_is_no_part_of_a_counters_identity() -> None:
    for per, measure in (("month", Measure.SPEND), ("minute", Measure.IMAGES)):
        assert Limit(ORG, measure, 1, per).counter == Limit(ORG, measure, 2, per).counter


def test_a_rate_on_trial_does_not_share_the_debt_of_one_in_force() -> None:
    assert (
        Limit(ORG, Measure.IMAGES, 1, "minute").counter
        != Limit(ORG, Measure.IMAGES, 1, "minute", shadow=True).counter
    )


def test_an_end_users_word_does_not_appear_in_names() -> None:
    scope = Scope.end_user("p", "k", "someone@example.com" * 1000)
    assert "someone" not in scope.text
    assert len(scope.text) < 80


@pytest.mark.parametrize(
    ("measure", "per", "rolling", "kind"),
    [
        (Measure.SPEND, "minute", False, Kind.WINDOW),
        (Measure.SPEND, "day", True, Kind.ROLLING),
        (Measure.IMAGES, "minute", False, Kind.RATE),
        (Measure.IMAGES, "minute", True, Kind.ROLLING),
        (Measure.TOKENS, "hour", False, Kind.WINDOW),
        (Measure.CONCURRENT, None, False, Kind.CONCURRENT),
    ],
)
def test_what_kind_of_counter_a_limit_has(measure: Measure, per: Any, rolling: bool, kind: Kind) -> None:
    assert Limit(ORG, measure, 1, per, rolling=rolling).kind is kind


@pytest.mark.parametrize(
    "terms",
    [
        (Measure.SPEND, 2**53, "month"),
        (Measure.SPEND, -1, "month"),
        (Measure.IMAGES, MAX_RATE + 1, "minute"),
        (Measure.IMAGES, 0, "minute"),
        (Measure.CONCURRENT, 5, "minute"),
        (Measure.IMAGES, 5, None),
        (Measure.SPEND, 5, "total", True),
    ],
)
def test_what_cannot_be_counted_exactly_is_refused(terms: tuple[Any, ...]) -> None:
    with pytest.raises(ValueError, match=r"limit|window"):
        Limit(ORG, *terms)


@pytest.mark.parametrize(
    "terms",
    [
        (Measure.SPEND, 2**53 - 1, "month"),
        (Measure.SPEND, 0, "month"),
        (Measure.IMAGES, MAX_RATE, "minute"),
        (Measure.IMAGES, 1, "minute"),
        (Measure.IMAGES, 0, "hour"),
        (Measure.IMAGES, 0, "minute", True),
        (Measure.CONCURRENT, 0, None),
    ],
)
def test_the_least_and_the_most_of_each_kind_can_be_said(terms: tuple[Any, ...]) -> None:
    assert Limit(ORG, *terms).amount == terms[1]
    assert MAX_RATE == 10**10


def test_money_and_tokens_settle_and_the_rest_counts_for_good() -> None:
    assert [measure for measure in Measure if measure.settles] == [Measure.SPEND, Measure.TOKENS]


def test_names_of_counters_stay_as_they_are_since_stores_keep_them() -> None:
    user = Scope.end_user("p", "k:1", "someone", model="a@b")
    assert (user.level, user.model, user.is_end_user) == ("end_user", "a@b", True)
    assert user.text.startswith("user:p:k%3A1:")
    assert len(user.text.rsplit(":", 1)[1]) == 32 + len("@a%40b")
    assert user.owner == Scope.end_user("p", "k:1", "someone").text
    assert Limit(ORG, Measure.SPEND, 1, "day", shadow=True).counter == "org|spend|day"
    assert Limit(ORG, Measure.CONCURRENT, 1).counter == "org|concurrent"
    assert Limit(ORG, Measure.IMAGES, 1, "minute", shadow=True).counter == "org|images|minute|shadow"
    assert not Scope.key("p", "k").is_end_user


def test_a_hold_survives_the_ledger() -> None:
    limits = [Limit(ORG, Measure.SPEND, 9, "month"), Limit(ORG, Measure.SPEND, 9, "hour", rolling=True)]
    lines = tuple(line(limit, 2**53 - 1, Calendar(), from_ms(1_795_000_000_000)) for limit in limits)
    hold = Hold("r/1", 1_795_000_000_000, 45_000, lines, 7)
    assert load(hold.dump()) == hold
    assert hold.amount(Measure.SPEND) == 2**53 - 1
    assert hold.amount(Measure.IMAGES) == 0
