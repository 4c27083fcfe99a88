"""The commands on a destination: history, verify, approve, reject, rollback, sign-off, alias."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import leave_orphan, make_candidate
from tests.components.destinations.test_judgements import refuse
from tests.components.destinations.test_keys import private_pem, public_pem
from tests.conftest import ROOT
from tfx_tflite.components.destinations.destination import Destination, Trust
from tfx_tflite.components.destinations.settings import TrustSettings
from tfx_tflite.pipelines.cli.main import main


def tfx_tflite(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def pushed(tmp_path: Path):
    """A destination with two versions; returns where it is and their numbers."""
    destination = Destination.open(str(tmp_path / "to"))
    return tmp_path / "to", [
        destination.push(make_candidate(tmp_path, content, {})).number for content in (b"a", b"b")
    ]


def test_history_shows_every_version_and_which_is_current(pushed):
    root, (first, second) = pushed
    done = tfx_tflite("history", root)
    lines = done.stdout.splitlines()
    assert done.exit_code == 0 and lines[0].split()[:2] == ["version", "pushed"]
    assert [line.split()[0] for line in lines[1:]] == [str(first), str(second)]
    assert "present" in lines[1] and "current" in lines[2] and "int8" in lines[2]


@pytest.mark.parametrize("command", [("history",), ("verify",), ("rollback",), ("sign-off", 1)])
def test_a_destination_with_credentials_in_it_is_refused_and_they_are_not_repeated(command):
    name, *rest = command
    done = tfx_tflite(name, "s3://me:s3cret@bucket/models", *rest)
    assert done.exit_code == 2 and "URI holds a user, a password or a key" in done.stderr
    assert "s3cret" not in done.output


@pytest.mark.generations
def test_history_tells_of_rollbacks_sign_offs_and_what_was_removed(pushed, tmp_path: Path):
    root, (first, second) = pushed
    assert tfx_tflite("rollback", root, "--note", "slow [phones]").exit_code == 0
    assert tfx_tflite("sign-off", root, first).exit_code == 0
    destination = Destination.open(str(root))
    third = destination.push(make_candidate(tmp_path, b"c", {}), keep=1).number
    done = tfx_tflite("history", root)
    assert f"rolled back from {second} to {first}: slow [phones]" in done.stdout
    document = json.loads(tfx_tflite("history", root, "--json").stdout)
    states = {version["version"]: version["state"] for version in document["versions"]}
    assert states == {first: "present", second: "removed", third: "current"}
    assert document["current"] == third and document["versions"][0]["signed_off"]


def test_history_tells_of_judgements_where_nothing_was_pushed_yet(tmp_path: Path):
    refuse(Destination.open(str(tmp_path)), "one")
    done = tfx_tflite("history", tmp_path)
    assert done.exit_code == 0 and done.stdout.splitlines() == [
        f"nothing was pushed to {tmp_path} yet",
        "1 judgement of 1 float model counted, 0 blessed",
    ]
    assert json.loads(tfx_tflite("history", tmp_path, "--json").stdout)["versions"] == []


def test_history_shows_what_was_rolled_back_from(pushed):
    root, (_, second) = pushed
    tfx_tflite("rollback", root)
    [line] = [
        line
        for line in tfx_tflite("history", root).stdout.splitlines()
        if str(second) in line and "rolled back from" not in line
    ]
    assert line.rstrip().endswith("rolled back")


@pytest.mark.parametrize("command", ["history", "verify", "rollback"])
def test_an_error_is_json_where_json_was_asked_for(tmp_path: Path, command: str):
    done = tfx_tflite(command, tmp_path / "nowhere", "--json")
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert "nowhere" in document["error"] and document["error"] in done.stderr


def test_verify_passes_what_is_as_pushed(pushed):
    done = tfx_tflite("verify", pushed[0])
    assert done.exit_code == 0 and "2 versions as pushed" in done.stdout


def test_verify_exits_1_and_names_the_file_of_which_a_byte_changed(pushed):
    root, (first, _) = pushed
    model = root / str(first) / "model.tflite"
    model.write_bytes(b"x")
    done = tfx_tflite("verify", root)
    assert done.exit_code == 1 and f"error: {model} was changed" in done.stderr
    document = json.loads(tfx_tflite("verify", root, "--json").stdout)
    assert len(document["problems"]) == 1


def test_verify_checks_signatures_by_a_public_key(tmp_path: Path):
    key = Ed25519PrivateKey.generate()
    pem = tmp_path / "public.pem"
    pem.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    root = tmp_path / "to"
    Destination.open(str(root)).push(make_candidate(tmp_path, b"a", {}), key=key)
    assert "signed by the key" in tfx_tflite("verify", root, "--key", pem).stdout
    unsigned = Destination.open(str(tmp_path / "unsigned"))
    copied = unsigned.push(make_candidate(tmp_path, b"b", {})).number + 1
    shutil.copytree(unsigned.path(copied - 1), root / str(copied))
    done = tfx_tflite("verify", root, "--key", pem)
    assert done.exit_code == 1 and "is not signed" in done.stderr
    done = tfx_tflite("verify", root, "--key", tmp_path / "nowhere.pem")
    assert done.exit_code == 2 and "cannot be read" in done.stderr


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    """A private and a public key in files."""
    key = Ed25519PrivateKey.generate()
    private, public = tmp_path / "key.pem", tmp_path / "public.pem"
    private.write_bytes(private_pem(key))
    private.chmod(0o600)
    public.write_bytes(public_pem(key))
    return private, public


@pytest.fixture
def signed(tmp_path: Path, keys: tuple[Path, Path]) -> Path:
    """A signed destination with two versions."""
    trust = Trust.of(TrustSettings(signing_key=str(keys[0])))
    destination = Destination.open(str(tmp_path / "signed"), trust=trust)
    for content in (b"a", b"b"):
        destination.push(make_candidate(tmp_path, content, {}))
    return tmp_path / "signed"


def config_of(root: Path, tmp_path: Path, *lines: str) -> Path:
    """Returns a config that pushes to a destination, with more keys of `push`."""
    text = (ROOT / "configs" / "digits.yaml").read_text()
    line = f"  destination: {root}\n"
    text = re.sub(r"push:\s*\{?\s*destination: \.\./pushed/digits\}?\n", f"push:\n{line}", text)
    assert line in text
    text = text.replace(line, "".join([line, *(f"  {more}\n" for more in lines)]))
    text = re.sub(r"(?m)^root: .*$", f"root: {tmp_path / 'run'}", text)
    (tmp_path / "run").mkdir(exist_ok=True)
    text = text.replace("digits_trainer.py", str(ROOT / "configs" / "digits_trainer.py"))
    (tmp_path / "c.yaml").write_text(text)
    return tmp_path / "c.yaml"


@pytest.mark.parametrize("command", [("rollback",), ("sign-off", "VERSION")])
def test_what_changes_a_signed_destination_says_that_it_needs_the_key(signed, keys, command):
    first = min(int(path.name) for path in signed.iterdir() if path.name.isdecimal())
    name, *rest = (str(first) if part == "VERSION" else part for part in command)
    done = tfx_tflite(name, signed, *rest)
    assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1
    assert f"{signed} is signed" in done.stderr and "give --signing-key" in done.stderr
    done = tfx_tflite(name, signed, *rest, "--signing-key", keys[0])
    assert done.exit_code == 0, done.stderr
    assert tfx_tflite("verify", signed, "--key", keys[1]).exit_code == 0


def test_a_key_that_others_may_read_is_a_wrong_call(signed, keys):
    keys[0].chmod(0o644)
    done = tfx_tflite("rollback", signed, "--signing-key", keys[0])
    assert done.exit_code == 2 and f"run `chmod 600 {keys[0]}`" in done.stderr


def test_history_and_verify_tell_of_a_latest_that_somebody_changed(signed, keys):
    numbers = sorted(int(path.name) for path in signed.iterdir() if path.name.isdecimal())
    (signed / "LATEST").write_text(f"{numbers[0]}\n")
    document = json.loads(tfx_tflite("history", signed, "--key", keys[1], "--json").stdout)
    assert (document["latest"], document["current"]) == tuple(numbers)
    assert [version["signed"] for version in document["versions"]] == [True, True]
    done = tfx_tflite("history", signed, "--key", keys[1])
    assert f"LATEST names {numbers[0]}, but {numbers[1]} is signed as the current" in done.stdout
    done = tfx_tflite("verify", signed, "--key", keys[1])
    assert done.exit_code == 1 and "is signed as the current one" in done.stderr


def test_history_stops_where_the_history_is_not_what_was_signed(signed, keys):
    sorted((signed / ".history").iterdir())[0].unlink()
    done = tfx_tflite("history", signed, "--key", keys[1])
    assert done.exit_code == 1 and ".history is not what was signed" in done.stderr


def test_a_config_stands_for_the_keys_of_its_destination(signed, keys, tmp_path: Path):
    private, public = keys
    config = config_of(signed, tmp_path, f"signing_key: {private}", f"verify_key: {public}")
    assert "signed by the key" in tfx_tflite("verify", config).stdout
    assert tfx_tflite("rollback", config).exit_code == 0
    assert (tmp_path / "run" / "seen_pointers.json").exists()
    # Who only looks needs the public key alone.
    private.unlink()
    assert tfx_tflite("history", config).exit_code == 0
    done = tfx_tflite("rollback", config)
    assert done.exit_code == 2 and f"the key {private} cannot be read" in done.stderr


def test_a_destination_that_was_put_back_is_told_by_what_the_root_of_a_config_has_seen(
    signed, keys, tmp_path: Path
):
    config = config_of(signed, tmp_path, f"signing_key: {keys[0]}")
    shutil.copytree(signed, tmp_path / "old")
    assert tfx_tflite("rollback", config).exit_code == 0
    shutil.rmtree(signed)
    (tmp_path / "old").rename(signed)
    assert tfx_tflite("verify", signed, "--key", keys[1]).exit_code == 0
    for command in ("verify", "history", "rollback"):
        done = tfx_tflite(command, config)
        assert done.exit_code == 1 and "LATEST.signed is an old one" in done.stderr


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["verify_key: {public}"], "push.verify_key: nothing can be pushed to a signed dest"),
        (["verify_key: {other}", "signing_key: {private}"], "is not the public half of"),
        (["verify_key: {private}", "signing_key: {private}"], "not a PEM file with a public"),
        (["signing_key: {public}"], "push.signing_key: others than its owner may read"),
    ],
    ids=["no_signing_key", "no_pair", "a_private_key", "a_public_key"],
)
def test_keys_that_do_not_do_are_said_before_a_run(keys, tmp_path: Path, lines, said: str):
    other = tmp_path / "other.pem"
    other.write_bytes(public_pem(Ed25519PrivateKey.generate()))
    keys[1].chmod(0o644)
    places = {"private": keys[0], "public": keys[1], "other": other}
    config = config_of(tmp_path / "to", tmp_path, *(line.format(**places) for line in lines))
    done = tfx_tflite("validate", config)
    assert done.exit_code == 2 and said in done.stderr


def test_history_shows_what_a_stopped_push_has_left(pushed, tmp_path: Path):
    root, (_, second) = pushed
    orphan = leave_orphan(root, make_candidate(tmp_path, b"c", {}))
    done = tfx_tflite("history", root)
    [line] = [line for line in done.stdout.splitlines() if line.startswith(str(orphan))]
    assert line.rstrip().endswith("not released")
    done = tfx_tflite("rollback", root, orphan)
    assert done.exit_code == 1 and f"version {orphan} at {root} was never released" in done.stderr
    assert (root / "LATEST").read_text() == f"{second}\n"


def test_rollback_goes_to_the_version_before_or_to_the_one_named(pushed):
    root, (first, second) = pushed
    done = tfx_tflite("rollback", root)
    assert done.exit_code == 0
    assert done.stdout == f"version {first} is current at {root}; it was {second}\n"
    assert (root / "LATEST").read_text() == f"{first}\n"
    document = json.loads(tfx_tflite("rollback", root, second, "--json").stdout)
    assert (document["from"], document["to"]) == (first, second)
    assert "already" in tfx_tflite("rollback", root, second).stdout


def test_a_rollback_that_cannot_be_is_one_line(pushed):
    root, (first, second) = pushed
    done = tfx_tflite("rollback", root, 12)
    assert done.exit_code == 1
    assert done.stderr == f"error: {root} has no version 12; it has: {second}, {first}\n"
    assert tfx_tflite("rollback", root, "latest").exit_code == 2


@pytest.mark.parametrize("command", [("history",), ("verify",), ("rollback",), ("sign-off", 1)])
def test_a_destination_without_versions_is_one_line(command, tmp_path: Path):
    name, *rest = command
    done = tfx_tflite(name, tmp_path / "nowhere", *rest)
    assert done.exit_code == 1 and "there is no version at" in done.stderr
    assert len(done.stderr.splitlines()) == 1 and not (tmp_path / "nowhere").exists()


def test_a_config_stands_for_its_destination(pushed, tmp_path: Path):
    text = (ROOT / "configs" / "digits.yaml").read_text()
    text = text.replace("../pushed/digits", str(pushed[0]))
    (tmp_path / "c.yaml").write_text(text)
    assert str(pushed[1][1]) in tfx_tflite("history", tmp_path / "c.yaml").stdout


def test_a_hostile_manifest_reaches_no_terminal(pushed):
    root, (first, _) = pushed
    manifest = root / str(first) / "manifest.json"
    document = json.loads(manifest.read_text())
    document["scheme"] = "\x1b]0;owned\x07"
    manifest.write_text(json.dumps(document))
    done = tfx_tflite("history", root)
    assert "unreadable manifest" in done.stdout and "\x1b" not in done.stdout


def test_none_of_them_loads_tensorflow(pushed):
    code = (
        "import sys; from tfx_tflite.pipelines.cli.main import main\n"
        f"try: main(['history', {str(pushed[0])!r}])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'tensorflow', 'tfx', 'apache_beam', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def waits_at(root: Path, sources: Path, content: bytes = b"w") -> int:
    """Pushes a version that waits, and returns its number."""
    candidate = make_candidate(sources, content, {})
    return Destination.open(str(root)).push(candidate, approval=True).number


def test_history_tells_what_waits_since_when_and_how_it_is_approved(pushed, tmp_path: Path):
    root, _ = pushed
    number = waits_at(root, tmp_path)
    done = tfx_tflite("history", root)
    [line] = [line for line in done.stdout.splitlines() if "waited" in line]
    command = f"tfx-tflite approve {root} {number}"
    assert re.fullmatch(
        rf"version {number} has waited for approval since 20\S+: {re.escape(command)}", line
    )
    [entry] = json.loads(tfx_tflite("history", root, "--json").stdout)["waiting"]
    assert (entry["version"], entry["approve"]) == (number, command)
    # It can be typed as it stands there.
    assert tfx_tflite(*command.split()[1:]).exit_code == 0


def test_approve_makes_a_version_current_and_history_and_verify_say_who_did(pushed, tmp_path: Path):
    root, (_, second) = pushed
    number = waits_at(root, tmp_path)
    done = tfx_tflite("approve", root, number, "--by", "ada", "--note", "tried [on] phones")
    assert done.stdout == (
        f"version {number} is approved by ada and current at {root}; it was {second}\n"
    )
    again = tfx_tflite("approve", root, number)
    assert (again.exit_code, again.stdout) == (0, f"version {number} is the current one already\n")
    assert f"{number} approved by ada: tried [on] phones" in tfx_tflite("history", root).stdout
    verified = tfx_tflite("verify", root)
    assert re.search(rf"\nversion {number} was approved by ada at 20\S+: tried", verified.stdout)
    [decision] = json.loads(tfx_tflite("verify", root, number, "--json").stdout)["decisions"]
    assert (decision["by"], decision["decision"]) == ("ada", "approved")
    found = json.loads(tfx_tflite("history", root, "--json").stdout)
    assert found["versions"][-1]["decision"] == decision and found["waiting"] == []


def test_who_decides_is_the_user_unless_that_is_said(pushed, tmp_path: Path, monkeypatch):
    root, _ = pushed
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "grace")
    done = tfx_tflite("reject", root, waits_at(root, tmp_path), "--note", "slow", "--json")
    assert json.loads(done.stdout)["by"] == "grace"

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    done = tfx_tflite("approve", root, waits_at(root, tmp_path, b"x"))
    assert done.exit_code == 2 and "say who decides with --by NAME" in done.stderr


def test_approve_refuses_in_a_line_what_does_not_wait(pushed, tmp_path: Path):
    root, (first, _) = pushed
    number = waits_at(root, tmp_path)
    assert tfx_tflite("reject", root, number, "--by", "ada").exit_code == 0
    for version in (first, number, 7):
        done = tfx_tflite("approve", root, version)
        assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--signing-key", "--key"])
def test_approve_needs_the_key_and_its_command_says_so(signed, keys, tmp_path: Path, option: str):
    trust = Trust.of(TrustSettings(signing_key=str(keys[0])))
    to = Destination.open(str(signed), trust=trust)
    number = to.push(make_candidate(tmp_path, b"w", {}), approval=True).number
    shown = json.loads(tfx_tflite("history", signed, "--key", keys[1], "--json").stdout)["waiting"]
    assert shown[0]["approve"] == f"tfx-tflite approve {signed} {number} --signing-key KEY.pem"
    assert "needs the key" in tfx_tflite("approve", signed, number).stderr
    assert tfx_tflite("approve", signed, number, option, keys[0]).exit_code == 0
    assert tfx_tflite("verify", signed, "--key", keys[1]).exit_code == 0


def test_the_history_of_a_destination_where_nothing_was_approved_yet(tmp_path: Path):
    number = waits_at(tmp_path / "to", tmp_path)
    done = tfx_tflite("history", tmp_path / "to")
    assert done.exit_code == 0 and "nothing is current before somebody approves" in done.stdout
    assert "LATEST" not in done.stdout and str(number) in done.stdout
    assert tfx_tflite("verify", tmp_path / "to").exit_code == 0


def test_alias_names_a_version_and_history_lists_it(pushed, tmp_path: Path):
    root, (first, second) = pushed
    assert tfx_tflite("alias", root, "champion", first).stdout == f"champion is version {first}\n"
    moved = tfx_tflite("alias", root, "champion", second).stdout
    assert moved == f"champion is version {second}; it was {first}\n"
    assert f"champion is version {second}" in tfx_tflite("history", root).stdout.splitlines()
    found = json.loads(tfx_tflite("history", root, "--json").stdout)
    assert found["aliases"] == {"champion": second} and found["problems"] == []
    removed = json.loads(tfx_tflite("alias", root, "champion", "--remove", "--json").stdout)
    assert (removed["from"], removed["to"]) == (second, None)


@pytest.mark.parametrize("rest", [("champion",), ("champion", "7", "--remove"), ("latest", "7")])
def test_an_alias_that_cannot_be_is_a_wrong_call(pushed, rest):
    root, _ = pushed
    assert tfx_tflite("alias", root, *rest).exit_code == 2


def test_a_changed_file_of_an_alias_is_told(pushed):
    root, (first, second) = pushed
    tfx_tflite("alias", root, "champion", first)
    (root / "aliases" / "champion").write_text(f"{second}\n")
    assert "is not what the history says" in tfx_tflite("history", root).stdout.replace("\n", " ")
    assert tfx_tflite("verify", root).exit_code == 1
