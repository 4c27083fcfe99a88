"""Pushing, rolling back and keeping versions, on a real file system."""

import dataclasses
import json
import os
import threading
from pathlib import Path

import pytest

from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.manifest import Golden, SmokeTest
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import DestinationError, PushError
from tfx_tflite.components.versions import Kernels, Runtime


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    return Destination.open(str(tmp_path / "to"))


def done_by_hand(destination: Destination) -> list[str]:
    """Returns what the history tells beside which versions became current."""
    recorded = ("released", "releases_counted", "signing_started")
    return [event.kind for event in destination.events() if event.kind not in recorded]


def visible(directory: Path) -> list[str]:
    return sorted(entry.name for entry in directory.iterdir() if not entry.name.startswith("."))


def test_a_push_is_a_numbered_directory_with_model_manifest_and_what_ships_along(
    destination, candidate, tmp_path: Path
):
    pushed = destination.push(candidate(b"model"))
    version = tmp_path / "to" / str(pushed.number)
    assert pushed.outcome == "pushed" and pushed.uri == str(version)
    assert visible(tmp_path / "to") == [str(pushed.number), "LATEST"]
    assert (version / "model.tflite").read_bytes() == b"model"
    assert (version / "golden" / "input_0.bin").read_bytes() == b"golden model"
    manifest = json.loads((version / "manifest.json").read_text())
    assert manifest["version"] == pushed.number
    assert manifest["model"] == {
        "file": "model.tflite",
        "digest": file_digest(version / "model.tflite"),
        "size_bytes": 5,
    }
    assert sorted(manifest["files"]) == ["golden/input_0.bin", "model.tflite"]
    assert manifest["scheme"] == "int8" and manifest["verdict"] == "blessed"


def test_latest_holds_the_number_of_the_current_version_as_a_line(
    destination, candidate, tmp_path: Path
):
    for content in (b"a", b"b"):
        pushed = destination.push(candidate(content))
        assert (tmp_path / "to" / "LATEST").read_text() == f"{pushed.number}\n"
        assert destination.current() == pushed.number


def test_two_pushes_within_a_second_are_two_rising_versions(destination, candidate):
    """TFX's Pusher loses the second one and reports success."""
    first = destination.push(candidate(b"a"))
    second = destination.push(candidate(b"b"))
    assert second.number > first.number
    assert destination.read(first.number, "model.tflite") == b"a"
    assert destination.read(second.number, "model.tflite") == b"b"


def test_a_model_that_is_current_is_not_pushed_again(destination, candidate):
    first = destination.push(candidate())
    again = destination.push(candidate())
    assert (first.outcome, again.outcome) == ("pushed", "present")
    assert again.number == first.number and destination.versions() == [first.number]


def test_files_that_the_version_lacks_are_told_and_force_pushes_them(destination, candidate):
    """Extras or targets that were asked for since: the model is the same."""
    first = destination.push(candidate())
    asked = candidate(beside={"golden/input_0.bin": b"golden", "model_ethos-u55-128.tflite": b"u"})
    again = destination.push(asked)
    assert (again.number, again.outcome) == (first.number, "present")
    assert again.note == (
        f"version {first.number} holds this model without model_ethos-u55-128.tflite; use --force "
        "to push all of it"
    )
    forced = destination.push(asked, force=True)
    assert destination.read(forced.number, "model_ethos-u55-128.tflite") == b"u"
    assert destination.push(asked).note == ""


def test_force_pushes_it_again(destination, candidate):
    first = destination.push(candidate())
    again = destination.push(candidate(), force=True)
    assert again.outcome == "pushed" and destination.versions() == [first.number, again.number]


def test_a_model_that_was_pushed_before_another_is_pushed_again(destination, candidate):
    pushed = [destination.push(candidate(content)) for content in (b"a", b"b", b"a")]
    assert pushed[-1].outcome == "pushed" and len(destination.versions()) == 3


def test_a_current_version_that_was_damaged_is_replaced_by_the_same_model(
    destination, candidate, tmp_path: Path
):
    first = destination.push(candidate())
    (tmp_path / "to" / str(first.number) / "model.tflite").write_bytes(b"modem")
    again = destination.push(candidate())
    assert again.outcome == "pushed" and destination.current() == again.number


def test_what_changed_since_the_blessing_is_not_pushed(destination, candidate, tmp_path: Path):
    """TFX's Pusher ships whatever lies there by then."""
    wanted = candidate(b"blessed")
    for name in wanted.files:
        content = wanted.files[name].read_bytes()
        wanted.files[name].write_bytes(content[:-1] + b"?")
        with pytest.raises(PushError, match="changed since it was blessed"):
            destination.push(wanted)
        wanted.files[name].write_bytes(content)
    assert destination.versions() == [] and visible(tmp_path / "to") == []


def test_a_model_that_fails_its_trial_is_not_pushed(destination, candidate, tmp_path: Path):
    seen = []

    def trial(directory: Path):
        seen.append((directory / "model.tflite").read_bytes())
        raise PushError("no good")

    with pytest.raises(PushError, match="no good"):
        destination.push(candidate(b"bad"), trial=trial)
    assert seen == [b"bad"] and visible(tmp_path / "to") == []


def test_what_a_model_was_tried_with_is_in_the_manifest(destination, candidate):
    runtime = Runtime(package="runtime", version="1", kernels=Kernels.BUILTIN)
    tried = SmokeTest(runtime=runtime, machine="x86_64")
    manifest = destination.manifest(destination.push(candidate(), trial=lambda _: tried).number)
    assert manifest.smoke_test == tried
    assert manifest.versions == {"smoke_test": "runtime 1 (builtin kernels)", "machine": "x86_64"}


def test_a_manifest_of_before_whose_golden_samples_have_a_tolerance_is_still_read():
    tensor = {"name": "y", "file": "golden/y.bin", "dtype": "int8", "shape": [1, 2]}
    golden = {"samples": 1, "batch_size": 1, "runtime": "tensorflow 2.16.2", "inputs": []}
    found = Golden.model_validate({**golden, "outputs": [{**tensor, "tolerance": 2.0}]})
    assert found.runtime == "tensorflow 2.16.2" and found.outputs[0].tolerance == 2.0


def test_a_reader_never_sees_part_of_a_version(destination, candidate, tmp_path: Path):
    """TFX's Pusher copies in place: a reader sees partial sizes."""
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
        destination.push(candidate(content + bytes([number]), {}))
    done.set()
    reader.join()
    assert seen == {(frozenset({"model.tflite", "manifest.json"}), 3_000_001)}


def test_a_reader_of_latest_always_finds_the_version_it_names(
    destination, candidate, tmp_path: Path
):
    target = tmp_path / "to"
    destination.push(candidate(b"first"))
    failures, reads, done = [], [0], threading.Event()

    def read():
        while not done.is_set():
            try:
                number = (target / "LATEST").read_text().strip()
                (target / number / "model.tflite").read_bytes()
                reads[0] += 1
            except OSError as error:
                failures.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(40):
        destination.push(candidate(bytes([number])))
    done.set()
    reader.join()
    assert not failures and reads[0] > 0


def test_a_destination_that_is_a_file_is_an_error(candidate, tmp_path: Path):
    (tmp_path / "to").write_text("in the way")
    with pytest.raises(PushError, match=r"not pushed: Not a directory: .*/to"):
        Destination.open(str(tmp_path / "to")).push(candidate())


def test_what_is_not_a_version_is_left_alone(destination, candidate, tmp_path: Path):
    for name in ("notes", "20240101", "٣", "007"):
        (tmp_path / "to" / name).mkdir(parents=True)
        (tmp_path / "to" / name / "README").write_text("mine")
    pushed = destination.push(candidate())
    destination.push(candidate(b"b"), keep=1)
    for name in ("notes", "20240101", "٣", "007"):
        assert (tmp_path / "to" / name / "README").read_text() == "mine"
    assert pushed.number not in destination.versions() and len(destination.versions()) == 1


def test_an_empty_version_that_another_tool_left_is_no_version_and_no_obstacle(
    destination, candidate, tmp_path: Path
):
    """TFX's Pusher leaves one behind on a full disk."""
    (tmp_path / "to" / "9999999999").mkdir(parents=True)
    pushed = destination.push(candidate())
    assert pushed.number == 10_000_000_000 and destination.versions() == [pushed.number]


@pytest.mark.parametrize(
    "name", ["with space", "new\nline", "-rf", "ü 模型", "%(x)s {y}", "a'b\"c"]
)
def test_a_destination_may_have_any_name(candidate, tmp_path: Path, name: str):
    destination = Destination.open(str(tmp_path / name))
    pushed = destination.push(candidate())
    assert destination.versions() == [pushed.number] and destination.problems(pushed.number) == []


def test_a_push_waits_for_another_one_and_says_when_it_has_waited_too_long(
    candidate, tmp_path: Path
):
    other, hasty = (LocalStore(tmp_path / "to", patience=patience) for patience in (600, 0.2))
    with other.lock(), pytest.raises(PushError, match=r"has been changing .*/to for"):
        Destination(hasty).push(candidate())
    assert Destination(hasty).push(candidate()).outcome == "pushed"


@pytest.mark.parametrize("then", ["nothing", "another_process_locks_it"])
def test_a_push_whose_lock_was_removed_publishes_nothing(
    destination, candidate, tmp_path: Path, then: str
):
    first = destination.push(candidate(b"a")).number
    lock = tmp_path / "to" / ".lock"

    def remove_lock(directory: Path) -> SmokeTest:
        lock.unlink()
        if then == "another_process_locks_it":
            # It is let in, and is the only one to push.
            assert Destination.open(str(tmp_path / "to")).push(candidate(b"c")).outcome == "pushed"
        return SmokeTest(
            runtime=Runtime(package="p", version="1", kernels=Kernels.BUILTIN), machine="m"
        )

    with pytest.raises(PushError, match=r"not pushed: (the lock was removed|No such file)"):
        destination.push(candidate(b"b"), trial=remove_lock)
    models = [destination.read(number, "model.tflite") for number in destination.versions()]
    assert models == ([b"a"] if then == "nothing" else [b"a", b"c"])
    assert (destination.current() == first) == (then == "nothing")


def test_a_rollback_makes_the_version_before_the_current_one(destination, candidate):
    numbers = [destination.push(candidate(content)).number for content in (b"a", b"b", b"c")]
    assert destination.roll_back()[:2] == (numbers[2], numbers[1])
    assert destination.roll_back()[:2] == (numbers[1], numbers[0])
    assert destination.current() == numbers[0] and destination.versions() == numbers
    with pytest.raises(DestinationError, match=f"no version before {numbers[0]}"):
        destination.roll_back()


def test_a_rollback_may_name_any_version(destination, candidate):
    numbers = [destination.push(candidate(content)).number for content in (b"a", b"b", b"c")]
    destination.roll_back(numbers[0])
    assert destination.roll_back(numbers[2])[:2] == (numbers[0], numbers[2])
    with pytest.raises(
        DestinationError, match=rf"no version 7; it has: {numbers[2]}, {numbers[1]}"
    ):
        destination.roll_back(7)


@pytest.mark.parametrize("content", ["garbage", None], ids=["no number", "missing"])
@pytest.mark.parametrize("named", [True, False])
def test_a_rollback_repairs_a_pointer_that_names_nothing(
    destination, candidate, tmp_path: Path, content: str | None, named: bool
):
    _, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    latest = tmp_path / "to" / "LATEST"
    latest.unlink() if content is None else latest.write_text(content)
    assert destination.roll_back(second if named else None)[:2] == (None, second)
    assert latest.read_text() == f"{second}\n"
    assert done_by_hand(destination) == []


def test_a_version_whose_manifest_is_missing_is_a_problem_that_names_it(
    destination, candidate, tmp_path: Path
):
    first, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    manifest = tmp_path / "to" / str(first) / "manifest.json"
    manifest.unlink()
    assert destination_problems(destination) == [f"{manifest} is missing"]
    assert destination_problems(destination, first) == [f"{manifest} is missing"]
    assert destination.versions() == [second] and destination.damaged() == [first]


def test_a_damaged_version_is_not_signed_off(destination, candidate, tmp_path: Path):
    number = destination.push(candidate(b"a")).number
    (tmp_path / "to" / str(number) / "manifest.json").write_text("{")
    with pytest.raises(DestinationError, match=f"version {number} is not signed off: .*manifest"):
        destination.sign_off(number)
    assert done_by_hand(destination) == []


def test_a_rollback_to_a_damaged_version_changes_nothing(destination, candidate, tmp_path: Path):
    first, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    (tmp_path / "to" / str(first) / "model.tflite").write_bytes(b"?")
    with pytest.raises(
        DestinationError, match=rf"{first} is not what was pushed, so {second} stays"
    ):
        destination.roll_back()
    assert destination.current() == second and done_by_hand(destination) == []


def test_a_model_that_was_rolled_back_from_is_not_pushed_again(destination, candidate):
    first, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    destination.roll_back(note="bad on old phones")
    again = destination.push(candidate(b"b"))
    assert again.outcome == "withdrawn" and again.number == second
    assert f"rolled back from it; {first} stays" in again.note
    assert destination.current() == first


def test_what_a_killed_push_left_is_not_promoted_once_another_version_is_current(
    destination, candidate, tmp_path: Path
):
    first, second = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    late = dataclasses.replace(candidate(b"c"), compared_with=second)
    third = destination.push(late).number
    (tmp_path / "to" / "LATEST").write_text(f"{second}\n")
    destination.roll_back(first)
    with pytest.raises(
        PushError, match=f"compared with version {second} .* version {first} is cur"
    ):
        destination.push(late)
    assert destination.current() == first
    destination.roll_back(second)
    assert destination.push(late).number == third == destination.current()


def test_another_model_is_pushed_after_a_rollback(destination, candidate):
    destination.push(candidate(b"a"))
    destination.push(candidate(b"b"))
    destination.roll_back()
    third = destination.push(candidate(b"c"))
    assert third.outcome == "pushed" and destination.current() == third.number


def test_what_was_rolled_back_from_stays_so_until_it_is_made_current_by_hand(
    destination, candidate
):
    a, b, c = (destination.push(candidate(content)).number for content in (b"a", b"b", b"c"))
    destination.roll_back()
    destination.roll_back()
    assert [destination.push(candidate(x)).outcome for x in (b"b", b"c")] == ["withdrawn"] * 2
    d = destination.push(candidate(b"d")).number
    assert destination.push(candidate(b"c")).outcome == "withdrawn"
    # Nor does a rollback lead there unasked.
    assert destination.roll_back()[:2] == (d, a)
    destination.roll_back(c)
    assert destination.push(candidate(b"c")).outcome == "present"
    assert destination.push(candidate(b"b")).outcome == "withdrawn" and b < c


def test_without_latest_the_newest_version_not_rolled_back_from_is_current(
    destination, candidate, tmp_path: Path
):
    first, _ = (destination.push(candidate(content)).number for content in (b"a", b"b"))
    destination.roll_back()
    (tmp_path / "to" / "LATEST").write_text("oops")
    assert destination.current() == first


def test_there_is_a_current_version_at_every_moment_of_a_push(destination, candidate):
    destination.push(candidate(b"first"))
    found, done = [], threading.Event()

    def read():
        while not done.is_set():
            found.append(destination.current())

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(60):
        destination.push(candidate(bytes([number])), keep=1)
    done.set()
    reader.join()
    assert found and None not in found


def test_a_present_model_is_pushed_again_where_it_is_to_be_signed_and_is_not(
    destination, candidate
):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    destination.push(candidate())
    signed = destination.push(candidate(), key=key)
    assert signed.outcome == "pushed"
    assert destination.problems(signed.number, key.public_key()) == []
    assert destination.push(candidate(), key=key).outcome == "present"


def test_a_number_too_large_for_a_version_is_none(destination, candidate, tmp_path: Path):
    (tmp_path / "to" / "9999999999999999999").mkdir(parents=True)
    pushed = [destination.push(candidate(content)).number for content in (b"a", b"b")]
    assert destination.versions() == pushed


def test_a_damaged_history_is_said_and_nothing_is_removed_by_it(
    destination, candidate, tmp_path: Path
):
    first = destination.push(candidate(b"a")).number
    destination.sign_off(first)
    *_, event = sorted((tmp_path / "to" / ".history").iterdir())
    event.write_bytes(event.read_bytes()[:-10])
    with pytest.raises(PushError, match="is not an event of the history"):
        destination.push(candidate(b"b"), keep=1)
    assert destination.versions() == [first]


@pytest.mark.parametrize("note", ["a\nb", "x" * 501, "\udcff"])
def test_a_note_that_cannot_be_kept_is_said_and_changes_nothing(destination, candidate, note: str):
    destination.push(candidate(b"a"))
    second = destination.push(candidate(b"b")).number
    with pytest.raises(DestinationError, match=r"note: .*; nothing was changed"):
        destination.roll_back(note=note)
    assert destination.current() == second


def test_retention_keeps_the_newest_the_current_and_those_signed_off(destination, candidate):
    numbers = [destination.push(candidate(bytes([n]))).number for n in range(5)]
    destination.sign_off(numbers[0], note="audited")
    last = destination.push(candidate(b"last"), keep=2).number
    assert destination.versions() == [numbers[0], numbers[4], last]
    removed = [event for event in destination.events() if event.kind == "removed"]
    assert [event.version for event in removed] == numbers[1:4]
    assert all(event.digest and event.pushed_at for event in removed)


def test_retention_may_remove_a_version_whose_sign_off_was_withdrawn(destination, candidate):
    first = destination.push(candidate(b"a")).number
    destination.sign_off(first)
    destination.sign_off(first, withdraw=True)
    last = destination.push(candidate(b"b"), keep=1).number
    assert destination.versions() == [last]


def test_the_version_rolled_back_to_is_kept(destination, candidate):
    numbers = [destination.push(candidate(bytes([n]))).number for n in range(4)]
    destination.roll_back(numbers[0])
    # The same as the current one: nothing is pushed, but what is old is removed.
    destination.push(candidate(bytes([0])), keep=1)
    assert destination.versions() == [numbers[0], numbers[3]]
    assert destination.current() == numbers[0]


def test_a_version_number_is_never_used_twice(destination, candidate):
    first = destination.push(candidate(b"a")).number
    second = destination.push(candidate(b"b"), keep=1).number
    third = destination.push(candidate(b"c"), keep=1).number
    assert first < second < third and destination.versions() == [third]


def test_nothing_can_be_done_where_nothing_was_pushed(destination, tmp_path: Path):
    for act in (destination.roll_back, lambda: destination.sign_off(1)):
        with pytest.raises(DestinationError, match="there is no version at"):
            act()
    assert not (tmp_path / "to").exists()
