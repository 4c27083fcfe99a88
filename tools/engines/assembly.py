"""Job servers of Beam, as `engines/*/pom.xml` describe them, and a Flink to make a cluster of."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from tfx_tflite.components.digests import directory_digest
from tfx_tflite.pipelines.engines import engine
from tfx_tflite.pipelines.engines.engine import JAR, LEAST_JAVA, java_version

ROOT = Path(__file__).resolve().parents[2]
# Where `beam.engine` looks for job servers. Git ignores it.
ASSEMBLED = ROOT / engine.ASSEMBLED
NAMES = ("flink", "spark")
# The whole of Flink, which its makers publish for PyFlink.
FLINK = "apache-flink-libraries==1.19.1"
FLINK_JARS = ASSEMBLED / "flink-1.19.1" / "pyflink"
_POM = "{http://maven.apache.org/POM/4.0.0}"
# What Maven says of an artifact that it cannot have: it is not there, or nothing answers.
_UNFETCHED = re.compile(
    r"Could not (?:find|transfer) artifact (\S+)"
    r"|Plugin (\S+) or one of its dependencies could not be resolved"
)


class CannotFetchError(Exception):
    """Something of others is not to be had here; the message says what."""


@dataclass(frozen=True)
class JobServer:
    """A job server that is assembled once for each content of its pom and sources.

    Attributes:
        name: As in the config's `beam.engine`.
        poms: The folder that has its pom, in a folder of its name.
        assembled: The folder that gets its jar, likewise.
    """

    name: str
    poms: Path = ROOT / "engines"
    assembled: Path = ASSEMBLED

    @property
    def pom(self) -> Path:
        """What describes it."""
        return self.poms / self.name / "pom.xml"

    @property
    def jar(self) -> Path:
        """The jar, if it is assembled."""
        return self.assembled / self.name / JAR

    @property
    def title(self) -> str:
        """The engine and its version, as the pom names them."""
        name = ElementTree.parse(self.pom).getroot().findtext(f"{_POM}name")
        return name or self.name

    def is_current(self) -> bool:
        """Whether the jar is that of today's pom and sources."""
        return (
            self.jar.is_file()
            and self._stamp.is_file()
            and self._stamp.read_text() == self._digest()
        )

    def assemble(self) -> None:
        """Makes the jar, unless it is there.

        Raises:
            CannotFetchError: Maven does not get what it is made of.
            subprocess.CalledProcessError: Maven fails otherwise.
        """
        if self.is_current():
            return
        _run_maven(self.pom)
        build = self.assembled / self.name / "build"
        # The stamp comes last: a jar without it is made again.
        self._stamp.unlink(missing_ok=True)
        (build / JAR).replace(self.jar)
        shutil.rmtree(build)
        self._stamp.write_text(self._digest())

    @property
    def _stamp(self) -> Path:
        return self.assembled / self.name / "sources.sha256"

    def _digest(self) -> str:
        return directory_digest(self.pom.parent)


def missing_programs() -> Iterator[str]:
    """Yields what this machine lacks to assemble job servers and to run them."""
    java = java_version("java")
    if java is None or java < LEAST_JAVA:
        found = "there is none" if java is None else f"here is {java}"
        yield f"Java {LEAST_JAVA} or newer ({found})"
    elif shutil.which("javac") is None:
        yield "a JDK (javac)"
    if shutil.which("mvn") is None:
        yield "Maven (mvn)"


def fetch_flink() -> None:
    """Fetches the whole of Flink from PyPI, unless it is there.

    Raises:
        CannotFetchError: It is not to be had.
    """
    target = FLINK_JARS.parent
    if target.is_dir():
        return
    unfinished = target.with_name(f"{target.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    uv = Path(sys.executable).with_name("uv")
    command = [
        str(uv),
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(unfinished),
        FLINK,
    ]
    done = subprocess.run(
        [*command, "--python", sys.executable], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise CannotFetchError(f"PyPI's {FLINK}: {_last_line(done.stderr)}")
    unfinished.replace(target)


def unfetched(output: str) -> str | None:
    """Returns the artifact that Maven, as it said, could not get; None if it failed otherwise."""
    found = _UNFETCHED.search(output)
    return None if found is None else (found[1] or found[2]).rstrip(":")


def _run_maven(pom: Path) -> None:
    command = ["mvn", "--batch-mode", "--no-transfer-progress", "--file", str(pom), "package"]
    done = subprocess.run(
        _with_patience(command),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return
    artifact = unfetched(done.stdout)
    if artifact is not None:
        raise CannotFetchError(f"Maven's {artifact}")
    print(done.stdout, file=sys.stderr)
    raise subprocess.CalledProcessError(done.returncode, command)


def _with_patience(command: Sequence[str]) -> list[str]:
    """Returns a command that leaves the processors to others, where that is possible."""
    return [*(["nice"] if shutil.which("nice") else []), *command]


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason given"
