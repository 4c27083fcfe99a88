"""Every kind of metric on every shape of output and label, in every kind of scheme.

One model has an output of each shape, and one evaluation a scheme judges them all, with weights and
without. Each figure is compared with scikit-learn's, or NumPy's, of what the SavedModel and a bare
interpreter predict; a metric that a label does not fit is an error whose text is checked.
"""

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import t as student
from sklearn import metrics as sk
from sklearn.calibration import calibration_curve

from tests.components.judgement.statistics.moments import moments_of
from tfx_tflite.components.errors import DataError, EvaluationError, user_error_in
from tfx_tflite.components.judgement.gate import Gate, MetricRule, SizeLimit

pytestmark = pytest.mark.slow

ROWS, FEATURES = 150, 6
# Which clip each example is a frame of, some of them in both slices of two.
CLIP = np.arange(ROWS) // 4
SCHEMES = ("float32", "dynamic_range", "int8")
ANY_GATE = Gate(rules=(SizeLimit(max_size_ratio=10.0),), min_examples=1)

# The shape of an example's output, and what makes it of the values of a dense layer.
OUTPUTS: dict[str, tuple[tuple[int, ...], str]] = {
    "flat": ((), "sigmoid"),
    "score": ((1,), "sigmoid"),
    "logit": ((1,), "linear"),
    "classes": ((3,), "softmax"),
    "hot": ((3,), "softmax"),
    "tags": ((4,), "sigmoid"),
    "amounts": ((2,), "linear"),
    "echo": ((FEATURES,), "linear"),
    "steps": ((4, 3), "softmax"),
    "levels": ((4, 2), "linear"),
    "pixels": ((2, 3, 3), "softmax"),
    "hot_pixels": ((2, 3, 3), "softmax"),
    "mask": ((2, 3, 1), "sigmoid"),
    "picture": ((2, 3, 2), "linear"),
    # Of these some labels are 255, or -1, and do not count.
    "holes": ((2, 3, 3), "softmax"),
    "known": ((3,), "softmax"),
    # The model itself says which class it is.
    "choice": ((3,), "argmax"),
    "choices": ((2, 3, 3), "argmax"),
}
# What each output is judged by: a feature, or an input of the model.
LABELS = {name: f"{name}_label" for name in OUTPUTS}
INPUT_LABELS = {"echo": "x"}

Figure = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def by_element(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns labels, scores and weights of every element, flat."""
    size = outputs[0].size
    return labels.ravel(), outputs.ravel(), np.repeat(w, size)


def by_position(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns class indices, rows of classes and weights of every position."""
    rows = outputs.reshape(-1, outputs.shape[-1])
    return labels.ravel(), rows, np.repeat(w, len(rows) // len(outputs))


def mean_of_elements(function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Figure:
    def figure(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        flat, scores, weights = by_element(labels, outputs, w)
        return float(np.average(function(flat, scores), weights=weights))

    return figure


def scored(function: Callable[..., float], decide: bool = True) -> Figure:
    def figure(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        flat, scores, weights = by_element(labels, outputs, w)
        answers = (scores > 0.5).astype(int) if decide else scores
        return float(function(flat.astype(int), answers, sample_weight=weights))

    return figure


def scored_above(function: Callable[..., float], threshold: float) -> Figure:
    def figure(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        return scored(function)(labels, outputs > threshold, w)

    return figure


def of_class(class_id: int, figure: Figure) -> Figure:
    def of_one(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        if labels[0].size == outputs[0].size:
            own = labels.reshape(outputs.shape)[..., class_id]
        else:
            own = (labels == class_id).astype(int)
        return figure(own, outputs[..., class_id], w)

    return of_one


def accuracy(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    indices, rows, weights = by_position(labels, outputs, w)
    return float(sk.accuracy_score(indices, rows.argmax(axis=1), sample_weight=weights))


def without_class(ignored: int, figure: Figure) -> Figure:
    def of_rest(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        indices, rows, weights = by_position(labels, outputs, w)
        counts = indices != ignored
        return figure(indices[counts], rows[counts], weights[counts])

    return of_rest


def mean_iou(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    flat, answers, weights = by_element(labels, outputs, w)
    return float(sk.jaccard_score(flat, answers, average="macro", sample_weight=weights))


def hot_mean_iou(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    classes = labels.reshape(outputs.shape).argmax(axis=-1)
    return mean_iou(classes, outputs.argmax(axis=-1), w)


def top_two(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    # Not scikit-learn's, which leaves it to the order of the classes which of a tie is in.
    indices, rows, weights = by_position(labels, outputs, w)
    own = np.take_along_axis(rows, indices[:, None], axis=1)
    return float(np.average((rows > own).sum(axis=1) < 2, weights=weights))


def log_loss(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    indices, rows, weights = by_position(labels, outputs, w)
    rows = np.clip(rows.astype(np.float64), 1e-7, 1 - 1e-7)
    shares = rows / rows.sum(axis=1, keepdims=True)
    return float(sk.log_loss(indices, shares, sample_weight=weights, labels=[0, 1, 2]))


def hot(figure: Figure) -> Figure:
    def of_indices(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        return figure(labels.reshape(outputs.shape).argmax(axis=-1), outputs, w)

    return of_indices


def precision_of_top_two(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    top = np.argsort(-outputs, axis=1, kind="stable")[:, :2]
    return float(np.average((top == labels[:, None]).any(axis=1), weights=w)) / 2


def binary_log_loss(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    p = np.clip(scores.astype(np.float64), 1e-7, 1 - 1e-7)
    return -(labels * np.log(p) + (1 - labels) * np.log(1 - p))


def logistic_loss(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, logits.astype(np.float64)) - labels * logits


def percentage_error(labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return 100 * np.abs((outputs - labels) / labels)


def root(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    return float(np.sqrt(mean_of_elements(lambda y, p: (p - y) ** 2)(labels, outputs, w)))


def mean_prediction(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    return mean_of_elements(lambda _, p: p)(labels, outputs, w)


def log_cosh(labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    return np.log(np.cosh(outputs.astype(np.float64) - labels))


def correlation(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
    flat, scores, weights = by_element(labels, outputs, w)
    covariance = np.cov(flat, scores.astype(np.float64), aweights=weights)
    return float(covariance[0, 1] ** 2 / covariance[0, 0] / covariance[1, 1])


@dataclass(frozen=True)
class Cell:
    """A metric on an output, and what its figure must be."""

    output: str
    class_name: str
    figure: Figure
    config: tuple[tuple[str, Any], ...] = ()
    tolerance: float = 1e-5

    @property
    def name(self) -> str:
        return "_".join([self.class_name, *(f"{key}_{value}" for key, value in self.config)])


BATCHED_BINARY = {
    "BinaryAccuracy": scored(sk.accuracy_score),
    "BinaryCrossentropy": mean_of_elements(binary_log_loss),
}
CONFUSION = {
    "Precision": scored(sk.precision_score),
    "Recall": scored(sk.recall_score),
    "F1Score": scored(sk.f1_score),
    "AUC": scored(sk.roc_auc_score, decide=False),
}
ERRORS = {
    "MeanAbsoluteError": mean_of_elements(lambda y, p: np.abs(p - y)),
    "MeanSquaredError": mean_of_elements(lambda y, p: (p - y) ** 2),
    "RootMeanSquaredError": root,
}
THROUGH_TFMA = {
    "MeanAbsolutePercentageError": mean_of_elements(percentage_error),
    "MeanPrediction": mean_prediction,
    "SquaredPearsonCorrelation": correlation,
    # One that TFMA takes from Keras.
    "LogCoshError": mean_of_elements(log_cosh),
}
CELLS = [
    *(
        Cell(output, name, figure, tolerance=1e-3 if name == "AUC" else 1e-5)
        for output in ("flat", "score", "tags", "mask")
        for name, figure in {**BATCHED_BINARY, **CONFUSION}.items()
    ),
    *(
        Cell(output, name, figure)
        for output in ("amounts", "levels", "picture", "echo")
        for name, figure in {**ERRORS, **THROUGH_TFMA}.items()
        if output != "echo" or name not in THROUGH_TFMA
    ),
    *(Cell(output, "MeanPrediction", mean_prediction) for output in ("flat", "score", "mask")),
    *(
        Cell(output, name, figure, config)
        for output in ("classes", "steps", "pixels")
        for name, figure, config in (
            ("SparseCategoricalAccuracy", accuracy, ()),
            ("SparseCategoricalCrossentropy", log_loss, ()),
            ("SparseTopKCategoricalAccuracy", top_two, (("k", 2),)),
        )
    ),
    *(
        Cell(output, name, figure, config)
        for output in ("hot", "hot_pixels")
        for name, figure, config in (
            ("CategoricalAccuracy", hot(accuracy), ()),
            ("CategoricalCrossentropy", hot(log_loss), ()),
            ("TopKCategoricalAccuracy", hot(top_two), (("k", 2),)),
        )
    ),
    *(
        Cell(
            output,
            name,
            of_class(1, figure),
            (("class_id", 1),),
            tolerance=1e-3 if name == "AUC" else 1e-5,
        )
        for output in ("classes", "hot", "tags", "steps", "pixels", "hot_pixels")
        for name, figure in CONFUSION.items()
    ),
    *(
        Cell(output, name, without_class(ignored, figure), (("ignore_class", ignored), *config))
        for output, ignored in (("holes", 255), ("known", -1))
        for name, figure, config in (
            ("SparseCategoricalAccuracy", accuracy, ()),
            ("SparseCategoricalCrossentropy", log_loss, ()),
            ("SparseTopKCategoricalAccuracy", top_two, (("k", 2),)),
        )
    ),
    *(
        Cell(output, "Accuracy", mean_of_elements(lambda y, p: p == y))
        for output in ("choice", "choices")
    ),
    Cell("choice", "MeanIoU", mean_iou, (("num_classes", 3),)),
    Cell("hot", "OneHotMeanIoU", hot_mean_iou, (("num_classes", 3),)),
    Cell("classes", "Precision", precision_of_top_two, (("top_k", 2),)),
    Cell(
        "logit",
        "BinaryCrossentropy",
        mean_of_elements(logistic_loss),
        (("from_logits", True),),
    ),
    *(
        Cell("logit", name, scored_above(function, threshold), (("thresholds", threshold),))
        for name, function in (("Precision", sk.precision_score), ("Recall", sk.recall_score))
        for threshold in (-1.0, 0.0, 2.5)
    ),
    Cell(
        "logit",
        "BinaryAccuracy",
        scored_above(sk.accuracy_score, 0.0),
        (("threshold", 0.0),),
    ),
]


# --- The models -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with all the outputs, and a preprocessing signature that also gives a label."""
    import tensorflow as tf

    generator = np.random.default_rng(5)
    layers = {
        name: tf.constant(generator.normal(size=(FEATURES, int(np.prod(shape)))), tf.float32)
        for name, (shape, _) in OUTPUTS.items()
    }
    ends = {
        "sigmoid": tf.sigmoid,
        "softmax": tf.nn.softmax,
        "linear": tf.identity,
        "argmax": lambda values: tf.argmax(values, axis=-1),
    }

    @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="x")])
    def serving_tensors(x):
        return {
            name: ends[end](tf.reshape(tf.matmul(x, layers[name]), [-1, *shape]))
            for name, (shape, end) in OUTPUTS.items()
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def prepare(examples):
        features = tf.io.parse_example(
            examples,
            {
                "x": tf.io.FixedLenFeature([FEATURES], tf.float32),
                LABELS["classes"]: tf.io.FixedLenFeature([], tf.int64),
            },
        )
        return {"x": features["x"], "prepared_label": features[LABELS["classes"]]}

    module = tf.Module()
    module.layers = layers
    path = tmp_path_factory.mktemp("matrix") / "model"
    signatures = {"serving_tensors": serving_tensors, "prepare": prepare}
    tf.saved_model.save(module, str(path), signatures)
    return path


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    """Multiples of 1/64 from -2 to 127/64, which int8 has without rounding."""
    steps = np.round(40 * np.random.default_rng(6).normal(size=(ROWS, FEATURES)))
    steps[0, :2] = -128, 127
    return (np.clip(steps, -128, 127) / 64).astype(np.float32)


@pytest.fixture(scope="module")
def float_outputs(saved_model: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    import tensorflow as tf

    function = tf.saved_model.load(str(saved_model)).signatures["serving_tensors"]
    return {name: value.numpy() for name, value in function(x=tf.constant(inputs)).items()}


@pytest.fixture(scope="module")
def models(saved_model: Path, inputs: np.ndarray, tmp_path_factory) -> dict[str, Path]:
    """The TFLite file of each scheme."""
    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    found = {}
    with Converter(tmp_path_factory.mktemp("conversion")) as converter:
        for scheme in SCHEMES:
            recipe = Recipe(Scheme(scheme))
            found[scheme] = tmp_path_factory.mktemp(scheme) / "tflite"
            found[scheme].write_bytes(
                converter.convert(saved_model, "serving_tensors", recipe, {"x": inputs})
            )
    return found


@pytest.fixture(scope="module")
def tflite_outputs(models: dict[str, Path], inputs: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """What a bare interpreter gives, by scheme and output."""
    return {scheme: bare_outputs(path, inputs) for scheme, path in models.items()}


def bare_outputs(path: Path, inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the outputs of the plain runtime's interpreter as it comes."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=1)
    runner = interpreter.get_signature_runner(*interpreter.get_signature_list())
    [detail] = runner.get_input_details().values()
    details = runner.get_output_details()
    del runner  # It keeps the interpreter from being resized.
    scale, zero = detail["quantization"]
    fed = inputs
    if scale:
        fed = np.clip(np.round(inputs / scale) + zero, -128, 127).astype(np.int8)
    interpreter.resize_tensor_input(detail["index"], fed.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(detail["index"], fed)
    interpreter.invoke()
    found = {}
    for name, output in details.items():
        values, (scale, zero) = interpreter.get_tensor(output["index"]), output["quantization"]
        found[name] = (values.astype(np.float32) - zero) * np.float32(scale) if scale else values
    return found


@pytest.fixture(scope="module")
def labels(float_outputs: dict[str, np.ndarray], inputs: np.ndarray) -> dict[str, np.ndarray]:
    """The labels of each output: what the float model says, with one in four replaced."""
    generator = np.random.default_rng(7)
    found: dict[str, np.ndarray] = {}
    for name, (shape, end) in OUTPUTS.items():
        outputs = float_outputs[name]
        if end in ("softmax", "argmax"):
            classes = outputs if end == "argmax" else outputs.argmax(axis=-1)
            other = generator.integers(3, size=classes.shape)
            classes = np.where(generator.random(classes.shape) < 0.25, other, classes)
            found[name] = np.eye(3, dtype=np.int64)[classes] if "hot" in name else classes
        elif end == "sigmoid" or name == "logit":
            positive = outputs > (0.0 if name == "logit" else 0.5)
            found[name] = (positive ^ (generator.random(outputs.shape) < 0.25)).astype(np.int64)
        else:
            # Away from 0, for percentages.
            noisy = np.abs(outputs + generator.normal(size=outputs.shape)) + 0.5
            found[name] = noisy.astype(np.float32)
        assert found[name].shape[1:] in (shape, shape[:-1])
    # Two rows of pixels in three, and one whole picture.
    found["holes"][generator.random(found["holes"].shape[:2]) < 2 / 3] = 255
    found["holes"][1] = 255
    found["known"][generator.random(ROWS) < 1 / 3] = -1
    return {**found, "echo": inputs}


@pytest.fixture(scope="module")
def weights() -> np.ndarray:
    """Weights of any size, and some of 0."""
    generator = np.random.default_rng(8)
    return (generator.exponential(size=ROWS) * (generator.random(ROWS) < 0.9)).astype(np.float32)


@pytest.fixture(scope="module")
def groups() -> np.ndarray:
    return np.arange(ROWS) % 3


# --- The evaluations ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def source(inputs, labels, weights, groups, write_records_to, tmp_path_factory):
    from tfx_tflite.components.examples.splits import SplitFiles

    examples = [
        {
            "x": inputs[row],
            "weight": weights[row],
            "nothing": 0.0,
            "first_group": float(groups[row] == 0),
            "group": groups[row],
            "clip": f"clip {CLIP[row]}",
            "word": ("ant", "bee", "cat")[labels["classes"][row]],
            **{LABELS[name]: labels[name][row] for name in OUTPUTS if name not in INPUT_LABELS},
        }
        for row in range(ROWS)
    ]
    path = write_records_to(tmp_path_factory.mktemp("records") / "data.gz", examples)
    return SplitFiles("eval", (str(path),), None, "test")


def target(output: str, weighted: bool, **changes: object):
    from tfx_tflite.components.judgement.metrics.targets import Target

    label_input = INPUT_LABELS.get(output)
    settings: dict[str, object] = {
        "output": output,
        "label": None if label_input else LABELS[output],
        "label_input": label_input,
        "example_weight": "weight" if weighted else None,
        **changes,
    }
    return Target.model_validate(settings)


def metrics_spec(cells: Sequence[Cell], output: str | None):
    from tensorflow_model_analysis.proto import config_pb2

    return config_pb2.MetricsSpec(
        output_names=[output] if output else [],
        metrics=[
            config_pb2.MetricConfig(
                class_name=cell.class_name,
                config=json.dumps({**dict(cell.config), "name": cell.name}),
            )
            for cell in cells
        ],
    )


def evaluate(
    saved_model: Path,
    tflite: Path,
    source: Any,
    directory: Path,
    targets: Sequence[Any],
    cells: Mapping[str | None, Sequence[Cell]],
    gate: Gate = ANY_GATE,
    ranges: bool = True,
    reference: str | None = None,
    preprocessing: str | None = None,
):
    """Returns what the evaluator's own transforms find, of cells by the name of their output.

    That is beside the reference if there is one, else beside the float model.
    """
    import apache_beam as beam
    from tensorflow_model_analysis.proto import config_pb2

    from tfx_tflite.components.examples.splits import ReadBatches
    from tfx_tflite.components.judgement.compare_models import CompareModels, PlannedComparison
    from tfx_tflite.components.judgement.eval_config import judged_outputs, two_model_config
    from tfx_tflite.components.judgement.evaluation import load_evaluation
    from tfx_tflite.components.judgement.metric_plan import MetricPlan
    from tfx_tflite.components.judgement.prediction import ModelPair
    from tfx_tflite.components.judgement.saturation import InputRange
    from tfx_tflite.components.models.float_model import read_tensor_signature

    weighted = [t for t in targets if t.example_weight]
    spec = (
        config_pb2.ModelSpec(
            label_keys={t.output: t.label_name for t in targets},
            example_weight_keys={t.output: t.example_weight for t in weighted},
        )
        if None not in cells
        else config_pb2.ModelSpec(
            label_key=targets[0].label_name, example_weight_key=targets[0].example_weight or ""
        )
    )
    config = two_model_config(
        config_pb2.EvalConfig(
            model_specs=[spec],
            metrics_specs=[metrics_spec(found, output) for output, found in cells.items()],
            slicing_specs=[config_pb2.SlicingSpec(feature_keys=["group"])],
        )
    )
    # As of a calibrated scheme, so that extracts hold what the inputs are like.
    known = (InputRange("x", -2.0, 2.0),) if ranges else ()
    pair = ModelPair(
        str(saved_model),
        read_tensor_signature(saved_model, "serving_tensors"),
        preprocessing,
        str(tflite),
        known,
        reference,
    )
    plan = MetricPlan.make(config, judged_outputs(pair, config, targets), gate)
    found = [PlannedComparison("float", plan, str(directory / "float"))]
    if reference is not None:
        found.append(PlannedComparison("pushed", plan, str(directory / "pushed")))
    for comparison in found:
        Path(comparison.output_path).mkdir()
    with beam.Pipeline("FnApiRunner") as pipeline:
        _ = pipeline | ReadBatches(source) | CompareModels(pair, config, found, None)
    return load_evaluation(found[-1].output_path, plan)


CELLS_BY_OUTPUT = {
    output: list(cells)
    for output, cells in itertools.groupby(
        sorted(CELLS, key=lambda cell: cell.output), key=lambda cell: cell.output
    )
}


@pytest.fixture(scope="module")
def evaluations(saved_model, models, source, tmp_path_factory):
    """All outputs and metrics at once: by scheme and whether examples have weights."""
    return {
        (scheme, weighted): evaluate(
            saved_model,
            models[scheme],
            source,
            tmp_path_factory.mktemp(f"{scheme}-{weighted}"),
            [target(output, weighted) for output in CELLS_BY_OUTPUT],
            CELLS_BY_OUTPUT,
        )
        for scheme in SCHEMES
        for weighted in (False, True)
    }


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("cell", CELLS, ids=lambda cell: f"{cell.output}-{cell.name}")
def test_a_figure_is_scikit_learns_of_bare_predictions(
    cell: Cell,
    scheme: str,
    weighted: bool,
    evaluations,
    float_outputs,
    tflite_outputs,
    labels,
    weights,
    groups,
):
    found = {
        value.slice: value
        for value in evaluations[scheme, weighted].values
        if (value.output, value.metric) == (cell.output, cell.name)
    }
    assert set(found) == {"overall", "group:0", "group:1", "group:2"}
    own = weights.astype(np.float64) if weighted else np.ones(ROWS)
    for name, rows in (("overall", groups >= 0), ("group:1", groups == 1)):
        for figure, outputs in (
            (found[name].float_value, float_outputs[cell.output]),
            (found[name].quantized_value, tflite_outputs[scheme][cell.output]),
        ):
            expected = cell.figure(labels[cell.output][rows], outputs[rows], own[rows])
            assert figure == pytest.approx(expected, rel=cell.tolerance, abs=cell.tolerance)


@pytest.mark.parametrize("output", ["classes", "pixels", "score"])
def test_one_output_alone_gives_what_it_gives_among_several(
    output: str, saved_model, models, source, evaluations, tmp_path: Path
):
    alone = evaluate(
        saved_model,
        models["int8"],
        source,
        tmp_path,
        [target(output, False)],
        {None: CELLS_BY_OUTPUT[output]},
    )
    several = {
        (value.metric, value.slice): value.model_copy(update={"output": None})
        for value in evaluations["int8", False].values
        if value.output == output
    }
    assert {(value.metric, value.slice): value for value in alone.values} == several


# --- What the models decide -----------------------------------------------------------------------

DECISIONS = {
    "flat": lambda p: p > 0.5,
    "score": lambda p: p > 0.5,
    "logit": lambda p: p > 0.0,
    "classes": lambda p: p.argmax(axis=-1),
    "hot": lambda p: p.argmax(axis=-1),
    "tags": lambda p: p > 0.5,
    "steps": lambda p: p.argmax(axis=-1),
    "pixels": lambda p: p.argmax(axis=-1),
    "mask": lambda p: p > 0.5,
    "holes": lambda p: p.argmax(axis=-1),
    "known": lambda p: p.argmax(axis=-1),
    "choice": lambda p: p,
    "choices": lambda p: p,
}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("output", DECISIONS)
def test_agreement_is_the_share_of_the_metrics_own_decisions_that_are_alike(
    output: str, scheme: str, evaluations, float_outputs, tflite_outputs
):
    decide = DECISIONS[output]
    before, after = decide(float_outputs[output]), decide(tflite_outputs[scheme][output])
    sums = evaluations[scheme, False].output(output).comparison.outputs
    assert sums.agreement == pytest.approx((before == after).mean())
    assert sum(sums.transitions.values()) == before.size


@pytest.mark.parametrize("output", ["amounts", "levels", "picture", "echo"])
def test_there_is_no_agreement_of_values_that_decide_nothing(output: str, evaluations):
    assert evaluations["int8", False].output(output).comparison.outputs.agreement is None


# --- What the answers are beside the labels -------------------------------------------------------


def classes_of(output: str, labels: np.ndarray) -> np.ndarray:
    """Returns the right answers as classes, flat."""
    return labels.argmax(axis=-1).ravel() if "hot" in output else labels.ravel()


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("output", DECISIONS)
def test_the_confusion_is_scikit_learns_of_bare_predictions(
    output: str, scheme: str, weighted: bool, evaluations, float_outputs, tflite_outputs, labels
):
    answers = evaluations[scheme, weighted].output(output).comparison.answers
    assert not answers.residuals
    truth = classes_of(output, labels[output])
    counts = truth != {"holes": 255, "known": -1}.get(output, truth.min() - 1)
    assert answers.confusion.answers == counts.sum()
    for predicted, found in (
        (float_outputs[output], answers.confusion.float_counts),
        (tflite_outputs[scheme][output], answers.confusion.quantized_counts),
    ):
        decided = DECISIONS[output](predicted).ravel()
        expected = sk.confusion_matrix(truth[counts], decided[counts])
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("output", DECISIONS)
def test_the_reliability_is_scikit_learns_of_bare_predictions(
    output: str, scheme: str, evaluations, float_outputs, tflite_outputs, labels
):
    reliability = evaluations[scheme, False].output(output).comparison.answers.reliability
    if OUTPUTS[output][1] in ("linear", "argmax"):
        assert reliability is None
        return
    truth = classes_of(output, labels[output])
    counts = truth != {"holes": 255, "known": -1}.get(output, truth.min() - 1)
    for predicted, bins in (
        (float_outputs[output], reliability.float_bins),
        (tflite_outputs[scheme][output], reliability.quantized_bins),
    ):
        if reliability.of == "answer":
            came_true = predicted.argmax(axis=-1).ravel() == truth
            probabilities = predicted.max(axis=-1).ravel()
        else:
            came_true, probabilities = truth == 1, predicted.ravel()
        share, probability = calibration_curve(
            came_true[counts], np.clip(probabilities, 0, 1)[counts], n_bins=10
        )
        np.testing.assert_allclose([b.share for b in bins], share, rtol=1e-7)
        np.testing.assert_allclose([b.probability for b in bins], probability, rtol=1e-6)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("output", ["amounts", "levels", "picture", "echo"])
def test_the_residuals_are_numpys_of_bare_predictions(
    output: str, scheme: str, evaluations, float_outputs, tflite_outputs, labels
):
    answers = evaluations[scheme, False].output(output).comparison.answers
    assert answers.confusion is None and answers.reliability is None
    truth = labels[output].reshape(ROWS, -1).astype(np.float64)
    assert len(answers.residuals) == (truth.shape[1] if truth.shape[1] <= 4 else 1)
    for plot in answers.residuals:
        columns = slice(None) if plot.column is None else plot.column
        edges = [
            bins.start + bins.width * np.arange(bins.count + 1)
            for bins in (plot.labels, plot.residuals)
        ]
        for predicted, found in (
            (float_outputs[output], plot.float_counts),
            (tflite_outputs[scheme][output], plot.quantized_counts),
        ):
            values = predicted.reshape(ROWS, -1).astype(np.float64)[:, columns].ravel()
            own = truth[:, columns].ravel()
            expected, _, _ = np.histogram2d(own, values - own, bins=edges)
            np.testing.assert_array_equal(found, expected)


# --- What does not fit ----------------------------------------------------------------------------

WRONG = [
    ("classes", "classes", "CategoricalAccuracy", {}, "class indices use SparseCategoricalAccurac"),
    ("classes", "classes", "BinaryAccuracy", {}, "SparseCategoricalAccuracy, or give .* class_id"),
    ("classes", "classes", "Precision", {}, "SparseCategoricalAccuracy, or give .* class_id"),
    ("pixels", "pixels", "AUC", {}, r"shape \[\?, 2, 3, 3\]; for class indices"),
    ("amounts", "score", "MeanSquaredError", {}, r"label 'score_label' has 1 value .* \[\?, 2\]"),
    ("hot", "hot", "SparseCategoricalAccuracy", {}, "one-hot labels use CategoricalAccuracy"),
    ("mask", "mask", "SparseCategoricalAccuracy", {}, "no classes; use BinaryAccuracy"),
    ("pixels", "classes", "SparseCategoricalAccuracy", {}, r"at each position \(6\)"),
    ("classes", "classes", "Recall", {"class_id": 3}, "the output has classes 0 to 2"),
    ("logit", "logit", "AUC", {}, "takes probabilities from 0 to 1, but output 'logit' of the"),
    ("tags", "tags", "CategoricalAccuracy", {}, "label 'tags_label' adds up to"),
    ("holes", "holes", "SparseCategoricalAccuracy", {}, "'holes_label' is 255 in record .* ignore"),
    (
        "score",
        "score",
        "Accuracy",
        {},
        "takes an output that is the class itself, but output 'score'",
    ),
    ("choices", "choices", "SparseCategoricalAccuracy", {}, "that is the class itself Accuracy"),
    ("score", "score", "MeanIoU", {"num_classes": 2}, "for scores use BinaryAccuracy or BinaryIoU"),
    ("choices", "choices", "MeanIoU", {"num_classes": 3}, "has 6 answers an example; use Sparse"),
    ("hot_pixels", "hot_pixels", "OneHotMeanIoU", {"num_classes": 3}, "has 6 answers an example"),
    ("choice", "choice", "SparseCategoricalAccuracy", {}, "Accuracy if the value is the class"),
]


@pytest.mark.parametrize(("output", "label", "metric", "config", "said"), WRONG)
def test_a_metric_that_a_label_does_not_fit_is_an_error_that_says_what_would(
    output: str,
    label: str,
    metric: str,
    config: dict,
    said: str,
    saved_model,
    models,
    source,
    tmp_path: Path,
):
    def figure(labels: np.ndarray, outputs: np.ndarray, w: np.ndarray) -> float:
        raise AssertionError("there is no figure")

    cell = Cell(output, metric, figure, tuple(config.items()))
    with pytest.raises(Exception, match=r".") as caught:
        evaluate(
            saved_model,
            models["float32"],
            source,
            tmp_path,
            [target(output, False, label=LABELS[label])],
            {None: [cell]},
        )
    error = user_error_in(caught.value)
    assert isinstance(error, DataError | EvaluationError)
    assert metric in str(error)
    with pytest.raises(type(error), match=said):
        raise error


# --- Where labels and weights come from -----------------------------------------------------------


def overall(evaluation: Any, metric: str) -> Any:
    [value] = [v for v in evaluation.values if (v.metric, v.slice) == (metric, "overall")]
    return value


ACCURACY = Cell("classes", "SparseCategoricalAccuracy", accuracy)


def test_strings_are_labels_by_a_vocabulary(
    saved_model, models, source, evaluations, tmp_path: Path
):
    words = target("classes", False, label="word", vocabulary=("ant", "bee", "cat"))
    found = evaluate(saved_model, models["int8"], source, tmp_path, [words], {None: [ACCURACY]})
    [expected] = [
        value
        for value in evaluations["int8", False].values
        if (value.output, value.metric, value.slice) == ("classes", ACCURACY.name, "overall")
    ]
    assert overall(found, ACCURACY.name) == expected.model_copy(update={"output": None})


def test_the_preprocessing_signature_may_give_the_label(
    saved_model, models, source, evaluations, tmp_path: Path
):
    found = evaluate(
        saved_model,
        models["int8"],
        source,
        tmp_path,
        [target("classes", False, label="prepared_label")],
        {None: [ACCURACY]},
        preprocessing="prepare",
    )
    [expected] = [
        value
        for value in evaluations["int8", False].values
        if (value.output, value.metric, value.slice) == ("classes", ACCURACY.name, "overall")
    ]
    assert overall(found, ACCURACY.name) == expected.model_copy(update={"output": None})


def test_weights_that_are_all_0_are_an_error(saved_model, models, source, tmp_path: Path):
    nothing = target("classes", False, example_weight="nothing")
    with pytest.raises(DataError, match="'nothing' is 0 for all 150 examples"):
        evaluate(saved_model, models["int8"], source, tmp_path, [nothing], {None: [ACCURACY]})


def test_a_slice_without_any_weight_is_not_judged(saved_model, models, source, tmp_path: Path):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence
    from tfx_tflite.components.judgement.judging import judge

    rule = MetricRule(metric=ACCURACY.name, max_drop=1.0, slices="each")
    gate = Gate(rules=(rule,), min_examples=1)
    some = target("classes", False, example_weight="first_group")
    found = evaluate(
        saved_model, models["int8"], source, tmp_path, [some], {None: [ACCURACY]}, gate
    )
    result = judge(
        gate,
        found.values,
        found.examples,
        {ACCURACY.name: "higher_is_better"},
        ComparisonEvidence(found, {}),
    )
    assert {rule.slice: rule.verdict.value for rule in result.rules} == {
        "group:0": "blessed",
        "group:1": "not_judged",
        "group:2": "not_judged",
    }


def test_labels_that_are_all_ignored_are_an_error(saved_model, models, source, tmp_path: Path):
    cell = Cell("nothing", "SparseCategoricalAccuracy", accuracy, (("ignore_class", 0),))
    judged = [target("classes", False, label="nothing")]
    with pytest.raises(DataError, match=r"label 'nothing' is the ignore_class .* every example"):
        evaluate(saved_model, models["int8"], source, tmp_path, judged, {"classes": [cell]})


def typical_loss(drops: np.ndarray, before: np.ndarray, best: float) -> float:
    """How bad one more example may be: as is typical of the float model, or of the drops."""
    return math.sqrt(max(np.mean(drops**2), np.mean((before - best) ** 2)))


@pytest.mark.parametrize("cell", CELLS_BY_OUTPUT["holes"][:2], ids=lambda cell: cell.name)
def test_the_bounds_of_a_mean_that_ignores_a_class_weigh_examples_by_what_counts(
    cell: Cell, evaluations, float_outputs, tflite_outputs, labels
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence
    from tfx_tflite.components.judgement.statistics.paired_tests import mean_interval

    counted = (labels["holes"] != 255).sum(axis=(1, 2))
    totals = np.zeros((2, ROWS))
    for model, outputs in enumerate((float_outputs, tflite_outputs["int8"])):
        for row in np.flatnonzero(counted):
            one = slice(row, row + 1)
            value = cell.figure(labels["holes"][one], outputs["holes"][one], np.ones(1))
            totals[model, row] = value * counted[row]
    sign = 1 if "Accuracy" in cell.name else -1

    def linear(values: np.ndarray) -> np.ndarray:
        mean = values.sum() / counted.sum()
        return (values - mean * counted) / counted.mean() + mean

    parts = linear(sign * (totals[0] - totals[1]))
    typical = typical_loss(parts, linear(totals[0]), best=max(sign, 0))
    expected = mean_interval(moments_of(parts, parts), 0.0, 0.9, typical=typical)
    evaluation = evaluations["int8", False]
    [value] = [
        v
        for v in evaluation.values
        if (v.metric, v.output, v.slice) == (cell.name, "holes", "overall")
    ]
    rule = MetricRule(metric=cell.name, output="holes", max_drop=0.0, confidence=0.9)
    found = ComparisonEvidence(evaluation, {}).interval(rule, value, sign)
    for name in ("drop", "lower", "upper", "p_blessed"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-6)


@pytest.mark.parametrize("metric", ["SparseCategoricalAccuracy", "SparseCategoricalCrossentropy"])
@pytest.mark.parametrize("output", ["classes", "pixels"])
def test_the_bounds_of_a_weighted_mean_are_those_of_its_linear_parts(
    output: str,
    metric: str,
    evaluations,
    float_outputs,
    tflite_outputs,
    labels,
    weights,
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence
    from tfx_tflite.components.judgement.statistics.paired_tests import mean_interval

    figure = accuracy if metric.endswith("Accuracy") else log_loss
    ones = np.ones(1)
    before, after = (
        np.array([figure(labels[output][r : r + 1], p[r : r + 1], ones) for r in range(ROWS)])
        for p in (float_outputs[output], tflite_outputs["int8"][output])
    )
    sign = 1 if metric.endswith("Accuracy") else -1

    def linear(values: np.ndarray) -> np.ndarray:
        mean = np.average(values, weights=weights)
        return weights.astype(np.float64) / weights.mean(dtype=np.float64) * (values - mean) + mean

    parts = linear(sign * (before - after))
    # An answer is right or wrong; of an image it is right in parts.
    best = 1 if (output, sign) == ("pixels", 1) else 0
    typical = typical_loss(parts, linear(before), best)
    expected = mean_interval(moments_of(parts, parts), 0.0, 0.9, typical=typical)
    evaluation = evaluations["int8", True]
    [value] = [
        v for v in evaluation.values if (v.output, v.metric, v.slice) == (output, metric, "overall")
    ]
    rule = MetricRule(metric=metric, output=output, max_drop=0.0, confidence=0.9)
    found = ComparisonEvidence(evaluation, {}).interval(rule, value, sign)
    for name in ("drop", "lower", "upper", "p_blessed"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), abs=1e-6)


# --- Rules on the value: against SciPy and NumPy on bare predictions ---


def each_value(output: str, name: str, labels: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """What an example adds to a mean, from bare predictions."""
    if name == "SparseCategoricalAccuracy":
        right = outputs.argmax(axis=-1) == labels
        return right.reshape(len(labels), -1).mean(axis=1)
    if name == "SparseCategoricalCrossentropy":
        return np.array(
            [log_loss(labels[r : r + 1], outputs[r : r + 1], np.ones(1)) for r in range(ROWS)]
        )
    differences = (outputs - labels.reshape(outputs.shape)).reshape(len(labels), -1)
    power = 1 if name == "MeanAbsoluteError" else 2
    return (np.abs(differences.astype(np.float64)) ** power).mean(axis=1)


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("group", ["overall", "group:1"])
@pytest.mark.parametrize(
    ("output", "metric", "limit"),
    [
        ("classes", "SparseCategoricalAccuracy", {"min_value": 0.3}),
        ("classes", "SparseCategoricalCrossentropy", {"max_value": 1.5}),
        ("pixels", "SparseCategoricalAccuracy", {"min_value": 0.3}),
        ("amounts", "MeanAbsoluteError", {"max_value": 2.0}),
        ("amounts", "MeanSquaredError", {"max_value": 3.0}),
        ("amounts", "RootMeanSquaredError", {"max_value": 1.5}),
    ],
)
def test_the_bounds_of_a_value_are_those_of_bare_predictions(
    output: str,
    metric: str,
    limit: dict[str, float],
    group: str,
    weighted: bool,
    evaluations,
    tflite_outputs,
    labels,
    weights,
    groups,
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence

    evaluation = evaluations["int8", weighted]
    [value] = [
        v for v in evaluation.values if (v.output, v.metric, v.slice) == (output, metric, group)
    ]
    keys = {"metric": metric, "output": output, "confidence": 0.9, **limit}
    rule = MetricRule.model_validate(keys)
    sign = rule.sign({})
    found = ComparisonEvidence(evaluation, {}).interval(rule, value, sign)
    assert found.drop == pytest.approx(sign * (value.float_value - value.quantized_value))
    rows = groups >= 0 if group == "overall" else groups == 1
    each = each_value(output, metric, labels[output], tflite_outputs["int8"][output])[rows]
    # In the value's own terms.
    ends = sorted(value.float_value - sign * end for end in (found.lower, found.upper))
    if (output, metric, weighted) == ("classes", "SparseCategoricalAccuracy", False):
        test = binomtest(int(each.sum()), len(each)).proportion_ci(0.8, method="exact")
        assert ends == pytest.approx([test.low, test.high])
        return
    own = weights[rows].astype(np.float64) if weighted else np.ones(len(each))
    mean = np.average(each, weights=own)
    parts = own * (each - mean) / own.mean()
    error = parts.std(ddof=1) / math.sqrt(len(each))
    reach = student.ppf(0.9, len(each) - 1) * error
    expected = np.array([mean - reach, mean + reach])
    if metric == "RootMeanSquaredError":
        expected = np.sqrt(expected)
    # The t-test's, or wider by the correction for skewness and by what a sample may lack.
    assert ends[0] <= expected[0] + 1e-6 and ends[1] >= expected[1] - 1e-6
    if not metric.endswith("Accuracy") and 0.97 ** len(each) >= 0.1:
        # So few examples may hold none of 3 % that are bad, however bad those are.
        assert ends == [-math.inf, math.inf]
    elif group == "overall":
        assert ends == pytest.approx(expected.tolist(), rel=0.25)


@pytest.mark.parametrize(("metric", "limit"), [("AUC", 0.3), ("Recall", 0.1)])
def test_the_bounds_of_a_value_of_scores_are_those_of_bare_predictions(
    metric: str, limit: float, saved_model, models, source, tmp_path: Path, tflite_outputs, labels
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence

    [cell] = [
        cell
        for cell in CELLS_BY_OUTPUT["classes"]
        if (cell.class_name, cell.config) == (metric, (("class_id", 1),))
    ]
    rule = MetricRule(metric=cell.name, min_value=limit, confidence=0.9)
    judged = [target("classes", False)]
    found = evaluate(
        saved_model, models["int8"], source, tmp_path, judged, {None: [cell]}, Gate(rules=(rule,))
    )
    value = overall(found, cell.name)
    interval = ComparisonEvidence(found, {}).interval(rule, value, 1)
    lowest = value.float_value - interval.upper
    positive = labels["classes"] == 1
    scores = tflite_outputs["int8"]["classes"][:, 1]
    if metric == "Recall":
        counted = int((scores[positive] > 0.5).sum())
        test = binomtest(counted, int(positive.sum())).proportion_ci(0.8, method="exact")
        assert lowest == pytest.approx(test.low)
        return
    generator = np.random.default_rng(7)
    drawn = (generator.integers(ROWS, size=ROWS) for _ in range(1000))
    aucs = [sk.roc_auc_score(positive[rows], scores[rows]) for rows in drawn]
    # Where Newcombe's test is the more cautious one, it is by little.
    assert lowest == pytest.approx(np.quantile(aucs, 0.1), abs=0.02)


# --- Examples in groups ---

GROUPED = {
    "classes": ("SparseCategoricalAccuracy", "SparseCategoricalCrossentropy", "AUC", "Recall"),
    "amounts": ("MeanSquaredError", "RootMeanSquaredError"),
}
ONE_CLASS = (("class_id", 1),)


@pytest.fixture(scope="module")
def grouped(saved_model, models, source, tmp_path_factory):
    """Several outputs with a rule on each metric, beside a pushed model, by whether weighted."""
    cells = {
        output: [
            cell
            for cell in CELLS_BY_OUTPUT[output]
            if cell.class_name in names
            and cell.config == (ONE_CLASS if cell.class_name in ("AUC", "Recall") else ())
        ]
        for output, names in GROUPED.items()
    }
    rules = tuple(
        MetricRule.model_validate({"metric": cell.name, "output": output, **keys})
        for output, found in cells.items()
        for cell in found
        for keys in (
            {"max_drop": 0.1, "confidence": 0.9},
            {"max_drop": 0.1, "confidence": 0.9, "slices": "each"},
        )
    )
    return {
        weighted: evaluate(
            saved_model,
            models["int8"],
            source,
            tmp_path_factory.mktemp(f"grouped-{weighted}"),
            [target(output, weighted, group_by="clip") for output in cells],
            cells,
            Gate(rules=rules),
            reference=str(models["dynamic_range"]),
        )
        for weighted in (False, True)
    }


@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("group", ["overall", "group:1"])
@pytest.mark.parametrize(
    ("output", "metric"),
    [(output, name) for output, names in GROUPED.items() for name in names if name != "AUC"],
)
def test_the_bounds_of_examples_in_groups_are_those_of_bare_sums(
    output: str,
    metric: str,
    group: str,
    weighted: bool,
    grouped,
    tflite_outputs,
    labels,
    weights,
    groups,
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence
    from tfx_tflite.components.judgement.statistics import group_tests

    evaluation = grouped[weighted]
    [value] = [
        v
        for v in evaluation.values
        if v.output == output and v.metric.startswith(metric) and v.slice == group
    ]
    rows = groups >= 0 if group == "overall" else groups == 1
    assert value.groups == len(np.unique(CLIP[rows]))
    sign = -1 if metric.endswith(("Error", "entropy")) else 1
    keys = {"metric": value.metric, "output": output, "confidence": 0.9}
    rule = MetricRule(max_drop=0.1, slices="overall" if group == "overall" else "each", **keys)
    found = ComparisonEvidence(evaluation, {}).interval(rule, value, sign)
    before, after = (tflite_outputs[name][output] for name in ("dynamic_range", "int8"))
    own = weights.astype(np.float64) if weighted else np.ones(ROWS)
    if metric == "Recall":
        rows = rows & (labels["classes"] == 1)
        each = [(found[:, 1] > 0.5).astype(float) for found in (before, after)]
    else:
        each = [each_value(output, metric, labels[output], found) for found in (before, after)]
    sizes, f, q = (
        np.bincount(CLIP[rows], (own * values)[rows], CLIP.max() + 1)
        for values in (np.ones(ROWS), *each)
    )
    has_any = sizes > 0
    assert (found.examples, found.unit) == (int(has_any.sum()), "groups")
    sums = group_tests.GroupSums(sizes[has_any], f[has_any], q[has_any])
    is_counts = metric in ("SparseCategoricalAccuracy", "Recall") and not weighted
    if is_counts:
        changes = sign * (each[0] - each[1])[rows]
        worse, better = int((changes > 0).sum()), int((changes < 0).sum())
        expected = group_tests.share_interval(sums, worse, better, sign, 0.1, 0.9)
    else:
        best = 1.0 if metric in ("SparseCategoricalAccuracy", "Recall") else 0.0
        is_root = metric == "RootMeanSquaredError"
        expected = group_tests.mean_interval(sums, sign, 0.1, 0.9, None, is_root, best=best)
    for name in ("drop", "lower", "upper", "p_blessed", "standard_error"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-4, abs=1e-6)


def test_the_bounds_of_an_auc_of_examples_in_groups_are_those_of_drawing_whole_groups(
    grouped, tflite_outputs, labels
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence

    [value] = [
        v
        for v in grouped[False].values
        if v.metric.startswith("AUC") and (v.output, v.slice) == ("classes", "overall")
    ]
    rule = MetricRule(metric=value.metric, output="classes", max_drop=0.1, confidence=0.9)
    interval = ComparisonEvidence(grouped[False], {}).interval(rule, value, 1)
    positive = labels["classes"] == 1
    scores = [tflite_outputs[name]["classes"][:, 1] for name in ("dynamic_range", "int8")]
    generator = np.random.default_rng(7)
    drops = []
    for _ in range(500):
        drawn = generator.poisson(1.0, CLIP.max() + 1)[CLIP]
        rows = np.flatnonzero(drawn)
        areas = [
            sk.roc_auc_score(positive[rows], found[rows], sample_weight=drawn[rows])
            for found in scores
        ]
        drops.append(areas[0] - areas[1])
    assert (interval.examples, interval.unit) == (CLIP.max() + 1, "groups")
    evidence = grouped[False].output("classes").score_evidence[value.metric, "overall"]
    before, after = evidence.replicates
    assert np.std(before - after) == pytest.approx(np.std(drops), rel=0.25)


def test_several_outputs_are_compared_with_a_pushed_model_in_one_go(
    saved_model, models, source, tmp_path: Path, tflite_outputs, labels
):
    cells = {
        output: [cell for cell in CELLS_BY_OUTPUT[output] if not cell.config]
        for output in ("classes", "picture")
    }
    found = evaluate(
        saved_model,
        models["int8"],
        source,
        tmp_path,
        [target(output, False) for output in cells],
        cells,
        reference=str(models["dynamic_range"]),
    )
    for output, name in (("classes", ACCURACY.name), ("picture", "MeanSquaredError")):
        [value] = [
            v for v in found.values if (v.output, v.metric, v.slice) == (output, name, "overall")
        ]
        [cell] = [cell for cell in cells[output] if cell.name == name]
        for figure, scheme in (
            (value.float_value, "dynamic_range"),
            (value.quantized_value, "int8"),
        ):
            expected = cell.figure(labels[output], tflite_outputs[scheme][output], np.ones(ROWS))
            assert figure == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("metric", "method"), [("AUC", "Poisson bootstrap"), ("Recall", "Tango")])
def test_a_metric_of_one_class_has_a_confidence(
    metric: str, method: str, saved_model, models, source, tmp_path: Path
):
    from tfx_tflite.components.judgement.evidence import ComparisonEvidence

    [cell] = [
        cell
        for cell in CELLS_BY_OUTPUT["classes"]
        if (cell.class_name, cell.config) == (metric, (("class_id", 1),))
    ]
    rule = MetricRule(metric=cell.name, max_drop=0.1, confidence=0.9)
    found = evaluate(
        saved_model,
        models["int8"],
        source,
        tmp_path,
        [target("classes", False)],
        {None: [cell]},
        Gate(rules=(rule,)),
    )
    value = overall(found, cell.name)
    interval = ComparisonEvidence(found, {}).interval(rule, value, 1)
    assert method in interval.method
    assert interval.drop == pytest.approx(value.float_value - value.quantized_value)
    assert interval.lower <= interval.drop <= interval.upper < 0.1


def test_a_metric_of_several_classes_by_a_metrics_spec_has_a_figure_for_each():
    from tensorflow_model_analysis.proto import metrics_for_slice_pb2

    from tfx_tflite.components.judgement.evaluation import _numbers

    record = metrics_for_slice_pb2.MetricsForSlice()
    for class_id in (0, 2):
        item = record.metric_keys_and_values.add()
        item.key.name, item.key.model_name = "AUC", "float"
        item.key.sub_key.class_id.value = class_id
        item.value.double_value.value = class_id / 10
    assert _numbers(record) == {
        ("AUC (class_id 0)", "", "float"): 0.0,
        ("AUC (class_id 2)", "", "float"): 0.2,
    }
