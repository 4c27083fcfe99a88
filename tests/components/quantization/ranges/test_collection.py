"""Activation ranges of real float TFLite models, against values computed elsewhere."""

import random
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pytest
from apache_beam.testing.util import assert_that
from tensorflow.lite.tools import flatbuffer_utils

from benchmarks.observation import collect_ranges
from tfx_tflite.components.errors import ConversionError, DataError, user_error_in
from tfx_tflite.components.examples.tensors import EXAMPLES_A_FILE
from tfx_tflite.components.quantization.ranges.collection import activation_tensors
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import (
    CollectRanges,
    CollectRangesOfDraws,
    RangeSource,
    TensorRanges,
)

pytestmark = pytest.mark.slow


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def widest(ranges: TensorRanges) -> list[tuple[float, float]]:
    return [(found.minimum, found.maximum) for found in ranges.resolve(RangePolicy())]


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (4, 4, 2)])
def test_every_activation_is_observed_at_any_rank(float_tflite, shape: tuple):
    content = float_tflite(lambda x: (x * 2.0 + 1.0) * x, x=([None, *shape], "float32"))
    x = normal(20, *shape)
    found = widest(collect_ranges(content, [{"x": x}]))
    expected = [x, x * 2, x * 2 + 1, (x * 2 + 1) * x]
    np.testing.assert_allclose(found, [(v.min(), v.max()) for v in expected], rtol=1e-6)


def test_integer_and_bool_tensors_have_no_range(float_tflite):
    import tensorflow as tf

    content = float_tflite(
        lambda x, ids, on: tf.where(on, x, -x) + tf.cast(ids, tf.float32),
        x=([None, 2], "float32"),
        ids=([None, 2], "int64"),
        on=([None, 2], "bool"),
    )
    inputs = {
        "x": normal(10, 2),
        "ids": np.arange(20).reshape(10, 2),
        "on": normal(10, 2) > 0,
    }
    ranges = collect_ranges(content, [inputs])
    assert [tensor.name for tensor in ranges.tensors if tensor.is_input] == ["x"]
    assert (0.0, 19.0) in widest(ranges)


def test_several_inputs_are_fed_by_name(float_tflite):
    content = float_tflite(lambda z, a: z + a, z=([None, 2], "float32"), a=([None, 2], "float32"))
    ranges = collect_ranges(content, [{"a": normal(5, 2) * 100, "z": normal(5, 2)}])
    spread = {found.tensor.name: found.maximum for found in ranges.resolve(RangePolicy())}
    assert spread["a"] == pytest.approx(100 * spread["z"], rel=1e-6)


def test_a_fixed_batch_size_changes_nothing(float_tflite):
    import tensorflow as tf

    kernel = normal(6, 5)
    models = [
        float_tflite(lambda x: tf.nn.softmax(tf.matmul(x, kernel)), x=([size, 6], "float32"))
        for size in (None, 1, 4)
    ]
    dynamic, single, fixed = (
        widest(collect_ranges(model, [{"x": normal(10, 6)}])) for model in models
    )
    assert single == dynamic
    np.testing.assert_allclose(fixed, dynamic, rtol=1e-6)


def test_the_cut_of_batches_changes_nothing(float_tflite):
    import tensorflow as tf

    kernel = normal(33, 17)
    content = float_tflite(lambda x: tf.nn.gelu(tf.matmul(x, kernel)), x=([None, 33], "float32"))
    x = normal(300, 33)
    whole = collect_ranges(content, [{"x": x}])
    cut = collect_ranges(content, [{"x": x[at : at + 7]} for at in range(0, 300, 7)])
    assert cut.to_json() == whole.to_json()


def test_examples_are_told_apart_where_the_batch_is_not_the_first_axis(float_tflite):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.transpose(x * 2.0) + 1.0, x=([None, 3], "float32"))
    x = normal(201, 3)
    x[17] = 1000
    for found in collect_ranges(content, [{"x": x}]).resolve(RangePolicy("percentile")):
        assert found.maximum < 20


def test_inputs_of_unknown_length_may_differ_from_batch_to_batch(float_tflite):
    content = float_tflite(lambda x: x * 2.0, x=([None, None], "float32"))
    ranges = collect_ranges(content, [{"x": normal(3, 4)}, {"x": normal(3, 9) * 10}])
    assert ranges.examples == 6


def test_a_kernel_that_works_in_place_does_not_widen_what_it_overwrites(float_tflite):
    """Upstream (tensorflow issue 127842) gives the logits the range of their product."""
    import tensorflow as tf

    kernel = normal(2, 2, 2, 4) * 3
    content = float_tflite(
        lambda x: tf.nn.silu(tf.nn.conv2d(x, kernel, 1, "SAME")), x=([None, 4, 4, 2], "float32")
    )
    x = normal(30, 4, 4, 2)
    logits = tf.nn.conv2d(x, kernel, 1, "SAME").numpy()
    expected = [x, logits, tf.sigmoid(logits).numpy(), tf.nn.silu(logits).numpy()]
    found = widest(collect_ranges(content, [{"x": x}]))
    np.testing.assert_allclose(found, [(v.min(), v.max()) for v in expected], rtol=1e-4, atol=1e-5)


def test_padded_and_reshaped_tensors_have_the_extremes_of_what_they_are_made_of(float_tflite):
    import tensorflow as tf

    kernel = normal(3, 3, 2, 4)

    def net(x):
        padded = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]])
        convolved = tf.nn.relu6(tf.nn.conv2d(padded, kernel, 1, "VALID"))
        return tf.transpose(tf.reshape(convolved, [-1, 64]), [1, 0])

    content = float_tflite(net, x=([None, 4, 4, 2], "float32"))
    # No example has a value below zero, so that only the padding is as low as zero.
    x = np.abs(normal(30, 4, 4, 2)) + 0.5
    ranges = collect_ranges(content, [{"x": x}])
    found = dict(zip((each.name for each in ranges.tensors), widest(ranges), strict=True))
    highest = tf.nn.relu6(tf.nn.conv2d(x, kernel, 1, "SAME")).numpy().max()
    assert found.pop("x") == (x.min(), x.max())
    assert (0, x.max()) in found.values()
    others = [each for each in found.values() if each != (0, x.max())]
    assert len(others) >= 3
    np.testing.assert_allclose(others, [(0, highest)] * len(others), rtol=1e-5)


def test_a_nan_in_what_a_relu_gives_is_named(float_tflite):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.nn.relu(x - 1.0), x=([None, 2], "float32"))
    x = normal(10, 2)
    x[7, 1] = np.nan
    with pytest.raises(DataError, match="7"):
        collect_ranges(content, [{"x": x}])


def test_names_the_example_and_the_tensor_of_a_nan(float_tflite):
    import tensorflow as tf

    content = float_tflite(lambda x: tf.sqrt(x * 2.0) + 1.0, x=([None, 2], "float32"))
    x = np.abs(normal(10, 2))
    x[4, 1] = -1
    batches = [{"x": x[:3]}, {"x": x[3:]}]
    with pytest.raises(DataError, match=r"example 4 gives NaN in tensor '[^']*Sqrt[^']*'; remove"):
        collect_ranges(content, batches)


def test_a_model_that_gives_nan_for_every_example_may_have_such_weights(float_tflite):
    content = float_tflite(lambda x: x * float("nan"), x=([None, 2], "float32"))
    with pytest.raises(DataError, match=r"example 0 gives NaN .* a model whose weights are finite"):
        collect_ranges(content, [{"x": normal(3, 2)}])


def test_refuses_control_flow_by_name(float_tflite):
    import tensorflow as tf

    def loop(x):
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y * 1.5), (0, x))[1]

    with pytest.raises(ConversionError, match=r"operator WHILE runs a part .*unroll=True"):
        activation_tensors(float_tflite(loop, x=([None, 2], "float32")))


def test_refuses_operators_that_keep_a_state(float_tflite):
    content = float_tflite(lambda x: x * 2.0 + 1.0, x=([None, 2], "float32"))
    model = flatbuffer_utils.convert_bytearray_to_object(bytearray(content))
    model.subgraphs[0].tensors[model.subgraphs[0].operators[0].outputs[0]].isVariable = True
    content = bytes(flatbuffer_utils.convert_object_to_bytearray(model))
    with pytest.raises(ConversionError, match="operator MUL keeps a state"):
        activation_tensors(content)


def test_an_example_that_the_runtime_refuses_is_named(float_tflite):
    content = float_tflite(lambda x: x * 2.0, x=([None, 2], "float32"))
    with pytest.raises(ConversionError, match="does not run on calibration example 10: "):
        collect_ranges(content, [{"x": normal(10, 2)}, {"x": normal(1, 2).astype(np.float64)}])


@pytest.fixture(scope="module")
def source(save_function, tmp_path_factory: pytest.TempPathFactory) -> RangeSource:
    import tensorflow as tf

    kernel = normal(6, 5)
    saved = save_function(lambda x: tf.nn.sigmoid(tf.matmul(x, kernel)), [None, 6])
    loaded = tf.saved_model.load(str(saved))
    signature = loaded.signatures["serving_tensors"]
    tflite = tmp_path_factory.mktemp("float") / "float32.tflite"
    tflite.write_bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([signature], loaded).convert()
    )
    return RangeSource(str(tflite), str(saved), "serving_tensors")


def record_batches(x: np.ndarray, size: int) -> list[tuple[int, pa.RecordBatch]]:
    column = pa.array(x.tolist(), pa.list_(pa.float32()))
    return [
        (at, pa.RecordBatch.from_pydict({"x": column[at : at + size]}))
        for at in range(0, len(x), size)
    ]


@pytest.mark.parametrize("shards", [1, 2, 8])
def test_beam_gives_the_same_ranges_for_any_shards_and_order(source: RangeSource, shards: int):
    x = normal(400, 6)
    batches = record_batches(x, 10)
    random.Random(shards).shuffle(batches)
    expected = collect_ranges(Path(source.tflite).read_bytes(), [{"x": x}]).to_json()

    def check(found: list[TensorRanges]) -> None:
        assert [ranges.to_json() for ranges in found] == [expected]

    with beam.Pipeline("FnApiRunner") as pipeline:
        parts = [
            pipeline | f"Shard{index}" >> beam.Create(batches[index::shards])
            for index in range(shards)
        ]
        assert_that(parts | beam.Flatten() | CollectRanges(source), check)


def test_beam_names_the_position_of_a_bad_example(source: RangeSource):
    x = normal(40, 6)
    x[33, 2] = np.inf
    with (
        pytest.raises(Exception, match="example 33 has infinity in input 'x'") as raised,
        beam.Pipeline("FnApiRunner") as pipeline,
    ):
        _ = pipeline | beam.Create(record_batches(x, 10)[::-1]) | CollectRanges(source)
    assert isinstance(user_error_in(raised.value), DataError)


def draw_batches(draws: list[np.ndarray], size: int) -> list[tuple[int, pa.RecordBatch]]:
    """Returns the batches of draws, each of which is a file of its own."""
    return [
        (place * EXAMPLES_A_FILE + at, batch)
        for place, x in enumerate(draws)
        for at, batch in record_batches(x, size)
    ]


def test_one_pass_gives_each_draw_the_ranges_that_it_has_alone(source: RangeSource):
    draws = list(normal(3, 120, 6))
    # Outliers are of the draw that has them, and named by their place in it.
    draws[1][57] *= 40
    batches = draw_batches(draws, 10)
    random.Random(2).shuffle(batches)
    content = Path(source.tflite).read_bytes()
    expected = [collect_ranges(content, [{"x": x}]).to_json() for x in draws]

    def check(found: list[tuple[TensorRanges, ...]]) -> None:
        [of_draws] = found
        assert [ranges.to_json() for ranges in of_draws] == expected

    with beam.Pipeline("FnApiRunner") as pipeline:
        parts = [pipeline | f"Shard{index}" >> beam.Create(batches[index::4]) for index in range(4)]
        assert_that(parts | beam.Flatten() | CollectRangesOfDraws(source, range(3)), check)


def test_a_bad_example_is_named_with_its_draw(source: RangeSource):
    draws = list(normal(3, 40, 6))
    draws[2][33, 2] = np.inf
    with (
        pytest.raises(Exception, match="draw 4: calibration example 33 has infinity") as raised,
        beam.Pipeline("FnApiRunner") as pipeline,
    ):
        batches = draw_batches(draws, 10)[::-1]
        _ = pipeline | beam.Create(batches) | CollectRangesOfDraws(source, (0, 1, 4))
    assert isinstance(user_error_in(raised.value), DataError)
