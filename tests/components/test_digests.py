from pathlib import Path

from tfx_tflite.components.digests import directory_digest, file_digest, records_digest


def test_file_digest_is_the_sha256_of_the_bytes(tmp_path: Path):
    path = tmp_path / "f"
    path.write_bytes(b"abc")
    assert file_digest(path) == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


def test_directory_digest_changes_with_a_byte_and_with_a_name(tmp_path: Path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a").write_bytes(b"1")
    before = directory_digest(tmp_path)
    assert directory_digest(tmp_path) == before
    (tmp_path / "sub" / "a").write_bytes(b"2")
    changed = directory_digest(tmp_path)
    (tmp_path / "sub" / "a").rename(tmp_path / "sub" / "b")
    assert len({before, changed, directory_digest(tmp_path)}) == 3


def test_records_digest_tells_where_one_record_ends():
    assert records_digest([b"ab", b"c"]) != records_digest([b"a", b"bc"])
