"""Cron's five fields, in cron's own meaning, and the ticks that follow from them in a time zone.

What the fields mean is read by cronsim, as Debian's cron does: days of the week count from Sunday,
and where both days are restricted a tick needs one of them. Ours are the messages, the refusal of
what clocks read differently, and what changes of the clock do. cronsim heeds those only if neither
minute nor hour is a `*`, and not by half an hour, so it is asked for wall clocks alone.
"""

import bisect
import calendar
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

# From 1 and from 0.
_MONTHS = ("", *(name.lower() for name in calendar.month_abbr[1:]))
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(
    r"\*(?:/\d+)?|(?P<first>\d+|[a-z]{3})(?:-(?P<last>\d+|[a-z]{3}))?(?P<step>/\d+)?",
    re.IGNORECASE,
)
_ONE_DAY, _ONE_SECOND = timedelta(days=1), timedelta(seconds=1)


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    def checked(self, text: str) -> str:
        """Returns the field as cronsim takes it; ValueError says what is wrong with it."""
        return ",".join(self._item(item) for item in text.split(","))

    def _item(self, item: str) -> str:
        match = _ITEM.fullmatch(item)
        if match is None:
            raise self._problem(
                item,
                f"*, a number, a range like 1-5, or a step like */2 or {self.low}-{self.high}/2",
            )
        if re.search(r"/0+$", item):
            raise ValueError(f"{item!r}: a step of 0 never comes to an end")
        return item if match["first"] is None else self._range(item, match)

    def _range(self, item: str, match: re.Match[str]) -> str:
        first = self._number(match["first"])
        if match["last"] is None:
            if match["step"]:
                raise ValueError(
                    f"{item!r}: a step needs a range; write {first}-{self.high}{match['step']}"
                )
            return str(first)
        last = self._number(match["last"])
        # As the end of a range, Sunday is the day after Saturday.
        if self is _WEEKDAY and last == 0 < first:
            last = 7
        if last < first:
            raise ValueError(f"{item!r}: the range ends before it begins")
        # cronsim takes a step from a range of one value to the end of the field.
        return f"{first}-{last}{match['step'] or ''}" if last > first else str(first)

    def _number(self, text: str) -> int:
        if text.lower() in self.names:
            return self.names.index(text.lower())
        names = f", {self.names[self.low]} to {self.names[-1]}" if self.names else ""
        if not text.isdecimal() or not self.low <= int(text) <= self.high:
            raise self._problem(text, f"{self.low} to {self.high}{names}")
        return int(text)

    def _problem(self, text: str, expected: str) -> ValueError:
        article = "an" if self.name == "hour" else "a"
        return ValueError(f"{text!r} is not {article} {self.name}: expected {expected}")


# 7 is Sunday too.
_WEEKDAY = _Field("day of week", 0, 7, _DAYS)
_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _WEEKDAY,
)


@dataclass(frozen=True)
class CronExpression:
    """When a schedule ticks.

    Attributes:
        minutes: From 0 to 59.
        hours: From 0 to 23.
        days: Of the month, from 1 to 31; None if any will do.
        months: From 1 to 12.
        weekdays: From 0, Sunday, to 6; None if any will do.
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
        texts = text.split()
        if len(texts) != len(_FIELDS):
            raise ValueError(
                f"{text!r}: {len(texts)} given, expected five fields: minute, hour, day of month, "
                "month, day of week"
            )
        checked = [field.checked(part) for field, part in zip(_FIELDS, texts, strict=True)]
        _, hour, day, _, weekday = texts
        for stepped, other in ((day, weekday), (weekday, day)):
            if stepped.startswith("*/") and other != "*":
                raise ValueError(
                    f"{stepped!r} beside {other!r}: clocks differ in whether a tick needs one of "
                    "the days or both; write the days out, as in 1-31/2"
                )
        read = _read(text, checked)
        return cls(
            tuple(sorted(read.minutes)),
            tuple(sorted(read.hours)),
            None if read.parts[3] == "*" else tuple(sorted(read.days)),
            tuple(sorted(read.months)),
            None if weekday == "*" else _weekdays(read),
            hour.startswith("*") or hour == "0-23",
        )

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
        day = moment.astimezone(zone).date() - _ONE_DAY
        while True:
            ticks = _ticks_of(self, day, zone)
            later = bisect.bisect_right(ticks, moment)
            if later < len(ticks):
                return ticks[later].astimezone(zone)
            day = next(self._wall_clocks(day + _ONE_DAY)).date()

    def ticks_on(self, day: date, zone: ZoneInfo) -> Iterator[datetime]:
        """Yields the ticks that are written for a day, in UTC.

        Args:
            day: In the zone.
            zone: The zone that the fields are in.
        """
        for wall in itertools.takewhile(lambda wall: wall.date() == day, self._wall_clocks(day)):
            yield from self._moments(wall.replace(tzinfo=zone), zone)

    def _wall_clocks(self, day: date) -> Iterator[datetime]:
        """Returns what clocks on the wall show at the ticks from a day on."""
        return CronSim(str(self), datetime.combine(day, time()) - _ONE_SECOND)

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


def _read(text: str, fields: Sequence[str]) -> CronSim:
    """Returns what cronsim reads in fields that were checked."""
    try:
        return CronSim(" ".join(fields), datetime.min)
    except CronSimError as error:
        minute, hour, _, month, weekday = fields
        if weekday == "*":
            raise ValueError(f"{text!r} never comes: no month in it has such a day") from error
        # A day that no month in it has adds nothing to the days of the week, which do come.
        return CronSim(f"{minute} {hour} * {month} {weekday}", datetime.min)


def _weekdays(read: CronSim) -> tuple[int, ...]:
    # A day of a certain week, which is no number, was refused.
    return tuple(sorted({day % 7 for day in read.weekdays if isinstance(day, int)}))


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


def _stepped(values: Sequence[int], low: int, high: int) -> str:
    """Returns values as `*` or `*/n` if they are that, else listed."""
    step = values[1] - values[0] if len(values) > 2 else high
    if tuple(values) == tuple(range(low, high + 1, step)):
        return "*" if step == 1 else f"*/{step}"
    return _listed(values)


def _listed(values: Sequence[int]) -> str:
    """Returns values with commas between; those that follow each other as ranges."""
    by_distance = itertools.groupby(enumerate(values), key=lambda pair: pair[1] - pair[0])
    runs = [[value for _, value in run] for _, run in by_distance]
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
