"""The one job server of a run: it starts while TFX is loaded, and stops with the run.

Beam itself would start one for each pipeline and stop it when the process ends. Importing this
loads no Beam.
"""

import contextlib
import json
import os
import re
import secrets
import select
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from tfx_tflite.components.errors import ConfigError, EngineError
from tfx_tflite.pipelines.engines.engine import Engine, why_java_will_not_do
from tfx_tflite.pipelines.engines.flink_jobs import Cancelled
from tfx_tflite.pipelines.engines.keeper import CANCEL_LIMIT, IDLE, Order
from tfx_tflite.pipelines.engines.record import end_left_over

_KEEPER = "tfx_tflite.pipelines.engines.keeper"
# Seconds: for a master to accept a connection, for the keeper to end after the jobs have.
_CONNECT_LIMIT, _STOP_LIMIT = 5.0, 30.0
# What lines of a job server's log begin with, or hold, that say why it ended.
_TELLING = re.compile(r"^SEVERE|^(Caused by: )?[\w.$]+(Exception|Error)\b|^Error")


class JobServer:
    """A job server that runs from now on.

    Args:
        engine: What it speaks to.
        root: The root of the run, which keeps the record that it runs.
        log: The file that takes what it says.
        say: Prints a line for people.

    Raises:
        ConfigError: There is no Java for it.
    """

    def __init__(self, engine: Engine, root: Path, log: Path, say: Callable[[str], None]):
        self._engine = engine
        self._root = root
        self._log = log
        self._say = say
        self._keeper: subprocess.Popen[bytes] | None = None
        self._endpoint: str | None = None
        self._order: Order | None = None
        # Whether a job was sent that is not known to have ended, and whether any ended badly.
        self._is_busy = self._has_failed = False
        # What tells this run's jobs from those of others on the same cluster.
        self.token = secrets.token_hex(4)
        if (problem := why_java_will_not_do(engine.java)) is not None:
            raise ConfigError(f"beam.engine: {problem}")
        self._jar = engine.jar()
        if self._jar is not None:
            self._start(self._jar)

    def say(self, line: str) -> None:
        """Prints a line for people."""
        self._say(line)

    @property
    def engine(self) -> Engine:
        """What it speaks to."""
        return self._engine

    def endpoint(self, download: Callable[[], str]) -> str:
        """Returns where it takes jobs, after waiting for it; it is started again if it is gone.

        Args:
            download: Returns the path of Beam's own jar, if none is here.

        Raises:
            EngineError: It did not start.
            ConfigError: There is none to start.
        """
        if self._endpoint is not None and self.is_gone:
            self._end_keeper()
        if self._endpoint is None:
            if self._jar is None:
                self._jar = self._downloaded(download)
            if self._keeper is None:
                self._start(self._jar)
            self._endpoint = self._listening()
        return self._endpoint

    def _listening(self) -> str:
        answer = self._read(_stream(self._keeper), None)
        if "endpoint" not in answer:
            problem = answer.get("problem", "the process that keeps it ended")
            self._end_keeper()
            raise EngineError(
                f"{self._engine.title}'s job server did not start: {problem}{self._last_words()}; "
                f"its log: {self._log}"
            )
        return str(answer["endpoint"])

    def _downloaded(self, download: Callable[[], str]) -> Path:
        try:
            return Path(download())
        except Exception as error:
            # Whatever goes wrong: a network that is not there, a version that nobody has.
            raise ConfigError(
                f"beam.job_server_jar: there is no job server for {self._engine.title} here, and "
                f"Beam's own could not be fetched ({error}); `make engines` assembles one, see "
                "docs/beam.md"
            ) from error

    def begins_a_job(self) -> None:
        """Notes that a job is about to be sent."""
        self._is_busy = True

    def ends_a_job(self) -> None:
        """Notes that the job ended well."""
        self._is_busy = False

    @property
    def is_gone(self) -> bool:
        """Whether it takes no jobs any more."""
        if self._order is not None:
            with contextlib.suppress(OSError), _connected("localhost", self._order.port, 1.0):
                return False
        return True

    def why_it_ended(self) -> str:
        """Returns what is known of a job server that is gone."""
        return (
            f"{self._engine.title}'s job server ended during the work{self._last_words()}; "
            f"its log: {self._log}"
        )

    def cancel_jobs(self) -> None:
        """Cancels the jobs of this run that a cluster still works on.

        Beam's job server calls a job cancelled or failed when it no longer waits for it, and Flink
        may go on with it. One that is being sent may be listed only later, so the keeper looks
        again when the job server is gone.
        """
        self._has_failed = True
        jobs = None if self._order is None else self._order.remaining_jobs()
        cancelled = Cancelled() if jobs is None else jobs.cancel(CANCEL_LIMIT)
        self._tell(cancelled.names, cancelled.problem)
        self._is_busy = cancelled.problem is not None

    def close(self) -> None:
        """Stops it, and cancels the jobs that it has left on a cluster."""
        self._end_keeper()

    def _end_keeper(self) -> None:
        keeper, self._keeper, self._endpoint = self._keeper, None, None
        if keeper is None or keeper.stdin is None:
            return
        is_idle = not self._is_busy and not self._has_failed
        with contextlib.suppress(OSError):
            if is_idle:
                keeper.stdin.write(IDLE)
            keeper.stdin.close()
        try:
            if not is_idle:
                self._tell_what_was_cancelled(keeper)
            keeper.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._say(
                f"warning: {self._engine.title}'s job server does not stop (process {keeper.pid})"
            )
        finally:
            _stream(keeper).close()
        if keeper.returncode:
            # It was killed itself, and has left everything.
            end_left_over(self._root, CANCEL_LIMIT, self._say)

    def _tell_what_was_cancelled(self, keeper: "subprocess.Popen[bytes]") -> None:
        """Says what the keeper says, until it ends."""
        while answer := self._read(_stream(keeper), CANCEL_LIMIT + _STOP_LIMIT):
            cancelled, problem = answer.get("cancelled"), answer.get("problem")
            names = map(str, cancelled) if isinstance(cancelled, list) else ()
            self._tell(names, str(problem) if problem else None)

    def _tell(self, cancelled: Iterable[str], problem: str | None) -> None:
        for name in cancelled:
            self._say(f"cancelled {name} at {self._engine.master}")
        if problem is not None:
            self._say(f"warning: jobs may be left at {self._engine.master}: {problem}")

    def _start(self, jar: Path) -> None:
        directory = Path(tempfile.gettempdir()) / f"tfx-tflite-job-server-{self.token}"
        port = self._engine.job_port or _free_port()
        self._root.mkdir(parents=True, exist_ok=True)
        self._order = Order(
            command=tuple(self._engine.command(jar, port, directory)),
            port=port,
            directory=str(directory),
            log=str(self._log.absolute()),
            root=str(self._root.absolute()),
            page=self._engine.page,
            token=self.token,
            run=os.getpid(),
        )
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", _KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Python looks for modules there first.
            cwd=self._log.parent,
            # Ctrl-C is for the run, which then says what is to be done.
            start_new_session=True,
        )
        with contextlib.suppress(OSError):
            assert self._keeper.stdin is not None
            self._keeper.stdin.write(self._order.to_line())
            self._keeper.stdin.flush()

    @staticmethod
    def _read(stream: IO[bytes], limit: float | None) -> dict[str, object]:
        """Returns what the keeper says next; nothing if it ends, or says nothing in time."""
        readable, _, _ = select.select([stream], [], [], limit)
        line = stream.readline() if readable else b""
        with contextlib.suppress(ValueError):
            answer: dict[str, object] = json.loads(line)
            return answer
        return {}

    def _last_words(self) -> str:
        """Returns the last line of its log that tells of an error, in brackets; nothing if none."""
        with contextlib.suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            telling = [line.strip() for line in lines if _TELLING.search(line)]
            return f" ({telling[-1]})" if telling else ""
        return ""


@contextlib.contextmanager
def job_server(
    engine: Engine | None, root: Path, log: Path, say: Callable[[str], None]
) -> Iterator[JobServer | None]:
    """Yields the job server of a run while the block runs; None if it needs none.

    Args:
        engine: What it speaks to; None for none.
        root: The root of the run.
        log: The run's log, beside which the job server has its own.
        say: Prints a line for people.

    Raises:
        ConfigError: There is no Java, or no such jar.
        EngineError: Nothing answers at the master's address.
    """
    end_left_over(root, CANCEL_LIMIT, say)
    if engine is None:
        yield None
        return
    check_master(engine)
    server = JobServer(engine, root, log.with_suffix(".job-server.log"), say)
    try:
        yield server
    finally:
        server.close()


def check_master(engine: Engine) -> None:
    """Checks that something answers at an engine's master.

    Raises:
        EngineError: Nothing does.
    """
    if engine.address is None:
        return
    host, port = engine.address
    try:
        with _connected(host, port, _CONNECT_LIMIT):
            return
    except OSError as error:
        raise EngineError(
            f"beam.master: {engine.title} does not answer at {host}:{port}: "
            f"{error.strerror or error}"
        ) from error


def _stream(keeper: "subprocess.Popen[bytes] | None") -> IO[bytes]:
    """Returns what a keeper says."""
    assert keeper is not None and keeper.stdout is not None
    return keeper.stdout


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _connected(host: str, port: int, limit: float) -> Iterator[None]:
    with socket.create_connection((host, port), limit):
        yield
