"""An evaluation on targets: whose kernels give the figures, and what is said beside them."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.components.models.micro import alone
from tests.components.quantization_evaluator.test_executor import eval_config, push, run
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.progress import PREDICTED, VARIABLE, Step
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.versions import Kernels

pytestmark = [pytest.mark.slow, pytest.mark.generations]

ACCURACY = "SparseCategoricalAccuracy"
LENIENT = {"metric": ACCURACY, "max_drop": 0.05}
MICRO, REFERENCE = {"runtime": "tflite-micro"}, {"kernels": "reference"}


@pytest.fixture(scope="module")
def content(convert_digits) -> bytes:
    return convert_digits("int8", batch_size=1).quantized


@pytest.fixture(scope="module")
def artifacts(content: bytes, digits_model: Path, digits_data: Path, tmp_path_factory) -> dict:
    from tfx.types import artifact_utils, standard_artifacts

    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path_factory.mktemp("examples"))
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    split = Path(examples.uri) / "Split-eval"
    split.mkdir()
    (split / "data.tfrecord").write_bytes((digits_data / "eval" / "data.tfrecord").read_bytes())
    model, baseline = standard_artifacts.Model(), standard_artifacts.Model()
    model.uri, baseline.uri = str(tmp_path_factory.mktemp("model")), str(digits_model)
    (Path(model.uri) / "Format-Serving").mkdir()
    (Path(model.uri) / "Format-Serving" / "tflite").write_bytes(content)
    return {"examples": [examples], "model": [model], "baseline_model": [baseline]}


def with_model(artifacts: dict, directory: Path, content: bytes) -> dict:
    """Returns the evaluator's inputs with another quantized model."""
    from tfx.types import standard_artifacts

    model = standard_artifacts.Model()
    model.uri = str(directory / "model")
    path = Path(model.uri) / "Format-Serving" / "tflite"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return {**artifacts, "model": [model]}


def evaluated(artifacts: dict, output: Path, *rules: dict, devices: list, **options) -> Report:
    gate = Gate.model_validate({"rules": rules})
    evaluation, _ = run(artifacts, output, gate, eval_config(), devices=devices, **options)
    path = Path(evaluation.uri) / "report.json"
    return Report.parse(path.read_bytes(), str(path))


def accuracy(outputs: np.ndarray, labels: np.ndarray) -> float:
    return float((outputs.argmax(axis=1) == labels.ravel()).mean())


@pytest.fixture(scope="module")
def on_both(artifacts, tmp_path_factory) -> Report:
    return evaluated(
        artifacts,
        tmp_path_factory.mktemp("both"),
        LENIENT,
        {"max_arena_bytes": 20_000},
        {"max_size_bytes": 20_000},
        devices=[MICRO, REFERENCE],
    )


def test_the_figures_are_those_of_each_targets_kernels(on_both, content, digits_arrays):
    images, labels = digits_arrays["eval"]
    expected = {
        "tflite-micro": accuracy(alone.outputs(content, images), labels),
        "litert, reference kernels": accuracy(
            TFLiteModel(content, Kernels.REFERENCE).predict({"image": images})["probabilities"],
            labels,
        ),
    }
    found = {rule.target: rule.quantized_value for rule in on_both.rules if rule.metric == ACCURACY}
    assert found == pytest.approx(expected)
    assert [each.runtime.kernels for each in on_both.targets] == ["micro", "reference"]
    assert on_both.runtime.kernels is Kernels.MICRO


def test_beside_them_is_how_this_machines_kernels_differ(on_both, content, digits_arrays):
    images, _ = digits_arrays["eval"]
    micro, host = (
        TFLiteModel(content, kernels).predict({"image": images})["probabilities"].argmax(axis=1)
        for kernels in (Kernels.MICRO, None)
    )
    for target in on_both.targets:
        assert target.host.examples == target.host.decisions == len(images)
    assert on_both.targets[0].host.differing == int((micro != host).sum())
    assert on_both.targets[0].host.runtime.kernels is Kernels.XNNPACK


def test_what_does_not_depend_on_the_target_is_judged_once(on_both):
    targets = [(rule.metric, rule.target) for rule in on_both.rules]
    assert targets == [
        (ACCURACY, "tflite-micro"),
        ("arena_bytes", "tflite-micro"),
        ("size_bytes", None),
        (ACCURACY, "litert, reference kernels"),
        ("arena_bytes", "litert, reference kernels"),
    ]


def test_the_working_memory_is_the_targets(on_both, content):
    found = [rule.quantized_value for rule in on_both.rules if rule.metric == "arena_bytes"]
    assert found[0] == alone.smallest_arena(content) < found[1]
    assert [each.arena.source.kind for each in on_both.targets] == ["exact", "measured"]


def test_golden_samples_are_recorded_on_each_target(on_both):
    assert [each.golden.runtime.kernels for each in on_both.targets] == ["micro", "reference"]
    files = {tensor.file for each in on_both.targets for tensor in each.golden.outputs}
    assert files == {"golden/output_0.bin", "golden_2/output_0.bin"}
    assert files < on_both.shipped.keys() and on_both.golden == on_both.targets[0].golden


def test_an_accurate_model_that_needs_too_much_memory_is_refused(artifacts, tmp_path: Path):
    report = evaluated(artifacts, tmp_path, LENIENT, {"max_arena_bytes": 1000}, devices=[MICRO])
    assert report.verdict == "refused"
    [reason] = report.reasons
    assert reason.startswith("the model needs") and reason.endswith("more than 1,000")


def test_an_operator_that_the_target_lacks_refuses_the_model(
    artifacts, tmp_path: Path, content: bytes
):
    changed = with_model(artifacts, tmp_path, _with_an_operator_that_micro_lacks(content))
    report = evaluated(changed, tmp_path, LENIENT, devices=[MICRO, REFERENCE])
    assert report.verdict == "refused"
    assert "tflite-micro does not run the model" in report.reasons[0]
    assert "RANK" in report.reasons[0]
    verdicts = {rule.target: rule.verdict for rule in report.rules}
    assert verdicts == {"tflite-micro": "not_judged", "litert, reference kernels": "blessed"}
    assert report.targets[0].metrics == () and report.targets[1].metrics


def _with_an_operator_that_micro_lacks(content: bytes) -> bytes:
    """Returns the model with the rank of its input computed beside, which nothing reads."""
    from tfx_tflite.components.models import object_tree

    tree = object_tree.parse(content)
    graph = tree.subgraphs[0]
    tree.operatorCodes.append(object_tree.code_tree("RANK"))
    graph.tensors.append(object_tree.tensor_tree("rank", "INT32", ()))
    graph.operators.append(
        object_tree.operator_tree(
            len(tree.operatorCodes) - 1, [int(graph.inputs[0])], [len(graph.tensors) - 1]
        )
    )
    return object_tree.pack(tree)


def _with_a_softmax_that_ends_reference_kernels(content: bytes) -> bytes:
    """Returns the model with inputs of softmax that are scaled to nothing."""
    from tfx_tflite.components.models import object_tree

    tree = object_tree.parse(content)
    for operator in tree.subgraphs[0].operators:
        if hasattr(operator.builtinOptions, "beta"):
            operator.builtinOptions.beta = 0.0
    return object_tree.pack(tree)


def test_a_pushed_model_that_the_targets_kernels_die_of_is_an_error(
    artifacts, tmp_path: Path, content: bytes
):
    destination = push(_with_a_softmax_that_ends_reference_kernels(content), tmp_path)
    rule = {**LENIENT, "against": "pushed"}
    with pytest.raises(ModelError, match=r"pushed version .* reference kernels ends .* one push"):
        evaluated(artifacts, tmp_path, rule, devices=[REFERENCE], pushed_destination=destination)


def test_a_model_and_a_pushed_one_that_a_target_does_not_run_are_compared_on_the_others(
    artifacts, tmp_path: Path, digits_flatbuffer: bytes
):
    """The reason is the target's, and not that the pushed model cannot be compared with there."""
    free = with_model(artifacts, tmp_path, digits_flatbuffer)
    report = evaluated(
        free,
        tmp_path,
        {**LENIENT, "against": "pushed"},
        devices=[MICRO, REFERENCE],
        pushed_destination=push(digits_flatbuffer, tmp_path),
    )
    assert [rule.verdict for rule in report.rules] == ["not_judged", "blessed"]
    [reason] = report.reasons
    assert reason.startswith("tflite-micro does not run the model")


def test_the_artifact_has_the_figures_of_the_first_target(
    artifacts, tmp_path: Path, content: bytes
):
    gate = Gate.model_validate({"rules": [LENIENT, {"max_arena_bytes": 20_000}]})
    evaluation, _ = run(artifacts, tmp_path, gate, eval_config(), devices=[MICRO, {}])
    found = evaluation.get_float_custom_property("arena_bytes_quantized")
    assert found == alone.smallest_arena(content)


def test_this_machines_kernels_are_compared_with_no_target_that_has_them(artifacts, tmp_path: Path):
    report = evaluated(artifacts, tmp_path, LENIENT, devices=[MICRO, {}])
    assert [each.host is None for each in report.targets] == [False, True]


def test_a_model_with_a_free_batch_axis_is_refused_with_the_remedy(
    artifacts, tmp_path: Path, digits_flatbuffer: bytes
):
    free = with_model(artifacts, tmp_path, digits_flatbuffer)
    report = evaluated(free, tmp_path, LENIENT, devices=[MICRO])
    assert "quantization.batch_size: 1" in report.reasons[0]


def test_slow_kernels_tell_how_far_they_are(
    artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    told = tmp_path / "told"
    told.touch()
    monkeypatch.setenv(VARIABLE, str(told))
    evaluated(artifacts, tmp_path, LENIENT, devices=[{}, MICRO])
    steps = [Step.parse(line) for line in told.read_bytes().splitlines()]
    predicted = [step.more for step in steps if step.what == PREDICTED]
    assert sum(predicted) == 449 and max(predicted) == 50


def test_without_targets_the_report_names_none(artifacts, tmp_path: Path):
    report = evaluated(artifacts, tmp_path, LENIENT, devices=[{}])
    assert report.targets == ()
    keys = json.loads((tmp_path / "evaluation" / "report.json").read_text())["rules"][0].keys()
    assert "target" not in keys
