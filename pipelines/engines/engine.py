"""Which job server a run needs, and the program that starts it. Importing this loads no Beam."""

import argparse
import functools
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from typing_extensions import Self

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config import beam_arguments
from tfx_tflite.pipelines.config.beam import BeamConfig, is_inside

# What `make engines` assembles, below the working directory or beside this package.
ASSEMBLED = ".engines"
JAR = "job-server.jar"
# Of this package, if it is used from one.
_CHECKOUT = Path(__file__).resolve().parents[2]
_NAMES: dict[str, Literal["flink", "spark"]] = {"FlinkRunner": "flink", "SparkRunner": "spark"}
# Beam 2.62's job servers and Spark 3.5 need this one, Flink 1.19 too.
LEAST_JAVA = 11
# What Spark and Flink reach into of Java 17 and later by reflection: the packages that Spark's
# JavaModuleOptions and Flink's env.java.opts.all name.
_OPENED = (
    *("java.lang", "java.lang.invoke", "java.lang.reflect", "java.io", "java.net", "java.nio"),
    *("java.text", "java.time", "java.util", "java.util.concurrent"),
    *("java.util.concurrent.atomic", "java.util.concurrent.locks"),
    *("sun.nio.ch", "sun.nio.cs", "sun.security.action", "sun.util.calendar"),
)
# Users beside this one whose jars are run: root.
_OTHERS_THAT_MAY = frozenset((0,))
_JAVA_OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-Djava.awt.headless=true",
    # A run lasts for minutes, of which Java's second compiler would take a third of the processor:
    # digits took 51 s instead of 77. What `beam.args` say of Java comes later and wins.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
)


@dataclass(frozen=True)
class Engine:
    """An engine that a job server speaks to.

    Attributes:
        name: Which one.
        master: Its address, or what means that it runs inside the job server.
        given_jar: The job server's jar, if the config or `beam.args` name one.
        memory: The most that the job server takes, as Java writes it; None for Java's own.
        java: The program.
        java_options: What else Java is told.
        version: The engine's version that `beam.args` ask for, if any.
        artifacts: Where staged files go, if `beam.args` say it.
        artifact_port: The job server's second port, 0 for any.
        expansion_port: Its third one.
        job_port: Where it takes jobs, 0 for any.
        parallelism: In how many parts Flink does a job at once, if that is known.
    """

    name: Literal["flink", "spark"]
    master: str
    given_jar: str | None = None
    memory: str | None = None
    java: str = "java"
    java_options: tuple[str, ...] = ()
    version: str | None = None
    artifacts: str | None = None
    artifact_port: int = 0
    expansion_port: int = 0
    job_port: int = 0
    parallelism: int | None = None

    @classmethod
    def of(cls, beam: BeamConfig) -> Self | None:
        """Returns the engine that a run needs a job server for; None if it needs none.

        None is needed in this process, where `beam.args` name a job server that is there, and
        where Beam sends jobs to the cluster without one (`--flink_submit_uber_jar`).

        Raises:
            ConfigError: An option in `beam.args` has no value, or not one that it takes.
        """
        runner = beam_arguments.runner_in(beam.arguments)
        name = _NAMES.get(beam_arguments.runner_named(runner, tuple(_NAMES)) or "")
        if name is None:
            return None
        try:
            said = _parser(name).parse_known_args(list(beam.arguments))[0]
        except argparse.ArgumentError as error:
            raise ConfigError(f"beam.args: {error}") from error
        if said.job_endpoint is not None or said.submits_by_itself:
            return None
        return cls(
            name=name,
            master=said.master,
            given_jar=beam.job_server_jar or said.jar,
            memory=beam.job_server_memory,
            java=said.job_server_java_launcher,
            java_options=tuple(said.job_server_jvm_properties),
            version=said.version,
            artifacts=said.artifacts_dir,
            artifact_port=said.artifact_port,
            expansion_port=said.expansion_port,
            job_port=said.job_port,
            parallelism=said.parallelism,
        )

    @property
    def title(self) -> str:
        """What people call it."""
        return self.name.capitalize()

    @property
    def is_inside(self) -> bool:
        """Whether it runs inside the job server."""
        return is_inside(self.name, self.master)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of its master, if it is reached over a network and names both."""
        place = self.master.partition("://")[2] or self.master
        host, colon, port = place.partition("/")[0].partition(",")[0].rpartition(":")
        if self.is_inside or not colon or not port.isdecimal():
            return None
        return host.strip("[]"), int(port)

    @property
    def page(self) -> str | None:
        """The page on which people see what it does; None if there is none that is known."""
        if self.is_inside or self.name != "flink":
            return None
        return self.master if "://" in self.master else f"http://{self.master}"

    def jar(self) -> Path | None:
        """Returns the job server's jar on this machine; None if Beam has to fetch one.

        Raises:
            ConfigError: The jar that is named is not there.
        """
        if self.given_jar is not None and "://" in self.given_jar:
            return None
        if self.given_jar is not None:
            path = Path(self.given_jar).absolute()
            if not path.is_file():
                raise ConfigError(f"beam.job_server_jar: there is no job server's jar at {path}")
            return path
        if self.version is not None:
            # Beam knows which jar that is.
            return None
        found = (folder / ASSEMBLED / self.name / JAR for folder in (_CHECKOUT, Path.cwd()))
        return next((jar for jar in found if _is_trusted(jar)), None)

    def description(self) -> str:
        """Returns what a run would start, in a line for people."""
        jar = self.jar()
        server = "a job server that Beam fetches" if jar is None else str(jar)
        where = "inside the job server" if self.is_inside else f"at {self.master}"
        return f"{self.title} {where}, by {server}, Java {java_version(self.java)}"

    def command(self, jar: Path, port: int, directory: Path) -> list[str]:
        """Returns the command that starts the job server.

        Args:
            jar: Its jar.
            port: Where it will listen for jobs.
            directory: Where it may write; whoever starts it removes that.
        """
        memory = () if self.memory is None else (f"-Xmx{self.memory}",)
        option = "--flink-master" if self.name == "flink" else "--spark-master-url"
        return [
            *(self.java, *_JAVA_OPTIONS, *memory, f"-Djava.io.tmpdir={directory}"),
            *(*self._early_start(), *self.java_options, "-jar", str(jar)),
            f"{option}={self.master}",
            f"--artifacts-dir={self.artifacts or directory / 'artifacts'}",
            f"--job-port={port}",
            f"--artifact-port={self.artifact_port}",
            f"--expansion-port={self.expansion_port}",
        ]

    def _early_start(self) -> tuple[str, ...]:
        """Returns what has our own jar start the Flink inside it at once; others do not read it."""
        if self.name != "flink" or not self.is_inside or self.parallelism is None:
            return ()
        return (f"-Dtfxtflite.parallelism={self.parallelism}",)


def _is_trusted(jar: Path) -> bool:
    """Returns whether there is a jar that nobody else could have put there."""
    return jar.is_file() and jar.stat().st_uid in (os.geteuid(), *_OTHERS_THAT_MAY)


def _parser(name: str) -> argparse.ArgumentParser:
    """Returns what reads Beam's options for a job server, and leaves the others alone."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    master = "spark_master_url" if name == "spark" else "flink_master"
    default = "local[4]" if name == "spark" else "[auto]"
    parser.add_argument(f"--{master}", dest="master", default=default)
    parser.add_argument(f"--{name}_job_server_jar", dest="jar")
    parser.add_argument(f"--{name}_submit_uber_jar", dest="submits_by_itself", action="store_true")
    parser.add_argument(f"--{name}_version", dest="version")
    parser.add_argument("--job_endpoint")
    parser.add_argument("--parallelism", type=int)
    parser.add_argument("--artifacts_dir")
    for port in ("job", "artifact", "expansion"):
        parser.add_argument(f"--{port}_port", type=int, default=0)
    parser.add_argument("--job_server_java_launcher", default="java")
    parser.add_argument(
        "--job_server_jvm_properties", "--job_server_jvm_property", action="append", default=[]
    )
    return parser


@functools.cache
def java_version(java: str) -> int | None:
    """Returns the major version of a Java; None if it does not run.

    Args:
        java: The program.
    """
    if shutil.which(java) is None:
        return None
    try:
        said = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=30, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(found[1]) if found else None


def why_java_will_not_do(java: str) -> str | None:
    """Returns what is wrong with a Java; None if it will do."""
    version = java_version(java)
    if version is None:
        return f"there is no {java} here, and the job server needs Java {LEAST_JAVA} or newer"
    if version < LEAST_JAVA:
        return f"{java} is Java {version}, and the job server needs {LEAST_JAVA} or newer"
    return None
