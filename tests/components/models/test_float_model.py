from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.examples.tensors import RAW_RECORD_COLUMN

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def preprocessing_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel whose input is twice a feature, by a preprocessing signature."""
    import tensorflow as tf

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="doubled")])
    def serving_tensors(doubled):
        return {"output": doubled + 1.0}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def preprocess(examples):
        spec = {"x": tf.io.FixedLenFeature([1], tf.float32)}
        return {"doubled": tf.io.parse_example(examples, spec)["x"] * 2.0}

    path = tmp_path_factory.mktemp("preprocessing")
    signatures = {"serving_tensors": serving_tensors, "preprocess": preprocess}
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def test_reads_names_shapes_and_types_without_loading_the_graph(digits_model: Path):
    from tfx_tflite.components.models.float_model import read_signatures

    signatures = read_signatures(digits_model)
    assert set(signatures) == {"serving_default", "serving_tensors"}
    [image] = signatures["serving_tensors"].inputs
    assert (image.name, image.shape, image.dtype) == ("image", (None, 8, 8, 1), np.float32)
    assert signatures["serving_default"].inputs[0].dtype == object


def test_a_missing_signature_is_an_error_that_lists_those_there_are(digits_model: Path):
    from tfx_tflite.components.models.float_model import read_signature

    with pytest.raises(ModelError, match="no signature 'x'; it has: serving_default, serving_tens"):
        read_signature(digits_model, "x")


def test_a_signature_of_serialized_examples_is_refused(digits_model: Path):
    from tfx_tflite.components.models.float_model import read_tensor_signature

    with pytest.raises(ModelError, match="'examples' of signature 'serving_default' takes strings"):
        read_tensor_signature(digits_model, "serving_default")


def test_a_missing_saved_model_is_an_error(tmp_path: Path):
    from tfx_tflite.components.models.float_model import read_signatures

    with pytest.raises(ModelError, match="no SavedModel at"):
        read_signatures(tmp_path / "none")


def test_a_file_that_is_no_saved_model_is_an_error(tmp_path: Path):
    from tfx_tflite.components.models.float_model import read_signatures

    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xffnot a protocol buffer")
    with pytest.raises(ModelError, match="is not a SavedModel"):
        read_signatures(tmp_path)


def test_inputs_may_come_from_a_preprocessing_signature(preprocessing_model: Path):
    import tensorflow as tf

    from tfx_tflite.components.models.float_model import (
        FloatModel,
        input_reader,
        read_tensor_signature,
    )

    signature = read_tensor_signature(preprocessing_model, "serving_tensors")
    reader = input_reader(preprocessing_model, signature, "preprocess")
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=[3.0]))
    example = tf.train.Example(features=tf.train.Features(feature={"x": feature}))
    batch = pa.RecordBatch.from_arrays(
        [pa.array([[example.SerializeToString()]])], [RAW_RECORD_COLUMN]
    )
    inputs = reader(batch)
    np.testing.assert_array_equal(inputs["doubled"], [[6.0]])
    predictions = FloatModel(preprocessing_model, signature).predict(inputs)
    np.testing.assert_array_equal(predictions["output"], [[7.0]])


def test_a_preprocessing_signature_must_take_serialized_examples(preprocessing_model: Path):
    from tfx_tflite.components.models.float_model import input_reader, read_tensor_signature

    signature = read_tensor_signature(preprocessing_model, "serving_tensors")
    with pytest.raises(ModelError, match="takes doubled, expected one string input"):
        input_reader(preprocessing_model, signature, "serving_tensors")


def test_a_preprocessing_signature_must_give_every_input(digits_model: Path):
    from tfx_tflite.components.models.float_model import input_reader, read_tensor_signature

    signature = read_tensor_signature(digits_model, "serving_tensors")
    with pytest.raises(ModelError, match=r"does not give image.*it gives: probabilities"):
        input_reader(digits_model, signature, "serving_default")


def test_a_preprocessing_signature_must_give_the_inputs_shape(tmp_path: Path):
    import tensorflow as tf

    from tfx_tflite.components.errors import DataError
    from tfx_tflite.components.models.float_model import input_reader, read_tensor_signature

    @tf.function(input_signature=[tf.TensorSpec([None, 1], tf.float32, name="x")])
    def serving_tensors(x):
        return {"output": x}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def preprocess(examples):
        return {"x": tf.zeros([tf.shape(examples)[0], 1, 1])}

    signatures = {"serving_tensors": serving_tensors, "preprocess": preprocess}
    tf.saved_model.save(tf.Module(), str(tmp_path), signatures=signatures)
    reader = input_reader(
        tmp_path, read_tensor_signature(tmp_path, "serving_tensors"), "preprocess"
    )
    batch = pa.RecordBatch.from_arrays([pa.array([[b""], [b""]])], [RAW_RECORD_COLUMN])
    with pytest.raises(DataError, match=r"gives 'x' as float32 of shape \[2, 1, 1\] for 2"):
        reader(batch)


def test_a_float_model_with_a_fixed_batch_size_predicts_any_number(tmp_path: Path):
    import tensorflow as tf

    from tfx_tflite.components.models.float_model import FloatModel, read_tensor_signature

    @tf.function(input_signature=[tf.TensorSpec([4, 1], tf.float32, name="x")])
    def serving_tensors(x):
        return {"output": tf.reshape(x, [4]) * 2.0}

    tf.saved_model.save(tf.Module(), str(tmp_path), {"serving_tensors": serving_tensors})
    model = FloatModel(tmp_path, read_tensor_signature(tmp_path, "serving_tensors"))
    values = np.arange(6, dtype=np.float32)[:, None]
    np.testing.assert_array_equal(model.predict({"x": values})["output"], 2 * values[:, 0])


def test_a_preprocessing_signature_that_fails_says_why_in_one_line(tmp_path: Path, write_records):
    import tensorflow as tf

    from tfx_tflite.components.errors import DataError
    from tfx_tflite.components.examples.tensors import InputSpec
    from tfx_tflite.components.models.float_model import Signature, input_reader

    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def prepare(self, examples):
            spec = {"a": tf.io.FixedLenFeature([2], tf.float32)}
            return {"a": tf.io.parse_example(examples, spec)["a"]}

    module = Model()
    tf.saved_model.save(module, str(tmp_path), signatures={"prepare": module.prepare})
    signature = Signature("s", (InputSpec("a", (None, 2), np.dtype("float32")),), ())
    record = tf.train.Example()
    record.features.feature["a"].float_list.value.append(1.0)
    batch = pa.RecordBatch.from_arrays(
        [pa.array([[record.SerializeToString()]])], [RAW_RECORD_COLUMN]
    )
    with pytest.raises(DataError, match=r"'prepare' failed: .*Key: a, Index: 0") as caught:
        input_reader(tmp_path, signature, "prepare").groups(batch)
    assert len(str(caught.value).splitlines()) == 1
