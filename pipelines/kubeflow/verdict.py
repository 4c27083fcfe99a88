"""What came of a task that judges or pushes, in the line that its log on Kubeflow ends with."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue
from tfx.dsl.io import fileio

from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components import verdict as gate
from tfx_tflite.components.report.document import Report
from tfx_tflite.pipelines.kubeflow.call import RuntimeArtifact, Task
from tfx_tflite.pipelines.kubeflow.entry_point import readable_at

_BLESSING_OF_PUSH = "model_blessing"


@dataclass(frozen=True)
class Verdict:
    """What came of a task.

    Attributes:
        line: For people.
        is_good: Whether the model is blessed, or is where it was to be pushed.
    """

    line: str
    is_good: bool


def verdict_of(task: Task, outputs: Mapping[str, RuntimeArtifact]) -> Verdict | None:
    """Returns what came of a task; None of one that neither judges nor pushes.

    Args:
        task: What was done.
        outputs: What it has reported of each output.
    """
    if "pushed_model" in outputs:
        [blessing] = task.call.inputs.artifacts[_BLESSING_OF_PUSH].artifacts
        return _of_push(outputs["pushed_model"].metadata, _report_at(blessing.uri))
    if "blessing" in outputs:
        return _of_evaluation(_report_at(outputs["blessing"].uri))
    return None


def _report_at(blessing: str) -> Report:
    path = posixpath.join(readable_at(blessing), layout.REPORT_FILE)
    with fileio.open(path, "rb") as file:
        return Report.parse(file.read(), path)


def _of_evaluation(report: Report) -> Verdict:
    why = _reasons(report) or f"evaluated on {report.examples} examples"
    return Verdict(f"{report.verdict.value}: {why}", report.verdict is gate.Verdict.BLESSED)


def _of_push(pushed: Mapping[str, JsonValue], report: Report) -> Verdict:
    note = str(pushed.get(layout.PUSH_NOTE) or "")
    if not pushed.get(layout.PUSHED):
        why = (_reasons(report) or note).rstrip(".")
        return Verdict(f"refused: {why}; nothing was pushed", is_good=False)
    place = pushed[layout.PUSHED_DESTINATION]
    line = (
        f"pushed before: {place} holds this very model and is current"
        if pushed.get(layout.PUSH_OUTCOME) == "present"
        else f"pushed to {place}"
    )
    if command := pushed.get(layout.APPROVE_COMMAND):
        line = f"waits for approval: {place}; {command}"
    return Verdict(f"{line}; {note}" if note else line, is_good=True)


def _reasons(report: Report) -> str:
    """Returns the reasons of a refusal in one line."""
    return " ".join(" ".join(report.reasons).split())
