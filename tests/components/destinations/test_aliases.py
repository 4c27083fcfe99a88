"""Aliases are pointers beside LATEST; the history says what they are, and files follow it."""

from pathlib import Path

import pytest

from tests.components.destinations.interruption import TRUST, destination_with, leave_orphan
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.trust import Trust
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import ConfigError, DestinationError
from tfx_tflite.pipelines.cli.destination_history import history_of


@pytest.fixture(params=[False, True], ids=["unsigned", "signed"])
def is_signed(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture
def to(root: Path, is_signed: bool) -> Destination:
    return destination_with(root, is_signed=is_signed)


def test_an_alias_is_a_file_with_a_number_like_latest(to, candidate, root):
    first, second = (to.push(candidate(content)).number for content in (b"a", b"b"))
    assert to.set_alias("champion", first, "ada") is None
    assert (root / "aliases" / "champion").read_text() == f"{first}\n"
    assert to.set_alias("champion", second, "ada") == first
    assert (root / "aliases" / "champion").read_text() == f"{second}\n"
    assert to.aliases() == {"champion": second} and destination_problems(to) == []
    assert to.set_alias("champion", None, "ada") == second
    assert to.aliases() == {} and not (root / "aliases" / "champion").exists()
    told = [(event.kind, event.alias, event.by) for event in to.events() if event.alias]
    assert told == [("alias_set", "champion", "ada")] * 2 + [("alias_removed", "champion", "ada")]


def test_an_alias_that_is_set_again_is_no_change(to, candidate):
    number = to.push(candidate(b"a")).number
    for _ in range(2):
        to.set_alias("champion", number, "ada")
    assert [event.kind for event in to.events()].count("alias_set") == 1


def test_an_alias_names_what_waits_and_the_current_one_stays(to, candidate):
    first = to.push(candidate(b"a")).number
    waiting = to.push(candidate(b"b"), approval=True).number
    to.set_alias("shadow", waiting, "ada")
    assert to.current() == first and destination_problems(to) == []
    # Nobody runs what is rejected.
    with pytest.raises(DestinationError, match="not rejected, because shadow names it"):
        to.reject(waiting, "ada")
    to.set_alias("shadow", None, "ada")
    to.reject(waiting, "ada")
    with pytest.raises(DestinationError, match="was rejected by ada"):
        to.set_alias("shadow", waiting, "ada")


def test_what_was_never_released_and_does_not_wait_gets_no_name(to, candidate, root, is_signed):
    number = to.push(candidate(b"a")).number
    orphan = leave_orphan(root, candidate(b"o"), TRUST if is_signed else None)
    with pytest.raises(DestinationError, match="was never released"):
        to.set_alias("champion", orphan, "ada")
    with pytest.raises(DestinationError, match="has no version 7"):
        to.set_alias("champion", 7, "ada")
    with pytest.raises(DestinationError, match="has no alias champion; it has: none"):
        to.set_alias("champion", None, "ada")
    (root / str(number) / "model.tflite").write_bytes(b"changed")
    with pytest.raises(DestinationError, match=f"no alias names version {number}: .*model.tflite"):
        to.set_alias("champion", number, "ada")
    assert to.aliases() == {} and not (root / "aliases").exists()


@pytest.mark.parametrize(
    "name", ["latest", "123", "Champion", "a/b", "..", "", "a" * 64, "a b", "ä"]
)
def test_a_name_that_could_be_something_else_is_none(name: str, to, candidate):
    number = to.push(candidate(b"a")).number
    with pytest.raises(ConfigError, match="alias"):
        to.set_alias(name, number, "ada")
    to.set_alias("a" * 63, number, "ada")


def test_retention_keeps_what_an_alias_names(to, candidate):
    first, *_ = (to.push(candidate(content)).number for content in (b"a", b"b"))
    to.set_alias("champion", first, "ada")
    last = to.push(candidate(b"c"), keep=1).number
    assert to.versions() == [first, last]
    to.set_alias("champion", None, "ada")
    assert to.push(candidate(b"d"), keep=1).number in to.versions() and first not in to.versions()


def test_retention_keeps_what_waits_and_was_overtaken_while_an_alias_names_it(to, candidate):
    to.push(candidate(b"a"))
    waiting = to.push(candidate(b"b"), approval=True).number
    to.set_alias("shadow", waiting, "ada")
    last = to.push(candidate(b"c"), keep=1).number
    assert to.versions() == [waiting, last]


@pytest.mark.parametrize("change", ["other", "gone", "added", "link", "directory"])
def test_a_file_that_somebody_changed_counts_for_nothing_is_told_and_put_right(
    change: str, to, candidate, root, tmp_path: Path
):
    first, second = (to.push(candidate(content)).number for content in (b"a", b"b"))
    to.set_alias("champion", first, "ada")
    file = root / "aliases" / ("added" if change == "added" else "champion")
    if change != "added":
        file.unlink()
    if change == "link":
        (tmp_path / "elsewhere").write_text(f"{first}\n")
        file.symlink_to(tmp_path / "elsewhere")
    elif change == "directory":
        file.mkdir()
    elif change != "gone":
        file.write_text(f"{second}\n")
    assert to.aliases() == {"champion": first}
    [problem] = destination_problems(to)
    assert f"aliases/{file.name} is not what the history says" in problem
    assert history_of(to).problems == (problem,)
    to.sign_off(first)
    assert destination_problems(to) == []
    assert (root / "aliases" / "champion").read_text() == f"{first}\n"
    assert not (root / "aliases" / "added").exists()


def test_other_files_beside_aliases_are_left_alone(to, candidate, root):
    number = to.push(candidate(b"a")).number
    to.set_alias("champion", number, "ada")
    (root / "aliases" / "README.txt").write_text("ours")
    to.push(candidate(b"b"))
    assert (root / "aliases" / "README.txt").exists() and destination_problems(to) == []


def test_nobody_without_the_key_sets_an_alias(root, candidate):
    signed = Destination(LocalStore(root), TRUST)
    number = signed.push(candidate(b"a")).number
    for trust in (None, Trust(TRUST.verifier)):
        with pytest.raises(DestinationError, match="needs the key"):
            Destination(LocalStore(root), trust).set_alias("champion", number, "eve")
