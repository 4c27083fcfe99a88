"""An object store that does not answer is given up in time."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner

from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.errors import NotKnownError, PushError
from tfx_tflite.pipelines.cli.main import main

# Seconds; and what a slow machine may need beside them.
TIMEOUT, SLACK = 1.5, 1.5


@contextlib.contextmanager
def closed() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    yield port


@contextlib.contextmanager
def silent() -> Iterator[int]:
    """A port that accepts what comes and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def full() -> Iterator[int]:
    """A port that does not even accept: as a network that swallows what is sent."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@contextlib.contextmanager
def trickling() -> Iterator[int]:
    """A port that gives a head of an answer, and never the rest."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        server.settimeout(0.05)
        ended = threading.Event()

        def answer() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    stack.enter_context(connection)
                    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n<")

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            ended.set()
            thread.join()


PORTS = [closed, silent, full, trickling]
ACTS: dict[str, Callable[[Destination], object]] = {
    "versions": lambda to: to.versions(),
    "current": lambda to: to.current(),
    "events": lambda to: to.events(),
}


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("port", PORTS)
def test_a_store_that_does_not_answer_is_given_up_within_the_timeout_and_not_taken_for_empty(
    port, act: str, monkeypatch
):
    with port() as number:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{number}")
        start = time.monotonic()
        with pytest.raises(NotKnownError, match=r"cannot \w+ s3://models/x.*: (unreach|timed out)"):
            ACTS[act](Destination.open("s3://models/x", TIMEOUT))
        assert time.monotonic() - start < TIMEOUT + SLACK


@pytest.mark.parametrize("command", [("history",), ("verify",), ("rollback",), ("sign-off", "7")])
def test_commands_end_within_the_timeout_and_say_that_the_destination_cannot_be_read(
    command, monkeypatch
):
    name, *rest = command
    with silent() as number:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{number}")
        start = time.monotonic()
        done = CliRunner().invoke(main, [name, "s3://models/x", *rest, "--timeout", str(TIMEOUT)])
        assert time.monotonic() - start < TIMEOUT + SLACK
    assert done.exit_code == 1
    assert "s3://models/x" in done.stderr and "timed out" in done.stderr
    assert "no version" not in done.stderr and done.stderr.count("\n") == 1


def test_a_push_to_a_store_that_does_not_answer_ends_in_time(candidate, monkeypatch):
    with silent() as number:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{number}")
        start = time.monotonic()
        with pytest.raises(PushError, match="the model was not pushed: timed out"):
            Destination.open("s3://models/x", TIMEOUT).push(candidate(b"a"))
        assert time.monotonic() - start < 2 * TIMEOUT + SLACK
