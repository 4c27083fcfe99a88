"""Two hosts on this machine that share nothing but its disk: Linux' network namespaces.

A pair of virtual network cards connects them to each other, and to nothing else.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tfx_tflite.components.process_end import end_with

T = TypeVar("T")
# linux/sched.h
_CLONE_NEWNET = 0x40000000
# Seconds for what was asked for to come about, on a busy machine.
_LIMIT = 300
# The addresses are known within the namespaces only.
_NETWORK = "10.213.77"


@dataclass(frozen=True)
class Host:
    """A network namespace.

    Attributes:
        name: Of the namespace.
        address: Of its network card.
    """

    name: str
    address: str

    @property
    def within(self) -> list[str]:
        """The command that starts the one that follows it on this host."""
        return ["ip", "netns", "exec", self.name]

    def start(self, command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
        """Starts a process that ends with this one.

        Args:
            command: The program and its arguments.
            log: The file that takes what it says.
        """
        parent = os.getpid()
        # A pool starts its workers as `python`, whichever comes first.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        with log.open("ab") as stream:
            return subprocess.Popen(
                [*self.within, *command],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PATH": path},
                preexec_fn=lambda: end_with(parent),
            )

    def processes(self) -> list[int]:
        """Returns the ids of processes on this host."""
        said = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False
        )
        return [int(process) for process in said.stdout.split()]

    def call(self, function: Callable[[], T]) -> T:
        """Returns what a function returns in a thread that is on this host."""
        with ThreadPoolExecutor(1, initializer=self._enter) as threads:
            return threads.submit(function).result()

    def wait_for(self, port: int) -> None:
        """Waits until something on this host listens at a port."""
        until(lambda: self.call(lambda: self._accepts(port)))

    def _accepts(self, port: int) -> bool:
        with socket.create_connection((self.address, port), 1):
            return True

    def _enter(self) -> None:
        """Moves the thread that calls it to this host."""
        libc = ctypes.CDLL(None, use_errno=True)
        with Path("/run/netns", self.name).open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {self.name}")

    def remove(self) -> None:
        """Ends every process on this host, and the host."""
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)


@contextlib.contextmanager
def two_hosts() -> Iterator[tuple[Host, Host]]:
    """Two hosts for as long as the block runs; the test is skipped if there can be none."""
    token = uuid.uuid4().hex[:8]
    first, second = (Host(f"tfx-tflite-{token}-{n}", f"{_NETWORK}.{n}") for n in (1, 2))
    try:
        for host in (first, second):
            _ip("netns", "add", host.name)
        ends = ("eth0", "netns", first.name, "type", "veth", "peer", "eth0", "netns", second.name)
        _ip("link", "add", *ends)
        for host in (first, second):
            _ip("-n", host.name, "address", "add", f"{host.address}/24", "dev", "eth0")
            for card in ("lo", "eth0"):
                _ip("-n", host.name, "link", "set", card, "up")
        yield first, second
    finally:
        for host in (first, second):
            host.remove()


def until(found: Callable[[], T]) -> T:
    """Returns what a function gives once that is something, and fails if it takes too long."""
    end = time.monotonic() + _LIMIT
    while time.monotonic() < end:
        # What is asked may not answer at once.
        with contextlib.suppress(OSError):
            if result := found():
                return result
        time.sleep(0.2)
    raise AssertionError(f"waited for {_LIMIT} s in vain")


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no network namespaces: ip {' '.join(arguments)}: {done.stderr.strip()}")
