"""Artifacts on a file system that is not this machine's: TensorFlow's own in memory, `ram://`."""

import uuid
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture
def remote() -> str:
    """A URI of its own for each test, which nothing was written to."""
    return f"ram://artifacts-{uuid.uuid4().hex}/model/7"


@pytest.fixture(params=["remote", "local"])
def uri(request: pytest.FixtureRequest, remote: str, tmp_path: Path) -> str:
    """A place for an artifact, there and here: both behave alike."""
    return remote if request.param == "remote" else str(tmp_path / "model" / "7")


def put(uri: str, content: str) -> None:
    from tfx.dsl.io import fileio

    fileio.makedirs(uri.rpartition("/")[0])
    with fileio.open(uri, "w") as file:
        file.write(content)


def get(uri: str) -> str:
    from tfx.dsl.io import fileio

    with fileio.open(uri, "r") as file:
        return file.read()


def test_what_was_at_the_uri_before_stays(uri: str):
    from tfx_tflite.components import artifact_files

    put(f"{uri}/ranges.json", "{}")
    put(f"{uri}/nested/old", "before")
    put(f"{uri}/float32.tflite", "before")
    with artifact_files.writable(uri) as directory:
        (directory / "float32.tflite").write_text("after")
        (directory / "quantization.json").write_text("[]")
    found = {name: get(f"{uri}/{name}") for name in ("ranges.json", "nested/old")}
    assert found == {"ranges.json": "{}", "nested/old": "before"}
    assert get(f"{uri}/float32.tflite") == "after"
    assert get(f"{uri}/quantization.json") == "[]"


def test_nested_directories_are_written_and_read_back(uri: str):
    from tfx_tflite.components import artifact_files

    with artifact_files.writable(uri) as directory:
        file = artifact_files.tflite_file(directory)
        file.parent.mkdir(parents=True)
        file.write_bytes(b"TFL3")
        (directory / "a" / "b").mkdir(parents=True)
        (directory / "a" / "b" / "c").write_text("deep")
    with artifact_files.readable(uri) as directory:
        assert artifact_files.tflite_file(directory).read_bytes() == b"TFL3"
        assert (directory / "a" / "b" / "c").read_text() == "deep"


def test_nothing_is_written_to_a_remote_place_after_an_error(remote: str):
    from tfx.dsl.io import fileio

    from tfx_tflite.components import artifact_files

    with (
        pytest.raises(ValueError, match="half way"),
        artifact_files.writable(remote) as directory,
    ):
        (directory / "half").write_text("written")
        raise ValueError("half way")
    assert not fileio.exists(f"{remote}/half")


def test_a_remote_artifact_is_read_from_a_copy_that_does_not_stay(remote: str):
    from tfx_tflite.components import artifact_files

    put(f"{remote}/file", "content")
    with artifact_files.readable(remote) as directory:
        assert (directory / "file").read_text() == "content"
    assert not directory.exists()


@pytest.mark.parametrize("place", ["", "/Format-Serving"])
def test_a_float_model_is_found_as_trainers_write_it_and_as_it_is_imported(uri: str, place: str):
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_files

    put(f"{uri}{place}/saved_model.pb", "model")
    artifact = standard_artifacts.Model()
    artifact.uri = uri
    assert artifact_files.float_model_uri([artifact]) == f"{uri}{place}"
