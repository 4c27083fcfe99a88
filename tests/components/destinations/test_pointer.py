"""Whatever lies at LATEST, nothing hangs on it and a push goes on."""

import os
import signal
from pathlib import Path

import pytest

from tests.components.destinations.interruption import leave_orphan, start_process
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.pointer import LARGEST
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import NotKnownError, PushError, TfxTfliteError

TEXTS = {
    "largest": f"{LARGEST}\n",
    "too_large": f"{2**63}\n",
    "5000_digits": "9" * 5000,
    "a_megabyte": "1" * (1 << 20),
    "negative": "-1\n",
    "other_digits": "٣\n",
    "a_path": "../../etc\n",
    "nothing": "",
    "bytes": "\x00\x01",
}


@pytest.fixture(autouse=True)
def ends_in_time():
    """Ends a test that hangs."""

    def hang(number: int, frame: object) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, hang)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def say_current_as_another_user(root: Path, said: Path) -> None:
    os.setegid(1000)
    os.seteuid(1000)
    try:
        said.write_text(str(Destination.open(str(root)).current()))
    except TfxTfliteError as error:
        said.write_text(f"{type(error).__name__}: {error}")


def in_place_of_latest(root: Path, kind: str) -> None:
    latest = root / "LATEST"
    latest.unlink()
    if kind == "fifo":
        os.mkfifo(latest)
    elif kind == "directory":
        latest.mkdir()
        (latest / "mine").write_text("mine")
    elif kind == "device":
        try:
            os.mknod(latest, 0o020666, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("a device can be made by root only")
    else:
        target = latest.with_name("elsewhere")
        if kind == "link":
            target.write_text("12\n")
        latest.symlink_to(target)


KINDS = ("fifo", "directory", "device", "link", "link_to_nothing")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_names_no_version_and_is_no_obstacle(
    destination, candidate, root, kind: str
):
    first = destination.push(candidate(b"a")).number
    in_place_of_latest(root, kind)
    assert destination.pointer() is None and destination.current() == first
    assert "LATEST does not name a version" in destination_problems(destination)[0]
    second = destination.push(candidate(b"b")).number
    assert destination.current() == second
    assert (root / "LATEST").read_text() == f"{second}\n" and not (root / "LATEST").is_symlink()
    if kind == "link":
        assert (root / "elsewhere").read_text() == "12\n"
    if kind == "directory":
        [aside] = root.glob("LATEST.moved-*")
        assert (aside / "mine").read_text() == "mine"


@pytest.mark.parametrize("kind", KINDS)
def test_a_rollback_repairs_it(destination, candidate, root, kind: str):
    first, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    in_place_of_latest(root, kind)
    assert destination.roll_back(first)[:2] == (None, first)
    assert (root / "LATEST").read_text() == f"{first}\n" and second in destination.versions()


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_whatever_it_holds_the_next_push_has_a_sensible_number(
    destination, candidate, root, text: str
):
    first = destination.push(candidate(b"a")).number
    (root / "LATEST").write_text(text)
    second = destination.push(candidate(b"b")).number
    assert first < second < first + 1000
    assert destination.current() == second and destination_problems(destination) == []
    assert destination.roll_back()[:2] == (second, first)


@pytest.mark.parametrize("name", [LARGEST, LARGEST - 1, 10**15, 2**62])
@pytest.mark.parametrize("latest", [True, False], ids=["latest_names_it", "beside"])
def test_something_else_of_a_huge_number_is_not_counted_up_from(
    destination, candidate, root, name: int, latest: bool
):
    first = destination.push(candidate(b"a")).number
    (root / str(name)).mkdir()
    if latest:
        (root / "LATEST").write_text(f"{name}\n")
    second, third = (destination.push(candidate(content)).number for content in (b"b", b"c"))
    assert first < second < third < first + 1000


def test_where_no_number_is_left_that_is_said(destination, candidate, root):
    number = destination.push(candidate(b"a")).number
    version = root / str(number)
    manifest = version / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(number), str(LARGEST)))
    version.rename(root / str(LARGEST))
    (root / "LATEST").write_text(f"{LARGEST}\n")
    assert destination.current() == LARGEST
    with pytest.raises(
        PushError, match=f"no number is left for a version after {root}/{LARGEST}; move that"
    ):
        destination.push(candidate(b"b"))
    assert destination.current() == LARGEST


def test_an_orphan_number_is_not_used_again(destination, candidate, root):
    first = destination.push(candidate(b"a")).number
    orphan = leave_orphan(root, candidate(b"b"))
    last = destination.push(candidate(b"c"), keep=1).number
    assert orphan not in destination.versions() and last > orphan > first
    next_one = destination.push(candidate(b"d"), keep=1).number
    assert next_one > last


def test_a_latest_that_may_not_be_read_is_not_taken_for_none(
    destination, candidate, root, tmp_path
):
    """Whoever takes it for nothing pushes as if nothing had been pushed before."""
    if os.geteuid() != 0:
        pytest.skip("only root can try it as somebody else")
    destination.push(candidate(b"a"))
    (root / "LATEST").chmod(0o000)
    root.chmod(0o755)
    # Pytest keeps all that it makes from others.
    for directory in (tmp_path, *tmp_path.parents):
        if not directory.stat().st_mode & 0o001:
            directory.chmod(0o755)
    said = tmp_path / "said"
    said.touch()
    said.chmod(0o666)
    process = start_process(say_current_as_another_user, root, said)
    process.join()
    assert said.read_text() == f"NotKnownError: cannot read {root}/LATEST: Permission denied"


def test_a_store_that_is_away_is_not_an_empty_destination():
    with pytest.raises(NotKnownError):
        Destination.open("s3://models/x", timeout=0.2).current()
