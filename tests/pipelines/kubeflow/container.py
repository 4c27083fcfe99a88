"""Containers without an engine: a process with a root of its own, as an unprivileged user.

What a container of the image has is put at the same places below a new root: the system, the
interpreter, this package. Everything else is what the test puts there. `/tmp` is new, and the
working directory cannot be written.

Starting a container costs what TFX takes to load, so they are forked from one process that has
loaded it, unless a test wants the very command.
"""

import ctypes
import functools
import os
import stat
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.forked import processes

# The user of the image, and of Kubeflow's own containers.
USER = 1000
MODULE = "tfx_tflite.pipelines.kubeflow.task"
_TIME_LIMIT = 600
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32", "/etc", "/proc", "/dev", "/sys")
_WORKING_DIRECTORY = "/app"
# linux/sched.h and linux/mount.h
_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_BIND, _RECURSIVE, _PRIVATE = 4096, 16384, 1 << 18


@dataclass(frozen=True)
class Ended:
    """How a container ended.

    Attributes:
        code: Its exit code, or minus the signal.
        log: What it printed, stdout and stderr as they came.
    """

    code: int
    log: str


@dataclass(frozen=True)
class Container:
    """A container to run a command in.

    Attributes:
        directory: A new directory; the log and `/tmp` are below it.
        mounts: Directories of this machine by where the container has them.
        variables: Environment variables beside those of the image.
    """

    directory: Path
    mounts: Mapping[str, Path]
    variables: Mapping[str, str]

    @property
    def tmp(self) -> Path:
        """What the container has as `/tmp`."""
        return self.directory / "tmp"

    def run(self, command: Sequence[str], is_forked: bool = True) -> Ended:
        """Runs a command until it ends.

        Args:
            command: The command.
            is_forked: Whether it is run by a process that has loaded TFX already.
        """
        self.directory.mkdir(parents=True)
        self.tmp.mkdir()
        self.tmp.chmod(0o1777)
        (self.directory / "root").mkdir()
        process = processes().Process(target=_run, args=(self, tuple(command), is_forked))
        process.start()
        process.join(_TIME_LIMIT)
        if process.exitcode is None:
            process.kill()
            process.join()
        log = (self.directory / "log").read_text(encoding="utf-8", errors="replace")
        assert process.exitcode is not None
        return Ended(process.exitcode, log)


def skip_without_containers() -> None:
    """Skips a test on a machine that does not let this user have containers, and says why."""
    # A forked one, as the kernel gives none to a process that has threads.
    process = processes().Process(target=_new_namespaces)
    process.start()
    process.join()
    if process.exitcode != 0:
        pytest.skip("the kernel lets this user have no namespaces: run as root, or allow them")


def _run(container: Container, command: tuple[str, ...], is_forked: bool) -> None:
    log = os.open(container.directory / "log", os.O_WRONLY | os.O_CREAT)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    _enter(container)
    os.environ.clear()
    os.environ.update(
        # The image's `python` is the environment's.
        PATH=f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
        HOME="/",
        TF_CPP_MIN_LOG_LEVEL="2",
        PYTHONDONTWRITEBYTECODE="1",
        **container.variables,
    )
    # The process that this one is forked from knows another, which is not in the container.
    tempfile.tempdir = None
    if not is_forked:
        os.execvp(command[0], command)
    from tfx_tflite.components.process_end import run_to_the_end
    from tfx_tflite.pipelines.kubeflow import task as kubeflow_task

    assert command[:3] == ("python", "-m", MODULE)
    sys.argv = [kubeflow_task.__file__, *command[3:]]
    run_to_the_end(functools.partial(kubeflow_task.container, sys.argv))


def _enter(container: Container) -> None:
    """Gives this process the container's root and user."""
    is_root = os.getuid() == 0
    _new_namespaces()
    root = container.directory / "root"
    _mount("tmpfs", root, "tmpfs")
    root.chmod(0o755)
    for place in _SYSTEM:
        _put(root, place, Path(place))
    # Before this checkout, which may be below it.
    for place, source in {**container.mounts, "/tmp": container.tmp}.items():
        _put(root, place, source)
    # The outer of two that are one in the other first.
    for place in sorted((sys.base_prefix, sys.prefix, str(ROOT)), key=len):
        _put(root, place, Path(place))
    (root / _WORKING_DIRECTORY.lstrip("/")).mkdir(exist_ok=True)
    os.chroot(root)
    os.chdir(_WORKING_DIRECTORY)
    if is_root:
        os.setgroups([])
        os.setgid(USER)
        os.setuid(USER)


def _new_namespaces() -> None:
    """Gives this process mounts of its own; who is not root is root of a namespace for that."""
    user, group = os.getuid(), os.getgid()
    if user == 0:
        _check(_libc().unshare(_NEW_MOUNTS), "unshare")
    else:
        _check(_libc().unshare(_NEW_MOUNTS | _NEW_USER), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{USER} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{USER} {group} 1")
    _check(_libc().mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None), "mount /")


def _put(root: Path, place: str, source: Path) -> None:
    """Puts a directory of this machine at a place below a root, where it is not there already."""
    target = root / place.lstrip("/")
    if target.exists() or not source.exists():
        return
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    target.mkdir(parents=True)
    _mount(str(source), target, None, _BIND | _RECURSIVE)


def _mount(source: str, target: Path, kind: str | None, flags: int = 0) -> None:
    encoded = kind.encode() if kind else None
    done = _libc().mount(source.encode(), str(target).encode(), encoded, flags, None)
    _check(done, f"mount {target}")


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def given_to_user(directory: Path) -> None:
    """Gives a directory, and what is in it, to the user of containers."""
    for path in (directory, *directory.rglob("*")):
        if os.getuid() == 0:
            os.chown(path, USER, USER)
        path.chmod(path.stat().st_mode | stat.S_IRUSR | stat.S_IWUSR)
