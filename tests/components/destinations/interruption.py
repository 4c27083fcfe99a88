"""File operations that stop at a chosen point, and processes in which they do."""

import contextlib
import errno
import os
import shutil
import signal
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.forked import processes
from tfx_tflite.components.destinations.destination import (
    Candidate,
    Destination,
    PushedVersion,
    Trust,
)
from tfx_tflite.components.destinations.manifest import Description
from tfx_tflite.components.destinations.stores.file_operations import FileOperations
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.stores.objects import ObjectStore
from tfx_tflite.components.destinations.trust import Signer, Verifier
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.object_stores.requests import (
    ObjectRequests,
    ObjectVersion,
)

NEVER = 1 << 30


def start_process(target: Callable[..., None], *arguments: object) -> ForkServerProcess:
    """Starts a process that comes from a clean one with this module loaded."""
    process = processes([__name__]).Process(target=target, args=arguments)
    process.start()
    return process


def kill() -> None:
    """Ends this process as `kill -9` does."""
    os.kill(os.getpid(), signal.SIGKILL)


def fail_with(number: int) -> Callable[[], None]:
    def fail() -> None:
        raise OSError(number, os.strerror(number))

    return fail


full_disk = fail_with(errno.ENOSPC)
read_only = fail_with(errno.EROFS)
broken = fail_with(errno.EIO)


class StoppedOperations(FileOperations):
    """Acts at one point: before, in the middle of, or after each of the operations.

    Args:
        point: Which, counted from 0.
        act: What happens there.
    """

    def __init__(self, point: int = NEVER, act: Callable[[], None] = kill):
        self.points = 0
        self._point, self._act = point, act

    def _pass(self) -> bool:
        """Counts a point and returns whether it is the one."""
        self.points += 1
        return self.points - 1 == self._point

    def _stop_here(self) -> None:
        if self._pass():
            self._act()

    def make_directory(self, path: Path) -> None:
        self._stop_here()
        super().make_directory(path)
        self._stop_here()

    def write(self, path: Path, content: bytes) -> None:
        self._stop_here()
        if self._pass():
            path.write_bytes(content[: len(content) // 2])
            self._act()
        super().write(path, content)
        self._stop_here()

    def copy(self, source: Path, target: Path) -> None:
        self._stop_here()
        if self._pass():
            target.write_bytes(source.read_bytes()[:1])
            self._act()
        super().copy(source, target)
        self._stop_here()

    def rename(self, source: Path, target: Path) -> None:
        self._stop_here()
        super().rename(source, target)
        self._stop_here()

    def remove(self, path: Path) -> None:
        self._stop_here()
        if self._pass():
            for file in [entry for entry in path.rglob("*") if entry.is_file()][:1]:
                file.unlink()
            self._act()
        super().remove(path)
        self._stop_here()


class Stopped(BaseException):
    """What ends an act in this process as a kill does: no error is handled."""


class StoppedAtFile(FileOperations):
    """Stops before a file is renamed into place.

    Args:
        name: The file's name.
    """

    def __init__(self, name: str):
        self._name = name

    def rename(self, source: Path, target: Path) -> None:
        if target.name == self._name:
            raise Stopped
        super().rename(source, target)


def _end() -> None:
    raise Stopped


class DeadAfter(StoppedOperations):
    """Lets nothing through from one point on, as in a process that is dead, in this process.

    Args:
        point: Which, counted from 0.
    """

    def __init__(self, point: int):
        super().__init__(point, _end)

    def _pass(self) -> bool:
        self.points += 1
        return self.points - 1 >= self._point


def leave_orphan(root: Path, candidate: Candidate, trust: Trust | None = None) -> int:
    """Pushes until the version is there and nothing points to it, and returns its number."""
    name = "LATEST" if trust is None else "LATEST.signed"
    with contextlib.suppress(Stopped):
        Destination(LocalStore(root, StoppedAtFile(name)), trust).push(candidate)
    return Destination(LocalStore(root)).versions()[-1]


def make_candidate(directory: Path, content: bytes, beside: Mapping[str, bytes]) -> Candidate:
    """Returns a model of some bytes, with files beside it."""
    contents = {"model.tflite": content, **beside}
    files = {}
    for index, (name, data) in enumerate(contents.items()):
        files[name] = directory / f"source_{content.hex()[:16]}_{index}"
        files[name].write_bytes(data)
    return Candidate(
        files=files,
        digests={name: file_digest(path) for name, path in files.items()},
        description=Description(scheme="int8", verdict="blessed"),
    )


def push(destination: Destination, sources: Path, content: bytes, keep: int | None = None) -> None:
    destination.push(make_candidate(sources, content, {"golden/o.bin": b"g" + content}), keep=keep)


def roll_back(destination: Destination) -> None:
    destination.roll_back(note="why")


def sign_off(destination: Destination) -> None:
    destination.sign_off(destination.versions()[0])


def push_waiting(destination: Destination, sources: Path, content: bytes) -> PushedVersion:
    candidate = make_candidate(sources, content, {"golden/o.bin": b"g" + content})
    return destination.push(candidate, approval=True)


def approve(destination: Destination) -> None:
    destination.approve(destination.waiting()[0].version, "ada", "why")


def reject(destination: Destination) -> None:
    destination.reject(destination.waiting()[0].version, "ada", "why")


def set_alias(destination: Destination) -> None:
    destination.set_alias("champion", destination.versions()[-1], "ada")


def remove_alias(destination: Destination) -> None:
    destination.set_alias("shadow", None, "ada")


def push_many(root: Path, sources: Path, worker: int) -> None:
    own = sources / str(worker)
    own.mkdir()
    for index in range(10):
        push(destination_with(root), own, b"%d/%d" % (worker, index))


Act = Callable[[Destination], object]


# The same in every process.
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
TRUST = Trust(Verifier(KEY.public_key()), Signer(KEY))


def destination_with(
    root: Path, operations: FileOperations | None = None, is_signed: bool = False
) -> Destination:
    return Destination(LocalStore(root, operations), TRUST if is_signed else None)


def points_of(act: Act, root: Path, scratch: Path, is_signed: bool = False) -> int:
    """Returns how many points an act on a copy of a destination has."""
    shutil.rmtree(scratch, ignore_errors=True)
    if root.exists():
        shutil.copytree(root, scratch)
    operations = StoppedOperations()
    act(destination_with(scratch, operations, is_signed))
    return operations.points


def killed_at(point: int, act: Act, root: Path, is_signed: bool = False) -> bool:
    """Runs an act in a process that is killed at a point, and returns whether it was."""
    process = start_process(_act_and_stop, point, act, root, is_signed)
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _act_and_stop(point: int, act: Act, root: Path, is_signed: bool) -> None:
    act(destination_with(root, StoppedOperations(point, kill), is_signed))


class StoppedRequests(ObjectRequests):
    """Kills the process before one of the requests that change something.

    Args:
        uri: As of `ObjectRequests`.
        point: Which, counted from 0.
    """

    def __init__(self, uri: str, point: int = NEVER):
        super().__init__(uri)
        self.points = 0
        self._point = point

    def _stop_here(self) -> None:
        self.points += 1
        if self.points - 1 == self._point:
            kill()

    def put(self, name: str, content: bytes) -> None:
        self._stop_here()
        super().put(name, content)

    def create(self, name: str, content: bytes) -> ObjectVersion:
        self._stop_here()
        return super().create(name, content)

    def update(self, name: str, content: bytes, version: ObjectVersion) -> ObjectVersion:
        self._stop_here()
        return super().update(name, content, version)

    def delete(self, name: str) -> None:
        self._stop_here()
        super().delete(name)


class RequestsDeadAfter(StoppedRequests):
    """Sends nothing that changes anything from one request on, as if this process were dead."""

    def _stop_here(self) -> None:
        self.points += 1
        if self.points - 1 >= self._point:
            _end()


def destination_at(
    uri: str, requests: ObjectRequests, is_signed: bool = False, lifetime: float = 60
) -> Destination:
    return Destination(ObjectStore(uri, requests, lifetime=lifetime), TRUST if is_signed else None)


def push_to(
    requests: ObjectRequests, uri: str, sources: Path, content: bytes, is_signed: bool = False
) -> None:
    store = ObjectStore(uri, requests, lifetime=60)
    destination = Destination(store, TRUST if is_signed else None)
    destination.push(make_candidate(sources, content, {"golden/o.bin": b"g" + content}), keep=2)


def _push_until(
    point: int, environment: Mapping[str, str], uri: str, sources: Path, is_signed: bool
) -> None:
    os.environ.update(environment)
    push_to(StoppedRequests(uri, point), uri, sources, b"new %d" % point, is_signed)


def killed_at_request(point: int, *arguments: object) -> bool:
    """Pushes in a process that is killed before a request, and returns whether it was.

    Args:
        point: The request's number.
        arguments: Environment, URI and directory for sources of the push, and whether it signs.
    """
    process = start_process(_push_until, point, *arguments)
    process.join()
    return process.exitcode != 0
