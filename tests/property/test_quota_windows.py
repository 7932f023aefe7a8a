"""Windows partition time: whatever the zone, its history and the instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.quota.windows import Calendar, Period, ZoneSince

PERIODS: tuple[Period, ...] = ("minute", "hour", "day", "week", "month", "quarter", "year")
LONGEST = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(hours=25),
    "week": timedelta(days=7, hours=1),
    "month": timedelta(days=31, hours=1),
    "quarter": timedelta(days=92, hours=1),
    "year": timedelta(days=366, hours=1),
}
ZONES = st.sampled_from(sorted(zone for zone in available_timezones() if "/" in zone))
MOMENTS = st.integers(0, 60 * 366 * 86_400_000).map(
    lambda ms: datetime(1990, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
TICK = timedelta(milliseconds=1)


@pytest.mark.parametrize("per", PERIODS)
@given(zone=ZONES, at=MOMENTS)
@settings(max_examples=150, deadline=None)
def test_every_instant_lies_in_exactly_one_window(per: Period, zone: str, at: datetime) -> None:
    window = Calendar(zone).window(per, at)
    assert window.end is not None
    assert window.start <= at < window.end
    assert window.end - window.start <= LONGEST[per]
    for inside in (window.start, window.end - TICK):
        assert Calendar(zone).window(per, inside) == window
    following = Calendar(zone).window(per, window.end)
    assert following.start == window.end
    assert following.id != window.id


SHORTEST = {"hour": timedelta(minutes=15), "day": timedelta(hours=11), "month": timedelta(days=13, hours=23)}


@pytest.mark.parametrize("per", ["hour", "day", "month"])
@given(zones=st.lists(ZONES, min_size=2, max_size=4), at=MOMENTS, data=st.data())
@settings(max_examples=150, deadline=None)
def test_zone_changes_hand_out_no_short_windows(
    per: Period, zones: list[str], at: datetime, data: st.DataObject
) -> None:
    """Under any history windows follow each other without gap or overlap, none comes twice, and none is so
    short that its budget would come on top of its neighbours'."""
    history, since = [ZoneSince(zones[0])], at
    for zone in zones[1:]:
        since += timedelta(hours=data.draw(st.integers(0, 800)))
        history.append(ZoneSince(zone, since))
    calendar = Calendar(history)
    window = calendar.window(per, at)
    seen = {window.id}
    while window.end is not None and window.end < min(since + 3 * LONGEST[per], at + 60 * LONGEST[per]):
        # A change inside a window may move its end: its last instant tells.
        following = calendar.window(per, window.end)
        if following.id == window.id:
            assert following.start == window.start
        else:
            assert following.start == window.end
            assert following.id not in seen
            assert window.end - window.start >= SHORTEST[per]
        seen.add(following.id)
        window = following
