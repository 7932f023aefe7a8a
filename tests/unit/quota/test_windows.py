"""Windows at their edges: midnights that do not exist, hours of 30 minutes, and zones that change."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gateway.quota.windows import Calendar, Period, ZoneSince, rolling_bucket, to_ms


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("per", "zone", "at", "id", "start", "end"),
    [
        ("minute", "UTC", "2026-11-20T12:34:56", "minute:2026-11-20T12:34+0000@UTC",
         "2026-11-20T12:34", "2026-11-20T12:35"),
        ("hour", "Asia/Kolkata", "2026-11-20T12:34", "hour:2026-11-20T18+0530@Asia/Kolkata",
         "2026-11-20T12:30", "2026-11-20T13:30"),
        ("day", "Europe/Vienna", "2026-03-29T12:00", "day:2026-03-29@Europe/Vienna",
         "2026-03-28T23:00", "2026-03-29T22:00"),  # 23 hours
        ("day", "Europe/Vienna", "2026-10-25T12:00", "day:2026-10-25@Europe/Vienna",
         "2026-10-24T22:00", "2026-10-25T23:00"),  # 25 hours
        ("week", "UTC", "2026-11-22T23:59:59", "week:2026-11-16@UTC", "2026-11-16", "2026-11-23"),
        ("month", "Europe/Vienna", "2026-10-31T23:30", "month:2026-11@Europe/Vienna",
         "2026-10-31T23:00", "2026-11-30T23:00"),
        ("quarter", "UTC", "2026-11-20", "quarter:2026-Q4@UTC", "2026-10-01", "2027-01-01"),
        ("year", "UTC", "2026-12-31T23:59:59", "year:2026@UTC", "2026-01-01", "2027-01-01"),
        # Midnight was skipped: the day begins at 1:00, which is the instant of the change.
        ("day", "Asia/Beirut", "2022-03-27T00:00", "day:2022-03-27@Asia/Beirut",
         "2022-03-26T22:00", "2022-03-27T21:00"),
        # The hour before midnight comes twice: it is the same day both times.
        ("day", "America/Asuncion", "2024-03-24T03:30", "day:2024-03-23@America/Asuncion",
         "2024-03-23T03:00", "2024-03-24T04:00"),
    ],
)  # fmt: skip
def test_calendar_windows(per: Period, zone: str, at: str, id: str, start: str, end: str) -> None:
    window = Calendar(zone).window(per, utc(at))
    assert (window.id, window.start, window.end) == (id, utc(start), utc(end))


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    calendar = Calendar("Europe/Vienna")
    first = calendar.window("hour", utc("2026-10-25T00:30"))
    second = calendar.window("hour", utc("2026-10-25T01:30"))
    assert (first.id, second.id) == (
        "hour:2026-10-25T02+0200@Europe/Vienna",
        "hour:2026-10-25T02+0100@Europe/Vienna",
    )


def test_an_hour_is_cut_where_the_clock_moves_by_half_an_hour() -> None:
    calendar = Calendar("Australia/Lord_Howe")
    change = utc("2026-04-04T15:00")
    before = calendar.window("hour", change - timedelta(seconds=1))
    after = calendar.window("hour", change)
    assert calendar.window("hour", change + timedelta(minutes=10)) == after
    following = calendar.window("hour", change + timedelta(minutes=30))
    assert before.end == after.start == change
    assert after.end == following.start == change + timedelta(minutes=30)
    assert len({before.id, after.id, following.id}) == 3


@pytest.mark.parametrize("seconds", [1, 2, 3, 59, 601, 998, 1799])
def test_the_instant_of_such_a_change_is_found_to_the_second(seconds: int) -> None:
    change, away = utc("2026-04-04T15:00"), timedelta(seconds=seconds)
    for moment in (change - away, change + away):
        window = Calendar("Australia/Lord_Howe").window("hour", moment)
        assert change in (window.start, window.end)


def test_total_has_no_end() -> None:
    window = Calendar("Europe/Vienna").window("total", utc("2026-11-20"))
    assert (window.id, window.end) == ("total", None)


@pytest.mark.parametrize(
    ("old", "new", "running_until", "then"),
    [
        # West: five hours of the old month would be left after its end; they belong to it.
        ("Europe/Vienna", "America/New_York", "2026-12-01T05:00", "month:2026-12@America/New_York"),
        # East: the running month keeps its end, and the next one begins there.
        ("America/New_York", "Europe/Vienna", "2026-12-01T05:00", "month:2026-12@Europe/Vienna"),
    ],
)
def test_a_zone_change_applies_from_the_next_window(
    old: str, new: str, running_until: str, then: str
) -> None:
    calendar = Calendar(old).changed(new, utc("2026-11-20"))
    running = calendar.window("month", utc("2026-11-20T00:00:01"))
    assert running.id == f"month:2026-11@{old}"
    turn = utc(running_until)
    assert calendar.window("month", turn - timedelta(milliseconds=1)).id == running.id
    following = calendar.window("month", turn)
    assert (following.id, following.start) == (then, turn)


def test_a_zone_change_holds_from_its_very_instant_on() -> None:
    at = utc("2026-11-20")
    before, since = (
        Calendar("Europe/Vienna").changed("America/New_York", at).window("month", moment)
        for moment in (at - timedelta(milliseconds=1), at)
    )
    assert (before.id, before.start) == (since.id, since.start)
    assert (before.end, since.end) == (utc("2026-11-30T23:00"), utc("2026-12-01T05:00"))


def test_half_a_window_that_is_left_is_a_window_of_its_own_and_less_is_not() -> None:
    """Kolkata is five and a half hours ahead, Tokyo nine, Kiritimati fourteen: of its day that runs at UTC's
    midnight 18:30, 15 and 10 hours are left."""
    for zone, left in (("Asia/Kolkata", 18.5), ("Asia/Tokyo", 15), ("Pacific/Kiritimati", 34)):
        calendar = Calendar("UTC").changed(zone, utc("2026-11-20T06:00"))
        following = calendar.window("day", utc("2026-11-21"))
        if left < 24:
            assert (following.start, following.end) == (
                utc("2026-11-21"),
                utc("2026-11-21") + timedelta(hours=left),
            )
        else:
            assert following.id == "day:2026-11-20@UTC"
            assert following.end == utc("2026-11-21T10:00")
    exactly = Calendar("UTC").changed("Etc/GMT-12", utc("2026-11-20T06:00"))
    assert exactly.window("day", utc("2026-11-21")).start == utc("2026-11-21")


def test_a_zone_change_there_and_back_keeps_the_running_window() -> None:
    plain = Calendar("UTC")
    at = utc("2026-11-20")
    twice = plain.changed("Asia/Tokyo", at).changed("UTC", at + timedelta(hours=1))
    later = at + timedelta(days=3)
    assert twice.window("month", later) == plain.window("month", later)


def test_a_zone_that_stays_changes_nothing() -> None:
    calendar = Calendar("UTC")
    assert calendar.changed("UTC", utc("2026-11-20")) is calendar


@pytest.mark.parametrize(
    "history",
    [
        [],
        [ZoneSince("UTC", utc("2026-11-20"))],
        [ZoneSince("UTC"), ZoneSince("Asia/Tokyo")],
        [
            ZoneSince("UTC"),
            ZoneSince("Asia/Tokyo", utc("2026-11-20")),
            ZoneSince("UTC", utc("2026-11-19")),
        ],
    ],
)
def test_a_zone_history_that_makes_no_sense_is_refused(history: list[ZoneSince]) -> None:
    with pytest.raises(ValueError, match="zone history"):
        Calendar(history)


def test_a_rolling_bucket_is_a_sixtieth_of_its_window() -> None:
    bucket = rolling_bucket("hour", utc("2026-11-20T12:34:56"))
    assert (bucket.start, bucket.end) == (utc("2026-11-20T12:34"), utc("2026-11-20T12:35"))
    assert bucket.id == str(to_ms(bucket.start) // 60_000)


@pytest.mark.parametrize(
    ("per", "days"), [("day", 1), ("week", 7), ("month", 30), ("quarter", 90), ("year", 365)]
)
def test_rolling_windows_have_whole_days(per: Period, days: int) -> None:
    bucket = rolling_bucket(per, utc("2026-11-20T12:34:56"))
    assert bucket.end is not None
    assert (bucket.end - bucket.start) * 60 == timedelta(days=days)


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        to_ms(datetime(2026, 11, 20))
