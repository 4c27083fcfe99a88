"""Objects as files and folders, on a real S3 server on this machine."""

import functools
import gc
import os
import socket

import pytest

from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import NotKnownError, StoreError
from tfx_tflite.components.object_stores import files
from tfx_tflite.components.object_stores.requests import ObjectRequests

pytestmark = pytest.mark.slow


def test_what_was_written_is_read_and_carries_its_digest(uri: str):
    with files.open_to_write(f"{uri}/a/b.txt") as file:
        file.write(b"hello ")
        file.write(b"world")
    assert files.read(f"{uri}/a/b.txt") == b"hello world"
    assert files.state(f"{uri}/a/b.txt").size == 11
    assert files.digest(f"{uri}/a/b.txt") == bytes_digest(b"hello world")
    assert files.below(uri) == {"a/b.txt": 11} and files.entries(uri) == ["a"]


def test_a_block_that_ends_in_an_error_writes_no_object(uri: str):
    with pytest.raises(RuntimeError), files.open_to_write(f"{uri}/half") as file:
        file.write(b"half of it")
        raise RuntimeError
    assert not files.is_file(f"{uri}/half")


def test_a_file_that_nobody_closes_writes_no_object(uri: str):
    files.open_to_write(f"{uri}/half").write(b"half of it")
    gc.collect()
    assert not files.is_file(f"{uri}/half")


def test_a_large_object_is_read_from_any_place_on(uri: str):
    content = os.urandom(9 << 20)
    with files.open_to_write(f"{uri}/large") as file:
        file.write(content)
    with files.open_to_read(f"{uri}/large") as file:
        assert file.read(10) == content[:10]
        file.seek(5 << 20)
        assert file.read() == content[5 << 20 :]
    assert files.digest(f"{uri}/large") == bytes_digest(content)


def test_a_large_object_that_is_replaced_while_it_is_read_is_not_read_on(uri: str):
    for fill in (b"1", b"2"):
        with files.open_to_write(f"{uri}/large") as file:
            file.write(fill * (9 << 20))
        if fill == b"1":
            reader = files.open_to_read(f"{uri}/large")
            assert reader.read(10) == b"1" * 10
    with reader, pytest.raises(NotKnownError, match="large: another process has changed it"):
        reader.seek(8 << 20)
        reader.read(10)


def test_an_object_is_moved_with_its_digest(uri: str):
    files.write(f"{uri}/a", b"1")
    files.move(f"{uri}/a", f"{uri}/b")
    assert files.below(uri) == {"b": 1} and files.digest(f"{uri}/b") == bytes_digest(b"1")


def test_a_folder_that_was_made_is_there_and_empty(uri: str):
    assert not files.is_directory(f"{uri}/folder")
    files.make_folder(f"{uri}/folder")
    assert files.is_directory(f"{uri}/folder") and not files.is_file(f"{uri}/folder")
    assert files.below(f"{uri}/folder") == {} and files.entries(f"{uri}/folder") == []
    files.write(f"{uri}/folder/x", b"1")
    files.empty(f"{uri}/folder")
    assert files.is_directory(f"{uri}/folder") and files.below(uri) == {}
    files.remove_all(f"{uri}/folder")
    assert not files.is_directory(f"{uri}/folder")


def test_a_folder_whose_name_begins_another_one_has_its_own_files_alone(uri: str):
    files.write(f"{uri}/1/x", b"1")
    files.write(f"{uri}/12/y", b"1")
    assert files.below(f"{uri}/1") == {"x": 1}
    files.remove_all(f"{uri}/1")
    assert files.below(uri) == {"12/y": 1}


def test_an_object_is_created_once(uri: str):
    assert files.create(f"{uri}/once", b"1") and not files.create(f"{uri}/once", b"2")
    assert files.read(f"{uri}/once") == b"1"


def test_what_is_not_there_is_told_from_a_store_that_does_not_say(uri: str):
    assert not files.is_file(f"{uri}/nothing") and files.below(f"{uri}/nothing") == {}
    with pytest.raises(FileNotFoundError):
        files.read(f"{uri}/nothing")
    other = f"{uri.partition('://')[0]}://not-there/x"
    for look in (files.is_file, files.is_directory, files.below, files.entries, files.read):
        with pytest.raises(NotKnownError, match=f"{other}: no such bucket"):
            look(other)
    with pytest.raises(StoreError, match=f"cannot write {other}: no such bucket"):
        files.write(other, b"1")


def test_a_store_that_is_away_is_said_to_be(monkeypatch: pytest.MonkeyPatch):
    uri = "s3://models/away"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("S3_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(files, "ObjectRequests", functools.partial(ObjectRequests, timeout=0.5))
    files.forget_connections()
    with pytest.raises(NotKnownError, match=f"cannot list {uri}: unreachable"):
        files.below(uri)
    with (
        pytest.raises(StoreError, match=f"cannot write {uri}/x: unreachable"),
        files.open_to_write(f"{uri}/x") as file,
    ):
        file.write(b"1")
    files.forget_connections()
