"""What the table of operators says is what the quantizer and the kernels do, by number."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from benchmarks.observation import collect_ranges
from tests.components.quantization import seeding
from tests.components.quantization.zoo import HAS_INTEGER_SQRT
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.audit.specification import Treatment
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

SHAPE = (1, 4, 4, 8)
EXAMPLES = 8


def test_every_operator_of_the_schema_is_classified():
    names = [n for n in vars(flatbuffer_utils.schema_fb.BuiltinOperator) if n.isupper()]
    assert len(names) > 200
    assert [name for name in names if spec.treatment(name) is None] == []


def test_an_operator_is_classified_once():
    assert sum(len(names) for names in spec._OPERATORS.values()) == len(spec.TREATMENTS)


def positive(x: tf.Tensor) -> tf.Tensor:
    return tf.abs(x) + 0.5


def scaled(x: tf.Tensor) -> tf.Tensor:
    """Another tensor of the same shape, with another scale and zero point."""
    return x * 1.5 + 0.3


def rows(x: tf.Tensor) -> tf.Tensor:
    return tf.reshape(x, [4, 32])


# Operators that become integer with TensorFlow 2.21, and stay float with 2.16.
NEWLY_INTEGER: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "SQRT": lambda x: tf.sqrt(positive(x)),
}
# Operators that become integer, each in a function that has another scale on either side.
INTEGER: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "ABS": tf.abs,
    "ADD": lambda x: x + scaled(x),
    "SUB": lambda x: scaled(x) - tf.nn.relu(x),
    "MUL": lambda x: x * scaled(x),
    "SQUARED_DIFFERENCE": lambda x: tf.math.squared_difference(x, scaled(x)),
    "EXP": tf.exp,
    "LOG": lambda x: tf.math.log(positive(x)),
    "RSQRT": lambda x: tf.math.rsqrt(positive(x)),
    "RELU": tf.nn.relu,
    "RELU6": tf.nn.relu6,
    "RELU_N1_TO_1": lambda x: tf.clip_by_value(x, -1.0, 1.0),
    "LEAKY_RELU": lambda x: tf.nn.leaky_relu(x, 0.2),
    "HARD_SWISH": lambda x: x * tf.nn.relu6(x + 3) / 6,
    "GELU": tf.nn.gelu,
    "ELU": lambda x: tf.nn.elu(x * 1.5) * 0.5,
    "SUM": lambda x: tf.reduce_sum(x, 2),
    "MEAN": lambda x: tf.reduce_mean(x, 2),
    "REDUCE_PROD": lambda x: tf.reduce_prod(x, 2),
    "REDUCE_MAX": lambda x: tf.reduce_max(x, 2),
    "REDUCE_MIN": lambda x: tf.reduce_min(x, 2),
    "MAXIMUM": lambda x: tf.maximum(x, scaled(x)),
    "MINIMUM": lambda x: tf.minimum(x, scaled(x)),
    "BATCH_MATMUL": lambda x: tf.matmul(x, scaled(x), transpose_b=True),
    "LOGISTIC": tf.sigmoid,
    "TANH": tf.tanh,
    "SOFTMAX": tf.nn.softmax,
    "LOG_SOFTMAX": tf.nn.log_softmax,
    "L2_NORMALIZATION": lambda x: tf.math.l2_normalize(x, -1),
    "CONCATENATION": lambda x: tf.concat([x, scaled(x)], -1),
    "PACK": lambda x: tf.stack([x, scaled(x)], 1),
    "UNPACK": lambda x: tf.concat(tf.unstack(x, axis=1)[::-1], -1),
    "SPLIT": lambda x: tf.concat(tf.split(x, 2, -1)[::-1], 1),
    "SPLIT_V": lambda x: tf.concat(tf.split(x, [3, 5], -1)[::-1], -1),
    "SLICE": lambda x: tf.slice(x, [0, 1, 0, 0], [1, 2, 4, 8]),
    "STRIDED_SLICE": lambda x: x[:, 1:3],
    "PAD": lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]]),
    "PADV2": lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]], constant_values=7.0),
    "MIRROR_PAD": lambda x: tf.pad(x, [[0, 0], [1, 1], [0, 0], [0, 0]], "REFLECT"),
    "TILE": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "GATHER": lambda x: tf.gather(x, [0, 2], axis=1),
    "GATHER_ND": lambda x: tf.gather_nd(x, [[[0, 1], [0, 3]]]),
    "REVERSE_V2": lambda x: tf.reverse(x, [1]),
    "TRANSPOSE": lambda x: tf.transpose(x, [0, 3, 1, 2]),
    "TOPK_V2": lambda x: tf.math.top_k(x, 3).values,
    "FILL": lambda x: tf.fill([1, 4], tf.reshape(x, [-1])[3]),
    "SPACE_TO_DEPTH": lambda x: tf.nn.space_to_depth(x, 2),
    "DEPTH_TO_SPACE": lambda x: tf.nn.depth_to_space(x, 2),
    "RESIZE_BILINEAR": lambda x: tf.image.resize(x, [7, 7]),
    "RESIZE_NEAREST_NEIGHBOR": lambda x: tf.image.resize(x, [7, 7], "nearest"),
    "SCATTER_ND": lambda x: tf.scatter_nd([[0, 1], [0, 3]], tf.reshape(x, [2, 64]), [1, 5, 64]),
    "MATRIX_DIAG": tf.linalg.diag,
    "MATRIX_SET_DIAG": lambda x: tf.linalg.set_diag(x, scaled(x)[..., 0, :4]),
    "SPARSE_TO_DENSE": lambda x: tf.raw_ops.SparseToDense(
        sparse_indices=[[0, 1], [0, 3]],
        output_shape=[1, 5],
        sparse_values=tf.reshape(x, [-1])[:2],
        default_value=-9.0,
    ),
    **(NEWLY_INTEGER if HAS_INTEGER_SQRT else {}),
}
# Operators that stay float.
FLOAT_ONLY: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "ADD_N": lambda x: tf.add_n([x, scaled(x), tf.nn.relu(x)]),
    "ATAN2": lambda x: tf.atan2(x, positive(x)),
    "CEIL": tf.math.ceil,
    "COS": tf.cos,
    "CUMSUM": lambda x: tf.cumsum(x, 1),
    "DIV": lambda x: x / positive(x),
    "FLOOR": tf.floor,
    "FLOOR_DIV": lambda x: tf.math.floordiv(x, positive(x)),
    "FLOOR_MOD": lambda x: tf.math.floormod(x, positive(x)),
    "LOCAL_RESPONSE_NORMALIZATION": tf.nn.local_response_normalization,
    "NEG": tf.negative,
    "POW": lambda x: tf.pow(positive(x), 1.7),
    "RFFT2D": lambda x: tf.abs(tf.signal.rfft(x)),
    "ROUND": tf.round,
    "SEGMENT_SUM": lambda x: tf.math.segment_sum(rows(x), [0, 0, 1, 2]),
    "SIGN": tf.sign,
    "SIN": tf.sin,
    "SQUARE": tf.square,
    "UNSORTED_SEGMENT_MAX": lambda x: tf.math.unsorted_segment_max(rows(x), [0, 0, 1, 2], 3),
    **({} if HAS_INTEGER_SQRT else NEWLY_INTEGER),
}
# What the quantizer for 16 bits takes of the operators with a rule of their own here.
INTEGER_OF_16_BITS = ("SUM", "MEAN", "MAXIMUM", "CONCATENATION", "GATHER", "FILL", "TANH")


@pytest.fixture(scope="module")
def quantized(float_tflite) -> Callable[..., tuple[bytes, bytes, np.ndarray]]:
    """Gives a function of one tensor as float and as quantized model, and examples."""

    def convert(function: Callable, scheme: Scheme) -> tuple[bytes, bytes, np.ndarray]:
        examples = np.random.default_rng(0).normal(0, 2, (EXAMPLES, *SHAPE[1:]))
        examples = examples.astype(np.float32)
        content = float_tflite(function, x=(SHAPE, tf.float32))
        ranges = collect_ranges(content, [{"x": examples}])
        calibrated = write_ranges(content, ranges, RangePolicy("minmax"), scheme)
        return content, quantize(calibrated, Recipe(scheme)), examples

    return convert


def signal_to_noise(float32: bytes, content: bytes, examples: np.ndarray) -> float:
    """The ratio of signal to quantization noise over all outputs, in dB."""
    before, after = TFLiteModel(float32), TFLiteModel(content)
    signal = noise = 0.0
    for example in examples:
        given = {"x": example[None]}
        real = before.predict(given)["output"].astype(np.float64)
        signal += np.square(real).sum()
        noise += np.square(real - after.predict(given)["output"]).sum()
    return 10 * np.log10(signal / max(noise, 1e-30))


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGER)
def test_an_operator_that_becomes_integer_gives_the_float_models_numbers(quantized, name: str):
    scheme = Scheme.INT8_FLOAT_IO
    float32, content, examples = quantized(INTEGER[name], scheme)
    assert name in Graph(content).operator_counts()
    assert audit(content, Recipe(scheme)) == []
    assert spec.treatment(name) not in (Treatment.FLOAT_ONLY, Treatment.NOT_ALLOWED)
    assert signal_to_noise(float32, content, examples) > 27


@pytest.mark.slow
def test_several_constants_that_are_copied_stay_several(float_tflite):
    def function(x: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        sparse = tf.raw_ops.SparseToDense(
            sparse_indices=places, output_shape=[1, 8], sparse_values=[1.0, 0.5], default_value=0.0
        )
        return tf.concat([sparse, x], axis=1)

    content = float_tflite(function, x=([1, 8], tf.float32), places=([2, 2], tf.int32))
    x = np.random.default_rng(0).normal(size=(1, 8)).astype(np.float32)
    given = {"x": x, "places": np.array([[0, 1], [0, 6]], np.int32)}
    # Its only example fills the batch that is built in for each input.
    ranges = collect_ranges(content, [{name: value[:1] for name, value in given.items()}])
    scheme = Scheme.INT8_FLOAT_IO
    calibrated = write_ranges(content, ranges, RangePolicy("minmax"), scheme)
    quantized = quantize(calibrated, Recipe(scheme))
    assert "SPARSE_TO_DENSE" in Graph(quantized).operator_counts()
    assert audit(quantized, Recipe(scheme)) == []
    interpreter = tf.lite.Interpreter(model_content=quantized)
    found = interpreter.get_signature_runner()(**given)["output"][0, [1, 6]]
    np.testing.assert_allclose(found, [1.0, 0.5], atol=0.05)


@pytest.mark.slow
@pytest.mark.parametrize("name", INTEGER_OF_16_BITS)
def test_16_bits_give_the_float_models_numbers_closely(quantized, name: str):
    float32, content, examples = quantized(INTEGER[name], Scheme.INT16X8)
    assert audit(content, Recipe(Scheme.INT16X8)) == []
    assert signal_to_noise(float32, content, examples) > 75


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOAT_ONLY)
def test_an_operator_that_stays_float_is_in_the_table_and_named(quantized, name: str):
    scheme = Scheme.INT8_FLOAT_IO
    _, content, _ = quantized(FLOAT_ONLY[name], scheme)
    newly = Treatment.QUANTIZED_BY_NEWER
    assert spec.treatment(name) is (newly if name in NEWLY_INTEGER else Treatment.FLOAT_ONLY)
    reasons = [
        found.reason
        for found in audit(content, Recipe(scheme))
        if found.layer.startswith(f"{name} #")
    ]
    assert reasons and all(reason.startswith("computes in FLOAT32") for reason in reasons)


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOAT_ONLY)
def test_an_operator_that_stays_float_may_do_so_if_that_is_allowed(quantized, name: str):
    scheme = Scheme.INT8_FLOAT_IO
    _, content, _ = quantized(FLOAT_ONLY[name], scheme)
    assert audit(content, Recipe(scheme, float_fallback="allow")) == []


@pytest.mark.slow
@pytest.mark.parametrize(("on", "off"), [(1.0, 0.0), (3.0, -1.0), (-2.0, 0.5)])
def test_one_hot_of_integers_is_exact(float_tflite, on: float, off: float):
    content = float_tflite(lambda x: tf.one_hot(x, 5, on, off), x=((1, 4), tf.int64))
    indices = np.array([[0, 3, 4, 7], [1, 2, 0, 0]])
    ranges = collect_ranges(content, [{"x": indices}])
    calibrated = write_ranges(content, ranges, RangePolicy("minmax"))
    integer = quantize(calibrated, Recipe(Scheme.INT8))
    found = TFLiteModel(integer).predict({"x": indices})["output"]
    assert audit(integer, Recipe(Scheme.INT8)) == []
    step = (max(on, off, 0) - min(on, off, 0)) / 255
    expected = np.where(indices[..., None] == np.arange(5), on, off)
    np.testing.assert_allclose(found, expected, atol=step / 2)


def change_constant(position: int) -> seeding.Change:
    return seeding.multiply_scale("ONE_HOT", "inputs", position, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("position", [2, 3])
def test_a_one_hot_of_several_scales_is_refused(float_tflite, position: int):
    content = float_tflite(lambda x: tf.one_hot(x, 5), x=((1, 4), tf.int64))
    ranges = collect_ranges(content, [{"x": np.array([[0, 1, 2, 3]])}])
    calibrated = write_ranges(content, ranges, RangePolicy("minmax"))
    integer = quantize(calibrated, Recipe(Scheme.INT8))
    broken = seeding.seeded(integer, change_constant(position))
    assert "of different scales" in str(audit(broken, Recipe(Scheme.INT8)))


@pytest.mark.slow
def test_an_operator_that_fills_up_with_zeros_needs_zero_point_0(quantized):
    _, content, _ = quantized(INTEGER["SCATTER_ND"], Scheme.INT8)

    def shift(model: object, graph: object) -> None:
        for tensor in graph.tensors:
            if tensor.quantization is not None and len(tensor.quantization.scale or ()) == 1:
                tensor.quantization.zeroPoint = [7]

    violations = audit(seeding.seeded(content, shift), Recipe(Scheme.INT8))
    assert any("fills up with the integer 0" in found.reason for found in violations)


@pytest.mark.slow
def test_an_operator_that_nobody_knows_is_refused(quantized, monkeypatch: pytest.MonkeyPatch):
    _, content, _ = quantized(tf.nn.relu, Scheme.INT8)
    monkeypatch.delitem(spec.TREATMENTS, "RELU")
    assert "is not known" in str(audit(content, Recipe(Scheme.INT8)))
