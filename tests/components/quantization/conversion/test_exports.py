"""The ways in which people export models: each converts, or is refused with what to do."""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.components.quantization.zoo import convolutions
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.models.float_model import read_signature, read_signatures
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.quantization.audit.audit import audit, check
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.slow

SCHEMES = [Recipe(Scheme.FLOAT32), Recipe(Scheme.INT8)]


def by_model_export(model: tf.keras.Model, path: str) -> None:
    model.export(path, verbose=False)


def by_save_without_signatures(model: tf.keras.Model, path: str) -> None:
    tf.saved_model.save(model, path)


def serving(model: tf.keras.Model) -> Callable:
    @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 3], tf.float32, name="image")])
    def serve(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"output": model(image)}

    return serve


def by_save_with_signatures(model: tf.keras.Model, path: str) -> None:
    tf.saved_model.save(model, path, signatures={"serving_default": serving(model)})


def by_module(model: tf.keras.Model, path: str) -> None:
    module = tf.Module()
    module.model = model
    tf.saved_model.save(module, path, signatures={"serving_default": serving(model)})


def by_export_archive(model: tf.keras.Model, path: str) -> None:
    archive = tf.keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", serving(model))
    archive.write_out(path, verbose=False)


@pytest.fixture(scope="module")
def converter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Converter]:
    with Converter(tmp_path_factory.mktemp("converter"), Limits(time=300)) as started:
        yield started


def samples(path: Path, signature: str, rows: int = 4) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        spec.name: generator.integers(0, 2, (rows, *(size or 3 for size in spec.shape[1:]))).astype(
            spec.dtype
        )
        if spec.dtype.kind in "iub"
        else generator.normal(size=(rows, *(size or 3 for size in spec.shape[1:]))).astype("f")
        for spec in read_signature(path, signature).inputs
    }


def convert(
    converter: Converter,
    path: Path,
    quantization: Recipe,
    signature: str = "serving_default",
) -> TFLiteModel:
    content = converter.convert(path, signature, quantization, samples(path, signature))
    assert audit(content, quantization) == []
    return TFLiteModel(content)


@pytest.fixture(scope="module")
def keras_3_exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Callable], tuple]:
    tf.keras.utils.set_random_seed(0)
    model = convolutions()
    done: dict[str, Path] = {}

    def export(way: Callable) -> tuple[tf.keras.Model, Path]:
        if way.__name__ not in done:
            done[way.__name__] = tmp_path_factory.mktemp("keras3") / way.__name__
            way(model, str(done[way.__name__]))
        return model, done[way.__name__]

    return export


WAYS = [
    by_model_export,
    by_save_without_signatures,
    by_save_with_signatures,
    by_module,
    by_export_archive,
]


@pytest.mark.parametrize("quantization", SCHEMES, ids=lambda q: q.scheme.value)
@pytest.mark.parametrize("way", WAYS)
def test_every_export_of_keras_3_converts(
    converter: Converter, keras_3_exports, way: Callable, quantization: Recipe
):
    model, path = keras_3_exports(way)
    tflite = convert(converter, path, quantization)
    images = np.random.default_rng(1).normal(size=(8, 16, 16, 3)).astype(np.float32)
    [name] = tflite.inputs
    [found] = tflite.predict({name: images}).values()
    atol = 1e-5 if quantization.scheme is Scheme.FLOAT32 else 0.1
    np.testing.assert_allclose(found, model.predict(images, verbose=0), atol=atol)


@pytest.mark.parametrize("scheme", ["dynamic_range", "float16", "int8_float_io", "int16x8"])
def test_an_export_converts_in_every_other_scheme(
    converter: Converter, keras_3_exports, scheme: str
):
    _, path = keras_3_exports(by_save_without_signatures)
    convert(converter, path, Recipe(Scheme(scheme)))


@pytest.mark.parametrize("quantization", SCHEMES, ids=lambda q: q.scheme.value)
@pytest.mark.parametrize("way", ["save", "export"])
def test_every_export_of_keras_2_converts(
    converter: Converter, tmp_path: Path, way: str, quantization: Recipe
):
    keras_2 = pytest.importorskip("tf_keras", reason="Keras 2 (tf_keras) is not installed")
    model = keras_2.Sequential(
        [
            keras_2.layers.Conv2D(8, 3, input_shape=(16, 16, 3)),
            keras_2.layers.BatchNormalization(),
            keras_2.layers.ReLU(),
            keras_2.layers.Flatten(),
            keras_2.layers.Dense(4),
        ]
    )
    path = tmp_path / "model"
    getattr(model, way)(str(path))
    convert(converter, path, quantization)


def test_a_module_without_signatures_is_refused_with_what_to_do(
    converter: Converter, tmp_path: Path
):
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"))
    assert read_signatures(tmp_path / "model") == {}
    with pytest.raises(ConversionError, match=r"has no signature 'x'; it has: none\. Name one"):
        converter.float32(tmp_path / "model", "x")


def save(path: Path, function: Callable, **specs: tf.TensorSpec) -> Path:
    """Saves a function of named tensors with the signature `serving_default`."""
    named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in specs.items()]
    module = tf.Module()
    module.function = tf.function(function, input_signature=named)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.function})
    return path


@pytest.mark.parametrize("quantization", SCHEMES, ids=lambda q: q.scheme.value)
def test_integers_and_booleans_beside_floats(
    converter: Converter, tmp_path: Path, quantization: Recipe
):
    table = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)

    def function(x, index, mask):
        rows = tf.gather(table, index[:, 0])
        return {"sum": tf.where(mask, x + rows, x), "next": index + 1}

    path = save(
        tmp_path / "model",
        function,
        x=tf.TensorSpec([None, 4], tf.float32),
        index=tf.TensorSpec([None, 1], tf.int32),
        mask=tf.TensorSpec([None, 4], tf.bool),
    )
    model = convert(converter, path, quantization)
    types = {name: info.dtype for name, info in model.inputs.items()}
    assert types == {
        "x": np.float32 if quantization.scheme is Scheme.FLOAT32 else np.int8,
        "index": np.int32,
        "mask": np.bool_,
    }
    assert model.outputs["next"].dtype == np.int32


@pytest.mark.parametrize("quantization", SCHEMES, ids=lambda q: q.scheme.value)
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_inputs_and_outputs_of_every_rank(
    converter: Converter, tmp_path: Path, rank: int, batch: int | None, quantization: Recipe
):
    shape = [batch, 4, 3, 2][:rank]
    path = save(
        tmp_path / "model",
        lambda x, y: {"sum": x + y, "product": x * y},
        x=tf.TensorSpec(shape, tf.float32),
        y=tf.TensorSpec(shape, tf.float32),
    )
    model = convert(converter, path, quantization)
    inputs = samples(path, "serving_default")
    outputs = model.predict(inputs)
    np.testing.assert_allclose(outputs["sum"], inputs["x"] + inputs["y"], atol=0.1)
    np.testing.assert_allclose(outputs["product"], inputs["x"] * inputs["y"], atol=0.1)


def test_an_image_of_bytes_converts_and_is_named_where_it_becomes_float(
    converter: Converter, tmp_path: Path
):
    kernel = np.random.default_rng(0).normal(size=(3, 3, 1, 4)).astype(np.float32)
    path = save(
        tmp_path / "model",
        lambda x: {"y": tf.nn.conv2d(tf.cast(x, tf.float32) / 255.0, kernel, 1, "SAME")},
        x=tf.TensorSpec([None, 8, 8, 1], tf.uint8),
    )
    model = convert(converter, path, Recipe(Scheme.FLOAT32))
    assert model.inputs["x"].dtype == np.uint8
    content = converter.convert(
        path, "serving_default", SCHEMES[1], samples(path, "serving_default")
    )
    with pytest.raises(ConversionError, match=r"not int8: CAST #0 .*: computes in FLOAT32"):
        check(content, SCHEMES[1])


def test_only_the_named_signature_is_converted(converter: Converter, tmp_path: Path):
    spec = tf.TensorSpec([None, 4], tf.float32, "x")
    module = tf.Module()
    module.double = tf.function(lambda x: {"double": x * 2.0}, input_signature=[spec])
    module.half = tf.function(lambda x: {"half": x / 2.0}, input_signature=[spec])
    signatures = {"double": module.double, "half": module.half}
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=signatures)
    for name in signatures:
        model = convert(converter, tmp_path / "model", SCHEMES[1], signature=name)
        assert list(model.outputs) == [name]


def test_an_operator_without_a_builtin_is_named(converter: Converter, tmp_path: Path):
    path = save(
        tmp_path / "model",
        lambda x: {"y": tf.linalg.inv(x)},
        x=tf.TensorSpec([None, 2, 2], tf.float32),
    )
    with pytest.raises(ConversionError, match="no builtin for: MatrixInverse; replace"):
        converter.float32(path, "serving_default")
