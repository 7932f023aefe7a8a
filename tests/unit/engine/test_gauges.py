"""What is shown of limits and targets, and what is not while their store is away."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from time import perf_counter
from typing import cast

from config.own_catalog import catalog_of
from config.routing import BreakerSettings
from config.schema import Settings
from gateway.engine.gauges import Gauges
from gateway.quota.errors import StoreAway
from gateway.quota.of_settings import LimitBook
from gateway.quota.outcomes import Standing
from gateway.quota.store import QuotaStore
from gateway.quota.terms import Limit
from gateway.routing import directory
from gateway.routing.retry_budget import RetrySpend
from gateway.routing.watch import Watch
from gateway.telemetry import gauges
from gateway.telemetry.gauges import Board

SETTINGS = Settings.model_validate(
    {
        "providers": {"sandbox": {"type": "sandbox"}},
        "organization": {
            "limits": [{"spend_usd": 10, "per": "day"}, {"images": 5, "per": "minute", "shadow": True}],
            "projects": [
                {
                    "name": "growth",
                    "limits": [{"concurrent": 4}],
                    "end_user_limits": [{"images": 1, "per": "day"}],
                    "keys": [
                        {"name": name, "sha256": digit * 64, "limits": [{"spend_usd": 1, "per": "day"}]}
                        for name, digit in (("ci", "a"), ("batch", "b"))
                    ],
                }
            ],
        },
    }
)


class Store:
    """Half of everything is used, a tenth of it held and a tenth unknown; or it is away."""

    def __init__(self) -> None:
        self.away = False
        self.asked = 0

    async def standing(self, limits: Sequence[Limit]) -> Sequence[Standing]:
        self.asked += 1
        if self.away:
            raise StoreAway("gone")
        return [
            Standing(each, "w", each.amount * 3 // 10, each.amount // 10, each.amount // 10, None)
            for each in limits
        ]


def made(store: Store, *keys: str, spend: RetrySpend | None = None) -> tuple[Gauges, Board]:
    board, catalog = Board(), catalog_of(SETTINGS)
    models = directory.build(SETTINGS, catalog, {})
    book, watch = LimitBook(SETTINGS, catalog), Watch(BreakerSettings())
    return Gauges(
        board, models, book, cast(QuotaStore, store), watch, spend or RetrySpend(Decimal(0)), keys
    ), board


async def test_budgets_are_told_in_dollars_and_all_limits_as_shares() -> None:
    gauging, board = made(Store())
    await gauging.look()
    (settled,) = board.read(gauges.BUDGET_SETTLED)
    assert settled[0] == 3
    assert settled[1] == {
        "scope": "organization", "project": "", "key": "", "model": "", "per": "day", "trial": "no",
    }  # fmt: skip
    assert [value for value, _ in board.read(gauges.BUDGET_UNKNOWN)] == [1]
    measures = {labels["measure"]: labels["trial"] for _, labels in board.read(gauges.LIMIT_USAGE)}
    assert measures == {"spend": "no", "images": "yes", "concurrent": "no"}
    assert ("closed",) in {(labels["state"],) for _, labels in board.read(gauges.PROVIDER_STATE)}


async def test_only_keys_on_the_list_have_series() -> None:
    gauging, board = made(Store(), "growth/ci")
    await gauging.look()
    keys = {labels["key"] for _, labels in board.read(gauges.BUDGET_LIMIT)}
    assert keys == {"", "growth/ci"}


async def test_a_store_that_is_away_is_told_of_and_no_old_figures_stay() -> None:
    store = Store()
    gauging, board = made(store)
    store.away = True
    await gauging.look()
    assert board.read(gauges.LIMITS_READABLE) == [(0, {})]
    assert board.read(gauges.BUDGET_LIMIT) == []
    assert board.read(gauges.PROVIDER_STATE)


async def test_many_readers_ask_the_store_once() -> None:
    store = Store()
    gauging, _ = made(store)
    for _ in range(5):
        await gauging.look()
    assert store.asked == 1


async def test_the_used_share_of_the_budget_for_repeating_is_told() -> None:
    spend = RetrySpend(Decimal("0.01"))
    spend.settled(1_000_000, perf_counter())
    spend.take(2_500, perf_counter())
    gauging, board = made(Store(), spend=spend)
    await gauging.look()
    assert board.read(gauges.RETRY_SPEND) == [(0.25, {})]


async def test_which_configuration_is_in_force_stays_told_when_limits_are_looked_at() -> None:
    gauging, board = made(Store())
    board.config_stands(version="1.2", digest="abc", applied_at=1.5, refused=True, pending=2)
    await gauging.look()
    assert board.read(gauges.CONFIG_INFO) == [(1, {"digest": "abc", "version": "1.2"})]
    assert board.read(gauges.CONFIG_APPLIED_AT) == [(1.5, {})]
    assert board.read(gauges.CONFIG_REFUSED) == [(1, {})]
    assert board.read(gauges.CONFIG_RESTART_PENDING) == [(2, {})]
    board.config_stands(version="1.2", digest="def", applied_at=2.5, refused=False, pending=0)
    assert board.read(gauges.CONFIG_INFO) == [(1, {"digest": "def", "version": "1.2"})]
    assert board.read(gauges.CONFIG_REFUSED) == [(0, {})]
