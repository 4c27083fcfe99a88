"""The hosts of the cluster's tests reach each other and nothing else, and leave nothing."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.pipelines.engines.cluster_hosts import Host, two_hosts, until

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("ip") is None, reason="needs root's rights and iproute2"
)


def listening(host: Host) -> socket.socket:
    return host.call(lambda: socket.create_server((host.address, 0)))


def test_a_host_reaches_the_other_one():
    with two_hosts() as (one, other), listening(other) as server:
        connection = one.call(lambda: socket.create_connection(server.getsockname(), 5))
        connection.close()


def test_this_machine_does_not_reach_a_host():
    with two_hosts() as (one, _), listening(one) as server, pytest.raises(OSError):
        socket.create_connection(server.getsockname(), 0.2)


def test_a_host_does_not_reach_this_machine():
    with (
        two_hosts() as (one, _),
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(ConnectionRefusedError),
    ):
        one.call(lambda: socket.create_connection(server.getsockname(), 1))


def test_hosts_go_with_their_processes(tmp_path: Path):
    with two_hosts() as hosts:
        names = [host.name for host in hosts]
        sleeping = hosts[1].start(["sleep", "600"], tmp_path / "log")
        assert until(hosts[1].processes) == [sleeping.pid]
    assert sleeping.wait(5) != 0
    left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
    assert not any(name in left for name in names)
