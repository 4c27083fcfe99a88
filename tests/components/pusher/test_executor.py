"""The pusher's executor on real TFX artifacts; each refusal is a trap of TFX's own Pusher."""

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.components.destinations.interruption import KEY, TRUST, make_candidate
from tests.components.destinations.test_keys import private_pem, public_pem
from tfx_tflite.components.destinations.destination import Destination
from tfx_tflite.components.destinations.settings import PusherSettings
from tfx_tflite.components.digests import bytes_digest, file_digest
from tfx_tflite.components.errors import PushError
from tfx_tflite.components.report.document import Pushed, Report

pytestmark = pytest.mark.generations


@pytest.fixture
def make(tmp_path: Path, digits_flatbuffer: bytes):
    """Makes a model artifact and a blessing of it."""
    from tfx.types import standard_artifacts

    def artifacts(
        identity: int = 1, blessed: int = 1, shipped: dict[str, bytes] | None = None, **told
    ):
        model = standard_artifacts.Model()
        model.uri, model.id = str(tmp_path / f"model{identity}"), identity
        tflite = Path(model.uri) / "Format-Serving" / "tflite"
        tflite.parent.mkdir(parents=True)
        tflite.write_bytes(digits_flatbuffer)
        blessing = standard_artifacts.ModelBlessing()
        blessing.uri, blessing.id = str(tmp_path / f"blessing{identity}"), identity + 100
        for name, content in (shipped or {}).items():
            file = Path(blessing.uri) / "shipped" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        Path(blessing.uri).mkdir(exist_ok=True)
        (Path(blessing.uri) / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        report = json.dumps(
            {
                "scheme": "float32",
                "verdict": "blessed" if blessed else "refused",
                "shipped": {name: bytes_digest(data) for name, data in (shipped or {}).items()},
                **told,
            }
        )
        (Path(blessing.uri) / "report.json").write_text(report)
        blessing.set_int_custom_property("blessed", blessed)
        blessing.set_int_custom_property("current_model_id", identity)
        blessing.set_string_custom_property("model_digest", file_digest(tflite))
        blessing.set_string_custom_property("report_digest", bytes_digest(report.encode()))
        return model, blessing

    return artifacts


def pushed_as(version: int) -> dict[str, object]:
    """Returns a version that a model was compared with, as a report has it."""
    return {"version": version, "uri": f"somewhere/{version}", "digest": "sha256:0"}


def push(tmp_path: Path, model, blessing=None, **options):
    from google.protobuf import json_format
    from tfx.proto import pusher_pb2
    from tfx.types import standard_artifacts

    from tfx_tflite.components.pusher.executor import Executor

    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed_model")
    filesystem = pusher_pb2.PushDestination.Filesystem(base_directory=str(tmp_path / "to"))
    inputs = {"model": [model], **({"model_blessing": [blessing]} if blessing else {})}
    Executor().Do(
        inputs,
        {"pushed_model": [pushed]},
        {
            "push_destination": json_format.MessageToJson(
                pusher_pb2.PushDestination(filesystem=filesystem)
            ),
            "settings": PusherSettings.given(None, options).to_property(),
        },
    )
    return pushed


def test_pushes_a_blessed_model_and_records_where(make, tmp_path: Path, digits_flatbuffer: bytes):
    pushed = push(tmp_path, *make(shipped={"schema.pbtxt": b"feature {}"}))
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("push_outcome") == "pushed"
    path = Path(pushed.get_string_custom_property("pushed_destination"))
    assert path.name == pushed.get_string_custom_property("pushed_version")
    for directory in (path, Path(pushed.uri)):
        assert (directory / "model.tflite").read_bytes() == digits_flatbuffer
        assert (directory / "schema.pbtxt").read_bytes() == b"feature {}"
    report = Report.parse((Path(pushed.uri) / "report.json").read_bytes(), "report.json")
    assert report.pushed == Pushed(version=int(path.name), uri=str(path))
    assert path.name in (Path(pushed.uri) / "report.html").read_text()
    manifest = Destination.open(str(tmp_path / "to")).manifest(int(path.name))
    assert manifest.metadata.model_artifact == 1 and manifest.metadata.blessing_artifact == 101
    assert manifest.versions["smoke_test"].startswith("ai-edge-litert ")


def test_the_report_of_a_pushed_model_has_the_versions_before_and_itself(make, tmp_path: Path):
    first = push(tmp_path, *make(identity=1))
    second = push(tmp_path, *make(identity=2), force=True)
    report = Report.parse((Path(second.uri) / "report.json").read_bytes(), "report.json")
    numbers = [int(each.get_string_custom_property("pushed_version")) for each in (first, second)]
    assert [past.version for past in report.history] == numbers
    assert report.history_problem is None
    assert "The versions before" in (Path(second.uri) / "report.html").read_text()


def test_a_history_that_cannot_be_read_is_no_failure_of_the_push(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tfx_tflite.components.presence import not_known
    from tfx_tflite.components.report import version_trend

    def unreadable(destination: Destination) -> None:
        raise not_known(destination.uri, "list", "permission denied")

    monkeypatch.setattr(version_trend, "last_versions", unreadable)
    pushed = push(tmp_path, *make())
    assert pushed.get_int_custom_property("pushed") == 1
    report = Report.parse((Path(pushed.uri) / "report.json").read_bytes(), "report.json")
    assert report.history == () and "permission denied" in report.history_problem


def test_nothing_is_read_of_the_destination_for_a_model_that_is_refused(
    make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def opened(*_: object) -> None:
        raise AssertionError("the destination was opened")

    monkeypatch.setattr(Destination, "open", opened)
    push(tmp_path, *make(blessed=0))


def test_does_not_push_a_refused_model(make, tmp_path: Path):
    pushed = push(tmp_path, *make(blessed=0))
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "to").exists()


def bless_in_the_database(blessing) -> None:
    blessing.set_int_custom_property("blessed", 1)


def refuse_in_the_database(blessing) -> None:
    blessing.set_int_custom_property("blessed", 0)


def rename_file(name: str):
    def change(blessing) -> None:
        [file] = Path(blessing.uri).glob("*BLESSED")
        file.rename(file.with_name(name))

    return change


def add_file(name: str):
    return lambda blessing: (Path(blessing.uri) / name).touch()


def remove_file(blessing) -> None:
    [file] = Path(blessing.uri).glob("*BLESSED")
    file.unlink()


@pytest.mark.parametrize(
    ("blessed", "contradict"),
    [
        (0, bless_in_the_database),
        (1, refuse_in_the_database),
        (1, rename_file("NOT_BLESSED")),
        (0, rename_file("BLESSED")),
        (1, add_file("NOT_BLESSED")),
        (0, add_file("BLESSED")),
        (1, remove_file),
        (0, remove_file),
    ],
)
def test_refuses_a_blessing_whose_property_file_and_report_do_not_say_the_same(
    make, tmp_path: Path, blessed: int, contradict
):
    model, blessing = make(blessed=blessed)
    contradict(blessing)
    with pytest.raises(PushError, match=r"contradicts itself: report.json says .*evaluate the mod"):
        push(tmp_path, model, blessing)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("verdict", ["refused", "undecided", "not_judged"])
def test_a_report_that_does_not_say_blessed_is_not_pushed_whatever_the_database_says(
    make, tmp_path: Path, verdict: str
):
    with pytest.raises(PushError, match=f"report.json says {verdict}, its file is BLESSED"):
        push(tmp_path, *make(verdict=verdict))
    assert not (tmp_path / "to").exists()


def test_refuses_to_push_without_a_blessing(make, tmp_path: Path):
    model, _ = make()
    with pytest.raises(PushError, match="no model_blessing"):
        push(tmp_path, model)
    assert not (tmp_path / "to").exists()


def test_refuses_to_push_when_the_blessing_names_another_model(make, tmp_path: Path):
    """TFX's Pusher ships model B on the blessing of model A."""
    model, _ = make(1)
    _, blessing_of_another = make(2)
    with pytest.raises(PushError, match="of model artifact 2, but artifact 1 is to be pushed"):
        push(tmp_path, model, blessing_of_another)
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("file", ["model", "report", "shipped"])
def test_a_byte_that_changed_anywhere_since_the_blessing_stops_the_push(
    make, tmp_path: Path, file: str
):
    model, blessing = make(shipped={"golden/input_0.bin": b"\x00\x01"})
    path = {
        "model": Path(model.uri) / "Format-Serving" / "tflite",
        "report": Path(blessing.uri) / "report.json",
        "shipped": Path(blessing.uri) / "shipped" / "golden" / "input_0.bin",
    }[file]
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(PushError, match=r"changed since (it|the model) was blessed") as caught:
        push(tmp_path, model, blessing)
    assert str(path) in str(caught.value)
    assert Destination.open(str(tmp_path / "to")).versions() == []


@pytest.mark.parametrize("name", ["model_digest", "report_digest"])
def test_refuses_a_blessing_that_does_not_say_which_bytes_it_is_of(make, tmp_path: Path, name: str):
    model, blessing = make()
    blessing.set_string_custom_property(name, "")
    with pytest.raises(PushError, match=rf"\({name}\); it must come from QuantizationEvaluator"):
        push(tmp_path, model, blessing)


@pytest.mark.parametrize("name", ["float_model_digest", "sample_digest"])
def test_refuses_a_blessing_that_rests_on_another_model_or_sample(make, tmp_path: Path, name: str):
    model, blessing = make()
    model.set_string_custom_property(name, "sha256:one")
    blessing.set_string_custom_property(name, "sha256:another")
    with pytest.raises(PushError, match=f"{name} of the model is sha256:one"):
        push(tmp_path, model, blessing)


def property_of(pushed, name: str) -> str:
    return str(pushed.get_string_custom_property(name))


def test_what_waits_for_approval_is_recorded_with_the_command_that_approves_it(
    make, tmp_path: Path
):
    model, blessing = make()
    outcomes = []
    for _ in range(2):
        pushed = push(tmp_path, model, blessing, approval="required")
        outcomes.append(property_of(pushed, "push_outcome"))
        number = int(property_of(pushed, "pushed_version"))
        command = f"tfx-tflite approve {tmp_path}/to {number}"
        assert pushed.get_int_custom_property("pushed") == 1
        assert property_of(pushed, "approve_command") == command
    destination = Destination.open(str(tmp_path / "to"))
    assert outcomes == ["pushed", "waiting"] and destination.versions() == [number]
    report = Report.parse((Path(pushed.uri) / "report.json").read_bytes(), "report.json")
    [waiting] = report.pushed.waiting
    assert report.pushed.waits and (waiting.version, waiting.approve) == (number, command)
    page = (Path(pushed.uri) / "report.html").read_text()
    assert "waits for approval" in page and command in page
    destination.approve(number, "ada")
    pushed = push(tmp_path, model, blessing, approval="required")
    assert property_of(pushed, "push_outcome") == "present"
    assert property_of(pushed, "approve_command") == ""


def test_what_was_rejected_is_recorded_as_not_pushed(make, tmp_path: Path):
    model, blessing = make()
    pushed = push(tmp_path, model, blessing, approval="required")
    number = int(property_of(pushed, "pushed_version"))
    Destination.open(str(tmp_path / "to")).reject(number, "ada", "too slow")
    again = push(tmp_path, model, blessing, approval="required")
    assert again.get_int_custom_property("pushed") == 0
    assert property_of(again, "push_outcome") == "rejected"
    assert "ada rejected it: too slow" in property_of(again, "push_note")


def test_what_was_rolled_back_from_is_recorded_as_not_pushed(make, tmp_path: Path):
    destination = Destination.open(str(tmp_path / "to"))
    model, blessing = make()
    first = push(tmp_path, model, blessing)
    push(tmp_path, model, blessing, force=True)
    destination.roll_back()
    # Both versions hold this model; the one that is current counts.
    assert push(tmp_path, model, blessing).get_int_custom_property("pushed") == 1
    number = int(first.get_string_custom_property("pushed_version"))
    (tmp_path / "to" / str(number) / "model.tflite").write_bytes(b"damaged")
    again = push(tmp_path, model, blessing)
    assert again.get_int_custom_property("pushed") == 0
    assert again.get_string_custom_property("push_outcome") == "withdrawn"
    assert f"{number} stays" in again.get_string_custom_property("push_note")


def test_what_was_compared_with_a_version_that_is_not_current_any_more_is_not_pushed(
    make, tmp_path: Path
):
    where = {"pushed_destination": f"{tmp_path}/to/"}
    push(tmp_path, *make(1, pushed_reference=None, **where))
    [first] = Destination.open(str(tmp_path / "to")).versions()
    for index, reference, named in ((2, None, "no version"), (3, pushed_as(7), "version 7")):
        late = make(index, pushed_reference=reference, **where)
        expected = f"compared with {named} at .*/to, but version {first} is current by now; run aga"
        with pytest.raises(PushError, match=expected):
            push(tmp_path, *late, force=True)
    assert Destination.open(str(tmp_path / "to")).versions() == [first]
    push(tmp_path, *make(4, pushed_reference=pushed_as(first), **where), force=True)
    assert len(Destination.open(str(tmp_path / "to")).versions()) == 2


def test_what_was_compared_with_another_destination_is_pushed(make, tmp_path: Path):
    elsewhere = {"pushed_destination": f"{tmp_path}/production", "pushed_reference": pushed_as(7)}
    pushed = push(tmp_path, *make(**elsewhere))
    assert pushed.get_int_custom_property("pushed") == 1


def test_a_version_that_another_push_removes_at_once_was_pushed_all_the_same(
    make, tmp_path: Path, monkeypatch
):
    model, blessing = make()
    files = Destination.files

    def push_another(destination: Destination, number: int) -> list[str]:
        monkeypatch.setattr(Destination, "files", files)
        found = destination.files(number)
        push(tmp_path, model, blessing, force=True, keep=1)
        return found

    monkeypatch.setattr(Destination, "files", push_another)
    pushed = push(tmp_path, model, blessing)
    assert pushed.get_int_custom_property("pushed") == 1
    assert not Path(pushed.get_string_custom_property("pushed_destination")).exists()


def test_keeps_as_many_versions_as_asked_for(make, tmp_path: Path):
    model, blessing = make()
    for _ in range(3):
        push(tmp_path, model, blessing, force=True, keep=2)
    assert len(Destination.open(str(tmp_path / "to")).versions()) == 2


def test_signs_with_the_key_it_is_given(make, tmp_path: Path):
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(private_pem(key))
    (tmp_path / "key.pem").chmod(0o600)
    pushed = push(tmp_path, *make(), signing_key=str(tmp_path / "key.pem"))
    destination = Destination.open(str(tmp_path / "to"))
    number = int(pushed.get_string_custom_property("pushed_version"))
    assert destination.problems(number, key.public_key()) == []


def test_a_signed_destination_is_not_pushed_to_without_the_key(make, tmp_path: Path):
    model, blessing = make()
    destination = Destination.open(str(tmp_path / "to"), trust=TRUST)
    (tmp_path / "first").mkdir()
    first = destination.push(make_candidate(tmp_path / "first", b"a", {})).number
    public = tmp_path / "public.pem"
    public.write_bytes(public_pem(KEY))
    for options in ({}, {"verify_key": str(public)}):
        with pytest.raises(PushError, match="whatever changes it needs the key"):
            push(tmp_path, model, blessing, **options)
    assert destination.current() == first


def test_what_is_signed_by_another_key_is_not_pushed_over(make, tmp_path: Path):
    destination = Destination.open(str(tmp_path / "to"), trust=TRUST)
    (tmp_path / "first").mkdir()
    first = destination.push(make_candidate(tmp_path / "first", b"a", {})).number
    other = tmp_path / "other.pem"
    other.write_bytes(private_pem(Ed25519PrivateKey.generate()))
    other.chmod(0o600)
    with pytest.raises(
        PushError, match=r"LATEST\.signed is not a signature of the pointer by this"
    ):
        push(tmp_path, *make(), signing_key=str(other))
    assert destination.current() == first


def test_judgements_that_are_counted_elsewhere_are_an_error(make, tmp_path: Path):
    judged = {
        "float_model": "a",
        "quantized_model": "b",
        "examples": "c",
        "rules": [{"rule": "r", "alpha": 0.05, "look": 1, "level": 0.025, "p_value": 0.001}],
        "blessed": True,
    }
    with pytest.raises(PushError, match=r"are counted at .*elsewhere, but it is to be pushed to"):
        push(tmp_path, *make(judged=judged, counted_at=str(tmp_path / "elsewhere")))
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("blessed", [0, 1], ids=["refused", "blessed"])
def test_a_judgement_is_counted_where_the_model_is_pushed(make, tmp_path: Path, blessed: int):
    judged = {
        "float_model": "a",
        "quantized_model": "b",
        "examples": "c",
        "rules": [{"rule": "r", "alpha": 0.05, "look": 1, "level": 0.025, "p_value": 0.001}],
        "blessed": bool(blessed),
    }
    push(tmp_path, *make(blessed=blessed, judged=judged, counted_at=str(tmp_path / "to")))
    events = Destination.open(str(tmp_path / "to")).events()
    assert [event.judged.blessed for event in events if event.judged] == [bool(blessed)]
