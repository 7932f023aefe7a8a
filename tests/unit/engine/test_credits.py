"""What the ledger was told to give is room in exactly the counters of its scope, however they are built."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from gateway.engine.counters import Rule
from gateway.engine.record import LedgerRecord
from gateway.images.amounts import Charge, NanoDollars
from gateway.ledger.accounts.credits import Credit
from gateway.ledger.accounts.scopes import Declared
from gateway.ledger.ledger import Ledger
from gateway.ledger.records import AttemptEnd, AttemptState, NewAttempt, NewRequest
from gateway.quota.away import GuardedStore
from gateway.quota.keeper import Keeper
from gateway.quota.local import LocalQuotaStore
from gateway.quota.terms import Level, Limit, Measure, Scope
from gateway.quota.windows import Calendar

DECLARED = Declared({"growth": "p:1"}, {"p:1/ci": "p:1"})
SPEND, IMAGES = Measure.SPEND, Measure.IMAGES
RULES = [
    Rule(Level.ORGANIZATION, SPEND, "day"),
    Rule(Level.ORGANIZATION, SPEND, "day", model="m@1"),
    Rule(Level.PROJECT, SPEND, "day", project_id="p:1"),
    Rule(Level.PROJECT, SPEND, "hour", rolling=True, project_id="p:1"),
    Rule(Level.PROJECT, SPEND, "total", project_id="p:1", model="m@1"),
    Rule(Level.PROJECT, SPEND, "day", project_id="p2"),
    Rule(Level.PROJECT, IMAGES, "day", project_id="p:1"),
    Rule(Level.KEY, SPEND, "month", project_id="p:1", key_id="p:1/ci"),
    Rule(Level.END_USER, SPEND, "day", project_id="p:1"),
    Rule(Level.END_USER, SPEND, "day", project_id="p:1", key_id="p:1/ci"),
]
USER = Scope.end_user("p:1", "p:1/ci", "anna")
LIMITS: dict[str, Limit] = {
    "organization": Limit(Scope.organization(), SPEND, 100, "day"),
    "its model": Limit(Scope.organization(model="m@1"), SPEND, 100, "day"),
    "project": Limit(Scope.project("p:1"), SPEND, 100, "day"),
    "project rolling": Limit(Scope.project("p:1"), SPEND, 100, "hour", rolling=True),
    "project's model": Limit(Scope.project("p:1", model="m@1"), SPEND, 100, "total"),
    "another": Limit(Scope.project("p2"), SPEND, 100, "day"),
    "images": Limit(Scope.project("p:1"), IMAGES, 100, "day"),
    "key": Limit(Scope.key("p:1", "p:1/ci"), SPEND, 100, "month"),
    "user": Limit(USER, SPEND, 100, "day"),
}


class Kept:
    """A store that its keeper builds from ``ledger``."""

    def __init__(self, ledger: Ledger) -> None:
        calendar = Calendar()
        self.store = LocalQuotaStore(calendar)
        record = LedgerRecord(ledger, lambda: RULES, lambda: calendar, name_of=name_of)
        self.keeper = Keeper(GuardedStore(self.store), record, lambda kept: None)

    async def settled(self) -> dict[str, int]:
        """Of the counters that are not at 0."""
        found: Sequence[int] = [each.settled for each in await self.store.standing(list(LIMITS.values()))]
        return {name: amount for name, amount in zip(LIMITS, found, strict=True) if amount}


def name_of(model: str) -> str:
    return "m@1" if model == "alias" else model


async def give(ledger: Ledger, scope: str, amount: int, model: str | None = None) -> Credit:
    return await ledger.accounts.give(
        scope,
        model,
        NanoDollars(amount),
        reason="r",
        entered_by="anna",
        declared=DECLARED,
        signing_key=b"key",
    )


async def spend(ledger: Ledger, name: str, amount: int) -> None:
    now = datetime.now(UTC)
    new = NewRequest(name, now, "p:1", "p:1/ci", "generations", "m2", 1, None, None, None, "anna", None)
    end = AttemptEnd(f"{name}/1", AttemptState.SETTLED, now, charge=Charge(NanoDollars(amount)))
    await ledger.record(new, NewAttempt(f"{name}/1", name, 1, "openai", "m2", now, None), end)


@pytest.mark.parametrize(
    ("scope", "model", "counters"),
    [
        ("organization", None, {"organization"}),
        ("organization", "alias", {"its model"}),
        ("project:growth", None, {"project", "project rolling"}),
        ("project:growth", "m@1", {"project's model"}),
        ("key:p:1/ci", None, {"key"}),
        ("project:growth", "m3", set()),
    ],
)
async def test_a_credit_counts_in_the_dollar_counters_of_its_scope_and_in_no_other(
    ledger: Ledger, scope: str, model: str | None, counters: set[str]
) -> None:
    kept = Kept(ledger)
    await kept.keeper.rebuild()
    await give(ledger, scope, 5, model)
    assert await kept.settled() == {}
    await kept.keeper.credit()
    live = await kept.settled()
    assert live == dict.fromkeys(counters, -5)
    built, checked = Kept(ledger), await kept.keeper.drift()
    await built.keeper.rebuild()
    assert (checked, await kept.settled(), await built.settled()) == (([], []), live, live)


async def test_an_end_users_credit_is_that_end_users(ledger: Ledger) -> None:
    kept = Kept(ledger)
    await kept.keeper.rebuild()
    declared = Declared({}, {"ci": "p:1", "other": "p:1"})
    for key, amount in (("ci", 5), ("other", 3)):
        await ledger.accounts.give(
            f"user:{key}:anna",
            None,
            NanoDollars(amount),
            reason="r",
            entered_by="anna",
            declared=declared,
            signing_key=b"key",
        )
    await kept.keeper.credit()
    limits = [
        Limit(Scope.end_user("p:1", key, user), SPEND, 100, "day")
        for key, user in (("ci", "anna"), ("other", "anna"), ("ci", "otto"))
    ]
    assert [each.settled for each in await kept.store.standing(limits)] == [-5, -3, 0]


async def test_credits_outlive_spending_drift_checks_and_rebuilds_until_they_are_taken_back(
    ledger: Ledger,
) -> None:
    kept = Kept(ledger)
    await kept.keeper.rebuild()
    first = await give(ledger, "project:growth", 5)
    await give(ledger, "project:growth", 20)
    await kept.keeper.credit()
    await spend(ledger, "a", 30)  # nobody told the store: the drift check does
    drifts, _ = await kept.keeper.drift()
    assert {each.raised for each in drifts} == {True}
    expected = {"organization": 30, "project": 5, "project rolling": 5, "images": 1, "key": 30, "user": 30}
    assert await kept.settled() == expected
    await kept.keeper.rebuild()
    assert await kept.settled() == expected
    await ledger.accounts.void(first.credit_id, reason="r", entered_by="anna", signing_key=b"key")
    await kept.keeper.drift()  # as where the entry was made beside the server
    assert await kept.settled() == {**expected, "project": 10, "project rolling": 10}
