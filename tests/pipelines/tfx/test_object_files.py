"""What TFX's own file I/O does in an object store."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from tfx.dsl.io import fileio, filesystem_registry
from tfx.utils import io_utils

from tfx_tflite.components.errors import NotKnownError
from tfx_tflite.components.object_stores import files
from tfx_tflite.pipelines.tfx import object_files

pytestmark = pytest.mark.slow


@pytest.fixture
def uri(s3: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    registry = filesystem_registry.FilesystemRegistry()
    monkeypatch.setattr(filesystem_registry, "DEFAULT_FILESYSTEM_REGISTRY", registry)
    for each in (fileio.tfx.dsl.io.plugins.local.LocalFilesystem,):
        registry.register(each, priority=20)
    object_files.register()
    files.forget_connections()
    yield f"s3://models/{tmp_path.name}"
    files.forget_connections()


def test_text_and_bytes_are_written_and_read(uri: str):
    io_utils.write_string_file(f"{uri}/a/text", "ä\nb")
    assert fileio.open(f"{uri}/a/text").read() == "ä\nb"
    assert fileio.open(f"{uri}/a/text", "rb").read() == "ä\nb".encode()
    with pytest.raises(RuntimeError), fileio.open(f"{uri}/half", "w") as file:
        file.write("half")
        raise RuntimeError
    assert not fileio.exists(f"{uri}/half")
    with pytest.raises(ValueError, match="cannot be opened to 'a'"):
        fileio.open(f"{uri}/a/text", "a")
    with pytest.raises(fileio.NotFoundError):
        fileio.open(f"{uri}/nothing", "rb")


def test_folders_are_as_on_disk(uri: str):
    fileio.makedirs(f"{uri}/Split-eval")
    assert fileio.exists(f"{uri}/Split-eval") and fileio.isdir(f"{uri}/Split-eval")
    assert fileio.listdir(f"{uri}/Split-eval") == [] and fileio.glob(f"{uri}/Split-eval/*") == []
    for name in ("Split-train/1", "Split-train/2", "Split-train/x/3"):
        io_utils.write_string_file(f"{uri}/{name}", name)
    assert fileio.listdir(f"{uri}/Split-train") == ["1", "2", "x"]
    assert fileio.glob(f"{uri}/Split-*") == [f"{uri}/Split-eval", f"{uri}/Split-train"]
    assert fileio.glob(f"{uri}/*/[12]") == [f"{uri}/Split-train/{number}" for number in (1, 2)]
    assert list(fileio.walk(uri)) == [
        (uri, ["Split-eval", "Split-train"], []),
        (f"{uri}/Split-eval", [], []),
        (f"{uri}/Split-train", ["x"], ["1", "2"]),
        (f"{uri}/Split-train/x", [], ["3"]),
    ]
    assert fileio.stat(f"{uri}/Split-train/1").length == len("Split-train/1")
    fileio.rename(f"{uri}/Split-train", f"{uri}/Split-test")
    assert not fileio.exists(f"{uri}/Split-train") and fileio.isdir(f"{uri}/Split-test/x")
    fileio.rmtree(f"{uri}/Split-test")
    # TFX removes the folders of a stage that failed, whatever became of them.
    fileio.remove(f"{uri}/Split-test")
    assert not fileio.exists(f"{uri}/Split-test")


def test_a_folder_is_copied_from_this_machine_and_back(uri: str, tmp_path: Path):
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").write_text("c")
    io_utils.copy_dir(str(tmp_path / "a"), f"{uri}/a")
    io_utils.copy_dir(f"{uri}/a", str(tmp_path / "back"))
    assert (tmp_path / "back" / "b" / "c").read_text() == "c"


def test_a_file_is_not_overwritten_unless_that_is_asked_for(uri: str):
    for name in "ab":
        io_utils.write_string_file(f"{uri}/{name}", name)
    with pytest.raises(OSError, match="is there already"):
        fileio.copy(f"{uri}/a", f"{uri}/b")
    fileio.rename(f"{uri}/a", f"{uri}/b", overwrite=True)
    assert fileio.open(f"{uri}/b").read() == "a" and not fileio.exists(f"{uri}/a")


def test_a_bucket_that_is_not_there_is_no_empty_folder(uri: str):
    for ask in (fileio.exists, fileio.isdir, fileio.listdir):
        with pytest.raises(NotKnownError, match="no such bucket"):
            ask("s3://not-there/x")
