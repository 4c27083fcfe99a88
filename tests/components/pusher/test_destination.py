import json
import os
import threading
from pathlib import Path

import pytest

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import PushError
from tfx_tflite.components.pusher import destination
from tfx_tflite.components.pusher.destination import push

REPORT = {"scheme": "int8", "verdict": "blessed", "rules": [], "digests": {}}


def model(path: Path, content: bytes = b"model") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def versions(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir())


def test_a_push_is_a_numbered_directory_with_model_and_manifest(tmp_path: Path):
    pushed = push(model(tmp_path / "tflite"), REPORT, tmp_path / "to")
    assert versions(tmp_path / "to") == [str(pushed.number)]
    assert (pushed.path / "model.tflite").read_bytes() == b"model"
    manifest = json.loads((pushed.path / "manifest.json").read_text())
    assert manifest["version"] == pushed.number
    assert manifest["model"]["digest"] == file_digest(tmp_path / "tflite")
    assert manifest["model"]["size_bytes"] == 5
    assert manifest["scheme"] == "int8" and manifest["verdict"] == "blessed"


def test_two_pushes_within_a_second_are_two_rising_versions(tmp_path: Path):
    first = push(model(tmp_path / "a", b"a"), REPORT, tmp_path / "to")
    second = push(model(tmp_path / "b", b"b"), REPORT, tmp_path / "to")
    assert second.number > first.number
    assert (first.path / "model.tflite").read_bytes() == b"a"
    assert (second.path / "model.tflite").read_bytes() == b"b"


def test_the_model_that_is_the_newest_version_is_not_pushed_again(tmp_path: Path):
    first = push(model(tmp_path / "a"), REPORT, tmp_path / "to")
    again = push(model(tmp_path / "a"), REPORT, tmp_path / "to")
    assert first.is_new and not again.is_new
    assert again.path == first.path and versions(tmp_path / "to") == [str(first.number)]


def test_a_model_that_was_pushed_before_another_is_pushed_again(tmp_path: Path):
    for content in (b"a", b"b", b"a"):
        newest = push(model(tmp_path / "m", content), REPORT, tmp_path / "to")
    assert newest.is_new and len(versions(tmp_path / "to")) == 3


def test_a_reader_never_sees_part_of_a_version(tmp_path: Path):
    target = tmp_path / "to"
    target.mkdir()
    content = os.urandom(3_000_000)
    seen, done = set(), threading.Event()

    def read():
        while not done.is_set():
            for entry in target.iterdir():
                if entry.name.isdecimal():
                    names = {file.name for file in entry.iterdir()}
                    seen.add((frozenset(names), (entry / "model.tflite").stat().st_size))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(20):
        push(model(tmp_path / "m", content + bytes([number])), REPORT, target)
    done.set()
    reader.join()
    assert seen == {(frozenset({"model.tflite", "manifest.json"}), 3_000_001)}


def test_a_push_that_fails_leaves_the_destination_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = push(model(tmp_path / "a", b"a"), REPORT, tmp_path / "to")

    def full_disk(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(destination, "_flush", full_disk)
    with pytest.raises(PushError, match="not pushed: No space left on device"):
        push(model(tmp_path / "b", b"b"), REPORT, tmp_path / "to")
    assert versions(tmp_path / "to") == [str(first.number)]
    assert (first.path / "model.tflite").read_bytes() == b"a"


def test_a_destination_that_is_a_file_is_an_error(tmp_path: Path):
    (tmp_path / "to").write_text("in the way")
    with pytest.raises(PushError, match=r"not pushed: File exists: .*/to"):
        push(model(tmp_path / "a"), REPORT, tmp_path / "to")


def test_what_is_not_a_version_is_left_alone(tmp_path: Path):
    model(tmp_path / "to" / "notes" / "README", b"mine")
    pushed = push(model(tmp_path / "a"), REPORT, tmp_path / "to")
    assert versions(tmp_path / "to") == sorted([str(pushed.number), "notes"])


def test_concurrent_pushes_of_different_models_both_land(tmp_path: Path):
    threads = [
        threading.Thread(
            target=push, args=(model(tmp_path / f"m{n}", bytes([n])), REPORT, tmp_path / "to")
        )
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pushed = {
        (tmp_path / "to" / version / "model.tflite").read_bytes()
        for version in versions(tmp_path / "to")
    }
    assert pushed == {bytes([n]) for n in range(8)}
