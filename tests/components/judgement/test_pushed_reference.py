"""Which pushed version a new model is compared with, and what is said where there is none."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.components.destinations.interruption import (
    TRUST,
    destination_with,
    leave_orphan,
    make_candidate,
)
from tfx_tflite.components.destinations.destination import Candidate, Destination, Trust
from tfx_tflite.components.destinations.manifest import Description
from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import DestinationError, EvaluationError
from tfx_tflite.components.examples.tensors import InputSpec
from tfx_tflite.components.judgement.gate import Gate, MetricRule
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.judgement.pushed_reference import (
    PushedReference,
    UnknownReference,
    look,
    without_reference,
)
from tfx_tflite.components.models.float_model import Signature
from tfx_tflite.components.presence import ABSENT
from tfx_tflite.components.verdict import MetricValues, Verdict


@pytest.fixture
def destination(tmp_path: Path) -> Destination:
    """A destination with one version."""
    model = tmp_path / "model"
    model.write_bytes(b"TFL3")
    opened = Destination.open(str(tmp_path / "to"))
    description = Description(scheme="int8", verdict="blessed")
    opened.push(
        Candidate({"model.tflite": model}, {"model.tflite": file_digest(model)}, description)
    )
    return opened


def test_it_is_the_current_version(destination: Destination):
    found = PushedReference.at(destination.uri)
    assert found is not ABSENT and found.content == b"TFL3"
    assert found.number == destination.current()
    assert PushedReference.at(destination.uri, found.number) == found


def test_there_is_none_before_the_first_push(tmp_path: Path):
    assert PushedReference.at(str(tmp_path)) is ABSENT
    assert PushedReference.at(str(tmp_path), 0) is ABSENT
    assert look(str(tmp_path / "not made yet")) is ABSENT


@pytest.mark.parametrize("expected", [0, 7])
def test_another_version_than_expected_is_an_error(destination: Destination, expected: int):
    number = destination.current()
    message = f"version {expected or 'none'} was current when the run began, and {number} is by now"
    with pytest.raises(EvaluationError, match=message):
        PushedReference.at(destination.uri, expected)


def test_a_damaged_version_is_an_error_that_names_the_file(destination: Destination):
    number = destination.current()
    (Path(destination.uri) / str(number) / "model.tflite").write_bytes(b"TFL4")
    with pytest.raises(DestinationError, match=r"cannot be compared with: .*model\.tflite"):
        PushedReference.at(destination.uri)


def test_a_model_that_is_swapped_after_it_was_checked_is_not_compared_with(
    destination: Destination, monkeypatch: pytest.MonkeyPatch
):
    checked = Destination.current_problems

    def checked_and_swapped(self: Destination, number: int) -> list[str]:
        problems = checked(self, number)
        (Path(self.uri) / str(number) / "model.tflite").write_bytes(b"TFL4")
        return problems

    monkeypatch.setattr(Destination, "current_problems", checked_and_swapped)
    with pytest.raises(DestinationError, match=r"model\.tflite was changed while it was read"):
        PushedReference.at(destination.uri)


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
def test_a_model_whose_integer_input_became_float_takes_what_the_new_one_takes(dtype: str):
    """What only casts its input to float is quantized with a float input."""
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec([None, 4], tf.float32, name="x")
    module.function = tf.function(lambda x: {"y": x * 2.0}, input_signature=[spec])
    concrete = module.function.get_concrete_function()
    content = tf.lite.TFLiteConverter.from_concrete_functions([concrete], module).convert()
    signature = Signature("s", (InputSpec("x", (None, 4), np.dtype(dtype)),), ())
    PushedReference(1, "somewhere", "digest", content).check(signature, ["y"])
    with pytest.raises(EvaluationError, match="has no output 'z'"):
        PushedReference(1, "somewhere", "digest", content).check(signature, ["z"])


def current(destination: Destination) -> Path:
    return Path(destination.uri) / str(destination.current())


def denied(path: Path) -> None:
    """Takes the permissions away; `as_a_user` sees to it that they count."""
    path.chmod(0)


def file_in_place_of(path: Path) -> None:
    shutil.rmtree(path)
    path.write_text("no directory")


UNREADABLE: dict[str, tuple[Callable[[Destination], object], str]] = {
    "no permission for the folder": (lambda to: denied(Path(to.uri)), "Permission denied"),
    "no permission for LATEST": (lambda to: denied(Path(to.uri) / "LATEST"), "Permission denied"),
    "no permission for the version": (lambda to: denied(current(to)), "Permission denied"),
    "no permission for the manifest": (
        lambda to: denied(current(to) / "manifest.json"),
        "Permission denied",
    ),
    "a file in place of the folder": (lambda to: file_in_place_of(Path(to.uri)), "ot a directory"),
    "a damaged model": (
        lambda to: (current(to) / "model.tflite").write_bytes(b"TFL4"),
        "was changed",
    ),
    "a model that is gone": (
        lambda to: (current(to) / "model.tflite").unlink(),
        "there is no ",
    ),
    "a damaged manifest": (
        lambda to: (current(to) / "manifest.json").write_text("{"),
        "manifest.json",
    ),
    "a pointer to a version that is gone": (
        lambda to: (Path(to.uri) / "LATEST").write_text("7\n"),
        "names a version that is not there",
    ),
}


@pytest.mark.parametrize(("change", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_not_nothing(
    destination: Destination, as_a_user, change: Callable[[Destination], object], reason: str
):
    number = destination.current()
    change(destination)
    for expected in (None, number):
        found = look(destination.uri, expected)
        assert isinstance(found, UnknownReference) and reason in found.reason


CLOSED = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_REGION": "us-east-1",
}


@pytest.mark.parametrize("uri", ["s3://models/pushed", "ftp://models/pushed"])
def test_a_store_that_does_not_answer_is_not_empty(uri: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in CLOSED.items():
        monkeypatch.setenv(name, value)
    found = look(uri)
    assert isinstance(found, UnknownReference) and f"cannot read {uri}" in found.reason


# --- Whose signature the reference must have ---

READER = Trust(TRUST.verifier)


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A signed destination with two versions."""
    destination = destination_with(tmp_path / "signed", is_signed=True)
    for content in (b"TFL3", b"TFL4"):
        destination.push(make_candidate(tmp_path, content, {}))
    return tmp_path / "signed"


def test_it_is_what_is_signed_whatever_latest_says(signed: Path):
    first, second = destination_with(signed).versions()
    (signed / "LATEST").write_text(f"{first}\n")
    found = look(str(signed), None, READER)
    assert isinstance(found, PushedReference) and found.number == second


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("LATEST.signed", "is not a signature of the pointer"),
        ("VERSION/manifest.sig", "is not a signature of manifest.json"),
    ],
)
def test_what_is_not_signed_by_the_key_is_not_compared_with(signed: Path, file: str, said: str):
    version = destination_with(signed).versions()[-1]
    path = signed / file.replace("VERSION", str(version))
    path.write_bytes(path.read_bytes()[:-7] + b"AAAAA=\n")
    found = look(str(signed), None, READER)
    assert isinstance(found, UnknownReference) and "signature" in found.reason, said


def test_before_the_first_signed_push_it_is_what_is_current(destination: Destination):
    found = look(destination.uri, None, READER)
    assert isinstance(found, PushedReference) and found.content == b"TFL3"


def test_what_a_stopped_first_push_has_left_is_no_reference(tmp_path: Path):
    leave_orphan(tmp_path / "to", make_candidate(tmp_path, b"TFL3", {}))
    assert destination_with(tmp_path / "to").versions() != []
    assert look(str(tmp_path / "to")) is ABSENT


# --- What rules say that have no model to compare with ---

BLESSED = GateResult(verdict=Verdict.BLESSED, examples=300, rules=(), reasons=())
VALUES = [
    MetricValues(metric="AUC", slice="overall", examples=300, float_value=0.9, quantized_value=0.8)
]


def judged_without(looked, when: str = "pass", result: GateResult = BLESSED) -> GateResult:
    rule = MetricRule(metric="AUC", max_drop=0.1, against="pushed", when_nothing_pushed=when)
    return without_reference(result, Gate(rules=(rule,)), VALUES, looked)


@pytest.mark.parametrize("when", ["pass", "refuse"])
def test_a_reference_that_is_not_known_leaves_the_rule_undecided_and_refuses(when: str):
    reason = "cannot read s3://models/pushed: denied"
    found = judged_without(UnknownReference(reason), when)
    [rule] = found.rules
    assert rule.verdict is Verdict.UNDECIDED and reason in rule.reason
    assert found.verdict is Verdict.REFUSED and found.reasons == (rule.reason,)
    assert rule.quantized_value == 0.8 and math.isnan(rule.drop)


def test_nothing_pushed_passes_by_default_and_the_rule_says_so():
    found = judged_without(ABSENT)
    [rule] = found.rules
    assert found.blessed and not found.reasons and rule.verdict is Verdict.NOT_JUDGED
    assert "nothing was pushed yet" in rule.reason and "when_nothing_pushed" in rule.reason


def test_nothing_pushed_refuses_if_the_rule_says_so():
    found = judged_without(ABSENT, "refuse")
    [rule] = found.rules
    assert found.verdict is Verdict.REFUSED and rule.verdict is Verdict.REFUSED
    assert found.reasons == (rule.reason,) and "nothing was pushed yet" in rule.reason


@pytest.mark.parametrize("when", ["pass", "refuse"])
def test_what_refuses_beside_the_float_model_still_does(when: str):
    refused = BLESSED.model_copy(update={"verdict": Verdict.REFUSED, "reasons": ("worse",)})
    found = judged_without(ABSENT, when, refused)
    assert found.verdict is Verdict.REFUSED and found.reasons[0] == "worse"


def test_only_rules_against_the_pushed_model_say_what_if_nothing_was_pushed():
    with pytest.raises(ValueError, match="when_nothing_pushed needs against: pushed"):
        MetricRule(metric="AUC", max_drop=0.1, when_nothing_pushed="refuse")
