"""Recurrent layers: what is refused names the layer and what to do; what is not, works."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from benchmarks.observation import collect_ranges
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.loops_and_state import check_no_loops, check_stateless, layer_of
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.backends import ConvertedModels
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.conversion.stock import convert
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import QuantizerSettings
from tfx_tflite.components.quantization.summary import summarize

pytestmark = pytest.mark.slow

layers = tf.keras.layers
STEPS, FEATURES = 5, 4
INT8 = Recipe(Scheme.INT8)
FLOAT32 = Recipe(Scheme.FLOAT32)
DYNAMIC_RANGE = Recipe(Scheme.DYNAMIC_RANGE)


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a net with one recurrent layer, called `memory`."""

    def save(kind: str, batch_size: int | None = None, **settings: bool) -> Path:
        inputs = tf.keras.Input((STEPS, FEATURES), batch_size=batch_size, name="x")
        memory = getattr(layers, kind)(6, name="memory", **settings)
        net = tf.keras.Model(inputs, layers.Dense(3)(memory(inputs)))
        spec = tf.TensorSpec([batch_size, STEPS, FEATURES], tf.float32, name="x")
        path = tmp_path_factory.mktemp("recurrent")
        serving = tf.function(lambda x: {"output": net(x)}, input_signature=[spec])
        tf.saved_model.save(net, str(path), signatures={"serving_tensors": serving})
        return path

    return save


def examples() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(30, STEPS, FEATURES)).astype(np.float32)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_an_unrolled_layer_is_an_integer_model(recurrent, kind: str):
    float32 = rewritten(convert(str(recurrent(kind, unroll=True)), "serving_tensors", FLOAT32, {}))
    ranges = collect_ranges(float32, [{"x": examples()}])
    content = quantize(write_ranges(float32, ranges, RangePolicy()), INT8)
    assert audit(content, INT8) == []
    expected = TFLiteModel(float32).predict({"x": examples()})["output"]
    noise = np.square(TFLiteModel(content).predict({"x": examples()})["output"] - expected)
    assert 10 * np.log10(np.square(expected).sum() / noise.sum()) > 20


@pytest.mark.parametrize("quantization", [Recipe(Scheme.FLOAT32), DYNAMIC_RANGE])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_rolled_layer_with_any_batch_names_the_layer_and_what_to_do(
    recurrent, kind: str, quantization: Recipe
):
    with pytest.raises(ConversionError) as caught:
        convert(str(recurrent(kind)), "serving_tensors", quantization, {})
    message = str(caught.value)
    assert "/memory" in message and "/while" not in message and ".py" not in message
    for remedy in ("unroll=True", "an input and an output of the signature", "batch_size=1"):
        assert remedy in message


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_rolled_layer_with_a_batch_of_one_works_with_float_activations(recurrent, kind: str):
    path = str(recurrent(kind, batch_size=1))
    float32 = convert(path, "serving_tensors", FLOAT32, {})
    check_stateless(float32)
    content = convert(path, "serving_tensors", DYNAMIC_RANGE, {})
    assert audit(content, DYNAMIC_RANGE) == []
    given = {"x": examples()}
    expected = TFLiteModel(float32).predict(given)["output"]
    np.testing.assert_allclose(TFLiteModel(content).predict(given)["output"], expected, atol=0.05)


def test_and_is_named_where_activations_are_quantized(recurrent):
    content = convert(str(recurrent("LSTM", batch_size=1)), "serving_tensors", FLOAT32, {})
    with pytest.raises(ConversionError, match=r"operator WHILE .*layer \S*memory\S*; unroll it"):
        check_no_loops(content)


def test_a_layer_that_keeps_its_state_is_refused_by_name(recurrent):
    path = recurrent("LSTM", batch_size=1, stateful=True)
    content = convert(str(path), "serving_tensors", FLOAT32, {})
    with pytest.raises(ConversionError, match=r"memory.* keeps a state .*an input and an output"):
        check_stateless(content)


class Counter(tf.Module):
    """Adds up what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = tf.Variable(tf.zeros([1, 4]), trainable=False)

    @tf.function(input_signature=[tf.TensorSpec([1, 4], tf.float32, name="x")])
    def serving(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        self.sum.assign_add(x)
        return {"output": tf.nn.relu(self.sum) * 2.0}


def test_a_variable_that_is_written_is_refused(tmp_path: Path):
    module = Counter()
    tf.saved_model.save(module, str(tmp_path), signatures={"serving_tensors": module.serving})
    content = convert(str(tmp_path), "serving_tensors", FLOAT32, {})
    with pytest.raises(ConversionError, match="keeps a state in a variable"):
        check_stateless(content)


def test_a_state_that_goes_in_and_out_is_an_integer_model(float_tflite):
    weights = np.random.default_rng(0).normal(size=(10, 6)).astype(np.float32) / 3

    def step(x: tf.Tensor, state: tf.Tensor) -> tf.Tensor:
        return tf.tanh(tf.matmul(tf.concat([x, state], 1), weights))

    content = float_tflite(step, x=((None, 4), tf.float32), state=((None, 6), tf.float32))
    check_stateless(content)
    generator = np.random.default_rng(0)
    given = {name: generator.normal(size=(30, size)).astype(np.float32)
             for name, size in (("x", 4), ("state", 6))}  # fmt: skip
    ranges = collect_ranges(content, [given])
    integer = quantize(write_ranges(content, ranges, RangePolicy()), INT8)
    assert audit(integer, INT8) == []


class WithTable(tf.Module):
    """Two signatures, one of which looks strings up."""

    def __init__(self) -> None:
        super().__init__()
        entries = tf.lookup.KeyValueTensorInitializer(
            tf.constant(["red", "green"]), tf.constant([0, 1], tf.int64)
        )
        self.table = tf.lookup.StaticHashTable(entries, 2)

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.string, name="colour")])
    def look_up(self, colour: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"index": self.table.lookup(colour)}

    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, name="x")])
    def serving(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"output": tf.nn.softmax(x * 2.0)}


def test_a_table_of_another_signature_is_no_obstacle(tmp_path: Path):
    module = WithTable()
    signatures = {"serving_tensors": module.serving, "look_up": module.look_up}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    content = convert(str(tmp_path), "serving_tensors", FLOAT32, {})
    assert "CALL_ONCE" in Graph(content).operator_counts()
    check_stateless(content)
    float32 = rewritten(content)
    assert set(Graph(float32).operator_counts()) == {"MUL", "SOFTMAX"}
    given = {"x": np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)}
    np.testing.assert_array_equal(
        TFLiteModel(float32).predict(given)["output"], TFLiteModel(content).predict(given)["output"]
    )
    calibrated = write_ranges(float32, collect_ranges(float32, [given]), RangePolicy())
    assert audit(quantize(calibrated, INT8), INT8) == []


@pytest.mark.parametrize("scheme", ["float32", "dynamic_range", "float16"])
def test_a_report_leaves_out_what_fills_a_table_of_another_signature(tmp_path: Path, scheme: str):
    module = WithTable()
    signatures = {"serving_tensors": module.serving, "look_up": module.look_up}
    tf.saved_model.save(module, str(tmp_path), signatures=signatures)
    content = convert(str(tmp_path), "serving_tensors", FLOAT32, {})
    settings = QuantizerSettings(signature="serving_tensors", scheme=scheme)
    summary = summarize(ConvertedModels(content, content), settings, "digest", None)
    assert [layer.operator for layer in summary.layers][:2] == ["MUL", "SOFTMAX"]


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("encoder/lstm_1/while", "encoder/lstm_1"),
        ("a/b;functional/gru/while@__inference_x_7", "functional/gru"),
        ("ReadVariableOp", ""),
    ],
)
def test_a_layer_is_found_in_a_tensors_name(name: str, layer: str):
    assert layer_of(name) == layer
