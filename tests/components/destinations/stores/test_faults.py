"""Whatever happens to a request, a destination is that of before or of after, and the message true.

For each act and each fault at some of its requests: what was done is looked at past the proxy.
"""

import random
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.destinations.stores.acts import (
    ACTS,
    TIMEOUT,
    act_with_faults,
    with_two_versions,
)
from tests.components.destinations.stores.faults import Fault, FaultyProxy
from tests.components.destinations.stores.random_faults import Tally, random_acts
from tests.components.destinations.stores.seaweedfs.fixtures import started
from tests.components.destinations.stores.seaweedfs.server import SeaweedFS

pytestmark = pytest.mark.slow
# Of about 40 requests of an act; another part of them for each fault.
POINTS = 2


@pytest.fixture(scope="module")
def proxy(seaweedfs: SeaweedFS) -> Iterator[FaultyProxy]:
    with FaultyProxy(seaweedfs.port, too_late=TIMEOUT) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def requests_of(proxy, seaweedfs: SeaweedFS, tmp_path_factory) -> dict[str, int]:
    """How many requests each act takes if nothing happens."""
    found = {}
    for name in ACTS:
        uri, sources = f"s3://models/{uuid.uuid4().hex}", tmp_path_factory.mktemp("sources")
        with_two_versions(seaweedfs, uri, sources)
        done = act_with_faults(name, b"new", {}, proxy, seaweedfs, uri, sources)
        assert not done.failed and not done.untrue(name), done.said
        found[name] = done.requests
    return found


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)
@pytest.mark.parametrize("name", ACTS)
def test_a_fault_at_a_request_leaves_all_as_before_or_as_after_and_the_message_is_true(
    name: str, fault: Fault, proxy, requests_of, seaweedfs: SeaweedFS, tmp_path: Path
):
    for point in random.Random(f"{name} {fault.name}").sample(range(requests_of[name]), POINTS):
        uri = f"s3://models/{uuid.uuid4().hex}"
        with_two_versions(seaweedfs, uri, tmp_path)
        done = act_with_faults(name, b"new", {point: fault}, proxy, seaweedfs, uri, tmp_path)
        assert (done.untrue(name), done.lost(name), done.half) == ("", [], []), (point, done.said)


@pytest.fixture(scope="module")
def mortal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    """A server that is killed."""
    yield from started(tmp_path_factory.mktemp("mortal"))


@pytest.mark.parametrize("name", ACTS)
def test_a_server_that_is_killed_and_started_again_in_the_middle_loses_nothing(
    name: str, mortal: SeaweedFS, tmp_path: Path
):
    uri = f"s3://models/{name}"
    with_two_versions(mortal, uri, tmp_path)
    killing = threading.Timer(0.05, mortal.restart)
    with FaultyProxy(mortal.port, too_late=TIMEOUT) as proxy:
        done = act_with_faults(name, b"new", {}, proxy, mortal, uri, tmp_path, killing)
    assert (done.untrue(name), done.lost(name), done.half) == ("", [], []), done.said


def test_random_faults_and_a_server_that_is_killed_lose_nothing(
    mortal: SeaweedFS, tmp_path: Path, record_property
):
    tally = Tally()
    random_acts(mortal, tmp_path, pushes=20, seed=22, tally=tally, kill_every=8)
    assert (tally.lost, tally.half, tally.untrue) == ([], [], [])
    assert tally.done > 3
    record_property("summary", tally.line())
