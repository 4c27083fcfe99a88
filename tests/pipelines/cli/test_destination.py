"""The commands on a destination: history, verify, rollback and sign-off."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import make_candidate
from tests.conftest import ROOT
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.pipelines.cli.main import main


def tfx_tflite(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def pushed(tmp_path: Path):
    """A destination with two versions; returns where it is and their numbers."""
    destination = Destination.open(str(tmp_path / "to"))
    return tmp_path / "to", [
        destination.push(make_candidate(tmp_path, content, {})).number for content in (b"a", b"b")
    ]


def test_history_shows_every_version_and_which_is_current(pushed):
    root, (first, second) = pushed
    done = tfx_tflite("history", root)
    lines = done.stdout.splitlines()
    assert done.exit_code == 0 and lines[0].split()[:2] == ["version", "pushed"]
    assert [line.split()[0] for line in lines[1:]] == [str(first), str(second)]
    assert "present" in lines[1] and "current" in lines[2] and "int8" in lines[2]


@pytest.mark.parametrize("command", [("history",), ("verify",), ("rollback",), ("sign-off", 1)])
def test_a_destination_with_credentials_in_it_is_refused_and_they_are_not_repeated(command):
    name, *rest = command
    done = tfx_tflite(name, "s3://me:s3cret@bucket/models", *rest)
    assert done.exit_code == 2 and "URI holds a user, a password or a key" in done.stderr
    assert "s3cret" not in done.output


def test_history_tells_of_rollbacks_sign_offs_and_what_was_removed(pushed, tmp_path: Path):
    root, (first, second) = pushed
    assert tfx_tflite("rollback", root, "--note", "slow [phones]").exit_code == 0
    assert tfx_tflite("sign-off", root, first).exit_code == 0
    destination = Destination.open(str(root))
    third = destination.push(make_candidate(tmp_path, b"c", {}), keep=1).number
    done = tfx_tflite("history", root)
    assert f"rolled back from {second} to {first}: slow [phones]" in done.stdout
    document = json.loads(tfx_tflite("history", root, "--json").stdout)
    states = {version["version"]: version["state"] for version in document["versions"]}
    assert states == {first: "present", second: "removed", third: "current"}
    assert document["current"] == third and document["versions"][0]["signed_off"]


def test_history_shows_what_was_rolled_back_from(pushed):
    root, (_, second) = pushed
    tfx_tflite("rollback", root)
    [line] = [
        line
        for line in tfx_tflite("history", root).stdout.splitlines()
        if str(second) in line and "rolled back from" not in line
    ]
    assert line.rstrip().endswith("rolled back")


@pytest.mark.parametrize("command", ["history", "verify", "rollback"])
def test_an_error_is_json_where_json_was_asked_for(tmp_path: Path, command: str):
    done = tfx_tflite(command, tmp_path / "nowhere", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert "nowhere" in document["error"] and document["error"] in done.stderr


def test_verify_passes_what_is_as_pushed(pushed):
    done = tfx_tflite("verify", pushed[0])
    assert done.exit_code == 0 and "2 versions as pushed" in done.stdout


def test_verify_exits_1_and_names_the_file_of_which_a_byte_changed(pushed):
    root, (first, _) = pushed
    model = root / str(first) / "model.tflite"
    model.write_bytes(b"x")
    done = tfx_tflite("verify", root)
    assert done.exit_code == 1 and f"error: {model} was changed" in done.stderr
    document = json.loads(tfx_tflite("verify", root, "--json").stdout)
    assert len(document["problems"]) == 1


def test_verify_checks_signatures_by_a_public_key(tmp_path: Path):
    key = Ed25519PrivateKey.generate()
    pem = tmp_path / "public.pem"
    pem.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    root = tmp_path / "to"
    Destination.open(str(root)).push(make_candidate(tmp_path, b"a", {}), key=key)
    assert "signed by the key" in tfx_tflite("verify", root, "--key", pem).stdout
    Destination.open(str(root)).push(make_candidate(tmp_path, b"b", {}))
    done = tfx_tflite("verify", root, "--key", pem)
    assert done.exit_code == 1 and "is not signed" in done.stderr
    done = tfx_tflite("verify", root, "--key", tmp_path / "nowhere.pem")
    assert done.exit_code == 2 and "cannot be read" in done.stderr


def test_rollback_goes_to_the_version_before_or_to_the_one_named(pushed):
    root, (first, second) = pushed
    done = tfx_tflite("rollback", root)
    assert done.exit_code == 0
    assert done.stdout == f"version {first} is current at {root}; it was {second}\n"
    assert (root / "LATEST").read_text() == f"{first}\n"
    document = json.loads(tfx_tflite("rollback", root, second, "--json").stdout)
    assert (document["from"], document["to"]) == (first, second)
    assert "already" in tfx_tflite("rollback", root, second).stdout


def test_a_rollback_that_cannot_be_is_one_line(pushed):
    root, (first, second) = pushed
    done = tfx_tflite("rollback", root, 12)
    assert done.exit_code == 1
    assert done.stderr == f"error: {root} has no version 12; it has: {second}, {first}\n"
    assert tfx_tflite("rollback", root, "latest").exit_code == 2


@pytest.mark.parametrize("command", [("history",), ("verify",), ("rollback",), ("sign-off", 1)])
def test_a_destination_without_versions_is_one_line(command, tmp_path: Path):
    name, *rest = command
    done = tfx_tflite(name, tmp_path / "nowhere", *rest)
    assert done.exit_code == 1 and "there is no version at" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "nowhere").exists()


def test_a_config_stands_for_its_destination(pushed, tmp_path: Path):
    text = (ROOT / "configs" / "digits.yaml").read_text()
    text = text.replace("../pushed/digits", str(pushed[0]))
    (tmp_path / "c.yaml").write_text(text)
    assert str(pushed[1][1]) in tfx_tflite("history", tmp_path / "c.yaml").stdout


def test_a_hostile_manifest_reaches_no_terminal(pushed):
    root, (first, _) = pushed
    manifest = root / str(first) / "manifest.json"
    document = json.loads(manifest.read_text())
    document["scheme"] = "\x1b]0;owned\x07"
    manifest.write_text(json.dumps(document))
    done = tfx_tflite("history", root)
    assert "unreadable manifest" in done.stdout and "\x1b" not in done.stdout


def test_none_of_them_loads_tensorflow(pushed):
    code = (
        "import sys; from tfx_tflite.pipelines.cli.main import main\n"
        f"try: main(['history', {str(pushed[0])!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
