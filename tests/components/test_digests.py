import os
from pathlib import Path

import pytest

from tfx_tflite.components.digests import directory_digest, file_digest, records_digest
from tfx_tflite.components.errors import ModelError, NotKnownError


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


def test_directory_digest_is_what_it_was_in_the_versions_that_were_pushed(tmp_path: Path):
    for name in ("saved_model.pb", "variables/variables.index", "assets/a.txt", "a.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert directory_digest(tmp_path) == (
        "sha256:789ca2ee39264e9ae4d5d17e02fd649258e5f794a6f7eb85c1928c7afdd5182f"
    )


def test_a_link_that_stays_in_the_directory_counts_as_what_it_names(tmp_path: Path):
    for directory in (tmp_path / "linked", tmp_path / "plain"):
        (directory / "v1").mkdir(parents=True)
        (directory / "v1" / "saved_model.pb").write_text("model")
    (tmp_path / "linked" / "now").symlink_to("v1")
    (tmp_path / "linked" / "saved_model.pb").symlink_to("now/saved_model.pb")
    (tmp_path / "plain" / "now").mkdir()
    for name in ("now/saved_model.pb", "saved_model.pb"):
        (tmp_path / "plain" / name).write_text("model")
    assert directory_digest(tmp_path / "linked") == directory_digest(tmp_path / "plain")


def test_a_directory_that_is_reached_by_a_link_has_the_digest_of_where_it_is(tmp_path: Path):
    (tmp_path / "v1").mkdir()
    (tmp_path / "v1" / "saved_model.pb").write_text("model")
    (tmp_path / "now").symlink_to("v1")
    assert directory_digest(tmp_path / "now") == directory_digest(tmp_path / "v1")


@pytest.mark.parametrize(
    ("name", "target", "expected"),
    [
        ("assets", "../other", "is a link to .*/other, outside"),
        ("file", "../other/file", "is a link to .*/other/file, outside"),
        ("file", "/etc/hostname", "is a link to /etc/hostname, outside"),
        ("sub/up", "..", "is a link to a directory that it is in"),
        ("sub/self", ".", "is a link to a directory that it is in"),
        ("file", "nothing", "is a link that leads to nothing"),
        ("file", "file", "is a link that leads to nothing"),
    ],
)
def test_a_link_that_leads_out_in_a_circle_or_to_nothing_is_refused(
    tmp_path: Path, name: str, target: str, expected: str
):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    link = tmp_path / "model" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(target)
    with pytest.raises(ModelError, match=expected):
        directory_digest(tmp_path / "model")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "saved_model.pb")
    with pytest.raises(ModelError, match="is neither a file nor a directory"):
        directory_digest(tmp_path)


def test_a_directory_that_is_not_there_has_no_digest(tmp_path: Path):
    with pytest.raises(ModelError, match="there is no directory"):
        directory_digest(tmp_path / "model")


def test_a_directory_that_cannot_be_listed_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def denied(path: Path) -> list[Path]:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", denied)
    with pytest.raises(NotKnownError, match=f"cannot list {tmp_path}: Permission denied"):
        directory_digest(tmp_path)


def test_what_may_be_listed_and_not_looked_into_is_said(tmp_path: Path, as_a_user):
    model = tmp_path / "model"
    model.mkdir()
    (model / "saved_model.pb").write_text("a model")
    model.chmod(0o644)
    with pytest.raises(NotKnownError, match=r"cannot read .*saved_model\.pb: Permission denied"):
        directory_digest(model)
