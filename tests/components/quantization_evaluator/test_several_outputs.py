"""Two heads in one gate, through the executor: figures, verdict, report, warnings."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.components.quantization_evaluator.inputs import evaluator_inputs
from tests.components.quantization_evaluator.test_executor import run
from tfx_tflite.components.errors import EvaluationError
from tfx_tflite.components.judgement.gate import AgreementLimit, Gate, MetricRule, NoiseLimit

pytestmark = pytest.mark.slow

ROWS = 200
GATE = Gate(
    rules=(
        MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.05, confidence=0.9),
        MetricRule(metric="MeanSquaredError", output="price", max_drop=0.1),
        AgreementLimit(min_agreement=0.9, output="kind"),
        NoiseLimit(min_sqnr_db=10),
    )
)


@pytest.fixture(scope="module")
def two_heads(tmp_path_factory, write_records_to):
    """The evaluator's inputs: a model with a class, a price, and an output that nobody judges."""
    import tensorflow as tf

    directory = tmp_path_factory.mktemp("heads")
    generator = np.random.default_rng(0)
    to_kind = tf.constant(generator.normal(size=(4, 3)), tf.float32)
    to_price = tf.constant(generator.normal(size=(4, 1)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 4], tf.float32, name="x")])
    def serving_tensors(x):
        return {
            "kind": tf.nn.softmax(tf.matmul(x, to_kind)),
            "price": tf.matmul(x, to_price),
            "spare": x * 2.0,
        }

    module = tf.Module()
    module.weights = (to_kind, to_price)
    tf.saved_model.save(module, str(directory / "model"), {"serving_tensors": serving_tensors})
    rows = generator.normal(size=(ROWS, 4)).astype(np.float32)
    kinds = (rows @ to_kind.numpy()).argmax(axis=1)
    kinds[::5] = generator.integers(3, size=len(kinds[::5]))
    prices = (rows @ to_price.numpy())[:, 0] + generator.normal(size=ROWS)
    examples = [
        {"x": row, "kind": kind, "price": np.float32(price)}
        for row, kind, price in zip(rows, kinds, prices, strict=True)
    ]
    write_records_to(directory / "examples" / "Split-eval" / "data_tfrecord-0.gz", examples)
    return evaluator_inputs(directory, rows)


def two_metrics():
    from tensorflow_model_analysis.proto import config_pb2

    metrics = {"kind": "SparseCategoricalAccuracy", "price": "MeanSquaredError"}
    return config_pb2.EvalConfig(
        # The outputs' labels are named like the outputs.
        model_specs=[config_pb2.ModelSpec(label_keys={name: name for name in metrics})],
        metrics_specs=[
            config_pb2.MetricsSpec(
                output_names=[output], metrics=[config_pb2.MetricConfig(class_name=name)]
            )
            for output, name in metrics.items()
        ],
    )


@pytest.fixture(scope="module")
def evaluated(two_heads, tmp_path_factory):
    return run(two_heads, tmp_path_factory.mktemp("evaluated"), GATE, two_metrics())


@pytest.fixture(scope="module")
def report(evaluated) -> dict:
    return json.loads((Path(evaluated[0].uri) / "report.json").read_text())


def test_one_gate_judges_both_outputs(report):
    assert report["verdict"] == "blessed"
    assert [(rule["metric"], rule["output"]) for rule in report["rules"]] == [
        ("SparseCategoricalAccuracy", "kind"),
        ("MeanSquaredError", "price"),
        ("agreement", "kind"),
        ("sqnr_db", "kind"),
        ("sqnr_db", "price"),
    ]


def test_the_report_has_the_differences_of_each_output(report):
    kind, price = report["by_output"]
    assert (kind["output"], price["output"]) == ("kind", "price")
    assert kind["agreement"]["rate"] > 0.9 and price["agreement"] is None
    assert kind["outputs"]["sqnr_db"] != price["outputs"]["sqnr_db"]
    assert len(kind["worst_examples"]) == len(price["worst_examples"]) == 10
    assert report["agreement"] == kind["agreement"] and report["outputs"] == kind["outputs"]


def test_an_output_that_nothing_judges_is_a_warning_that_names_it(report):
    [warning] = report["warnings"]
    assert warning.startswith("output 'spare' of signature 'serving_tensors' is not judged")


def test_tfma_reads_the_figures_by_output(evaluated, report):
    import tensorflow_model_analysis as tfma

    result = tfma.load_eval_result(evaluated[0].uri, model_name="quantized")
    overall = dict(result.slicing_metrics)[()]
    for rule in report["rules"][:2]:
        found = overall[rule["output"]][""][rule["metric"]]["doubleValue"]
        assert found == pytest.approx(rule["quantized"])


def test_the_figures_in_ml_metadata_name_their_outputs(evaluated, report):
    found = evaluated[0].get_float_custom_property("price_MeanSquaredError_quantized")
    assert found == report["rules"][1]["quantized"]


def test_the_page_names_the_outputs(evaluated):
    page = (Path(evaluated[0].uri) / "report.html").read_text().replace("<wbr>", "")
    assert "MeanSquaredError of price" in page and "Differences of output kind" in page


def test_tfma_reads_which_output_did_not_hold(two_heads, tmp_path: Path):
    import tensorflow_model_analysis as tfma

    gate = Gate(rules=(MetricRule(metric="MeanSquaredError", output="price", max_drop=0.0),))
    found, _ = run(two_heads, tmp_path, gate, two_metrics())
    verdict = tfma.load_validation_result(found.uri)
    [overall] = verdict.metric_validations_per_slice
    assert [failure.metric_key.output_name for failure in overall.failures] == ["price"]
    text = json.loads((Path(found.uri) / "report.json").read_text())["reasons"][0]
    assert text.startswith("MeanSquaredError of price (overall) is worse by")


def test_an_output_that_the_signature_does_not_have_is_an_error(two_heads, tmp_path: Path):
    config = two_metrics()
    del config.metrics_specs[1:]
    config.metrics_specs[0].output_names[:] = ["colour"]
    config.model_specs[0].label_keys.clear()
    config.model_specs[0].label_keys["colour"] = "kind"
    rule = MetricRule(metric="SparseCategoricalAccuracy", max_drop=0.1)
    with pytest.raises(EvaluationError, match=r"'colour'; signature .* has: kind, price, spare"):
        run(two_heads, tmp_path, Gate(rules=(rule,)), config)


def test_an_output_with_metrics_and_no_label_is_an_error(two_heads, tmp_path: Path):
    config = two_metrics()
    del config.model_specs[0].label_keys["price"]
    with pytest.raises(EvaluationError, match="output 'price' has metrics, but no label"):
        run(two_heads, tmp_path, GATE, config)
