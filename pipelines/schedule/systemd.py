"""The clock of systemd: a service and its timer for one config."""

from collections.abc import Iterator, Sequence

from tfx_tflite.components.errors import ConfigError, listed
from tfx_tflite.pipelines.cli.outcome import EXIT_REFUSED
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.schedule import ScheduleConfig
from tfx_tflite.pipelines.schedule.cron_expression import CronExpression

# Quotes and backslashes it refuses, and of a doubled $ it makes one in arguments alone.
_NOT_IN_PROGRAMS = frozenset("\"'\\$")
_WEEKDAYS = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def files(config: PipelineConfig, command: Sequence[str]) -> dict[str, str]:
    """Returns the unit files, by file name.

    Args:
        config: The config, with a schedule.
        command: What is run at a tick.

    Raises:
        ConfigError: systemd cannot run it.
    """
    assert config.schedule is not None
    if special := _NOT_IN_PROGRAMS & set(command[0]):
        raise ConfigError(
            f"{command[0]}: systemd runs no program with {listed(sorted(special))} in its path; "
            "make the environment of Python somewhere else"
        )
    unit = f"tfx-tflite-{config.name}"
    return {
        f"{unit}.service": _service(config.name, config.schedule, command),
        f"{unit}.timer": _timer(config.name, config.schedule),
    }


def _service(name: str, schedule: ScheduleConfig, command: Sequence[str]) -> str:
    lines = [
        "[Unit]",
        f"Description=tfx-tflite run {name}",
        "",
        "[Service]",
        "Type=oneshot",
        # A timer has neither start nor end.
        *(
            f"ExecCondition=/bin/sh -c '[ \"$$(date +%%s)\" {bound} ]'"
            for bound in schedule.shell_bounds
        ),
        f"ExecStart={' '.join(_quoted(word) for word in command)}",
        "# A model that the gate refused is no failure of the service.",
        f"SuccessExitStatus={EXIT_REFUSED}",
        "",
    ]
    return "\n".join(lines)


def _timer(name: str, schedule: ScheduleConfig) -> str:
    lines = [
        "[Unit]",
        f"Description=When tfx-tflite run {name} is due",
        "",
        "[Timer]",
        *(
            f"OnCalendar={text}"
            for text in calendar_events(schedule.expression, schedule.time_zone)
        ),
        "AccuracySec=1s",
        f"Persistent={str(schedule.catch_up).lower()}",
        "",
        "[Install]",
        "WantedBy=timers.target",
        "",
    ]
    return "\n".join(lines)


def calendar_events(expression: CronExpression, time_zone: str) -> Iterator[str]:
    """Yields what systemd calls the ticks of an expression.

    Two events where both days are restricted, because systemd needs both days of one and cron
    either.

    Args:
        expression: When to tick.
        time_zone: The zone that it is in.
    """
    months = "*" if len(expression.months) == 12 else _listed(expression.months)
    hours = "*" if len(expression.hours) == 24 else _listed(expression.hours)
    time = f"{hours}:{_listed(expression.minutes)}:00 {time_zone}"
    if expression.weekdays is not None:
        days = ",".join(_WEEKDAYS[number] for number in expression.weekdays)
        yield f"{days} *-{months}-* {time}"
    if expression.days is not None or expression.weekdays is None:
        of_month = "*" if expression.days is None else _listed(expression.days)
        yield f"*-{months}-{of_month} {time}"


def _listed(values: Sequence[int]) -> str:
    return ",".join(f"{value:02}" for value in values)


def _quoted(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + escaped.replace("%", "%%").replace("$", "$$") + '"'
