"""Whatever changes at a destination is named."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError


@pytest.fixture
def pushed(candidate, tmp_path: Path):
    """A destination with two versions, and the directory of the newest one."""
    destination = Destination.open(str(tmp_path / "to"))
    destination.push(candidate(b"first"))
    newest = destination.push(candidate(b"second"))
    return destination, Path(newest.uri)


def only_problem(destination: Destination, **arguments) -> str:
    [problem] = destination_problems(destination, **arguments)
    return problem


def test_a_destination_as_pushed_has_no_problem(pushed):
    assert destination_problems(pushed[0]) == []


@pytest.mark.parametrize("name", ["model.tflite", "golden/input_0.bin"])
def test_names_a_file_of_which_a_byte_changed(pushed, name: str):
    destination, version = pushed
    content = bytearray((version / name).read_bytes())
    content[0] ^= 1
    (version / name).write_bytes(content)
    assert f"{version}/{name} was changed: it is sha256:" in only_problem(destination)


def test_names_a_file_that_is_gone(pushed):
    destination, version = pushed
    (version / "golden" / "input_0.bin").unlink()
    assert f"{version}/golden/input_0.bin" in only_problem(destination)


@pytest.mark.parametrize("name", ["extra", "golden/extra", ".hidden", "\x1b[31mred\n"])
def test_names_a_file_that_the_manifest_does_not_have(pushed, name: str):
    destination, version = pushed
    (version / name).write_bytes(b"")
    problem = only_problem(destination)
    assert "is not in the manifest" in problem and "\x1b" not in problem and "\n" not in problem


def test_a_link_is_no_file_of_a_version(pushed, tmp_path: Path):
    """What it leads to is not what was pushed, even if it has the same bytes today."""
    destination, version = pushed
    (tmp_path / "elsewhere").write_bytes((version / "model.tflite").read_bytes())
    (version / "model.tflite").unlink()
    (version / "model.tflite").symlink_to(tmp_path / "elsewhere")
    assert f"{version}/model.tflite" in only_problem(destination)


def test_names_a_manifest_that_is_none(pushed):
    destination, version = pushed
    for text in ("", "{", "[]", '{"format": 1}', "\x00", "[" * 200_000, '{"a":' * 200_000):
        (version / "manifest.json").write_text(text)
        assert f"{version}/manifest.json is not a manifest of format 2" in only_problem(destination)


@pytest.mark.parametrize(
    "name", ["../../secret", "/etc/passwd", "golden/../../x", "", "a//b", "./a", "a\\b", "a\nb"]
)
def test_a_manifest_cannot_name_a_file_outside_the_version(pushed, name: str):
    destination, version = pushed
    manifest = json.loads((version / "manifest.json").read_text())
    manifest["files"][name] = {"digest": "sha256:" + "0" * 64, "size_bytes": 0}
    (version / "manifest.json").write_text(json.dumps(manifest))
    assert "is not a manifest of format 2: files" in only_problem(destination)


def test_a_manifest_of_another_version_is_named(pushed):
    destination, version = pushed
    text = (version / "manifest.json").read_text()
    number = int(version.name)
    (version / "manifest.json").write_text(text.replace(version.name, str(number + 7)))
    assert f"manifest.json is of version {number + 7}" in only_problem(destination)


def test_latest_must_name_a_version(pushed, tmp_path: Path):
    destination, _ = pushed
    latest = tmp_path / "to" / "LATEST"
    latest.write_text("12\n")
    assert "LATEST names 12, which is not a whole version" in only_problem(destination)
    for text in ("", "../../x\n", "-1"):
        latest.write_text(text)
        assert "LATEST does not name a version" in only_problem(destination)


def test_one_version_can_be_verified_alone(pushed):
    destination, version = pushed
    (version / "model.tflite").write_bytes(b"")
    first = destination.versions()[0]
    assert destination_problems(destination, first) == []
    with pytest.raises(DestinationError, match="has no version 3"):
        destination_problems(destination, 3)


def test_a_signature_is_of_the_whole_manifest_by_the_key(candidate, tmp_path: Path):
    key = Ed25519PrivateKey.generate()
    destination = Destination.open(str(tmp_path / "signed"))
    version = Path(destination.push(candidate(), key=key).uri)
    assert destination_problems(destination, key=key.public_key()) == []
    another = Ed25519PrivateKey.generate().public_key()
    pointer, manifest = destination_problems(destination, key=another)
    assert "LATEST.signed is not a signature of the pointer by this key" in pointer
    assert "is not a signature of manifest.json by this key" in manifest
    # Whoever changes model and manifest together is found by the signature alone.
    text = (version / "manifest.json").read_text()
    (version / "manifest.json").write_text(text.replace('"int8"', '"float32"'))
    assert destination_problems(destination) == []
    assert "is not a signature" in only_problem(destination, key=key.public_key())
    (version / "manifest.sig").write_text("?")
    assert "is not a signature in base64" in only_problem(destination, key=key.public_key())


def test_an_unsigned_version_does_not_pass_where_a_signature_is_asked_for(pushed):
    destination, _ = pushed
    key = Ed25519PrivateKey.generate().public_key()
    problems = destination_problems(destination, key=key)
    # Those of both versions, and LATEST's.
    assert len(problems) == 3 and all("is not signed" in problem for problem in problems)
