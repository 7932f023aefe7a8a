"""The short form of the cancel storm; ``python -m bench.cancel_storm`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.storm import Plan, storm


@pytest.mark.slow
async def test_a_storm_of_clients_that_leave_holds_and_leaks_nothing(tmp_path: Path) -> None:
    report = await storm(Plan(requests=150), tmp_path)
    assert report.clean, str(report)
    assert min(report.left.values()) >= 10, str(report)
    assert report.states["settled"] > 50, str(report)
