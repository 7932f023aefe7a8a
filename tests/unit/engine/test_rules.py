"""The ledger's sums are told for the very counters that limits refuse by."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from config.catalog import load_catalog
from config.schema import Settings
from gateway.engine.counters import Owner, Rule
from gateway.engine.rules import rules_of
from gateway.quota.of_settings import LimitBook, declared_key_id, names_of
from gateway.quota.terms import Level, Measure

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
KEY = declared_key_id("growth", "ci")


@pytest.fixture
def book() -> LimitBook:
    organization = {
        "limits": [{"spend_usd": 5, "per": "day"}, {"spend_usd": 3, "per": "day", "shadow": True}],
        "projects": [
            {
                "name": "growth",
                "limits": [{"images": 9, "per": "week", "rolling": True, "model": "m"}, {"concurrent": 2}],
                "end_user_limits": [{"images": 4, "per": "day"}],
                "keys": [
                    {
                        "name": "ci",
                        "key": "env:K",
                        "limits": [{"requests": 4, "per": "minute"}],
                        "end_user_limits": [{"spend_usd": 4, "per": "month", "model": "m"}],
                    }
                ],
            }
        ],
    }
    return LimitBook(Settings.model_validate({"organization": organization}), load_catalog())


def test_every_limit_but_concurrency_has_one_rule(book: LimitBook) -> None:
    assert rules_of(book) == (
        Rule(Level.ORGANIZATION, Measure.SPEND, "day"),
        Rule(Level.PROJECT, Measure.IMAGES, "week", True, "growth", None, "m"),
        Rule(Level.KEY, Measure.REQUESTS, "minute", False, "growth", KEY),
        Rule(Level.END_USER, Measure.IMAGES, "day", False, "growth"),
        Rule(Level.END_USER, Measure.SPEND, "month", False, "growth", KEY, "m"),
    )


def test_a_rule_leads_to_the_counter_of_the_limit(book: LimitBook) -> None:
    """Otherwise a rebuild would put what was spent where nobody looks."""
    limits = book.limits_for("growth", KEY, model="m", end_user="ann", now=NOW)
    counted = {limit.counter for limit in limits if limit.measure is not Measure.CONCURRENT}
    ann = names_of(limits[-1].scope).end_user
    assert ann is not None
    owners = {
        Level.ORGANIZATION: Owner(),
        Level.PROJECT: Owner("growth"),
        Level.KEY: Owner("growth", KEY),
        Level.END_USER: Owner("growth", KEY, ann),
    }
    assert {rule.limit(owners[rule.level]).counter for rule in rules_of(book)} == counted
