"""The short form of the soak; ``python -m bench.soak`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import servers
from tests.conftest import NOT_TESTED
from tests.soak.soak import Plan, Report, Soak


async def _soaked(plan: Plan, folder: Path) -> Report:
    try:
        return await Soak(plan, folder).run()
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")


@pytest.mark.slow
async def test_no_cent_is_overspent_lost_or_doubled_while_replicas_and_redis_die(tmp_path: Path) -> None:
    plan = Plan(
        requests=350, kills=12, redis_kills=3, stalls=2, replicas=3, shared=True, lease=4, most_seconds=40
    )
    report = await _soaked(plan, tmp_path)
    assert report.clean, str(report)
    assert (report.kills, report.redis_kills) >= (6, 2), str(report)
    assert report.outcomes["200"] > 50, str(report)


@pytest.mark.slow
async def test_nor_with_one_replica_that_counts_by_itself(tmp_path: Path) -> None:
    plan = Plan(requests=250, kills=8, lease=4, most_seconds=30)
    report = await _soaked(plan, tmp_path)
    assert report.clean, str(report)
    assert report.kills >= 4, str(report)
    assert report.outcomes["200"] > 50, str(report)
