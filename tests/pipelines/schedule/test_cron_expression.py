"""Cron's fields in cron's own meaning, tick by tick."""

import re
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest

from tfx_tflite.pipelines.schedule.cron_expression import CronExpression

BERLIN = ZoneInfo("Europe/Berlin")
UTC = ZoneInfo("UTC")


def ticks(text: str, after: str, count: int, zone: ZoneInfo = UTC) -> list[str]:
    expression = CronExpression.parse(text)
    moment = datetime.fromisoformat(after).replace(tzinfo=zone)
    found = []
    for _ in range(count):
        moment = expression.next_after(moment, zone)
        found.append(moment.isoformat(timespec="minutes"))
    return found


def days(text: str, after: str, count: int) -> list[str]:
    return [tick[:10] for tick in ticks(text, after, count)]


def test_a_tick_is_strictly_later():
    assert ticks("0 6 * * *", "2026-03-02T06:00", 1) == ["2026-03-03T06:00+00:00"]


@pytest.mark.parametrize("sunday", ["0", "7", "sun", "SUN"])
def test_the_week_begins_on_sunday(sunday: str):
    # 2026-03-01 is a Sunday.
    assert days(f"0 6 * * {sunday}", "2026-02-24", 2) == ["2026-03-01", "2026-03-08"]


def test_one_is_monday():
    assert days("0 6 * * 1", "2026-02-24", 1) == ["2026-03-02"]


@pytest.mark.parametrize("weekend", ["fri-sun", "5-7", "5,6,0"])
def test_a_range_of_days_may_end_on_sunday(weekend: str):
    expected = ["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-06"]
    assert days(f"0 6 * * {weekend}", "2026-02-24", 4) == expected


def test_where_both_days_are_given_one_of_them_is_enough():
    expected = ["2026-03-06", "2026-03-13", "2026-03-15", "2026-03-20"]
    assert days("0 6 15 * fri", "2026-03-01", 4) == expected


def test_steps_and_lists_and_names_of_months():
    assert CronExpression.parse("*/20 8-18/5 1,15 jan-mar *").fields() == (
        "*/20",
        "8,13,18",
        "1,15",
        "1-3",
        "*",
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * * *", "* * * * *"),
        ("0 */6 * * sun", "0 */6 * * 0"),
        # A star as the hour has a meaning of its own where clocks change.
        ("0 0,6,12,18 * * *", "0 0,6,12,18 * * *"),
        ("5,6,7,9 0-23 1-31/10 * *", "5-7,9 * 1,11,21,31 * *"),
        ("0 0 1-31 * mon", "0 0 1-31 * 1"),
    ],
)
def test_is_written_out_in_numbers(text: str, expected: str):
    assert str(CronExpression.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["*/7 3-5 * * *", "0 */5 13 * fri", "59 23 31 * *", "1 2 29 feb *", "0 0 * jan,jul mon-fri/2"],
)
def test_written_out_it_ticks_as_before(text: str):
    assert ticks(str(CronExpression.parse(text)), "2026-01-01", 20) == ticks(text, "2026-01-01", 20)


@pytest.mark.parametrize("text", ["*/17 2-4 * * *", "5 */3 1-7 * tue", "0 0 31 * *"])
def test_ticks_are_the_minutes_that_match(text: str):
    expression = CronExpression.parse(text)
    start = datetime(2026, 1, 28, tzinfo=timezone.utc)
    minutes = [start + timedelta(minutes=number) for number in range(1, 14 * 24 * 60)]

    def matches(moment: datetime) -> bool:
        of_month = expression.days is not None and moment.day in expression.days
        of_week = expression.weekdays is not None and (
            (moment.weekday() + 1) % 7 in expression.weekdays
        )
        any_day = expression.days is None and expression.weekdays is None
        return (
            moment.minute in expression.minutes
            and moment.hour in expression.hours
            and moment.month in expression.months
            and (of_month or of_week or any_day)
        )

    expected = [moment for moment in minutes if matches(moment)]
    found, moment = [], start
    for _ in expected:
        moment = expression.next_after(moment, UTC)
        found.append(moment)
    assert found == expected


def test_a_time_that_a_clock_change_skips_comes_with_the_change():
    assert ticks("30 2 * * *", "2026-03-28T03:00", 2, BERLIN) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:30+02:00",
    ]


def test_a_time_that_a_clock_change_repeats_comes_once():
    assert ticks("30 2 * * *", "2026-10-24T03:00", 2, BERLIN) == [
        "2026-10-25T02:30+02:00",
        "2026-10-26T02:30+01:00",
    ]


def test_every_hour_is_every_hour_whatever_the_clock_does():
    found = ticks("15 * * * *", "2026-10-25T00:30", 4, BERLIN)
    found += ticks("15 * * * *", "2026-03-29T00:30", 2, BERLIN)
    assert found == [
        "2026-10-25T01:15+02:00",
        "2026-10-25T02:15+02:00",
        "2026-10-25T02:15+01:00",
        "2026-10-25T03:15+01:00",
        "2026-03-29T01:15+01:00",
        "2026-03-29T03:15+02:00",
    ]


def test_a_star_as_the_minute_changes_nothing_of_what_a_clock_change_does_to_an_hour():
    """cronsim alone leaves the day out in spring and has six ticks in autumn."""
    assert ticks("*/20 2 * * *", "2026-03-28T03:00", 2, BERLIN) == [
        "2026-03-29T03:00+02:00",
        "2026-03-30T02:00+02:00",
    ]
    assert ticks("*/20 2 * * *", "2026-10-24T03:00", 4, BERLIN) == [
        "2026-10-25T02:00+02:00",
        "2026-10-25T02:20+02:00",
        "2026-10-25T02:40+02:00",
        "2026-10-26T02:00+01:00",
    ]


def test_a_clock_that_is_changed_by_half_an_hour_keeps_its_hours():
    """cronsim alone steps over six o'clock on that day."""
    assert ticks("0 */6 * * *", "2026-04-05T00:00", 2, ZoneInfo("Australia/Lord_Howe")) == [
        "2026-04-05T06:00+10:30",
        "2026-04-05T12:00+10:30",
    ]


def test_a_midnight_that_a_clock_change_skips_comes_with_the_change():
    """cronsim alone leaves the day out."""
    assert ticks("*/30 0 * * *", "2026-04-23T12:00", 2, ZoneInfo("Africa/Cairo")) == [
        "2026-04-24T01:00+03:00",
        "2026-04-25T00:00+03:00",
    ]


def test_a_day_that_no_month_has_does_not_keep_days_of_the_week_from_coming():
    """cronsim alone refuses it."""
    assert days("0 0 30 2 mon", "2026-01-01", 2) == ["2026-02-02", "2026-02-09"]


def test_a_range_of_one_value_with_a_step_is_that_value():
    assert CronExpression.parse("5-5/15 0 * * *").minutes == (5,)


def test_a_leap_day_is_found_years_ahead():
    assert days("0 0 29 2 *", "2096-03-01", 1) == ["2104-02-29"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("* * * *", "4 given, expected five fields: minute"),
        ("0 0 6 * * *", "6 given"),
        ("@daily", "1 given"),
        ("60 * * * *", "'60' is not a minute: expected 0 to 59"),
        ("0 24 * * *", "'24' is not an hour: expected 0 to 23"),
        ("0 0 0 * *", "'0' is not a day of month: expected 1 to 31"),
        ("0 0 * 13 *", "'13' is not a month: expected 1 to 12, jan to dec"),
        ("0 0 * * 8", "'8' is not a day of week: expected 0 to 7, sun to sat"),
        ("0 0 * * son", "'son' is not a day of week"),
        ("0 0 * * 1,", "'' is not a day of week"),
        ("0 0 L * *", "'L' is not a day of month"),
        ("0 0 * * mon#1", "'mon#1' is not a day of week"),
        ("5/15 * * * *", "a step needs a range; write 5-59/15"),
        ("*/0 * * * *", "a step of 0"),
        ("0 18-8 * * *", "'18-8': the range ends before it begins"),
        ("0 0 30 2 *", "never comes"),
        ("0 0 31 4,6 *", "never comes"),
        ("0 0 */2 * mon", "clocks differ in whether"),
    ],
)
def test_says_what_is_wrong(text: str, expected: str):
    with pytest.raises(ValueError, match=re.escape(expected)):
        CronExpression.parse(text)


def test_going_through_a_day_of_minutes_works_each_day_out_once(monkeypatch):
    worked_out = []
    ticks_on = CronExpression.ticks_on

    def counting(self, day, zone):
        worked_out.append(day)
        return ticks_on(self, day, zone)

    monkeypatch.setattr(CronExpression, "ticks_on", counting)
    assert len(set(ticks("* * * * *", "2031-05-05T00:00", 1440))) == 1440
    assert len(worked_out) == len(set(worked_out)) <= 3
