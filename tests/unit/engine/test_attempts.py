"""What decides where several calls of one candidate went differently, and what their time counts as."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.engine import job as job_module
from gateway.engine.attempts import Failure, Tried
from gateway.engine.job import Job
from gateway.errors import Unavailable
from providers.base import Certainty, Kind, ProviderError

ANYTHING: Any = None
CLEAR = Failure(ANYTHING, ProviderError(Kind.THROTTLED, Certainty.REJECTED, "busy"))
UNCLEAR = Failure(ANYTHING, ProviderError(Kind.TIMEOUT, Certainty.MAYBE_ACCEPTED, "silence"))
REFUSED = Failure(ANYTHING, ProviderError(Kind.MODERATION, Certainty.REJECTED, "unsafe"))
OURS = Failure(ANYTHING, Unavailable("the disk"))


@pytest.mark.parametrize(
    ("failures", "decisive"),
    [
        ([CLEAR], CLEAR),
        ([CLEAR, UNCLEAR], UNCLEAR),
        ([CLEAR, REFUSED, UNCLEAR], REFUSED),
        ([CLEAR, OURS], OURS),
    ],
)
def test_a_failure_that_may_have_cost_something_decides(failures: list[Failure], decisive: Failure) -> None:
    assert Tried((), failures).decisive is decisive
    assert decisive.clear is (decisive is CLEAR)


def test_calls_side_by_side_are_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ends = iter([30.0, 50.0, 75.0])
    monkeypatch.setattr(job_module, "perf_counter", lambda: next(ends))
    job = Job(ANYTHING, ANYTHING, ANYTHING, ANYTHING, (), 300.0)
    job.heard(10.0)
    job.heard(10.0)
    assert job.upstream_seconds == 40.0
    job.heard(60.0)
    assert job.upstream_seconds == 55.0
