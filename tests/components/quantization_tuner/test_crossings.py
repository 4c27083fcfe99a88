"""Searches crossed with what else a pipeline may ask for: targets, metrics, rules, shapes."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.components.quantization_tuner.bed.data import Array
from tests.components.quantization_tuner.searching import eval_config, made_task
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.judgement.metrics.targets import Target as LabelTarget
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization_tuner.search import Found, Task, search

pytestmark = pytest.mark.usefixtures("quantizes_here")

ROWS, SIZE, KINDS = 300, 6, 3
ACCURACY = "SparseCategoricalAccuracy"
KEEPS_ACCURACY = {"metric": ACCURACY, "max_drop": 0.05}


def weights(*shape: int) -> Array:
    return np.random.default_rng(7).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def features() -> Mapping[str, Array]:
    """Vectors, the kind that a net finds in them (and is wrong about at times), and more."""
    generator = np.random.default_rng(1)
    x = generator.normal(size=(ROWS, SIZE)).astype(np.float32)
    scores = x @ weights(SIZE, KINDS)
    label = scores.argmax(axis=1)
    label[::6] = generator.integers(KINDS, size=len(label[::6]))
    return {
        "x": x,
        "label": label,
        "weight": np.linspace(0.5, 2, ROWS, dtype=np.float32),
        "group": np.arange(ROWS) % 2,
    }


def with_labels(features: Mapping[str, Array], **labels: Array) -> Mapping[str, Array]:
    return {"x": features["x"], **labels}


@pytest.fixture(scope="module")
def kinds(float_tflite) -> bytes:
    """Vectors to the probabilities of kinds."""
    import tensorflow as tf

    return float_tflite(
        lambda x: tf.nn.softmax(tf.matmul(x, weights(SIZE, KINDS))), x=([None, SIZE], tf.float32)
    )


@pytest.fixture(scope="module")
def single_kinds(float_tflite) -> bytes:
    """The same, one vector at a time, as a microcontroller takes them."""
    import tensorflow as tf

    return float_tflite(
        lambda x: tf.nn.softmax(tf.matmul(x, weights(SIZE, KINDS))), x=([1, SIZE], tf.float32)
    )


def found_for(task: Task) -> Found:
    """Searches, and checks what holds of all that is found."""
    found = search(task)
    recipe = found.recipe
    assert audit(found.models.quantized, recipe) == []
    assert found.report.evaluations <= task.settings.search.budget.evaluations
    assert found.report.examples == ROWS
    assert found.report.choice.size_bytes == len(found.models.quantized)
    return found


def is_plain(found: Found) -> bool:
    is_one = len(found.report.tried) == found.report.evaluations == 1
    return found.report.outcome == "plain" and is_one and found.recipe.is_plain


@pytest.mark.parametrize(
    "rules",
    [
        [KEEPS_ACCURACY],
        [{**KEEPS_ACCURACY, "confidence": 0.95}],
        [{"metric": ACCURACY, "min_value": 0.6}],
        [KEEPS_ACCURACY, {"max_size_ratio": 3.0}],
        [KEEPS_ACCURACY, {"max_size_bytes": 100_000}],
        [KEEPS_ACCURACY, {"min_agreement": 0.9}],
        [KEEPS_ACCURACY, {"min_sqnr_db": 15}],
        # These are the gate's alone.
        [KEEPS_ACCURACY, {"metric": ACCURACY, "max_drop": 0, "against": "pushed"}],
        [KEEPS_ACCURACY, {"max_latency_ratio": 0.001}],
    ],
    ids=lambda rules: " ".join(f"{key} {value}" for key, value in rules[-1].items()),
)
def test_rules_that_plain_int8_meets(tmp_path: Path, kinds: bytes, features, rules: list):
    task = made_task(tmp_path, kinds, [features], eval_config({None: ACCURACY}), rules)
    assert is_plain(found_for(task))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        # A model of a few hundred bytes is larger as int8.
        ({"max_size_ratio": 0.5}, "size_ratio"),
        ({"metric": ACCURACY, "min_value": 0.99}, ACCURACY),
    ],
)
def test_a_rule_that_nothing_can_meet_ends_in_the_best_there_is(
    tmp_path: Path, kinds: bytes, features, rule: dict, expected: str
):
    rules = [KEEPS_ACCURACY, rule]
    task = made_task(tmp_path, kinds, [features], eval_config({None: ACCURACY}), rules)
    found = found_for(task)
    assert found.report.outcome == "not found" and not found.report.choice.holds
    [refused] = [rule for rule in found.report.choice.rules if rule.verdict.value == "refused"]
    assert expected in refused.metric
    assert found.report.choice.excess > 0


@pytest.mark.parametrize(
    "target", [Target(kernels="reference"), Target(runtime="tflite-micro")], ids=lambda t: t.name
)
def test_rules_are_judged_with_the_kernels_of_the_target(
    tmp_path: Path, single_kinds: bytes, features, target: Target
):
    task = made_task(
        tmp_path,
        single_kinds,
        [features],
        eval_config({None: ACCURACY}),
        [KEEPS_ACCURACY],
        devices=(target,),
        batch_size=1,
    )
    found = found_for(task)
    assert is_plain(found) and read_graph(found.models.quantized).main.inputs[0].shape == (1, SIZE)
    assert [rule.target for rule in found.report.choice.rules] == [target.name]


def test_rules_must_hold_on_each_of_several_targets(tmp_path: Path, single_kinds: bytes, features):
    devices = (Target(), Target(kernels="reference"), Target(runtime="tflite-micro"))
    task = made_task(
        tmp_path,
        single_kinds,
        [features],
        eval_config({None: ACCURACY}),
        [KEEPS_ACCURACY],
        devices=devices,
        batch_size=1,
    )
    found = found_for(task)
    assert is_plain(found)
    names = {rule.target for rule in found.report.choice.rules}
    assert names == {device.name for device in devices}


def test_a_metric_of_scores(tmp_path: Path, float_tflite, features):
    import tensorflow as tf

    content = float_tflite(
        lambda x: tf.sigmoid(tf.matmul(x, weights(SIZE, 1))), x=([None, SIZE], tf.float32)
    )
    label = (features["x"] @ weights(SIZE, 1))[:, 0] + np.sin(np.arange(ROWS)) > 0
    parts = [with_labels(features, label=label.astype(np.int64))]
    rules = [{"metric": "AUC", "max_drop": 0.02, "confidence": 0.9}]
    found = found_for(made_task(tmp_path, content, parts, eval_config({None: "AUC"}), rules))
    assert is_plain(found) and 0.6 < found.report.choice.rules[0].float_value < 1


def test_an_error_that_may_rise(tmp_path: Path, float_tflite, features):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.matmul(x, weights(SIZE, 1)), x=([None, SIZE], tf.float32))
    label = features["x"] @ weights(SIZE, 1) + np.sin(np.arange(ROWS))[:, None]
    parts = [with_labels(features, label=label.astype(np.float32))]
    rules = [{"metric": "MeanSquaredError", "max_drop": 0.1}]
    config = eval_config({None: "MeanSquaredError"})
    assert is_plain(found_for(made_task(tmp_path, content, parts, config, rules)))


@pytest.mark.slow
def test_a_metric_that_only_tfma_has(tmp_path: Path, kinds: bytes, features):
    metric = "CosineSimilarity"
    parts = [{**features, "label": np.eye(KINDS, dtype=np.float32)[features["label"]]}]
    rules = [{"metric": metric, "max_drop": 0.05, "direction": "higher_is_better"}]
    assert is_plain(
        found_for(made_task(tmp_path, kinds, parts, eval_config({None: metric}), rules))
    )


def test_slices_each_of_which_must_hold(tmp_path: Path, kinds: bytes, features):
    rules = [{**KEEPS_ACCURACY, "slices": "each"}]
    config = eval_config({None: ACCURACY}, slices=["group"])
    found = found_for(made_task(tmp_path, kinds, [features], config, rules))
    assert is_plain(found)
    assert {rule.slice for rule in found.report.choice.rules} >= {"group:0", "group:1"}
    assert found.report.choice.rules[0].examples in (ROWS, ROWS // 2)


def test_examples_with_weights(tmp_path: Path, kinds: bytes, features):
    plain = eval_config({None: ACCURACY})
    weighted = eval_config({None: ACCURACY}, weight="weight")
    values = [
        found_for(made_task(tmp_path / name, kinds, [features], config, [KEEPS_ACCURACY]))
        .report.choice.rules[0]
        .float_value
        for name, config in (("plain", plain), ("weighted", weighted))
    ]
    right = (features["x"] @ weights(SIZE, KINDS)).argmax(axis=1) == features["label"]
    assert values == [
        pytest.approx(right.mean()),
        pytest.approx(np.average(right, weights=features["weight"])),
    ]


def test_two_outputs_with_rules_of_their_own(tmp_path: Path, features):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE], tf.float32, name="x")])
    def serving(x: tf.Tensor) -> Mapping[str, tf.Tensor]:
        kind = tf.nn.softmax(tf.matmul(x, weights(SIZE, KINDS)))
        return {"kind": kind, "price": tf.matmul(x, weights(SIZE, 1))}

    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), {"serving_tensors": serving})
    price = features["x"] @ weights(SIZE, 1)
    parts = [with_labels(features, kind=features["label"], price=price.astype(np.float32))]
    metrics = {"kind": ACCURACY, "price": "MeanSquaredError"}
    task = made_task(
        tmp_path,
        tmp_path / "saved",
        parts,
        eval_config(metrics),
        [
            {**KEEPS_ACCURACY, "output": "kind"},
            {"metric": "MeanSquaredError", "max_drop": 0.1, "output": "price"},
        ],
        signature="serving_tensors",
        targets=tuple(LabelTarget(output=name, label=name) for name in metrics),
    )
    found = found_for(task)
    assert is_plain(found)
    assert [rule.output for rule in found.report.choice.rules] == list(metrics)


def test_uint8_inputs_and_outputs(tmp_path: Path, kinds: bytes, features):
    task = made_task(
        tmp_path,
        kinds,
        [features],
        eval_config({None: ACCURACY}),
        [KEEPS_ACCURACY],
        io_type="uint8",
    )
    found = found_for(task)
    graph = read_graph(found.models.quantized)
    assert is_plain(found) and found.recipe.io_type == "uint8"
    assert {tensor.type for tensor in (*graph.main.inputs, *graph.main.outputs)} == {"UINT8"}


def test_examples_of_several_shapes(tmp_path: Path, float_tflite):
    import tensorflow as tf

    content = float_tflite(
        lambda x: tf.nn.softmax(tf.reduce_mean(tf.matmul(x, weights(SIZE, KINDS)), axis=1)),
        x=([None, None, SIZE], tf.float32),
    )
    generator = np.random.default_rng(3)
    parts = []
    for length in (2, 4):
        x = generator.normal(size=(ROWS // 2, length, SIZE)).astype(np.float32)
        parts.append({"x": x, "label": (x @ weights(SIZE, KINDS)).mean(axis=1).argmax(axis=1)})
    task = made_task(tmp_path, content, parts, eval_config({None: ACCURACY}), [KEEPS_ACCURACY])
    assert found_for(task).report.choice.holds


def test_features_that_go_through_a_preprocessing_signature(tmp_path: Path, features):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def preprocess(examples: tf.Tensor) -> Mapping[str, tf.Tensor]:
        spec = {"raw": tf.io.FixedLenFeature([SIZE], tf.float32)}
        return {"x": tf.io.parse_example(examples, spec)["raw"] / 100.0}

    @tf.function(input_signature=[tf.TensorSpec([None, SIZE], tf.float32, name="x")])
    def serving(x: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return {"output": tf.nn.softmax(tf.matmul(x, weights(SIZE, KINDS)))}

    signatures = {"serving_tensors": serving, "preprocess": preprocess}
    tf.saved_model.save(tf.Module(), str(tmp_path / "saved"), signatures)
    parts = [{"raw": features["x"] * 100, "x": features["x"], "label": features["label"]}]
    task = made_task(
        tmp_path,
        tmp_path / "saved",
        parts,
        eval_config({None: ACCURACY}),
        [KEEPS_ACCURACY],
        signature="serving_tensors",
        preprocessing_signature="preprocess",
    )
    assert is_plain(found_for(task))


@pytest.mark.parametrize(
    ("place", "said"),
    [
        # The net is calibrated with the first hundred, which comes first.
        (3, "calibration example 3 has NaN in input 'x'"),
        (100, r"input 'x' is NaN in record 100 of data\.tf"),
        (ROWS - 5, rf"input 'x' is NaN in record {ROWS - 5} of data\.tf"),
    ],
)
def test_a_record_that_is_not_finite_is_named(
    tmp_path: Path, kinds: bytes, features, place: int, said: str
):
    x = features["x"].copy()
    x[place, 2] = np.nan
    task = made_task(
        tmp_path, kinds, [{**features, "x": x}], eval_config({None: ACCURACY}), [KEEPS_ACCURACY]
    )
    with pytest.raises(DataError, match=said):
        search(task)


def floor_mod(x: Array) -> Array:
    """Has an operator that has no integer kernel."""
    import tensorflow as tf

    return tf.nn.softmax(tf.math.floormod(tf.matmul(x, weights(SIZE, KINDS)), 50.0))


@pytest.fixture(scope="module")
def uncommon(float_tflite: Callable[..., bytes]) -> bytes:
    import tensorflow as tf

    return float_tflite(floor_mod, x=([None, SIZE], tf.float32))


def uncommon_task(directory: Path, content: bytes, features, integer_only: bool) -> Task:
    probabilities = np.asarray(floor_mod(features["x"]))
    parts = [with_labels(features, label=probabilities.argmax(axis=1))]
    config = eval_config({None: ACCURACY})
    search = {"integer_only": integer_only}
    rules = [{"metric": ACCURACY, "max_drop": 0.2}]
    return made_task(directory, content, parts, config, rules, search=search)


def test_an_operator_without_an_integer_form_is_said_with_what_would_be_possible(
    tmp_path: Path, uncommon: bytes, features
):
    from tfx_tflite.components.errors import ConversionError

    expected = r"FLOOR_MOD.*integer_only: false the rules would hold .*in float, [\d,]+ bytes"
    with pytest.raises(ConversionError, match=expected):
        search(uncommon_task(tmp_path, uncommon, features, integer_only=True))


def test_an_operator_without_an_integer_form_stays_float_where_floats_are_allowed(
    tmp_path: Path, uncommon: bytes, features
):
    found = found_for(uncommon_task(tmp_path, uncommon, features, integer_only=False))
    assert found.report.outcome == "rescued" and found.report.choice.holds
    assert found.recipe.scheme is Scheme.INT8_FLOAT_IO and found.recipe.allows_float
    assert "FLOOR_MOD" in found.report.tried[0].problem
