"""Cleanings that are killed, or that a disk fails, at every step; and what is true afterwards.

By hand, all steps:

    python -m tests.pipelines.runs.cleaning_cut_short
"""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2 as pb

from tests.forked import processes
from tests.pipelines.runs.past_runs import PastRuns
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.runs.cleaning import clean

# What is counted of a cleaning that is killed, and what fails of one that is not.
_CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir"})
_CALLS = "rename,unlink,unlinkat,rmdir,mkdir,fsync,fdatasync,pwrite64,ftruncate"
_FAULTS = ("EIO", "ENOSPC")
_MOST_STEPS = 2000


class CutShort:
    """A root that is cleaned again and again, each time cut short at another step.

    Args:
        directory: An empty one.
    """

    def __init__(self, directory: Path):
        self._past = PastRuns(directory / "past")
        for _ in range(3):
            self._past.run(pushes=False)
        self._kept = self._past.run().directories()
        self._saved = directory / "saved"
        shutil.copytree(self._past.path.parent, self._saved)

    def kills(self, steps: Iterable[int]) -> int:
        """Kills a cleaning at each step until one comes to its end; returns how many were."""
        for count, step in enumerate(steps):
            self._put_back()
            process = processes().Process(target=_clean_until, args=(self._past.path, step))
            process.start()
            process.join()
            assert process.exitcode in (0, -signal.SIGKILL), step
            self._check()
            if process.exitcode == 0:
                return count
        raise AssertionError("no cleaning came to its end")

    def faults(self, fault: str, stride: int) -> int:
        """Fails every so many-th system call of a cleaning; returns how many ended one.

        Args:
            fault: The error, such as `EIO`.
            stride: Which calls.
        """
        ended = 0
        for step in range(1, self._calls() + 1, stride):
            done = self._traced("-e", f"inject={_CALLS}:error={fault}:when={step}")
            assert done.returncode in (0, 1, 2), done.stderr
            assert "Traceback" not in done.stderr, done.stderr
            # Some calls may fail without harm, such as the removal of a journal.
            assert done.returncode == 0 or 1 <= len(done.stderr.splitlines()) <= 2, done.stderr
            assert done.returncode != 0 or "removed" in done.stdout
            self._check()
            ended += done.returncode != 0
        return ended

    def _calls(self) -> int:
        """Returns how many of the system calls that are made to fail a cleaning makes."""
        log = self._saved.parent / "calls"
        assert self._traced("-o", str(log)).returncode == 0
        return len(log.read_text().splitlines())

    def _traced(self, *options: str) -> subprocess.CompletedProcess[str]:
        self._put_back()
        strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={_CALLS}", *options]
        command = [sys.executable, "-m", "tfx_tflite.pipelines", "clean", str(self._past.path)]
        return subprocess.run([*strace, *command, "--keep", "1"], capture_output=True, text=True)

    def _put_back(self) -> None:
        """Puts the root back to how it was; paths in its store are absolute."""
        directory = self._past.path.parent
        shutil.rmtree(directory)
        shutil.copytree(self._saved, directory)

    def _check(self) -> None:
        """Checks that nobody is served half an artifact, and that the next cleaning goes on."""
        past = self._past
        past.store = past.connect()
        for uri, state in past.states().items():
            assert state != pb.Artifact.LIVE or (Path(uri) / "part" / "file").exists(), uri
            assert state != pb.Artifact.DELETED or not Path(uri).exists(), uri
        clean(past.config, keep=1)
        assert pb.Artifact.MARKED_FOR_DELETION not in past.states().values()
        assert past.there() == self._kept
        assert not (past.root / "artifacts" / ".deleted").exists()
        assert clean(past.config, keep=1).directories == ()


def _clean_until(config: Path, last: int) -> None:
    """Cleans a root, and kills this process before its N-th change of the file system."""
    settings, count = load_config(config), itertools.count(1)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in _CHANGES and next(count) == last:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    clean(settings, keep=1)


def main() -> None:
    """Prints how often cleanings were cut short."""
    with tempfile.TemporaryDirectory() as directory:
        cut = CutShort(Path(directory))
        print(f"{cut.kills(range(1, _MOST_STEPS))} kills: nothing half, nothing lost", flush=True)
        for fault in _FAULTS:
            ended = cut.faults(fault, stride=1)
            print(f"{ended} ended by {fault}: nothing half, nothing lost", flush=True)


if __name__ == "__main__":
    main()
