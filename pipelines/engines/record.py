"""The records, below a root, of its runs' job servers: what a killed run may leave on a cluster.

A record is there as long as a job may be left. Its keeper holds a lock on it, which the kernel
releases with the process. Importing this loads nothing but the standard library.
"""

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tfx_tflite.components.private_files import open_regular_file
from tfx_tflite.pipelines.engines.flink_jobs import FlinkJobs

_NAME = "job-server-{token}.json"
# As `secrets.token_hex(4)` makes them.
_TOKEN = re.compile(r"[0-9a-f]{8}")
_PAUSE = 0.1
# Seconds after which people are told why nothing happens.
_SILENCE = 2.0


@contextlib.contextmanager
def kept_record(root: Path, page: str | None, token: str) -> Iterator[Path]:
    """Writes a record and holds its lock while the block runs; who yields it removes the file.

    Args:
        root: The root of the run.
        page: The address of Flink's master; None for an engine that leaves no jobs.
        token: What the names of the run's jobs end with.

    Yields:
        The record's path.
    """
    record = root / _NAME.format(token=token)
    unfinished = record.with_suffix(".unfinished")
    descriptor = open_regular_file(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(descriptor, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(json.dumps({"page": page, "token": token}).encode())
        file.flush()
        os.fsync(file.fileno())
        unfinished.replace(record)
        yield record


def end_left_over(root: Path, limit: float, say: Callable[[str], None]) -> None:
    """Cancels the jobs of runs of a root that were killed together with their keeper.

    If a run alone was killed its keeper does that, and this waits for it.

    Args:
        root: The root of the runs.
        limit: For how many seconds it waits for a keeper, and for a cluster.
        say: Prints a line for people.
    """
    for record in sorted(root.glob(_NAME.format(token="*"))):
        try:
            with contextlib.suppress(FileNotFoundError):
                _end(record, limit, say)
        except OSError as error:
            say(f"warning: jobs of an earlier run may be left: {error.strerror}: {record}")


def _end(record: Path, limit: float, say: Callable[[str], None]) -> None:
    with os.fdopen(open_regular_file(record, os.O_RDWR), "rb") as file:
        if not _is_locked_within(file.fileno(), limit, record, say):
            return
        jobs = _jobs(file.read())
        # Its keeper may have removed it meanwhile.
        if jobs is not None and record.exists():
            cancelled = jobs.cancel(limit)
            for name in cancelled.names:
                say(f"cancelled {name} of an earlier run, which was killed")
            if cancelled.problem is not None:
                say(f"warning: jobs of an earlier run may be left: {cancelled.problem}")
                return
        record.unlink(missing_ok=True)


def _jobs(content: bytes) -> FlinkJobs | None:
    """Returns the jobs that a record is of; None if they end by themselves, or if it is none."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        fields = json.loads(content)
        page, token = fields["page"], fields["token"]
        if isinstance(page, str) and _TOKEN.fullmatch(token):
            return FlinkJobs(page, token)
    return None


def _is_locked_within(file: int, seconds: float, record: Path, say: Callable[[str], None]) -> bool:
    begin, is_told = time.monotonic(), False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            waited = time.monotonic() - begin
            if waited > _SILENCE and not is_told:
                say("waiting until the jobs of an earlier run are cancelled")
                is_told = True
            if waited > seconds:
                say(f"warning: the jobs of an earlier run are still being cancelled ({record})")
                return False
            time.sleep(_PAUSE)
