"""The shipped configs of targets run whole, and each is refused for what its target limits."""

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import CONFIGS
from tests.forked import tfx_tflite
from tests.pipelines.runs.test_shipped_configs import pushed_versions, run_in_process
from tfx_tflite.components.artifact_layout import MODEL_FILE
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.models.flatbuffer import read_graph

pytestmark = pytest.mark.slow

SOURCES = {"model.h", "model.cc", "golden.h", "golden.cc", "golden_test.cc"}
EXTRAS = {
    "digits_micro": SOURCES,
    "digits_ethos": {*SOURCES, "model_ethos-u55-128.tflite"},
}


@dataclass(frozen=True)
class Ran:
    """A config that was run by its command.

    Attributes:
        config: Its name.
        directory: Where all that it wrote is.
        document: What it printed as JSON.
    """

    config: str
    directory: Path
    document: dict

    @property
    def version(self) -> Path:
        """What it pushed."""
        return Path(self.document["pushed_to"])


@pytest.fixture(scope="module", params=EXTRAS)
def ran(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    directory = tmp_path_factory.mktemp(request.param)
    settings = ("--set", f"root={directory}/root", "--set", f"push.destination={directory}/pushed")
    done = tfx_tflite("run", CONFIGS / f"{request.param}.yaml", "--json", *settings)
    assert done.returncode == 0, done.stderr
    return Ran(request.param, directory, json.loads(done.stdout.splitlines()[-1]))


def test_it_is_pushed_within_the_limits_of_its_target(ran: Ran):
    assert ran.document["status"] == "pushed"
    assert {rule["verdict"] for rule in ran.document["rules"]} == {"blessed"}
    manifest = json.loads((ran.version / "manifest.json").read_text())
    assert manifest["golden"]["runtime"]["package"] == "tflite-micro"


def test_what_is_pushed_beside_the_model_is_in_the_manifest_with_its_digest(ran: Ran):
    files = json.loads((ran.version / "manifest.json").read_text())["files"]
    assert files.keys() >= EXTRAS[ran.config]
    for name in EXTRAS[ran.config]:
        assert files[name]["digest"] == file_digest(ran.version / name)


def test_the_array_is_the_pushed_model(ran: Ran):
    text = (ran.version / "model.cc").read_text()
    listed = re.search(r"_model\[\] = \{(.*?)\}", text, re.DOTALL)
    assert listed is not None
    numbers = [int(number, 16) for number in listed[1].split(",") if number.strip()]
    content = (ran.version / MODEL_FILE).read_bytes()
    assert np.array(numbers, np.uint8).tobytes() == content
    assert f"const unsigned char {ran.config}_model[] = {{" in text
    assert file_digest(ran.version / MODEL_FILE) in text


def test_every_operator_of_the_compiled_file_is_the_accelerators(ran: Ran):
    if ran.config != "digits_ethos":
        pytest.skip("has no accelerator")
    content = (ran.version / "model_ethos-u55-128.tflite").read_bytes()
    assert {operator.name for operator in read_graph(content).operators} == {"ethos-u"}


def test_verify_finds_a_file_of_the_extras_that_was_changed(ran: Ran):
    command = [sys.executable, "-m", "tfx_tflite.pipelines", "verify", f"{ran.directory}/pushed"]
    assert subprocess.run(command, capture_output=True).returncode == 0
    source = ran.version / "model.cc"
    content = source.read_bytes()
    source.write_bytes(content.replace(b"0x", b"0X", 1))
    done = subprocess.run(command, capture_output=True, text=True)
    source.write_bytes(content)
    assert done.returncode != 0 and "model.cc" in done.stdout + done.stderr


def test_a_rollback_keeps_the_files_of_both_versions(ran: Ran):
    document, _ = run_in_process(f"{ran.config}.yaml", ran.directory, "calibration.samples=100")
    assert Path(document["pushed_to"]) != ran.version
    to = Destination.open(f"{ran.directory}/pushed")
    to.roll_back(int(ran.version.name))
    assert to.current() == int(ran.version.name) and destination_problems(to) == []


def test_a_push_to_s3_has_the_same_files(
    ran: Ran, s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://models/{ran.config}"
    document, _ = run_in_process(f"{ran.config}.yaml", ran.directory, f"push.destination={uri}")
    to = Destination.open(uri)
    number = to.current()
    assert document["pushed_to"] == f"{uri}/{number}" and destination_problems(to) == []
    assert number is not None
    for name in EXTRAS[ran.config]:
        assert to.read(number, name) == (ran.version / name).read_bytes()


def with_gelu(directory: Path) -> Path:
    """Returns a net with an operator that neither Micro nor an Ethos-U has."""
    import tensorflow as tf

    weights = tf.constant(np.random.default_rng(0).normal(size=(64, 10)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 1], tf.float32, name="image")])
    def serving_tensors(image: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.nn.gelu(tf.reshape(image, [-1, 64]) @ weights)
        return {"probabilities": tf.nn.softmax(scores)}

    tf.saved_model.save(tf.Module(), str(directory), {"serving_tensors": serving_tensors})
    return directory


REFUSED = {
    "arena": ("[{max_arena_bytes: 4096}]", "arena_bytes"),
    "an absolute floor": (
        "[{metric: SparseCategoricalAccuracy, min_value: 0.9999}]",
        "SparseCategoricalAccuracy",
    ),
}


@pytest.mark.parametrize("limit", REFUSED)
def test_it_is_refused_for_a_limit_that_it_does_not_keep(ran: Ran, limit: str):
    rules, figure = REFUSED[limit]
    before = pushed_versions(ran.directory)
    document, _ = run_in_process(f"{ran.config}.yaml", ran.directory, f"gate.rules={rules}")
    assert document["status"] == "refused"
    [rule] = document["rules"]
    assert (rule["metric"], rule["verdict"]) == (figure, "refused")
    assert pushed_versions(ran.directory) == before


def test_it_is_refused_for_an_operator_that_the_target_lacks(ran: Ran, tmp_path: Path):
    model = with_gelu(tmp_path / "gelu")
    before = pushed_versions(ran.directory)
    document, _ = run_in_process(
        f"{ran.config}.yaml",
        ran.directory,
        f"model={{saved_model: {model}, signature: serving_tensors}}",
    )
    assert document["status"] == "refused"
    assert any("GELU" in reason for reason in document["reasons"]), document["reasons"]
    assert pushed_versions(ran.directory) == before
