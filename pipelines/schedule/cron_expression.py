"""Cron's five fields, in cron's own meaning, and the ticks that follow from them in a time zone.

The meaning is that of crontab(5): days of the week count from Sunday, and where both days are
restricted a tick needs one of them. APScheduler's own parser counts from Monday and needs both.
"""

import bisect
import calendar
import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

_MONTHS = tuple(name.lower() for name in calendar.month_abbr[1:])
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(
    r"(?P<first>\*|\d+|[a-z]{3})(?:-(?P<last>\d+|[a-z]{3}))?(?:/(?P<step>\d+))?", re.IGNORECASE
)
# Leap years are at most eight years apart, and a date falls on every day of the week in 40.
_HORIZON_DAYS = 40 * 366


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    first_name: int = 0

    def problem(self, text: str, expected: str) -> ValueError:
        article = "an" if self.name == "hour" else "a"
        return ValueError(f"{text!r} is not {article} {self.name}: expected {expected}")


_MINUTE = _Field("minute", 0, 59)
_HOUR = _Field("hour", 0, 23)
_DAY = _Field("day of month", 1, 31)
_MONTH = _Field("month", 1, 12, _MONTHS, 1)
# 7 is Sunday too.
_WEEKDAY = _Field("day of week", 0, 7, _DAYS)


@dataclass(frozen=True)
class CronExpression:
    """When a schedule ticks.

    Attributes:
        minutes: From 0 to 59.
        hours: From 0 to 23.
        days: Of the month, from 1 to 31; None where any will do.
        months: From 1 to 12.
        weekdays: From 0, Sunday, to 6; None where any will do.
        every_hour: Whether the hour is a `*`, so that ticks follow elapsed time, not the clock.
    """

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...] | None
    months: tuple[int, ...]
    weekdays: tuple[int, ...] | None
    every_hour: bool

    @classmethod
    def parse(cls, text: str) -> "CronExpression":
        """Returns the expression that a text of five fields stands for.

        Raises:
            ValueError: It is not one, clocks differ in what it means, or it never ticks.
        """
        fields = text.split()
        if len(fields) != 5:
            raise ValueError(
                f"{text!r}: {len(fields)} given, expected five fields: minute, hour, day of month, "
                "month, day of week"
            )
        minute, hour, day, month, weekday = fields
        for stepped, other in ((day, weekday), (weekday, day)):
            if stepped.startswith("*/") and other != "*":
                raise ValueError(
                    f"{stepped!r} beside {other!r}: clocks differ in whether a tick needs one of "
                    "the days or both; write the days out, as in 1-31/2"
                )
        expression = cls(
            _values(_MINUTE, minute),
            _values(_HOUR, hour),
            None if day == "*" else _values(_DAY, day),
            _values(_MONTH, month),
            None if weekday == "*" else tuple(sorted({n % 7 for n in _values(_WEEKDAY, weekday)})),
            hour.startswith("*") or hour == "0-23",
        )
        if not expression._ever_ticks():
            raise ValueError(f"{text!r} never comes: no month in it has such a day")
        return expression

    def fields(self) -> tuple[str, str, str, str, str]:
        """Returns the five fields in numbers alone, which every cron reads alike."""
        return (
            _stepped(self.minutes, 0, 59),
            _stepped(self.hours, 0, 23) if self.every_hour else _listed(self.hours),
            "*" if self.days is None else _listed(self.days),
            "*" if len(self.months) == 12 else _listed(self.months),
            "*" if self.weekdays is None else _listed(self.weekdays),
        )

    def __str__(self) -> str:
        """Returns the five fields with blanks between."""
        return " ".join(self.fields())

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime:
        """Returns the first tick after a moment.

        Where a clock change skips a tick's time, it comes when the clock was changed; where a
        change repeats the time, the tick comes once. With `*` as the hour both are plain hours.

        Args:
            moment: With a time zone.
            zone: The zone that the fields are in.

        Returns:
            The tick, in `zone`.
        """
        # A day earlier, because a tick that was skipped comes later than its time says.
        day = moment.astimezone(zone).date() - timedelta(days=1)
        for offset in range(_HORIZON_DAYS):
            ticks = _ticks_of(self, day + timedelta(days=offset), zone)
            later = bisect.bisect_right(ticks, moment)
            if later < len(ticks):
                return ticks[later].astimezone(zone)
        raise AssertionError("an expression that ticks was not found to")

    def ticks_on(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        """Yields the ticks that are written for a day, in UTC.

        Args:
            day: In the zone.
            zone: The zone that the fields are in.
        """
        if not self._is_on(day):
            return
        for hour in self.hours:
            for minute in self.minutes:
                wall = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
                yield from self._moments(wall, zone)

    def _moments(self, wall: datetime, zone: ZoneInfo) -> Iterator[datetime]:
        first = wall.astimezone(timezone.utc)
        second = wall.replace(fold=1).astimezone(timezone.utc)
        if first == second:
            yield first
        elif first > second:
            # Skipped: `fold` swaps the offsets of before and after the change.
            if not self.every_hour:
                yield _change_between(second, first, zone)
        else:
            yield first
            if self.every_hour:
                yield second

    def _is_on(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month = self.days is None or day.day in self.days
        of_week = self.weekdays is None or day.isoweekday() % 7 in self.weekdays
        if self.days is None or self.weekdays is None:
            return of_month and of_week
        return of_month or of_week

    def _ever_ticks(self) -> bool:
        if self.days is None or self.weekdays is not None:
            return True
        # 2000 was a leap year.
        longest = max(calendar.monthrange(2000, month)[1] for month in self.months)
        return min(self.days) <= longest


@functools.lru_cache(maxsize=8)
def _ticks_of(expression: CronExpression, day: date, zone: ZoneInfo) -> tuple[datetime, ...]:
    # Who goes from tick to tick asks for the same days again and again.
    return tuple(sorted(expression.ticks_on(day, zone)))


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Returns the minute, in UTC, in which the zone's offset changes between two moments."""
    offset = before.astimezone(zone).utcoffset()
    moment = before
    while moment.astimezone(zone).utcoffset() == offset and moment < after:
        moment += timedelta(minutes=1)
    return moment


def _values(field: _Field, text: str) -> tuple[int, ...]:
    return tuple(sorted({value for item in text.split(",") for value in _item(field, item)}))


def _item(field: _Field, item: str) -> Iterator[int]:
    match = _ITEM.fullmatch(item)
    if match is None or (match["first"] == "*" and match["last"]):
        raise field.problem(
            item,
            f"*, a number, a range like 1-5, or a step like */2 or {field.low}-{field.high}/2",
        )
    if match["first"] == "*":
        first, last = field.low, 6 if field is _WEEKDAY else field.high
    else:
        first = _number(field, match["first"])
        last = _number(field, match["last"]) if match["last"] else first
        # As the end of a range, Sunday is the day after Saturday.
        if field is _WEEKDAY and match["last"] and last == 0 < first:
            last = 7
        if match["step"] and not match["last"]:
            raise ValueError(
                f"{item!r}: a step needs a range; write {first}-{field.high}/{match['step']}"
            )
    step = int(match["step"] or 1)
    if step == 0:
        raise ValueError(f"{item!r}: a step of 0 never comes to an end")
    if last < first:
        raise ValueError(f"{item!r}: the range ends before it begins")
    yield from range(first, last + 1, step)


def _names(field: _Field) -> str:
    return f", {field.names[0]} to {field.names[-1]}" if field.names else ""


def _number(field: _Field, text: str) -> int:
    if text.isdecimal():
        value = int(text)
        if not field.low <= value <= field.high:
            raise field.problem(text, f"{field.low} to {field.high}{_names(field)}")
        return value
    if text.lower() not in field.names:
        raise field.problem(text, f"{field.low} to {field.high}{_names(field)}")
    return field.names.index(text.lower()) + field.first_name


def _stepped(values: Sequence[int], low: int, high: int) -> str:
    """Returns values as `*` or `*/n` where they are that, else listed."""
    step = values[1] - values[0] if len(values) > 2 else high
    if tuple(values) == tuple(range(low, high + 1, step)):
        return "*" if step == 1 else f"*/{step}"
    return _listed(values)


def _listed(values: Sequence[int]) -> str:
    return ",".join(_runs(values))


def _runs(values: Sequence[int]) -> Iterator[str]:
    """Yields consecutive values as ranges."""
    start = previous = values[0]
    for value in [*values[1:], None]:
        if value is not None and value == previous + 1:
            previous = value
            continue
        yield str(start) if start == previous else f"{start}-{previous}"
        if value is not None:
            start = previous = value
