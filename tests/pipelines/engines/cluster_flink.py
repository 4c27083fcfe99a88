"""A Flink cluster of the tests' own: a job manager, and on each host a task manager and a pool.

Flink's settings, the pool's command and the config's `beam` are those of docs/clusters.md, with
the addresses of the tests' hosts. The package from PyPI lacks Flink's scripts: its programs are
started here as those scripts do.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.conftest import ROOT
from tests.pipelines.engines.cluster_hosts import Host, until
from tools.engines.assembly import FLINK_JARS, JobServer

_PAGE = ROOT / "docs" / "clusters.md"
PAGE_PORT = 8081
_ENTRY = "org.apache.flink.runtime"
_MANAGER = f"{_ENTRY}.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = f"{_ENTRY}.taskexecutor.TaskManagerRunner"
_MEMORY_FLAGS = f"{_ENTRY}.util.bash.BashJavaUtils"
# A line of what computes the memory of a task manager begins like this.
_RESULT = "BASH_JAVA_UTILS_EXEC_RESULT:"
# As Flink's own configuration has it for Java 17.
_OPENED = (
    *("java.lang", "java.lang.reflect", "java.net", "java.nio", "java.text", "java.time"),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic"),
    "java.util.concurrent.locks",
)
_JAVA = (
    "java",
    "-XX:+IgnoreUnrecognizedVMOptions",
    *(f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _OPENED),
)


@dataclass
class FlinkCluster:
    """A cluster that runs.

    Attributes:
        hosts: The first one has the job manager, too.
        flink: The folder of Flink's jars.
        directory: Where it keeps configurations and logs.
        task_managers: The processes, one a host.
    """

    hosts: tuple[Host, Host]
    flink: Path
    directory: Path
    task_managers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @property
    def master(self) -> str:
        """As in `beam.master`."""
        return f"{self.hosts[0].address}:{PAGE_PORT}"

    @property
    def overrides(self) -> list[str]:
        """What a config says to run on it."""
        beam = _block("yaml")["beam"] | {"master": self.master}
        return [f"beam={json.dumps(beam)}"]

    def start(self) -> None:
        """Starts everything, and waits until the task managers have registered."""
        manager = self._configuration("job-manager", self.hosts[0])
        self.hosts[0].start(
            [*_JAVA, "-Xmx512m", *self._program(_MANAGER, manager)], manager / "log"
        )
        for number, host in enumerate(self.hosts):
            host.start(_pool_command(), self.pool_logs[number])
            self.task_managers.append(self._start_task_manager(number))
        self.wait_for_task_managers()

    def start_pools(self, port: int, before: Sequence[str]) -> None:
        """Starts another pool on each host, and waits until it listens.

        Args:
            port: Where; below those that a host gives to connections by itself, from 32768 on.
            before: A command that starts the one that follows it, as `env` does.
        """
        [*command, _] = _pool_command()
        for number, host in enumerate(self.hosts):
            log = self.directory / f"pool-{number}-{port}.log"
            host.start([*before, *command, f"--service_port={port}"], log)
            host.wait_for(port)

    @property
    def pool_logs(self) -> list[Path]:
        """The files that take what the hosts' pools and their workers say."""
        return [self.directory / f"pool-{number}.log" for number in range(len(self.hosts))]

    def wait_for_task_managers(self) -> None:
        """Waits until each host's task manager has all its slots free."""
        until(lambda: self.free_slots() == len(self.hosts))

    def wait_for_job(self, stage: str) -> None:
        """Waits until a stage's job is at work on each host."""
        until(
            lambda: (
                self.free_slots() == 0
                and any(f"-{stage}-" in name for name in self.jobs("RUNNING"))
            )
        )

    def restart_task_manager(self, number: int) -> None:
        """Kills a host's task manager, and starts another one."""
        killed = self.task_managers[number]
        killed.kill()
        killed.wait()
        self.task_managers[number] = self._start_task_manager(number)

    def free_slots(self) -> int:
        """How many slots have no work."""
        found: int = self._ask("overview")["slots-available"]
        return found

    def jobs(self, state: str) -> list[str]:
        """Returns the names of jobs in a state."""
        return [job["name"] for job in self._ask("jobs/overview")["jobs"] if job["state"] == state]

    def _ask(self, path: str) -> dict:
        url = f"http://{self.master}/{path}"
        return json.loads(self.hosts[0].call(lambda: _content(url)))

    def _start_task_manager(self, number: int) -> "subprocess.Popen[bytes]":
        host = self.hosts[number]
        folder = self._configuration(f"task-manager-{number}", host)
        flags, settings = self._memory(folder)
        program = self._program(_TASK_MANAGER, folder)
        return host.start([*_JAVA, *flags, *program, *settings], folder / "log")

    def _program(self, main: str, folder: Path) -> list[str]:
        jars = os.pathsep.join(str(jar) for jar in sorted((self.flink / "lib").glob("*.jar")))
        # What is left when a host ends it goes with the folder.
        return [f"-Djava.io.tmpdir={folder}", "-cp", jars, main, "--configDir", str(folder)]

    def _memory(self, folder: Path) -> tuple[list[str], list[str]]:
        """Returns what Java and the task manager are told of its memory."""
        jars = [self.flink / "bin/bash-java-utils.jar", *(self.flink / "lib").glob("flink-dist*")]
        path = os.pathsep.join(map(str, jars))
        command = ["java", "-cp", path, _MEMORY_FLAGS, "GET_TM_RESOURCE_PARAMS"]
        said = subprocess.run(
            [*command, "--configDir", str(folder)], capture_output=True, text=True, check=True
        )
        flags, settings = (
            line.partition(_RESULT)[2].split()
            for line in said.stdout.splitlines()
            if _RESULT in line
        )
        return flags, settings

    def _configuration(self, name: str, host: Host) -> Path:
        """Writes a configuration, and returns its folder."""
        folder = self.directory / name
        folder.mkdir(exist_ok=True)
        settings = {
            **_block("yml"),
            "jobmanager.rpc.address": self.hosts[0].address,
            "rest.address": self.hosts[0].address,
            "rest.port": PAGE_PORT,
            "taskmanager.host": host.address,
            "io.tmp.dirs": folder,
        }
        text = "".join(f"{key}: {value}\n" for key, value in settings.items())
        (folder / "flink-conf.yaml").write_text(text)
        return folder


def skip_without_a_cluster() -> None:
    """Skips a test on a machine that can have no cluster."""
    missing = [name for name in ("ip", "java") if shutil.which(name) is None]
    if os.geteuid() != 0:
        missing.append("root's rights")
    if not JobServer("flink").is_current() or not FLINK_JARS.is_dir():
        missing.append("a Flink, which `make engines` fetches")
    if missing:
        pytest.skip(f"a cluster on this machine needs {', '.join(missing)}")


@contextlib.contextmanager
def flink_cluster(hosts: tuple[Host, Host], flink: Path, directory: Path) -> Iterator[FlinkCluster]:
    """A cluster for as long as the block runs; the hosts end its processes."""
    cluster = FlinkCluster(hosts, flink, directory)
    cluster.start()
    yield cluster


def _block(language: str) -> dict:
    """Returns what the page's block of a language says."""
    [found] = re.findall(rf"^```{language}\n(.*?)^```", _PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return YAML(typ="safe").load(found)


def _pool_command() -> list[str]:
    [found] = re.findall(
        r"^python -m apache_beam\S*worker_pool_main.*$", _PAGE.read_text(), re.MULTILINE
    )
    return shlex.split(found)


def _content(url: str) -> bytes:
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
        url, timeout=10
    ) as answer:
        return answer.read()
