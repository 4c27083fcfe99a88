"""Copies of what lies in an object store, for those who read only paths."""

from pathlib import Path

import pytest

from tfx_tflite.components.digests import directory_digest
from tfx_tflite.components.errors import ArtifactError, NotKnownError
from tfx_tflite.components.object_stores import any_place, files, for_workers

pytestmark = pytest.mark.slow
assert for_workers.FILE_SYSTEMS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    (made / "variables").mkdir(parents=True)
    (made / "empty").mkdir()
    (made / "saved_model.pb").write_bytes(b"graph")
    (made / "variables" / "data").write_bytes(b"weights")
    return made


def test_a_path_is_itself(tmp_path: Path):
    with any_place.local_copy(str(tmp_path)) as here:
        assert here == str(tmp_path)
    assert not any_place.is_served(str(tmp_path)) and not any_place.is_served("hdfs://x/y")


def test_a_folder_comes_back_as_it_was_put_and_its_copy_goes(uri: str, folder: Path):
    any_place.put(folder, f"{uri}/model")
    assert any_place.is_directory(f"{uri}/model/empty")
    digest = directory_digest(folder)
    with any_place.local_copy(f"{uri}/model", digest) as here:
        assert directory_digest(here) == digest
    assert not Path(here).exists()


def test_a_folder_that_is_not_what_was_checked_is_not_read(uri: str, folder: Path):
    any_place.put(folder, f"{uri}/model")
    files.write(f"{uri}/model/variables/data", b"others")
    with (
        pytest.raises(ArtifactError, match="is not what was checked before"),
        any_place.local_copy(f"{uri}/model", directory_digest(folder)),
    ):
        pass


def test_a_folder_of_which_a_file_is_missing_is_not_read(uri: str, folder: Path):
    any_place.put(folder, f"{uri}/model")
    files.remove(f"{uri}/model/variables/data")
    with (
        pytest.raises(ArtifactError, match="is not what was checked before"),
        any_place.local_copy(f"{uri}/model", directory_digest(folder)),
    ):
        pass


def test_kept_copies_are_made_once_and_go_together(uri: str, folder: Path, monkeypatch):
    any_place.put(folder, f"{uri}/model")
    fetched = []
    monkeypatch.setattr(
        any_place, "fetch", lambda *args, fetch=any_place.fetch: fetched.append(fetch(*args))
    )
    with any_place.kept_copies():
        with any_place.local_copy(f"{uri}/model") as first:
            pass
        with any_place.kept_copies(), any_place.local_copy(f"{uri}/model") as second:
            assert first == second and Path(first).exists()
    assert len(fetched) == 1 and not Path(first).exists()


def test_a_file_is_written_there_only_if_its_block_ends_well(uri: str):
    with pytest.raises(RuntimeError), any_place.written_file(f"{uri}/x") as here:
        Path(here).write_bytes(b"half")
        raise RuntimeError
    assert not files.is_file(f"{uri}/x")
    with any_place.written_file(f"{uri}/x") as here:
        Path(here).write_bytes(b"whole")
    assert any_place.read(f"{uri}/x") == b"whole"


def test_a_file_that_has_gone_is_said_to_have(uri: str):
    with (
        pytest.raises(NotKnownError, match=f"cannot read {uri}/gone: there is no such object"),
        any_place.local_file(f"{uri}/gone"),
    ):
        pass
