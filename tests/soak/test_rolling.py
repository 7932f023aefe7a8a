"""The short form of the rolling restart; ``python -m bench.rolling_restart`` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.rolling import Plan, Rolling


@pytest.mark.slow
async def test_replicas_are_restarted_under_load_and_no_caller_notices(tmp_path: Path) -> None:
    report = await Rolling(Plan(), tmp_path).run()
    assert report.clean, str(report)
    assert len(report.drains) == 4, str(report)
    assert report.outcomes["200"] >= 15, str(report)
