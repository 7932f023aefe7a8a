"""The short form of the outages; ``python -m bench.outages`` is the long one, told in docs/outages.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import servers
from tests.conftest import NOT_TESTED
from tests.soak.clients import Manners
from tests.soak.outages import Outages, Plan

QUICK = Manners(
    sdk=6, keyed=2, unkeyed=2, spenders=1, seconds=(0.1, 0.2, 0.4), think=(0.05, 0.3), patience=8.0
)
SHORT = Plan(
    seconds=1.8, away=1.2, tail=0.6, replicas=2, deadline=8.0, open_for=1.0, lease=4.0, delay=0.3,
    per_minute="0.20", bucket=False, manners=QUICK,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_whatever_goes_away_under_load_no_cent_is_lost_doubled_or_overspent(tmp_path: Path) -> None:
    try:
        report = await Outages(SHORT, tmp_path).run()
    except servers.NotObtainable as missing:
        pytest.skip(f"{NOT_TESTED}{missing}")
    assert report.clean, str(report)
    evidence = report.evidence
    assert len(evidence.seen) == 13, str(report)
    assert sum(seen.delivered for seen in evidence.seen) > 100, str(report)
    # What was to be shown has happened.
    assert sum(seen.failovers for seen in evidence.seen) > 0, str(report)
    assert sum(seen.replays for seen in evidence.seen) > 5, str(report)
    assert evidence.booked.doubts, str(report)
    assert evidence.events["rebuild"] >= 2, str(report)
