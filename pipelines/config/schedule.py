"""The section `schedule` of a config: when the pipeline runs by itself."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from tfx_tflite.components.settings import Settings, problem
from tfx_tflite.pipelines.schedule.cron_expression import CronExpression


class ScheduleConfig(Settings):
    """When the pipeline runs by itself; one specification for every clock.

    There is never more than one run at once.
    """

    cron: str
    time_zone: str = "UTC"
    # Whether the ticks that were missed are made up for, by one run.
    catch_up: bool = Field(default=False, strict=True)
    start: datetime | None = None
    end: datetime | None = None

    @field_validator("cron")
    @classmethod
    def _ticks(cls, cron: str) -> str:
        CronExpression.parse(cron)
        return cron

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, time_zone: str) -> str:
        try:
            ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"{time_zone!r} is not a time zone, expected a name like Europe/Berlin"
            ) from error
        return time_zone

    @field_validator("start", "end", mode="before")
    @classmethod
    def _is_a_time(cls, moment: object) -> object:
        # A number would be taken for seconds since 1970.
        if isinstance(moment, bool | int | float):
            raise ValueError(f"expected a time like 2026-01-31 06:00, received {moment!r}")
        return moment

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        for key in ("start", "end"):
            moment = getattr(self, key)
            if moment is not None and moment.tzinfo is None:
                # A time without a zone is one of the schedule's.
                object.__setattr__(self, key, moment.replace(tzinfo=self.zone))
        if self.start and self.end and self.end <= self.start:
            raise problem("schedule.end", "is not after schedule.start")
        return self

    @property
    def expression(self) -> CronExpression:
        """When it ticks."""
        return CronExpression.parse(self.cron)

    @property
    def zone(self) -> ZoneInfo:
        """The zone that the fields are in."""
        return ZoneInfo(self.time_zone)

    @property
    def shell_bounds(self) -> list[str]:
        """What `test` of a shell compares the time in seconds with: start and end, if given."""
        bounds = (("-ge", self.start), ("-le", self.end))
        return [f"{test} {int(at.timestamp())}" for test, at in bounds if at is not None]

    def next_tick(self, after: datetime) -> datetime | None:
        """Returns the first tick after a moment, between start and end; None if none is left.

        Args:
            after: With a time zone.
        """
        if self.start is not None and after < self.start:
            # A tick at the very start counts.
            after = self.start - timedelta(microseconds=1)
        tick = self.expression.next_after(after, self.zone)
        return None if self.end is not None and tick > self.end else tick
