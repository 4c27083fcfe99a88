"""A Spark standalone cluster of the tests' own: a master, and a worker on each host.

The commands are those of docs/clusters.md. Spark is that of the job server's jar, so that nothing
more is fetched. The pools are there already.
"""

import json
import re
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.conftest import ROOT
from tests.pipelines.engines.cluster_hosts import Host, until

_DEPLOY = "org.apache.spark.deploy"
_PORT, _PAGE_PORT = 7077, 8080
# As Spark's scripts have it: without it Spark looks for a build of its sources.
_SCALA = "SPARK_SCALA_VERSION=2.12"
_TEXT = (ROOT / "docs" / "clusters.md").read_text()
# The addresses on that page.
_MASTER, _WORKER = "10.0.0.1", "10.0.0.2"


class SparkCluster:
    """A cluster.

    Args:
        hosts: The first one has the master, too.
        jar: Spark's.
        directory: Where it keeps logs, and the files of applications.
    """

    def __init__(self, hosts: Sequence[Host], jar: Path, directory: Path):
        self._hosts = hosts
        self._directory = directory
        self._home = directory / "home"
        (self._home / "jars").mkdir(parents=True)
        (self._home / "jars/spark.jar").symlink_to(jar)

    @property
    def overrides(self) -> list[str]:
        """What a config says to run on it."""
        beam = {
            "engine": "spark",
            "master": self._master,
            "workers": {"count": len(self._hosts), "pool": "localhost:50000"},
        }
        return [f"beam={json.dumps(beam)}"]

    def start(self) -> None:
        """Starts it, and waits until the workers have registered; the hosts end it."""
        self._start(self._hosts[0], "master.Master")
        until(self._state)
        for host in self._hosts:
            self._start(host, "worker.Worker")
        until(lambda: self._state()["aliveworkers"] == len(self._hosts))

    def wait_until_idle(self) -> None:
        """Waits until no application runs and all cores are free."""
        until(lambda: not self._state()["activeapps"] and self._state()["coresused"] == 0)

    def ended(self) -> list[Mapping[str, Any]]:
        """Returns what is known of applications that have ended."""
        found: list[Mapping[str, Any]] = self._state()["completedapps"]
        return found

    @property
    def _master(self) -> str:
        return f"spark://{self._hosts[0].address}:{_PORT}"

    def _state(self) -> dict[str, Any]:
        url = f"http://{self._hosts[0].address}:{_PAGE_PORT}/json/"
        found: dict[str, Any] = json.loads(self._hosts[0].call(lambda: _content(url)))
        return found

    def _start(self, host: Host, program: str) -> None:
        """Starts a program as the page says, without the script that looks for Java and jars."""
        [said] = re.findall(rf"^bin/spark-class {re.escape(_DEPLOY)}\.{program} (.*)$", _TEXT, re.M)
        master, worker = self._hosts[0].address, host.address
        arguments = said.replace(_MASTER, master).replace(_WORKER, worker).split()
        java = ("java", "-Xmx512m", "-cp", f"{self._home}/jars/*", f"{_DEPLOY}.{program}")
        variables = (
            # Where it writes; what is left when a host ends it goes with the directory.
            f"SPARK_WORKER_DIR={self._directory}/work",
            f"SPARK_LOCAL_DIRS={self._directory}/local",
            f"SPARK_HOME={self._home}",
            _SCALA,
        )
        command = [*self.with_address(host), *variables, *java, *arguments]
        host.start(command, self._directory / f"{program}-{worker}.log")

    @staticmethod
    def with_address(host: Host) -> list[str]:
        """The command that tells the one that follows it which address of a host others reach."""
        return ["env", f"SPARK_LOCAL_IP={host.address}"]


def _content(url: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        found: bytes = answer.read()
        return found
