"""At a signed destination nothing becomes current that the key did not sign, and nothing goes back.

Each test is an attack of somebody who may write at the destination but does not have the key.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import (
    Stopped,
    StoppedAtFile,
    destination_with,
    leave_orphan,
)
from tfx_tflite.components.destinations.destination import Destination, Trust
from tfx_tflite.components.destinations.stores.file_operations import FileOperations
from tfx_tflite.components.destinations.stores.local import LocalStore
from tfx_tflite.components.destinations.trust import SeenPointers, Signer, Verifier
from tfx_tflite.components.destinations.verification import destination_problems
from tfx_tflite.components.errors import DestinationError, NotKnownError, PushError


@pytest.fixture
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture
def trust(key: Ed25519PrivateKey) -> Trust:
    return Trust(Verifier(key.public_key()), Signer(key))


@pytest.fixture
def reader(trust: Trust) -> Trust:
    """Who has the public key alone."""
    return Trust(trust.verifier)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "to"


@pytest.fixture
def signed(root: Path, trust: Trust) -> Destination:
    return Destination(LocalStore(root), trust)


def statement(root: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads(
        (root / "LATEST.signed").read_bytes().partition(b"\n")[0]
    )
    return document


def kept(root: Path, *names: str) -> dict[str, bytes]:
    """Returns what an attacker copies in order to put it back later."""
    return {name: (root / name).read_bytes() for name in names}


def put_back(root: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (root / name).write_bytes(content)


def test_latest_stays_a_number_and_the_signed_pointer_says_the_same(signed, candidate, root):
    numbers = [signed.push(candidate(content)).number for content in (b"a", b"b")]
    assert (root / "LATEST").read_text() == f"{numbers[1]}\n"
    said = statement(root)
    assert said["version"] == numbers[1]
    assert said["events"] == len(signed.events()) and int(str(said["counter"])) >= 2
    assert destination_problems(signed) == []


def test_the_counter_rises_with_every_change(signed, candidate, root):
    counters = []
    for act in (
        lambda: signed.push(candidate(b"a")),
        lambda: signed.push(candidate(b"b"), keep=3),
        signed.roll_back,
        lambda: signed.sign_off(signed.versions()[0]),
    ):
        act()
        counters.append(int(str(statement(root)["counter"])))
    assert counters == sorted(set(counters))


def test_openssl_can_verify_the_pointer(signed, candidate, root, key, tmp_path):
    import base64
    import subprocess

    from tests.components.destinations.test_keys import public_pem

    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    signed.push(candidate(b"a"))
    line, signature, _ = (root / "LATEST.signed").read_bytes().split(b"\n")
    (tmp_path / "line").write_bytes(line)
    (tmp_path / "signature").write_bytes(base64.b64decode(signature))
    (tmp_path / "public.pem").write_bytes(public_pem(key))
    done = subprocess.run(
        "openssl pkeyutl -verify -pubin -inkey public.pem -rawin -in line "
        "-sigfile signature".split(),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# LATEST


@pytest.mark.parametrize("text", ["{first}\n", "12\n", "garbage", "", "9223372036854775806\n"])
def test_what_somebody_writes_into_latest_is_told_and_does_not_count(
    signed, candidate, root, reader, text
):
    first, second = (signed.push(candidate(content)).number for content in (b"a", b"b"))
    (root / "LATEST").write_text(text.format(first=first))
    looked = Destination(LocalStore(root), reader)
    assert looked.current() == second
    problems = destination_problems(looked)
    assert any(f"but {second} is signed as the current one" in problem for problem in problems)
    # The next change repairs it.
    signed.sign_off(second)
    assert (root / "LATEST").read_text() == f"{second}\n" and destination_problems(looked) == []


def test_a_pointer_that_is_put_back_with_its_latest_is_told_by_the_history(
    signed, candidate, root, reader
):
    signed.push(candidate(b"a"))
    signed.push(candidate(b"b"))
    old = kept(root, "LATEST", "LATEST.signed")
    signed.push(candidate(b"c"), keep=1)
    put_back(root, old)
    # What it names was removed, and is nothing that can be compared with or pushed over unseen.
    looked = Destination(LocalStore(root), reader)
    assert looked.current() is None
    assert any("not covered by" in problem for problem in destination_problems(looked))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(b'"counter":', b'"counter":1'),
        lambda text: text.replace(b'"events":', b'"events":1'),
        lambda text: text[:-10],
        lambda text: text.partition(b"\n")[0],
        lambda text: b"",
        lambda text: b"\x00\xff",
        lambda text: b"{}\nAAAA\n",
    ],
)
def test_a_forged_pointer_stops_everything_that_asks_for_it(
    signed, candidate, root, reader, change
):
    number = signed.push(candidate(b"a")).number
    pointer = root / "LATEST.signed"
    pointer.write_bytes(change(pointer.read_bytes()))
    looked = Destination(LocalStore(root), reader)
    for act in (
        looked.current,
        looked.events,
        looked.released,
        signed.roll_back,
        lambda: signed.sign_off(number),
    ):
        with pytest.raises(DestinationError, match=r"LATEST\.signed is not a signature"):
            act()
    with pytest.raises(PushError, match=r"not pushed: .*LATEST\.signed is not a signature"):
        signed.push(candidate(b"b"))
    assert "LATEST.signed is not a signature" in destination_problems(looked)[0]


def test_a_pointer_of_another_key_is_told(signed, candidate, root):
    signed.push(candidate(b"a"))
    other = Ed25519PrivateKey.generate()
    stranger = Destination(LocalStore(root), Trust(Verifier(other.public_key()), Signer(other)))
    with pytest.raises(PushError, match="is not a signature of the pointer by this key"):
        stranger.push(candidate(b"b"))
    assert signed.current() == signed.versions()[0]


def test_a_pointer_that_is_taken_away_is_told(signed, candidate, root, reader):
    signed.push(candidate(b"a"))
    (root / "LATEST.signed").unlink()
    looked = Destination(LocalStore(root), reader)
    with pytest.raises(DestinationError, match=r"LATEST\.signed is gone, and the destination was"):
        looked.current()
    with pytest.raises(PushError, match=r"LATEST\.signed is gone"):
        signed.push(candidate(b"b"))


# The history


def event_file(root: Path, kind: str) -> Path:
    return next(
        file
        for file in sorted((root / ".history").iterdir())
        if json.loads(file.read_bytes())["kind"] == kind
    )


@pytest.mark.parametrize("attack", ["dropped", "edited", "added_between", "swapped"])
def test_an_event_that_is_dropped_edited_or_added_is_told(
    signed, candidate, root, reader, attack: str
):
    first = signed.push(candidate(b"a")).number
    signed.push(candidate(b"b"))
    signed.sign_off(first, note="audited")
    signed.push(candidate(b"c"))
    file = event_file(root, "signed_off")
    if attack == "dropped":
        file.unlink()
    elif attack == "edited":
        file.write_text(file.read_text().replace("audited", "edited"))
    elif attack == "added_between":
        shutil.copy(file, file.with_name(f"{int(file.stem) + 1:020d}.json"))
    else:
        other = event_file(root, "released")
        ours, theirs = file.read_bytes(), other.read_bytes()
        file.write_bytes(theirs)
        other.write_bytes(ours)
    looked = Destination(LocalStore(root), reader)
    for act in (looked.current, looked.events, signed.roll_back):
        with pytest.raises(DestinationError, match=r"/\.history is not what was signed"):
            act()
    with pytest.raises(PushError, match=r"/\.history is not what was signed"):
        # It might remove what was signed off.
        signed.push(candidate(b"d"), keep=1)
    assert first in looked.versions()
    assert any("is not what was signed" in problem for problem in destination_problems(looked))


def test_an_event_that_is_added_at_the_end_counts_for_nothing(signed, candidate, root, reader):
    first, second = (signed.push(candidate(content)).number for content in (b"a", b"b"))
    text = event_file(root, "released").read_text()
    last = sorted((root / ".history").iterdir())[-1]
    forged = last.with_name(f"{int(last.stem) + 5:020d}.json")
    forged.write_text(text.replace("released", "signed_off"))
    looked = Destination(LocalStore(root), reader)
    assert "signed_off" not in [event.kind for event in looked.events()]
    [problem] = destination_problems(looked)
    assert f"event {forged.stem} is not covered by" in problem
    signed.push(candidate(b"c"), keep=1)
    assert not forged.exists() and first not in signed.versions() and second != first
    assert destination_problems(looked) == []


# Versions


def unsigned_version(root: Path, candidate, tmp_path: Path, number: int, content: bytes) -> None:
    other = Destination(LocalStore(tmp_path / "unsigned"))
    made = Path(other.push(candidate(content)).uri)
    manifest = json.loads((made / "manifest.json").read_text())
    (made / "manifest.json").write_text(json.dumps({**manifest, "version": number}))
    shutil.move(made, root / str(number))


def test_a_version_that_is_put_in_place_of_a_signed_one_never_becomes_current(
    signed, candidate, root, tmp_path
):
    first, second = (signed.push(candidate(content)).number for content in (b"a", b"b"))
    shutil.rmtree(root / str(first))
    unsigned_version(root, candidate, tmp_path, first, b"evil")
    for number in (first, None):
        with pytest.raises(DestinationError, match=f"so {second} stays: .*is not signed"):
            signed.roll_back(number)
    with pytest.raises(DestinationError, match=r"is not signed off: .*is not signed"):
        signed.sign_off(first)
    # Nor is it what a push of the same model finds there.
    pushed = signed.push(candidate(b"evil"))
    assert pushed.outcome == "pushed" and pushed.number > second


def test_an_unsigned_version_that_is_put_there_is_not_adopted(signed, candidate, root, tmp_path):
    current = signed.push(candidate(b"a")).number
    unsigned_version(root, candidate, tmp_path, current + 3, b"evil")
    (root / "LATEST").write_text(f"{current + 3}\n")
    assert signed.current() == current
    pushed = signed.push(candidate(b"evil"))
    assert pushed.outcome == "pushed" and pushed.number > current + 3
    assert signed.problems(pushed.number) == []


def test_a_signed_version_of_another_destination_is_no_release_here(
    signed, candidate, root, trust, tmp_path
):
    current = signed.push(candidate(b"a")).number
    elsewhere = Destination(LocalStore(tmp_path / "elsewhere"), trust)
    elsewhere.push(candidate(b"x"))
    other = elsewhere.push(candidate(b"y")).number
    if other == current:
        other = elsewhere.push(candidate(b"z")).number
    shutil.copytree(tmp_path / "elsewhere" / str(other), root / str(other))
    with pytest.raises(DestinationError, match="was never released"):
        signed.roll_back(other)


def test_the_current_version_that_was_damaged_is_not_taken_for_the_reference(
    signed, candidate, root, reader
):
    number = signed.push(candidate(b"a")).number
    (root / str(number) / "manifest.sig").unlink()
    looked = Destination(LocalStore(root), reader)
    assert "is not signed" in looked.current_problems(number)[0]


# Who has no key


@pytest.mark.parametrize("trusts", ["nothing", "the_public_key"])
def test_whoever_has_no_key_changes_nothing(signed, candidate, root, reader, trusts: str):
    first, second = (signed.push(candidate(content)).number for content in (b"a", b"b"))
    trust = reader if trusts == "the_public_key" else Trust()
    without = Destination(LocalStore(root), trust)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    needs_key = "is signed .* so whatever changes it needs the key: give --signing-key"
    with pytest.raises(PushError, match=needs_key):
        without.push(candidate(b"c"))
    for act in (without.roll_back, lambda: without.sign_off(first)):
        with pytest.raises(DestinationError, match=needs_key):
            act()
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before
    assert without.current() == second


# What was seen before


@pytest.fixture
def remembering(trust: Trust, root: Path, tmp_path: Path) -> Destination:
    assert trust.verifier is not None
    seen = SeenPointers(tmp_path / "seen_pointers.json")
    return Destination(LocalStore(root), Trust(Verifier(trust.verifier.key, seen), trust.signer))


def test_a_whole_destination_of_before_is_told_if_a_newer_one_was_seen(
    remembering, signed, candidate, root, tmp_path
):
    remembering.push(candidate(b"a"))
    shutil.copytree(root, tmp_path / "old")
    remembering.push(candidate(b"b"))
    shutil.rmtree(root)
    (tmp_path / "old").rename(root)
    # Nothing at the destination itself can tell it.
    assert destination_problems(signed) == []
    for act in (remembering.current, remembering.roll_back):
        with pytest.raises(DestinationError, match=r"LATEST\.signed is an old one: its counter is"):
            act()
    with pytest.raises(PushError, match=r"is an old one: .* remove its entry in .*seen_pointers"):
        remembering.push(candidate(b"c"))


def test_a_destination_that_was_never_signed_is_told_if_a_signed_one_was_seen(
    remembering, candidate, root
):
    remembering.push(candidate(b"a"))
    shutil.rmtree(root)
    Destination(LocalStore(root)).push(candidate(b"evil"))
    with pytest.raises(DestinationError, match=r"LATEST\.signed is gone: counter \d+ was seen"):
        remembering.current()


def test_another_destination_of_the_same_key_in_its_place_is_told(
    remembering, candidate, root, trust, tmp_path
):
    remembering.push(candidate(b"a"))
    shutil.rmtree(root)
    for content in (b"x", b"y", b"z"):
        Destination(LocalStore(root), trust).push(candidate(content))
    with pytest.raises(DestinationError, match="is of another destination than what was seen"):
        remembering.current()


def test_what_was_seen_is_noted_by_whoever_only_looks(remembering, signed, candidate, tmp_path):
    signed.push(candidate(b"a"))
    remembering.current()
    [noted] = json.loads((tmp_path / "seen_pointers.json").read_text()).values()
    signed.push(candidate(b"b"))
    remembering.events()
    [later] = json.loads((tmp_path / "seen_pointers.json").read_text()).values()
    assert later["counter"] > noted["counter"] and later["chain"] == noted["chain"]


def test_what_a_slow_reader_saw_does_not_take_the_place_of_what_was_seen_since(
    remembering, candidate, trust, tmp_path
):
    remembering.push(candidate(b"a"))
    before = remembering.reading().state
    remembering.push(candidate(b"b"))
    noted = (tmp_path / "seen_pointers.json").read_bytes()
    SeenPointers(tmp_path / "seen_pointers.json").note(
        remembering.uri, before.pointer, before.statement
    )
    assert (tmp_path / "seen_pointers.json").read_bytes() == noted


class PushedToMeanwhile(LocalStore):
    """A store to which another process pushes between the pointer and the history that it reads."""

    def __init__(self, root: Path, act: Callable[[], object]):
        super().__init__(root)
        self._acts = [act]

    def entries(self, directory: str = "") -> list[str]:
        if directory == ".history" and self._acts:
            self._acts.pop()()
        return super().entries(directory)


def test_a_pointer_that_a_push_replaced_while_it_was_read_is_not_called_an_old_one(
    remembering, candidate, root, trust, tmp_path
):
    remembering.push(candidate(b"a"))
    store = PushedToMeanwhile(root, lambda: remembering.push(candidate(b"b")))
    seen = SeenPointers(tmp_path / "seen_pointers.json")
    looking = Destination(store, Trust(Verifier(trust.verifier.key, seen)))
    assert looking.reading().current() == remembering.current()


@pytest.mark.parametrize("text", ["{", "[]", "7", '{"x": 7}', '{"x": {"counter": 1}}', "\x00"])
def test_a_note_of_what_was_seen_that_is_damaged_is_no_empty_one(
    remembering, candidate, tmp_path, text: str
):
    remembering.push(candidate(b"a"))
    (tmp_path / "seen_pointers.json").write_text(text)
    with pytest.raises(DestinationError, match=r"seen_pointers\.json is not what notes which"):
        remembering.current()


# Beginning


def test_signatures_may_begin_at_a_destination_that_is_there(candidate, root, signed, reader):
    unsigned = Destination(LocalStore(root))
    first, second = (unsigned.push(candidate(content)).number for content in (b"a", b"b"))
    unsigned.sign_off(first)
    looked = Destination(LocalStore(root), reader)
    # What is current was pushed when nothing was signed, and is what the first push is compared to.
    assert looked.current() == second and looked.current_problems(second) == []
    third = signed.push(candidate(b"c")).number
    assert looked.current() == third and looked.current_problems(third) == []
    assert {"signed_off", "signing_started"} <= {event.kind for event in looked.events()}
    with pytest.raises(
        DestinationError, match=f"so {third} stays: .*version {second} is not signed"
    ):
        signed.roll_back()
    fourth = signed.push(candidate(b"d")).number
    assert signed.roll_back()[:2] == (fourth, third)


def test_the_same_model_is_pushed_anew_with_the_first_signature(candidate, root, signed):
    first = Destination(LocalStore(root)).push(candidate(b"a")).number
    again = signed.push(candidate(b"a"))
    assert again.outcome == "pushed" and again.number > first
    assert signed.push(candidate(b"a")).outcome == "present"


def test_what_a_stopped_signed_push_has_left_is_no_release_and_is_adopted(
    signed, candidate, root, trust
):
    first = signed.push(candidate(b"a")).number
    orphan = leave_orphan(root, candidate(b"b"), trust)
    assert signed.released() == [first] and destination_problems(signed) == []
    assert signed.push(candidate(b"b")).number == orphan == signed.current()


def test_a_push_that_stops_between_signed_pointer_and_latest_has_happened(
    signed, candidate, root, trust, reader
):
    first = signed.push(candidate(b"a")).number
    with pytest.raises(Stopped):
        Destination(LocalStore(root, StoppedAtFile("LATEST")), trust).push(candidate(b"b"))
    second = signed.versions()[-1]
    assert (root / "LATEST").read_text() == f"{first}\n"
    assert Destination(LocalStore(root), reader).current() == second
    signed.sign_off(first)
    assert (root / "LATEST").read_text() == f"{second}\n"
    assert signed.released() == [first, second] and destination_problems(signed) == []


class UnwritableLatest(FileOperations):
    """A disk that refuses one file."""

    def rename(self, source: Path, target: Path) -> None:
        if target.name == "LATEST":
            raise OSError(5, "Input/output error", str(target))
        super().rename(source, target)


def test_a_latest_that_cannot_be_written_is_said_as_it_is(signed, candidate, root, trust):
    first = signed.push(candidate(b"a")).number
    failing = Destination(LocalStore(root, UnwritableLatest()), trust)
    with pytest.raises(
        PushError, match=r"^version \d+ is signed as the current one .* could not be written: Input"
    ):
        failing.push(candidate(b"b"))
    assert signed.push(candidate(b"b")).outcome == "present"
    assert (root / "LATEST").read_text() == f"{signed.current()}\n" != f"{first}\n"


def test_a_signed_destination_needs_no_key_to_be_read_by_number(signed, candidate, root):
    number = signed.push(candidate(b"a")).number
    plain = destination_with(root)
    assert plain.current() == number and destination_problems(plain) == []


def test_signatures_end_where_the_signed_pointer_is_removed_and_nobody_asks(
    signed, candidate, root
):
    signed.push(candidate(b"a"))
    (root / "LATEST.signed").unlink()
    unsigned = Destination(LocalStore(root))
    second = unsigned.push(candidate(b"b")).number
    assert unsigned.current() == second and destination_problems(unsigned) == []


def test_a_note_of_what_was_seen_that_may_not_be_read_is_no_damaged_one(
    remembering, candidate, tmp_path, as_a_user
):
    """As by somebody who looks at the destination of a config whose root is another user's."""
    remembering.push(candidate(b"a"))
    (tmp_path / "seen_pointers.json").chmod(0)
    with pytest.raises(NotKnownError, match=r"cannot read .*seen_pointers\.json: Permission"):
        remembering.current()
