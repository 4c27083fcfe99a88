"""Float against quantized through the real TFMA, on the digits."""

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.components.models.reading import with_unused_reader
from tests.components.quantization_evaluator.inputs import evaluator_inputs
from tfx_tflite.components.artifact_layout import FLOAT_TFLITE_FILE
from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.errors import DataError, EvaluationError, ModelError, user_error_in
from tfx_tflite.components.judgement.gate import (
    AgreementLimit,
    ArenaLimit,
    Gate,
    LatencyLimit,
    LatencyMsLimit,
    MetricRule,
    NoiseLimit,
    RuntimeLimit,
)
from tfx_tflite.components.judgement.settings import EvaluatorSettings
from tfx_tflite.components.models import latency
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Target
from tfx_tflite.components.report.document import Report
from tfx_tflite.components.verdict import Verdict

pytestmark = pytest.mark.slow

METRICS = ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"]


def eval_config(metrics: list = METRICS, slices: tuple = ("label",)):
    """Metrics are class names, or pairs of a class name and a config."""
    from tensorflow_model_analysis.proto import config_pb2

    pairs = [(metric, {}) if isinstance(metric, str) else metric for metric in metrics]
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(label_key="label")],
        metrics_specs=[
            config_pb2.MetricsSpec(
                metrics=[
                    config_pb2.MetricConfig(class_name=name, config=json.dumps(config))
                    for name, config in pairs
                ]
            )
        ],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=[key]) for key in slices],
    )


@pytest.fixture(scope="module")
def tflite_model(digits_model: Path, digits_arrays, tmp_path_factory) -> Path:
    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    samples = {"image": digits_arrays["train"][0][:100]}
    with Converter(tmp_path_factory.mktemp("conversion")) as converter:
        content = converter.convert(digits_model, "serving_tensors", Recipe(Scheme.INT8), samples)
    path = tmp_path_factory.mktemp("model")
    (path / "Format-Serving").mkdir()
    (path / "Format-Serving" / "tflite").write_bytes(content)
    return path


@pytest.fixture(scope="module")
def artifacts(digits_model: Path, digits_data: Path, tflite_model: Path, tmp_path_factory):
    """The inputs of the evaluator as TFX artifacts."""
    import tensorflow as tf
    from tfx.types import artifact_utils, standard_artifacts

    uri = tmp_path_factory.mktemp("examples")
    target = uri / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
    target.parent.mkdir()
    with tf.io.TFRecordWriter(str(target), "GZIP") as writer:
        for record in tf.data.TFRecordDataset(str(digits_data / "eval" / "data.tfrecord")):
            writer.write(record.numpy())
    examples = standard_artifacts.Examples()
    examples.uri = str(uri)
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    model, baseline = standard_artifacts.Model(), standard_artifacts.Model()
    model.uri, model.id = str(tflite_model), 7
    baseline.uri, baseline.id = str(digits_model), 5
    return {"examples": [examples], "model": [model], "baseline_model": [baseline]}


def run(artifacts: dict, output: Path, gate: Gate, config=None, beam_args=(), **options):
    from tfx.types import standard_artifacts
    from tfx.utils import proto_utils

    from tests.executors import on_beam
    from tfx_tflite.components.quantization_evaluator.executor import Executor
    from tfx_tflite.components.report.kubeflow_artifacts import Figures, ReportPage

    evaluation, blessing = standard_artifacts.ModelEvaluation(), standard_artifacts.ModelBlessing()
    evaluation.uri, blessing.uri = str(output / "evaluation"), str(output / "blessing")
    page, figures = ReportPage(), Figures()
    page.uri, figures.uri = str(output / "page"), str(output / "figures")
    on_beam(Executor, *beam_args).Do(
        artifacts,
        {
            "evaluation": [evaluation],
            "blessing": [blessing],
            "page": [page],
            "figures": [figures],
        },
        {
            "eval_config": proto_utils.proto_to_json(config or eval_config()),
            "settings": EvaluatorSettings.given(
                None,
                {"gate": gate, "signature": "serving_tensors", "golden_samples": 5, **options},
            ).to_property(),
        },
    )
    return evaluation, blessing


LENIENT = Gate(rules=(MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.05),))


@pytest.fixture(scope="module")
def evaluated(artifacts, tmp_path_factory):
    return run(artifacts, tmp_path_factory.mktemp("evaluated"), LENIENT)


@pytest.mark.generations
def test_tfma_reads_the_evaluation(evaluated):
    import tensorflow_model_analysis as tfma

    evaluation, _ = evaluated
    result = tfma.load_eval_result(evaluation.uri, model_name="quantized")
    slices = dict(result.slicing_metrics)
    overall = slices[()][""][""]
    assert 0.9 < overall["SparseCategoricalAccuracy"]["doubleValue"] <= 1
    assert len(slices) == 11


def test_copies_among_the_digits_are_looked_for_and_are_too_few_for_a_warning(evaluated):
    evaluation, _ = evaluated
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    assert 0 <= report["copies"]["share"] < 0.03
    assert not [warning for warning in report["warnings"] if "copies" in warning]


def test_the_page_lies_beside_the_report(evaluated):
    page = (Path(evaluated[0].uri) / "report.html").read_text()
    assert "SparseCategoricalAccuracy" in page and "may be pushed" in page


def test_what_ships_along_are_golden_samples_and_the_schema_each_with_its_digest(
    evaluated, digits_arrays
):
    from tfx_tflite.components.destinations.manifest import Golden
    from tfx_tflite.components.digests import file_digest
    from tfx_tflite.components.models import golden_samples

    evaluation, blessing = evaluated
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    shipped = Path(blessing.uri) / "shipped"
    files = {path.relative_to(shipped).as_posix() for path in shipped.rglob("*.*")}
    assert files == set(report["shipped"]) >= {"golden/input_0.bin", "golden/output_0.bin"}
    assert all(file_digest(shipped / name) == report["shipped"][name] for name in files)
    golden = report["golden"]
    assert golden["samples"] == 5 and golden["outputs"][0]["shape"] == [5, 10]
    [image] = report["signature"]["inputs"]
    [recorded] = golden_samples.read(shipped, Golden.model_validate(golden).inputs).values()
    real = (recorded.astype(np.float32) - (image["zero_point"] or 0)) * (image["scale"] or 1)
    eval_images = digits_arrays["eval"][0].reshape(-1, 64)
    distances = np.abs(eval_images[:, None] - real.reshape(1, 5, 64)).max(axis=2).min(axis=0)
    # Each is an example of the split, to half a step of its quantization.
    assert distances.max() <= 0.5 * (image["scale"] or 0) + 1e-6


def test_a_blessing_names_the_report_by_its_digest(evaluated):
    from tfx_tflite.components.digests import file_digest

    _, blessing = evaluated
    found = blessing.get_string_custom_property("report_digest")
    assert found == file_digest(Path(blessing.uri) / "report.json")


@pytest.mark.generations
def test_the_figures_are_those_of_the_models(
    evaluated, keras_digits, digits_arrays, tflite_model: Path
):
    from tfx_tflite.components.models.tflite_model import TFLiteModel

    images, labels = digits_arrays["eval"]
    quantized = TFLiteModel((tflite_model / "Format-Serving" / "tflite").read_bytes())
    predictions = {
        "float": keras_digits.predict(images, verbose=0),
        "quantized": quantized.predict({"image": images})["probabilities"],
    }
    report = json.loads((Path(evaluated[0].uri) / "report.json").read_text())
    assert report["examples"] == len(labels)
    for slice_name, rows in [("overall", labels >= 0), ("label:3", labels == 3)]:
        [value] = [
            value
            for value in report["metrics"]
            if (value["metric"], value["slice"]) == ("SparseCategoricalAccuracy", slice_name)
        ]
        assert value["examples"] == rows.sum()
        for model, outputs in predictions.items():
            expected = np.mean(outputs.argmax(axis=1)[rows] == labels[rows])
            assert value[model] == pytest.approx(expected, abs=1e-6)


def test_of_very_many_slices_the_report_says_what_it_leaves_out(
    artifacts, digits_arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tfx_tflite.components.judgement import comparison
    from tfx_tflite.components.report import kept_slices

    monkeypatch.setattr(comparison, "MOST_SLICES", 9)
    monkeypatch.setattr(kept_slices, "MOST_SLICES", 3)
    counts = np.bincount(digits_arrays["eval"][1])
    least = int(np.median(counts)) + 1
    rule = MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.5, slices="each")
    found, _ = run(artifacts, tmp_path, Gate(rules=(rule,), min_slice_examples=least))
    report = Report.parse((Path(found.uri) / "report.json").read_bytes(), "report")
    judged = int((counts >= least).sum())
    assert 3 < judged < 10 and report.verdict is Verdict.BLESSED
    assert report.slices_not_evaluated == 10 - judged and len(report.rules) == 3
    [left_out] = report.slices_left_out
    assert left_out.verdicts == {"blessed": judged - 3}
    assert report.notes[-2:] == (
        left_out.in_words,
        f"{10 - judged} slices have fewer examples than gate.min_slice_examples ({least}); no rule "
        "judges them, and they have no figures",
    )


def on_batches_and_by_tfma(
    artifacts: dict, directory: Path, gate: Gate, config, monkeypatch: pytest.MonkeyPatch
) -> list[dict]:
    """Returns the metrics computed on batches and those of TFMA itself, by name and slice."""
    from tfx_tflite.components.judgement import metric_plan

    figures = []
    for name, batched in (("ours", metric_plan.batched_metric), ("tfma", lambda *_: None)):
        monkeypatch.setattr(metric_plan, "batched_metric", batched)
        found, _ = run(artifacts, directory / name, gate, config)
        report = json.loads((Path(found.uri) / "report.json").read_text())
        figures.append({(v["metric"], v["slice"]): v for v in report["metrics"]})
    return figures


def test_batched_metrics_equal_tfmas_own_on_every_slice(
    artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = eval_config([*METRICS, "SparseTopKCategoricalAccuracy"])
    ours, tfmas = on_batches_and_by_tfma(artifacts, tmp_path, LENIENT, config, monkeypatch)
    assert len(ours) == 3 * 11 and set(ours) == set(tfmas)
    for key, value in tfmas.items():
        assert ours[key]["examples"] == value["examples"]
        for model in ("float", "quantized"):
            assert ours[key][model] == pytest.approx(value[model], abs=1e-6), key


# --- Images of examples ---------------------------------------------------------------------------


def test_images_are_shown_only_if_they_are_asked_for(evaluated):
    report = json.loads((Path(evaluated[0].uri) / "report.json").read_text())
    assert report["shown_examples"] == [] and report["shown_examples_problem"] is None
    assert "<img" not in (Path(evaluated[0].uri) / "report.html").read_text()


def test_the_images_are_those_of_the_records_that_differ_most(
    artifacts, evaluated, digits_data: Path, tmp_path: Path
):
    import base64

    import tensorflow as tf

    found, _ = run(artifacts, tmp_path, LENIENT, show_examples=True)
    report = json.loads((Path(found.uri) / "report.json").read_text())
    before = json.loads((Path(evaluated[0].uri) / "report.json").read_text())
    # What is shown decides nothing.
    assert report["digests"]["config"] == before["digests"]["config"]
    assert report["rules"] == before["rules"]
    shown = report["shown_examples"]
    assert 0 < len(shown) <= 12
    turned = [each["turned_wrong"] for each in shown]
    assert turned == sorted(turned, reverse=True)
    file = str(digits_data / "eval" / "data.tfrecord")
    records = tf.data.TFRecordDataset(file).as_numpy_iterator()
    by_digest = {example_digest(record).hex(): record for record in records}
    for each in shown:
        features = tf.train.Example.FromString(by_digest[each["digest"]]).features.feature
        assert each["label"] == features["label"].int64_list.value[0]
        pixels = np.array(features["image"].float_list.value).reshape(8, 8, 1)
        png = tf.io.decode_png(base64.b64decode(each["png"])).numpy()
        np.testing.assert_array_equal(png, np.rint(255 * pixels))
    page = (Path(found.uri) / "report.html").read_text()
    assert page.count("<img ") == len(shown)
    assert all(f"base64,{each['png']}" in page for each in shown)


def test_a_model_without_images_has_a_reason_instead(score_artifacts, tmp_path: Path):
    found, _ = run(
        score_artifacts, tmp_path, SCORE_GATE, eval_config(["AUC"], ()), show_examples=True
    )
    report = json.loads((Path(found.uri) / "report.json").read_text())
    assert report["shown_examples"] == [] and report["verdict"] == "blessed"
    assert "no input of the model is one; it takes: x [3]" in report["shown_examples_problem"]
    assert "There are no images" in (Path(found.uri) / "report.html").read_text()


@pytest.fixture(scope="module")
def score_artifacts(tmp_path_factory, write_records_to):
    """A model with one score from 0 to 1, and examples with a label of 0 or 1."""
    import tensorflow as tf

    directory = tmp_path_factory.mktemp("score")
    weights = tf.constant([[1.5], [-2.0], [0.5]])

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serving_tensors(x):
        return {"score": tf.sigmoid(tf.matmul(x, weights))}

    module = tf.Module()
    module.weights = weights
    tf.saved_model.save(module, str(directory / "model"), {"serving_tensors": serving_tensors})
    rows = np.random.default_rng(0).normal(size=(600, 3)).astype(np.float32)
    noise = np.random.default_rng(1).normal(size=600)
    labels = (rows @ np.array([1.5, -2.0, 0.5]) + noise > 0).astype(int)
    examples = [
        {"x": row, "label": label, "group": index % 3}
        for index, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    write_records_to(directory / "examples" / "Split-eval" / "data_tfrecord-0.gz", examples)
    return evaluator_inputs(directory, rows)


SCORE_METRICS = [
    "AUC",
    ("AUC", {"name": "keras_auc", "num_thresholds": 200}),
    ("AUC", {"name": "lower_sum", "summation_method": "minoring"}),
    "AUCPrecisionRecall",
    "BalancedAccuracy",
    "BinaryAccuracy",
    "BinaryCrossentropy",
    "F1Score",
    "FPR",
    "MatthewsCorrelationCoefficient",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Precision",
    ("PrecisionAtRecall", {"recall": 0.8}),
    "Recall",
    ("Recall", {"name": "recall_at_a_quarter", "thresholds": 0.25}),
    ("RecallAtPrecision", {"precision": 0.8}),
    "RootMeanSquaredError",
    ("SensitivityAtSpecificity", {"specificity": 0.7}),
    "Specificity",
]


SCORE_GATE = Gate(rules=(MetricRule(metric="AUC", max_drop=1),))


def test_batched_metrics_of_one_score_equal_tfmas_own_on_every_slice(
    score_artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    config = eval_config(SCORE_METRICS, ("group",))
    ours, tfmas = on_batches_and_by_tfma(score_artifacts, tmp_path, SCORE_GATE, config, monkeypatch)
    assert len(ours) == len(SCORE_METRICS) * 4 and set(ours) == set(tfmas)
    for key, value in tfmas.items():
        for model in ("float", "quantized"):
            assert ours[key][model] == pytest.approx(value[model], abs=1e-6), key


def test_the_area_under_the_curve_has_a_confidence_by_the_bootstrap(
    score_artifacts, tmp_path: Path
):
    rules = (MetricRule(metric="AUC", max_drop=0.02, confidence=0.95),)
    config = eval_config(["AUC"], ())
    found, _ = run(score_artifacts, tmp_path, Gate(rules=rules), config)
    [rule] = json.loads((Path(found.uri) / "report.json").read_text())["rules"]
    assert rule["method"].startswith("Poisson bootstrap")
    assert rule["lower"] < rule["drop"] < rule["upper"] < 0.02
    assert rule["verdict"] == "blessed"


def test_every_metric_of_one_score_has_a_confidence_on_every_slice(score_artifacts, tmp_path: Path):
    names = [metric if isinstance(metric, str) else metric[0] for metric in SCORE_METRICS]
    tested = [(c, m) for c, m in zip(names, SCORE_METRICS, strict=True) if isinstance(m, str)]
    tested += [("RecallAtPrecision", ("RecallAtPrecision", {"precision": 0.8}))]
    rules = tuple(
        MetricRule(metric=name, max_drop=0.5, confidence=0.9, slices=slices)
        for name, _ in tested
        for slices in ("overall", "each")
    )
    config = eval_config([metric for _, metric in tested], ("group",))
    found, _ = run(score_artifacts, tmp_path, Gate(rules=rules), config)
    results = json.loads((Path(found.uri) / "report.json").read_text())["rules"]
    assert len(results) == 4 * len(tested)
    for rule in results:
        assert rule["lower"] <= rule["drop"] <= rule["upper"], rule
        assert rule["verdict"] == "blessed", rule
    shares = {rule["method"] for rule in results if rule["metric"] in ("Recall", "FPR")}
    assert len(shares) == 1 and "Tango" in shares.pop()


@pytest.fixture(scope="module")
def backwards_in_four_files(artifacts, tmp_path_factory) -> dict:
    """The inputs of the evaluator with the same examples in another order and in other files."""
    import tensorflow as tf
    from tfx.types import artifact_utils, standard_artifacts

    [original] = Path(artifacts["examples"][0].uri).glob("Split-eval/*")
    records = list(tf.data.TFRecordDataset(str(original), "GZIP").as_numpy_iterator())[::-1]
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path_factory.mktemp("backwards"))
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    (Path(examples.uri) / "Split-eval").mkdir()
    for shard in range(4):
        path = Path(examples.uri) / "Split-eval" / f"data_tfrecord-0000{shard}-of-00004.gz"
        with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
            for record in records[shard::4]:
                writer.write(record)
    return {**artifacts, "examples": [examples]}


@pytest.fixture(scope="module")
def evaluated_backwards(backwards_in_four_files, tmp_path_factory):
    return run(backwards_in_four_files, tmp_path_factory.mktemp("evaluated"), LENIENT)


def found_in(evaluated) -> tuple[dict, dict[str, bytes]]:
    """Returns the report but for its time, and what is shipped."""
    evaluation, blessing = evaluated
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    assert report.pop("evaluated_at")
    shipped = Path(blessing.uri) / "shipped"
    return report, {name: (shipped / name).read_bytes() for name in report["shipped"]}


def assert_nearly_equal(one: object, other: object) -> None:
    """Asserts that documents are the same but for the last digits of their numbers."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_nearly_equal(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_nearly_equal(left, right)
    else:
        assert one == (pytest.approx(other, rel=1e-6) if isinstance(other, float) else other)


@pytest.mark.parametrize("mode", ["multi_processing", "multi_threading"])
def test_several_workers_give_the_same_report_and_golden_samples(
    backwards_in_four_files, evaluated_backwards, tmp_path: Path, mode: str
):
    parallel = ("--direct_num_workers=2", f"--direct_running_mode={mode}")
    several = run(backwards_in_four_files, tmp_path, LENIENT, beam_args=parallel)
    assert found_in(several) == found_in(evaluated_backwards)


def test_other_files_and_another_order_give_the_same_report_and_golden_samples(
    evaluated, evaluated_backwards
):
    (one, shipped), (other, shipped_by_other) = map(found_in, (evaluated, evaluated_backwards))
    assert shipped_by_other == shipped
    assert one.pop("lineage").keys() == other.pop("lineage").keys()
    # The float net's own answers have other last digits in batches of another size.
    assert_nearly_equal(one, other)


@pytest.mark.generations
def test_a_metric_that_goes_through_tfma_is_evaluated_beside_a_calibrated_model(
    score_artifacts, tmp_path: Path
):
    import shutil

    from tfx.types import standard_artifacts

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "calibrated")
    shutil.copytree(score_artifacts["model"][0].uri, model.uri)
    ranges = {"input_ranges": {"x": [-2.0, 2.0]}}
    (tmp_path / "calibrated" / "quantization.json").write_text(json.dumps(ranges))
    rule = MetricRule(metric="MeanPrediction", max_drop=1, direction="higher_is_better")
    found, _ = run(
        {**score_artifacts, "model": [model]},
        tmp_path / "run",
        Gate(rules=(rule,)),
        eval_config(["MeanPrediction"], ("group",)),
    )
    report = json.loads((Path(found.uri) / "report.json").read_text())
    assert report["metrics"][0]["float"] == pytest.approx(0.5, abs=0.1)
    [seen] = report["saturation"]
    assert seen["input"] == "x" and seen["extent"][0] < -2 and seen["extent"][1] > 2


def test_worst_examples_and_golden_samples_are_named_by_digests_of_examples(
    artifacts, evaluated, digits_data: Path
):
    import tensorflow as tf

    file = str(digits_data / "eval" / "data.tfrecord")
    digests = sorted(
        example_digest(record).hex() for record in tf.data.TFRecordDataset(file).as_numpy_iterator()
    )
    report = json.loads((Path(evaluated[0].uri) / "report.json").read_text())
    assert len(report["worst_examples"]) == 10
    assert {example["digest"] for example in report["worst_examples"]} <= {*digests}
    assert report["golden"]["examples"] == digests[:5]


@pytest.mark.generations
def test_a_rule_with_confidence_is_judged_on_the_same_examples(artifacts, tmp_path: Path):
    rules = (
        MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.05, confidence=0.95),
        MetricRule(metric="SparseCategoricalCrossentropy", max_relative_drop=3, confidence=0.95),
        AgreementLimit(min_agreement=0.9),
    )
    found, blessing = run(artifacts, tmp_path, Gate(rules=rules))
    assert blessing.get_int_custom_property("blessed") == 1
    report = json.loads((Path(found.uri) / "report.json").read_text())
    accuracy, loss, agreement = report["rules"]
    assert accuracy["lower"] <= accuracy["drop"] <= accuracy["upper"] < accuracy["bound"]
    assert loss["lower"] <= loss["drop"] <= loss["upper"]
    assert agreement["quantized"] > 0.9


def test_there_is_no_confidence_for_a_metric_that_goes_through_tfma(artifacts, tmp_path: Path):
    gate = Gate(
        rules=(
            MetricRule(
                metric="MeanLabel", max_drop=1, confidence=0.9, direction="higher_is_better"
            ),
        )
    )
    with pytest.raises(EvaluationError, match="no confidence for this metric, only for: Sparse"):
        run(artifacts, tmp_path, gate, eval_config([*METRICS, "MeanLabel"]))


def test_the_figures_are_properties_of_the_evaluation_in_ml_metadata(evaluated):
    evaluation, _ = evaluated
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    assert evaluation.get_string_custom_property("verdict") == "blessed"
    assert evaluation.get_int_custom_property("examples") == 449
    for key in ("float", "quantized", "drop"):
        found = evaluation.get_float_custom_property(f"SparseCategoricalAccuracy_{key}")
        assert found == report["rules"][0][key]


def test_recall_is_not_judged_on_a_slice_without_positives(score_artifacts, tmp_path: Path):
    rules = tuple(
        MetricRule(metric=name, max_drop=0.5, confidence=0.9, slices="each")
        for name in ("Recall", "AUC", "F1Score")
    )
    config = eval_config(["Recall", "AUC", "F1Score"], ("label",))
    found, _ = run(score_artifacts, tmp_path, Gate(rules=rules), config)
    verdicts = {
        (rule["metric"], rule["slice"]): rule["verdict"]
        for rule in json.loads((Path(found.uri) / "report.json").read_text())["rules"]
    }
    assert verdicts["Recall", "label:0"] == verdicts["AUC", "label:0"] == "not_judged"
    assert verdicts["Recall", "label:1"] == "blessed"


@pytest.fixture(scope="module")
def few_scores(score_artifacts, write_records_to, tmp_path_factory):
    """The scoring model with examples of one's own."""
    from tfx.types import artifact_utils, standard_artifacts

    def make(rows: list[dict]) -> dict:
        examples = standard_artifacts.Examples()
        examples.uri = str(tmp_path_factory.mktemp("few"))
        examples.split_names = artifact_utils.encode_split_names(["eval"])
        write_records_to(Path(examples.uri) / "Split-eval" / "data_tfrecord-0.gz", rows)
        return {**score_artifacts, "examples": [examples]}

    return make


def test_an_infinite_value_is_evaluated_and_reported_as_null(few_scores, tmp_path: Path):
    rows = [{"x": np.zeros(3, np.float32), "label": index % 2} for index in range(20)]
    rows.append({"x": np.array([np.inf, 0, 0], np.float32), "label": 1})
    gate = Gate(rules=(MetricRule(metric="MeanSquaredError", max_drop=1),), min_examples=1)
    found, _ = run(few_scores(rows), tmp_path, gate, eval_config(["MeanSquaredError"], ()))
    text = (Path(found.uri) / "report.json").read_text()
    assert json.loads(text)["examples"] == 21
    assert "Infinity" not in text and "NaN" not in text


def test_labels_that_are_no_share_of_positives_are_an_error(few_scores, tmp_path: Path):
    from tfx_tflite.components.errors import user_error_in

    rows = [{"x": np.zeros(3, np.float32), "label": 1 + index % 2} for index in range(20)]
    gate = Gate(rules=(MetricRule(metric="Precision", max_drop=1),), min_examples=1)
    with pytest.raises(Exception, match="label") as caught:
        run(few_scores(rows), tmp_path, gate, eval_config(["Precision"], ()))
    error = user_error_in(caught.value)
    assert isinstance(error, DataError) and "the metrics take 0 to 1" in str(error)


def test_kubeflow_shows_the_page_and_the_figures(artifacts, tmp_path: Path):
    """Compiles the component as for a cluster and runs its container's command from the result."""
    from kfp.pipeline_spec import pipeline_spec_pb2
    from tfx.dsl.components.common.importer import Importer
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner
    from tfx.orchestration.pipeline import Pipeline
    from tfx.types import standard_artifacts

    from tfx_tflite.components.quantization_evaluator.component import QuantizationEvaluator
    from tfx_tflite.pipelines.kubeflow import entry_point as kubeflow_entry_point

    def imported(key: str, kind) -> Importer:
        return Importer(artifacts[key][0].uri, kind, output_key=key).with_id(f"import_{key}")

    kinds = {"model": standard_artifacts.Model, "baseline_model": standard_artifacts.Model}
    imports = {key: imported(key, kind) for key, kind in kinds.items()}
    imports["examples"] = imported("examples", standard_artifacts.Examples)
    evaluator = QuantizationEvaluator(
        **{key: node.outputs[key] for key, node in imports.items()},
        eval_config=eval_config(),
        gate=LENIENT,
        signature="serving_tensors",
    )
    command = ["python", "-m", kubeflow_entry_point.__name__]
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(default_commands=command),
        output_dir=str(tmp_path),
        output_filename="pipeline.json",
    )
    compiled = runner.run(
        Pipeline("evaluate", str(tmp_path / "root"), components=[*imports.values(), evaluator]),
        write_out=False,
    )
    spec = compiled["pipelineSpec"]
    container = spec["deploymentSpec"]["executors"]["QuantizationEvaluator_executor"]["container"]
    assert container["command"] == command
    definition = spec["components"]["QuantizationEvaluator"]
    types = {
        key: entry["artifactType"]
        for key, entry in definition["outputDefinitions"]["artifacts"].items()
    }
    assert "title: system.HTML" in types["page"]["instanceSchema"]
    assert "title: system.Metrics" in types["figures"]["instanceSchema"]

    inputs = {
        key: {
            "artifacts": [
                {
                    "name": f"projects/p/artifacts/{artifacts[key][0].id or 3}",
                    "uri": artifacts[key][0].uri,
                    "type": entry["artifactType"],
                    "metadata": {"split_names": '["eval"]'} if key == "examples" else {},
                }
            ]
        }
        for key, entry in definition["inputDefinitions"]["artifacts"].items()
    }
    parameters = spec["root"]["dag"]["tasks"]["QuantizationEvaluator"]["inputs"]["parameters"]
    executor_input = {
        "inputs": {
            "artifacts": inputs,
            "parameters": {
                key: value["runtimeValue"]["constantValue"] for key, value in parameters.items()
            },
        },
        "outputs": {
            "artifacts": {
                key: {"artifacts": [{"uri": str(tmp_path / key), "type": kind}]}
                for key, kind in types.items()
            },
            "outputFile": str(tmp_path / "output.json"),
        },
    }
    arguments = [value.replace("{{$}}", json.dumps(executor_input)) for value in container["args"]]
    kubeflow_entry_point.main(["entry_point", *arguments, "--runner=FnApiRunner"])
    output = pipeline_spec_pb2.ExecutorOutput()
    from google.protobuf import json_format

    json_format.Parse((tmp_path / "output.json").read_text(), output)
    assert "may be pushed" in (tmp_path / "page").read_text()
    [figures] = output.artifacts["figures"].artifacts
    assert 0.9 < figures.metadata["SparseCategoricalAccuracy_float"] <= 1
    assert figures.metadata["verdict"] == "blessed"


def test_a_blessing_names_the_model_and_its_bytes(evaluated, tflite_model: Path):
    from tfx_tflite.components.digests import file_digest

    _, blessing = evaluated
    assert blessing.get_int_custom_property("blessed") == 1
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_int_custom_property("baseline_model_id") == 5
    assert blessing.get_string_custom_property("model_digest") == file_digest(
        tflite_model / "Format-Serving" / "tflite"
    )
    assert (Path(blessing.uri) / "BLESSED").exists()


@pytest.mark.generations
def test_a_refused_model_is_not_blessed_and_the_report_says_why(artifacts, tmp_path: Path):
    gate = Gate(
        rules=(MetricRule(metric="SparseCategoricalCrossentropy", max_drop=0),), min_examples=5000
    )
    evaluation, blessing = run(artifacts, tmp_path, gate)
    assert blessing.get_int_custom_property("blessed") == 0
    assert (Path(blessing.uri) / "NOT_BLESSED").exists()
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    assert report["verdict"] == "refused"
    assert report["reasons"][0].startswith("449 examples are too few")
    assert {"metric", "slice", "float", "quantized", "drop", "bound", "verdict"} <= set(
        report["rules"][0]
    )


def test_tfma_reads_the_verdict_and_what_did_not_hold(artifacts, tmp_path: Path):
    import tensorflow_model_analysis as tfma
    from tensorflow_model_analysis.proto import config_pb2

    gate = Gate(
        rules=(
            MetricRule(metric="SparseCategoricalAccuracy", max_drop=0, confidence=0.95),
            MetricRule(metric="SparseCategoricalCrossentropy", max_drop=5, slices="each"),
            NoiseLimit(min_sqnr_db=300),
        ),
        min_examples=5000,
    )
    evaluation, _ = run(artifacts, tmp_path, gate)
    verdict = tfma.load_validation_result(evaluation.uri)
    assert not verdict.validation_ok
    [overall] = verdict.metric_validations_per_slice
    names = [failure.metric_key.name for failure in overall.failures]
    assert names == ["example_count", "SparseCategoricalAccuracy", "sqnr_db"]
    accuracy, ratio = overall.failures[1:]
    assert accuracy.metric_key.is_diff and "is undecided" in accuracy.message
    threshold = accuracy.metric_threshold.change_threshold
    assert threshold.absolute.value == 0
    assert threshold.direction == config_pb2.MetricDirection.HIGHER_IS_BETTER
    assert ratio.metric_threshold.value_threshold.lower_bound.value == 300


@pytest.mark.parametrize("against", [(), ("pushed",)], ids=["alone", "first push"])
def test_a_value_is_judged_on_a_first_push_and_without_a_float_figure_to_compare_with(
    against, artifacts, tmp_path: Path
):
    import tensorflow_model_analysis as tfma

    accuracy = "SparseCategoricalAccuracy"
    gate = Gate(
        rules=(
            MetricRule(metric=accuracy, min_value=0.5, confidence=0.95),
            MetricRule(metric=accuracy, min_value=0.5, slices="each"),
            MetricRule(metric="SparseCategoricalCrossentropy", max_value=1e-6, confidence=0.9),
            *(MetricRule(metric=accuracy, max_drop=0.1, against=model) for model in against),
        )
    )
    options = {"pushed_destination": str(tmp_path / "pushed")} if against else {}
    evaluation, _ = run(artifacts, tmp_path, gate, **options)
    report = Report.parse((Path(evaluation.uri) / "report.json").read_bytes(), "report")
    sure, *slices, loss = [rule for rule in report.rules if rule.against == "float"]
    assert sure.verdict is Verdict.BLESSED and sure.method.startswith("exact binomial")
    assert sure.bound == pytest.approx(sure.float_value - 0.5)
    assert sure.lower < sure.drop < sure.upper < sure.bound
    assert len(slices) == 10 and {rule.verdict for rule in slices} == {Verdict.BLESSED}
    assert loss.verdict is Verdict.REFUSED and loss.side == "at most" and loss.limit == 1e-6
    assert [rule.verdict for rule in report.rules if rule.against == "pushed"] == [
        Verdict.NOT_JUDGED for _ in against
    ]
    [overall] = tfma.load_validation_result(evaluation.uri).metric_validations_per_slice
    [failure] = overall.failures
    assert not failure.metric_key.is_diff
    assert failure.metric_threshold.value_threshold.upper_bound.value == 1e-6


def test_tfma_reads_a_blessing(evaluated):
    import tensorflow_model_analysis as tfma

    verdict = tfma.load_validation_result(evaluated[0].uri)
    assert verdict.validation_ok and not verdict.metric_validations_per_slice


def test_a_threshold_of_tfma_is_an_error_and_not_ignored():
    from tensorflow_model_analysis.proto import config_pb2

    from tfx_tflite.components.judgement.eval_config import check_metrics, two_model_config

    config = eval_config()
    config.metrics_specs[0].metrics[0].threshold.CopyFrom(
        config_pb2.MetricThreshold(value_threshold={"lower_bound": {"value": 0.9}})
    )
    with pytest.raises(EvaluationError, match="make it a rule there"):
        check_metrics(two_model_config(config))


def test_the_working_memory_of_both_models_is_reported(artifacts, tmp_path: Path, digits_model):
    import shutil

    from tfx.types import standard_artifacts

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    shutil.copytree(artifacts["model"][0].uri, model.uri)
    shutil.copyfile(
        tmp_path / "model" / "Format-Serving" / "tflite", tmp_path / "model" / "float32.tflite"
    )
    gate = Gate(rules=(ArenaLimit(max_arena_ratio=1.0),))
    found, _ = run({**artifacts, "model": [model]}, tmp_path, gate)
    report = json.loads((Path(found.uri) / "report.json").read_text())
    # An 8x8 image with 16 and 32 channels of one byte, and what the kernels need beside.
    assert 3_000 < report["arena_bytes"]["quantized"] < 50_000
    assert report["rules"][0]["metric"] == "arena_ratio" and report["verdict"] == "blessed"


@pytest.mark.generations
def test_a_model_that_needs_a_newer_runtime_than_is_allowed_is_refused(artifacts, tmp_path: Path):
    gate = Gate(rules=(RuntimeLimit(max_runtime_version="1.5.0"),))
    found, _ = run(artifacts, tmp_path, gate)
    report = json.loads((Path(found.uri) / "report.json").read_text())
    needed = report["min_runtime_version"]
    [rule] = report["rules"]
    assert (rule["quantized_release"], rule["limit_release"]) == (needed, "1.5.0")
    assert report["verdict"] == "refused"
    assert report["reasons"][0].startswith(f"the model needs TensorFlow Lite {needed} or later")


def test_latency_is_measured_for_longer_if_a_rule_limits_it():
    from tfx_tflite.components.quantization_evaluator.executor import _latency_effort

    judged = Gate(rules=(*LENIENT.rules, LatencyLimit(max_latency_ratio=1.0)))
    assert _latency_effort(judged, DEFAULT_TARGETS) == latency.JUDGED
    assert _latency_effort(LENIENT, DEFAULT_TARGETS) == latency.REPORTED
    assert latency.JUDGED.seconds > latency.REPORTED.seconds


MICRO, ETHOS, PHONE = (
    Target(runtime="tflite-micro"),
    Target(accelerator="ethos-u55-128"),
    Target(),
)
RATIO, DURATION = LatencyLimit(max_latency_ratio=1.0), LatencyMsLimit(max_latency_ms=5.0)


@pytest.mark.parametrize(
    ("devices", "rules", "effort"),
    [
        # This machine's latency is not that of a microcontroller.
        ([MICRO], (), None),
        ([ETHOS], (), None),
        ([MICRO, ETHOS], (), None),
        ([MICRO, PHONE], (), latency.REPORTED),
        ([MICRO], (RATIO,), latency.JUDGED),
        ([MICRO], (DURATION,), latency.JUDGED),
        ([ETHOS], (RATIO,), latency.JUDGED),
        # The accelerator's compiler estimates it.
        ([ETHOS], (DURATION,), None),
        ([ETHOS, MICRO], (DURATION,), latency.JUDGED),
        ([PHONE], (DURATION,), latency.JUDGED),
    ],
)
def test_latency_of_this_machine_is_measured_if_it_says_something_or_a_rule_asks(
    devices, rules, effort
):
    from tfx_tflite.components.quantization_evaluator.executor import _latency_effort

    assert _latency_effort(Gate(rules=(*LENIENT.rules, *rules)), devices) == effort


def test_metrics_may_be_any_of_tfma_with_their_own_config(artifacts, tmp_path: Path):
    config = eval_config([])
    config.metrics_specs[0].metrics.add(
        class_name="SparseTopKCategoricalAccuracy", config='{"k": 2, "name": "top_2"}'
    )
    gate = Gate(rules=(MetricRule(metric="top_2", max_drop=0.05),))
    _, blessing = run(artifacts, tmp_path, gate, config)
    assert blessing.get_int_custom_property("blessed") == 1


def test_a_label_outside_the_output_is_an_error(artifacts, tmp_path: Path, write_records):
    from tfx.types import artifact_utils, standard_artifacts

    from tfx_tflite.components.errors import user_error_in

    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "examples")
    examples.split_names = artifact_utils.encode_split_names(["eval"])
    rows = [{"image": np.zeros(64), "label": label} for label in (3, 12)]
    write_records(tmp_path / "examples" / "Split-eval" / "data_tfrecord-0.gz", rows, "GZIP")
    with pytest.raises(Exception, match="label") as caught:
        run({**artifacts, "examples": [examples]}, tmp_path / "out", LENIENT)
    error = user_error_in(caught.value)
    assert isinstance(error, DataError)
    place = "record 1 of data_tfrecord-0.gz"
    assert f"label 'label' is 12 in {place}, but the output has classes 0 to 9" in str(error)


def test_a_rule_on_a_metric_that_is_not_evaluated_is_an_error():
    from tfx_tflite.components.judgement.eval_config import metric_directions, two_model_config

    gate = Gate(rules=(MetricRule(metric="AUC", max_drop=0.1),))
    with pytest.raises(EvaluationError, match="'AUC' is not evaluated"):
        metric_directions(two_model_config(eval_config()), gate)


def test_a_rule_on_a_metric_of_unknown_direction_needs_one():
    from tfx_tflite.components.judgement.eval_config import metric_directions, two_model_config

    config = two_model_config(eval_config(["MeanPrediction"]))
    rule = MetricRule(metric="MeanPrediction", max_drop=0.1)
    with pytest.raises(EvaluationError, match="add direction: higher_is_better or direction"):
        metric_directions(config, Gate(rules=(rule,)))
    directed = rule.model_copy(update={"direction": "lower_is_better"})
    assert metric_directions(config, Gate(rules=(directed,))) == {
        "MeanPrediction": "lower_is_better"
    }


def test_several_outputs_need_one_to_be_named(save_two_outputs: Path):
    from tfx_tflite.components.judgement.prediction import ModelPair
    from tfx_tflite.components.models.float_model import read_tensor_signature

    signature = read_tensor_signature(save_two_outputs, "serving_tensors")
    pair = ModelPair(str(save_two_outputs), signature, None, "unused")
    with pytest.raises(EvaluationError, match=r"output names none; .* has: a, b"):
        pair.output_named(None)
    assert pair.output_named("b").name == "b"


@pytest.fixture
def save_two_outputs(tmp_path: Path) -> Path:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serving_tensors(x):
        return {"a": x, "b": x * 2.0}

    tf.saved_model.save(tf.Module(), str(tmp_path / "m"), {"serving_tensors": serving_tensors})
    return tmp_path / "m"


def test_a_float_model_that_the_quantized_one_was_not_made_from_is_an_error(
    artifacts, tmp_path: Path
):
    import shutil

    from tfx.types import standard_artifacts

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    shutil.copytree(artifacts["model"][0].uri, model.uri)
    made_from = {"digests": {"float_model": "sha256:another"}, "signature": "serving_tensors"}
    (tmp_path / "model" / "quantization.json").write_text(json.dumps(made_from))
    with pytest.raises(EvaluationError, match="made from float model sha256:another"):
        run({**artifacts, "model": [model]}, tmp_path, LENIENT)


# --- Models that end the process that runs them ---


def hostile_models():
    """Models that are cut, that lead in a circle, and that only running shows to be wrong."""
    from tests.components.models import hostile

    crashing = hostile.split_in_no_parts("image", [1, 8, 8, 1])
    return [
        pytest.param(lambda whole: whole[: len(whole) // 2], "outside the file", id="cut"),
        pytest.param(lambda _: hostile.while_in_itself(), "calls itself", id="circle"),
        pytest.param(lambda _: crashing, "crashes|does not take|cannot be run", id="crash"),
    ]


@pytest.mark.parametrize(("damaged", "reason"), hostile_models())
@pytest.mark.parametrize("file", ["Format-Serving/tflite", FLOAT_TFLITE_FILE])
def test_a_model_that_would_end_the_process_is_an_error(
    artifacts, tmp_path: Path, file: str, damaged, reason: str
):
    import shutil

    from tfx.types import standard_artifacts

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    shutil.copytree(artifacts["model"][0].uri, model.uri)
    whole = (Path(model.uri) / "Format-Serving" / "tflite").read_bytes()
    (Path(model.uri) / file).write_bytes(damaged(whole))
    with pytest.raises(ModelError, match=reason) as raised:
        run({**artifacts, "model": [model]}, tmp_path, LENIENT)
    assert len(str(raised.value).splitlines()) == 1
    assert file in str(raised.value)


@pytest.mark.parametrize(("damaged", "reason"), hostile_models())
def test_a_pushed_model_that_would_end_the_process_is_an_error(
    artifacts, pushed: str, tmp_path: Path, damaged, reason: str
):
    from tfx_tflite.components.destinations.destination import Destination

    before = Destination.open(pushed)
    whole = before.read(before.current() or 0, "model.tflite")
    destination = push(damaged(whole), tmp_path)
    rule = MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.05, against="pushed")
    with pytest.raises(ModelError, match=reason) as raised:
        run(artifacts, tmp_path, Gate(rules=(rule,)), pushed_destination=destination)
    assert len(str(raised.value).splitlines()) == 1


def test_a_model_that_changes_while_it_is_evaluated_is_an_error(
    artifacts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import shutil

    from tfx.types import standard_artifacts

    from tfx_tflite.components.judgement.case import Case

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    shutil.copytree(artifacts["model"][0].uri, model.uri)
    file = Path(model.uri) / "Format-Serving" / "tflite"
    compare = Case.compare

    def changed_then_compared(case: Case, pipeline: object) -> None:
        file.write_bytes(file.read_bytes() + bytes(16))
        compare(case, pipeline)

    monkeypatch.setattr(Case, "compare", changed_then_compared)
    with pytest.raises(Exception) as raised:
        run({**artifacts, "model": [model]}, tmp_path, LENIENT)
    error = user_error_in(raised.value)
    assert isinstance(error, EvaluationError)
    assert f"{file} was changed while it was being evaluated" in str(error)


def test_a_float_model_that_would_read_files_is_an_error(artifacts, tmp_path: Path):
    from tfx.types import standard_artifacts

    baseline = standard_artifacts.Model()
    baseline.uri = str(tmp_path / "reading")
    with_unused_reader(Path(artifacts["baseline_model"][0].uri), Path(baseline.uri))
    with pytest.raises(ModelError, match=r"operator ReadFile .* set model.trust: true"):
        run({**artifacts, "baseline_model": [baseline]}, tmp_path, LENIENT)


# --- Beside a pushed model ---


@dataclass
class Reads:
    """How often the files of a stage are read, by what they are."""

    examples: int = 0
    opened: list[str] = field(default_factory=list)
    loaded: int = 0

    def of(self, name: str) -> int:
        return sum(path.endswith(name) for path in self.opened)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Reads:
    """Counts what this process reads, where Beam's workers are, too."""
    import tensorflow as tf

    from tfx_tflite.components.examples.splits import SplitFiles

    found = Reads()

    def opened(path, mode="r"):
        if "r" in mode:
            found.opened.append(str(path))
        return open_file(path, mode)

    def batches(self, *args, **kwargs):
        yield from read_batches(self, *args, **kwargs)
        # Whoever takes only the first batch does not come here.
        found.examples += 1

    def load(*args, **kwargs):
        found.loaded += 1
        return load_saved_model(*args, **kwargs)

    open_file, read_batches = tf.io.gfile.GFile, SplitFiles.batches_of
    load_saved_model = tf.saved_model.load
    monkeypatch.setattr(SplitFiles, "batches_of", batches)
    monkeypatch.setattr(tf.saved_model, "load", load)
    # TFX's file I/O goes through it, too.
    monkeypatch.setattr(tf.io.gfile, "GFile", opened)
    return found


@pytest.fixture(scope="module")
def pushed(digits_model: Path, tmp_path_factory) -> str:
    """A destination with the model of another scheme."""
    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    recipe = Recipe(Scheme.DYNAMIC_RANGE)
    with Converter(tmp_path_factory.mktemp("conversion")) as converter:
        content = converter.convert(digits_model, "serving_tensors", recipe)
    return push(content, tmp_path_factory.mktemp("pushed"))


def push(content: bytes, directory: Path) -> str:
    """Pushes a model, and returns the destination."""
    from tfx_tflite.components.destinations.destination import Candidate, Destination
    from tfx_tflite.components.destinations.manifest import Description
    from tfx_tflite.components.digests import file_digest

    file = directory / "model.tflite"
    file.write_bytes(content)
    destination = Destination.open(str(directory / "destination"))
    description = Description(scheme="dynamic_range", verdict="blessed")
    destination.push(
        Candidate({"model.tflite": file}, {"model.tflite": file_digest(file)}, description)
    )
    return destination.uri


def test_three_models_predict_in_one_pass_over_examples_that_are_read_once(
    artifacts, pushed: str, reads: Reads, tmp_path: Path
):
    gate = Gate(
        rules=(
            MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.05),
            MetricRule(
                metric="SparseCategoricalCrossentropy",
                max_drop=1,
                confidence=0.9,
                against="pushed",
            ),
        )
    )
    evaluation, _ = run(artifacts, tmp_path, gate, pushed_destination=pushed)
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    of_float, of_pushed = report["rules"]
    assert (of_float["against"], of_pushed["against"]) == ("float", "pushed")
    [own] = [
        value
        for value in report["metrics"]
        if (value["metric"], value["slice"]) == (of_pushed["metric"], "overall")
    ]
    assert of_pushed["quantized"] == own["quantized"]
    assert of_pushed["float"] not in (own["float"], own["quantized"])
    assert of_pushed["lower"] < of_pushed["drop"] < of_pushed["upper"]
    # Each file is read once by the executor and once where Beam's workers predict.
    assert reads.examples == 1
    assert reads.loaded == 1
    assert reads.of("saved_model.pb") == 1
    assert reads.of("Format-Serving/tflite") == 2
    assert reads.of("reference.tflite") == 1


def test_tfma_reads_the_comparison_with_the_pushed_model(artifacts, pushed: str, tmp_path: Path):
    import tensorflow_model_analysis as tfma

    metric = "SparseCategoricalAccuracy"
    gate = Gate(rules=(MetricRule(metric=metric, max_drop=0.05, against="pushed"),))
    evaluation, _ = run(artifacts, tmp_path, gate, pushed_destination=pushed)
    report = json.loads((Path(evaluation.uri) / "report.json").read_text())
    result = tfma.load_eval_result(f"{evaluation.uri}/against_pushed", model_name="float")
    overall = dict(result.slicing_metrics)[()][""][""]
    assert overall[metric]["doubleValue"] == report["rules"][0]["float"]
    assert len(dict(result.slicing_metrics)) == 11
    # The pushed model was looked at anyway, so the report has the versions before; the answers are
    # those beside the float model.
    assert [past["version"] for past in report["history"]] == [
        report["pushed_reference"]["version"]
    ]
    rate = sum(row[index] for index, row in enumerate(report["answers"]["confusion"]["quantized"]))
    [own] = [v for v in report["metrics"] if (v["metric"], v["slice"]) == (metric, "overall")]
    assert rate / report["examples"] == pytest.approx(own["quantized"])
