"""A machine as set-up sees it: a bare Debian's programs alone on PATH, and stand-ins."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT

PROGRAMS = Path(__file__).with_name("programs")
# What Debian's essential packages, git, make and g++ bring, as far as set-up calls it.
BARE_DEBIAN = (
    *("awk", "basename", "cat", "chmod", "cp", "cut", "dirname", "find", "grep", "head", "ln"),
    *("mkdir", "mv", "readlink", "rm", "sed", "sh", "sha256sum", "sort", "tail", "touch"),
    *("tr", "g++"),
)


@dataclass
class Machine:
    """A machine whose programs and libraries are chosen by the test.

    Attributes:
        home: The home of the user; the repository is below it.
        variables: What the stand-ins read from the environment.
    """

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lays out the programs, and what set-up reads of the repository."""
        for directory in (self.bin, self.repository):
            directory.mkdir(parents=True)
        for name in BARE_DEBIAN:
            found = shutil.which(name)
            assert found, name
            (self.bin / name).symlink_to(found)
        for name in ("getconf", "ldconfig", "uname", "id"):
            shutil.copy(PROGRAMS / name, self.bin / name)
        for directory in ("tools", "locks"):
            shutil.copytree(ROOT / directory, self.repository / directory)
        shutil.copy(ROOT / "setup.py", self.repository)

    @property
    def bin(self) -> Path:
        """The only directory on PATH."""
        return self.home / "bin"

    @property
    def repository(self) -> Path:
        """The clone that is set up."""
        return self.home / "tfx-tflite"

    @property
    def venv(self) -> Path:
        """The environment that set-up makes."""
        return self.repository / ".venv"

    def has_libraries(self, glibc: str, libstdcxx: str) -> None:
        """Gives the machine a C and a C++ library of these versions."""
        library = self.home / "libstdc++.so.6"
        library.write_text(f"...{libstdcxx}...")
        self.variables |= {"FAKE_GLIBC": glibc, "FAKE_LIBSTDCXX": str(library)}

    def has_python(self, version: str, directory: Path | None = None) -> Path:
        """Puts a Python of this version into a directory, else on PATH; returns it."""
        directory = directory or self.bin
        directory.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(PROGRAMS / "python", directory / f"python{version}"))

    def has_uv(self) -> None:
        """Lays a stand-in of uv where set-up keeps it until the environment has its own."""
        directory = self.repository / ".uv" / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROGRAMS / "uv", directory / "uv")

    @property
    def calls_of_uv(self) -> list[str]:
        """What uv was called with, one line a call, since `forget_calls`."""
        path = self.home / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def forget_calls(self) -> None:
        """Empties the list of calls."""
        (self.home / "calls").write_text("")

    def run(self, script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        """Runs a script of tools/ with these variables, as make does."""
        return subprocess.run(
            ["/bin/sh", str(self.repository / "tools" / script)],
            capture_output=True,
            text=True,
            env={
                "PATH": str(self.bin),
                "HOME": str(self.home),
                "FAKE_CALLS": str(self.home / "calls"),
                **{name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
                **self.variables,
                **variables,
            },
        )


def real_python() -> str:
    """Returns the interpreter that the tests run on, outside of its environment."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{sys.base_prefix}/bin/python{version}"
