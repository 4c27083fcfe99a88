"""Whole runs that push to a real object store."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.components.destinations.stores.seaweedfs.fixtures import started
from tests.components.destinations.stores.seaweedfs.server import SeaweedFS
from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.pipelines.runs import last_run

pytestmark = pytest.mark.slow
URI = "s3://models/digits"
# That of the config, and one against what is pushed.
RULES = (
    "gate.rules=[{metric: SparseCategoricalAccuracy, max_drop: 0.05}, "
    "{metric: SparseCategoricalAccuracy, max_drop: 0.05, against: pushed}]"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    yield from started(tmp_path_factory.mktemp("seaweedfs"))


def run(
    root: Path, variables: Mapping[str, str], *options: str
) -> subprocess.CompletedProcess[str]:
    settings = [f"root={root}", f"push.destination={URI}", RULES]
    overrides = [part for text in settings for part in ("--set", text)]
    call = ("run", CONFIGS / "digits.yaml", *overrides, "--json", *options)
    return tfx_tflite(*call, variables=variables)


def document(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_run_pushes_to_s3_and_the_next_one_finds_the_model_there(
    server: SeaweedFS, tmp_path: Path, monkeypatch
):
    root = tmp_path / "root"
    first = document(run(root, server.environment()))
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    to = Destination.open(URI)
    number = to.current()
    assert first["status"] == "pushed" and first["pushed_to"] == f"{URI}/{number}"
    assert destination_problems(to) == []
    # The artifact has what the destination has, and the report beside it.
    [artifact] = (root / "artifacts").glob("**/pushed_model/*")
    assert (artifact / "model.tflite").read_bytes() == to.read(number, "model.tflite")
    assert {path.name for path in artifact.iterdir()} >= {"manifest.json", "report.json"}
    # As if nobody had noted what the last run left.
    (root / last_run._FILE_NAME).unlink(missing_ok=True)
    second = document(run(root, server.environment(), "--runner", "local"))
    assert second["pushed_to"] == first["pushed_to"] and to.versions() == [number]


def test_a_run_against_what_is_pushed_ends_in_time_if_the_store_is_away_and_is_not_blessed(
    tmp_path: Path,
):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    variables = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "y",
    }
    start = time.monotonic()
    done = run(tmp_path / "root", variables, "--timeout", "3")
    assert time.monotonic() - start < 60
    assert done.returncode == 1
    assert f"error: cannot list {URI}" in done.stderr or f"cannot read {URI}" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["status"] == "failed"
