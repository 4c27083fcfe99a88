"""The clock of Unix: a crontab for one config."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from tzlocal import get_localzone_name

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.schedule import ScheduleConfig

# Of Vixie's cron and its descendants, for one command.
_MAX_COMMAND = 998
_UTC = {"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Zulu", "Etc/Zulu"}


def files(config: PipelineConfig, command: Sequence[str]) -> dict[str, str]:
    """Returns the crontab's lines, by file name.

    Args:
        config: The config, with a schedule.
        command: What is run at a tick.

    Raises:
        ConfigError: The command is longer than cron takes, or crons read it differently.
    """
    schedule = config.schedule
    assert schedule is not None
    line = shell_command(schedule, Path(config.root) / "schedule", command)
    if "\\\\" in line:
        raise ConfigError(
            "the command has two backslashes side by side, of which Debian's cron makes one and "
            "cronie makes two; name the path another way, or use --on systemd"
        )
    if len(line) > _MAX_COMMAND:
        raise ConfigError(
            f"the command has {len(line)} characters, cron takes {_MAX_COMMAND}; write what --set "
            "says into a config, or use --on systemd"
        )
    return {
        "crontab": "\n".join([*_head(config.name, schedule), f"{schedule.expression} {line}", ""])
    }


def shell_command(schedule: ScheduleConfig, directory: Path, command: Sequence[str]) -> str:
    """Returns the command part of a crontab's line; a shell takes it as it is, too.

    Args:
        schedule: Its start and end are checked by the command, as cron has neither.
        directory: Where log and lock are.
        command: What is run, never twice at once.
    """
    quoted = " ".join(_quoted(word) for word in command)
    log, lock = _quoted(str(directory / "cron.log")), _quoted(str(directory / "cron.lock"))
    parts = [
        *(f'[ "$(date +\\%s)" {bound} ]' for bound in schedule.shell_bounds),
        # What is made is its owner's alone; a model that is pushed keeps the usual modes.
        f"(umask 077; mkdir -p {_quoted(str(directory))})",
        f"flock -n {lock} {quoted} >>{log} 2>&1",
    ]
    return " && ".join(parts)


def _head(name: str, schedule: ScheduleConfig) -> list[str]:
    lines = [f"# {name}: tfx-tflite schedule --on cron"]
    if schedule.catch_up:
        lines.append("# cron does not make up for ticks that it missed; --on systemd and local do.")
    if not _is_local(schedule.time_zone):
        lines += [
            "# This machine is in another zone. cronie heeds CRON_TZ, for all lines below it; the",
            "# cron of Debian and Ubuntu does not: there, take --on systemd.",
            f"CRON_TZ={schedule.time_zone}",
        ]
    return lines


def _is_local(time_zone: str) -> bool:
    # That of the one who asks need not be that of cron.
    own = os.environ.pop("TZ", None)
    try:
        local = get_localzone_name()
    except LookupError:
        return False
    finally:
        if own is not None:
            os.environ["TZ"] = own
    return time_zone == local or {time_zone, local} <= _UTC


def _quoted(word: str) -> str:
    """Returns a word as a shell takes it, with `%`, cron's line break, outside of quotes.

    Both cron and the shell take the backslash off there, so one text serves both.
    """
    return "\\%".join(shlex.quote(part) if part else "" for part in word.split("%")) or "''"
