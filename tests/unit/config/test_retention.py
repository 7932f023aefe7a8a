"""How long rows are kept may be said in days, and not so that they would be missed."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.retention import DAY, RetentionSettings


def test_a_month_of_the_log_and_more_than_a_year_of_the_ledger_by_default() -> None:
    usual = RetentionSettings()
    assert (usual.requests, usual.ledger) == (30 * DAY, 400 * DAY)


def test_days_are_written_as_such() -> None:
    given = RetentionSettings.model_validate({"requests": "7d", "ledger": "90d"})
    assert (given.requests, given.ledger) == (7 * DAY, 90 * DAY)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"ledger": "31d"}, "greater than or equal to"),
        ({"requests": "59m"}, "greater than or equal to"),
        ({"requests": "401d"}, "requests is longer than ledger"),
        ({"prompts": "1d"}, "Extra inputs"),
    ],
)
def test_what_would_be_missed_is_refused(given: dict[str, str], wrong: str) -> None:
    with pytest.raises(ValidationError, match=wrong):
        RetentionSettings.model_validate(given)
