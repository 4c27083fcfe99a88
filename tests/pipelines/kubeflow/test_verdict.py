"""The line that the log of a task on Kubeflow ends with."""

import json
from pathlib import Path

import pytest

from tfx_tflite.pipelines.kubeflow.call import Call, Declared, RuntimeArtifact, Task
from tfx_tflite.pipelines.kubeflow.verdict import Verdict, verdict_of

PUSHED = {"pushed": 1.0, "pushed_destination": "/pushed/7", "push_outcome": "pushed"}


@pytest.fixture
def blessing(tmp_path: Path) -> RuntimeArtifact:
    return RuntimeArtifact(uri=str(tmp_path))


def write_report(blessing: RuntimeArtifact, verdict: str, *reasons: str) -> None:
    report = {"verdict": verdict, "reasons": list(reasons), "examples": 449}
    (Path(blessing.uri) / "report.json").write_text(json.dumps(report))


def task(**inputs: RuntimeArtifact) -> Task:
    artifacts = {key: {"artifacts": [artifact]} for key, artifact in inputs.items()}
    call = Call.model_validate({"inputs": {"artifacts": artifacts}})
    return Task(call, Declared(), Declared(), "x.Y", False, "x.Driver", ())


@pytest.mark.parametrize(
    ("verdict", "reasons", "line"),
    [
        ("blessed", (), "blessed: evaluated on 449 examples"),
        ("refused", ("AUC fell.", "It is\ntoo big."), "refused: AUC fell. It is too big."),
        ("undecided", ("449 are too few.",), "undecided: 449 are too few."),
    ],
)
def test_an_evaluation_says_its_verdict_and_why(blessing, verdict, reasons, line):
    write_report(blessing, verdict, *reasons)
    assert verdict_of(task(), {"blessing": blessing}) == Verdict(line, verdict == "blessed")


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        (PUSHED, Verdict("pushed to /pushed/7", True)),
        (
            {**PUSHED, "push_note": "old versions could not be removed"},
            Verdict("pushed to /pushed/7; old versions could not be removed", True),
        ),
        (
            {**PUSHED, "push_outcome": "present"},
            Verdict("pushed before: /pushed/7 holds this very model and is current", True),
        ),
        (
            {**PUSHED, "approve_command": "tfx-tflite approve /pushed 7"},
            Verdict("waits for approval: /pushed/7; tfx-tflite approve /pushed 7", True),
        ),
        (
            {"pushed": 0.0, "push_outcome": "rejected", "push_note": "ada rejected it"},
            Verdict("refused: ada rejected it; nothing was pushed", False),
        ),
        (
            {"pushed": 0.0, "push_outcome": "withdrawn", "push_note": "it was rolled back from"},
            Verdict("refused: it was rolled back from; nothing was pushed", False),
        ),
    ],
)
def test_a_push_says_where_it_is_or_why_it_is_not(blessing, metadata, expected):
    write_report(blessing, "blessed")
    outputs = {"pushed_model": RuntimeArtifact(uri="/out", metadata=metadata)}
    assert verdict_of(task(model_blessing=blessing), outputs) == expected


def test_a_push_that_was_refused_says_why(blessing):
    write_report(blessing, "refused", "AUC fell.")
    outputs = {"pushed_model": RuntimeArtifact(uri="/out", metadata={"pushed": 0.0})}
    found = verdict_of(task(model_blessing=blessing), outputs)
    assert found == Verdict("refused: AUC fell; nothing was pushed", False)


def test_other_tasks_have_none(blessing):
    assert verdict_of(task(), {"statistics": RuntimeArtifact(uri="/out")}) is None
