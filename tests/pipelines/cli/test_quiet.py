"""Commands that look at a destination, and errors, print their own lines and nobody else's."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.components.destinations.interruption import make_candidate
from tests.components.judgement.test_pushed_reference import CLOSED
from tests.conftest import ROOT
from tfx_tflite.components.destinations.destination import Destination

# What prints warnings when it is imported.
LOUD = {"tensorflow", "tfx", "apache_beam", "google.api_core", "ml_metadata", "kfp"}
COMMANDS = {
    "history": ("history", "{to}"),
    "history as JSON": ("history", "{to}", "--json"),
    "verify": ("verify", "{to}"),
    "rollback": ("rollback", "{to}"),
    "sign-off": ("sign-off", "{to}", "{number}"),
    "approve": ("approve", "{to}", "{number}"),
    "alias": ("alias", "{to}", "champion", "{number}"),
    "reject of nothing": ("reject", "{to}", "7"),
    "history of nothing": ("history", "{to}/none"),
    "verify of nothing": ("verify", "{to}/none"),
    "rollback to nothing": ("rollback", "{to}", "7"),
    "sign-off of nothing": ("sign-off", "{to}", "7"),
    "history of a store that is away": ("history", "s3://models/x", "--timeout", "5"),
    "verify at a store that is away": ("verify", "s3://models/x", "--timeout", "5"),
    "rollback at a store that is away": ("rollback", "s3://models/x", "--timeout", "5"),
    "sign-off at a store that is away": ("sign-off", "s3://models/x", "7", "--timeout", "5"),
    "history of Google's store": ("history", "gs://models/x", "--timeout", "2"),
    "validate": ("validate", "configs/digits.yaml"),
    "a wrong key": ("validate", "configs/digits.yaml", "--set", "quantization.x=1"),
    "a wrong key of a run": ("run", "configs/digits.yaml", "--set", "quantization.x=1"),
    "a config that is not there": ("run", "{to}/none.yaml"),
    "a report that is not there": ("report", "{to}"),
}


@pytest.fixture(scope="module")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A destination with two versions, and the number of the current one."""
    path = tmp_path_factory.mktemp("pushed")
    to = Destination.open(str(path / "to"))
    to.push(make_candidate(path, b"one", {}))
    return to.uri, str(to.push(make_candidate(path, b"two", {})).number)


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_command_prints_its_own_lines_alone(
    pushed: tuple[str, str], arguments: tuple[str, ...], tmp_path: Path
):
    to, number = pushed
    done = subprocess.run(
        [
            *(sys.executable, "-X", "importtime", "-m", "tfx_tflite.pipelines"),
            *(argument.format(to=to, number=number) for argument in arguments),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **CLOSED, "GOOGLE_APPLICATION_CREDENTIALS": f"{tmp_path}/none"},
    )
    lines = done.stderr.splitlines()
    imported = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time")}
    assert imported.isdisjoint(LOUD) and "click" in imported
    told = [line for line in lines if not line.startswith("import time")]
    if done.returncode == 0:
        assert told == [] and done.stdout
    else:
        assert len(told) <= 2 and told[0].startswith("error: ") and not done.stdout
    assert not re.search("warning|tensorflow/|site-packages|Traceback", "".join(told), re.I)
