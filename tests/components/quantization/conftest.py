import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def save_function(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Saves a function of float tensors as a SavedModel with the signature `serving_tensors`."""
    import tensorflow as tf

    def save(function: Callable, *shapes: list) -> Path:
        names = ["x", "y", "z"][: len(shapes)]

        class Module(tf.Module):
            @tf.function(
                input_signature=[
                    tf.TensorSpec(shape, tf.float32, name=name)
                    for name, shape in zip(names, shapes, strict=True)
                ]
            )
            def __call__(self, *inputs):
                return {"output": function(*inputs)}

        module = Module()
        path = tmp_path_factory.mktemp("function")
        concrete = module.__call__.get_concrete_function()
        tf.saved_model.save(module, str(path), signatures={"serving_tensors": concrete})
        return path

    return save


@pytest.fixture(scope="session")
def random_samples() -> Callable[..., dict[str, np.ndarray]]:
    """Standard normal calibration tensors by input name."""

    def samples(**shapes: tuple) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(0)
        return {
            name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()
        }

    return samples


@pytest.fixture(scope="session")
def zoo_saved_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A model of the zoo as a SavedModel with the signature `serving_tensors`."""
    from tests.components.quantization import zoo

    @functools.cache
    def save(name: str) -> Path:
        path = tmp_path_factory.mktemp("zoo") / name
        zoo.export(name, str(path))
        return path

    return save


@pytest.fixture(scope="session")
def zoo_samples(zoo_saved_model) -> Callable[[str], dict[str, np.ndarray]]:
    """Calibration tensors for a model of the zoo."""
    from tfx_tflite.components.models.float_model import read_signature

    def samples(name: str) -> dict[str, np.ndarray]:
        generator = np.random.default_rng(0)
        rows = 1 if name == "mobilenet" else 4
        found = {}
        for spec in read_signature(zoo_saved_model(name), "serving_tensors").inputs:
            values = generator.normal(size=(rows, *spec.example_shape))
            found[spec.name] = (values * (1 if spec.dtype.kind == "f" else 0)).astype(spec.dtype)
        return found

    return samples


@pytest.fixture(scope="session")
def convert_zoo(zoo_saved_model, zoo_samples, calibrate_zoo) -> Callable[..., bytes]:
    """Converts models of the zoo in this process, once for each quantization."""
    from tfx_tflite.components.quantization.conversion import from_ranges, stock
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    @functools.cache
    def convert(name: str, scheme: str, io_type: str | None = None) -> bytes:
        quantization = Recipe(Scheme(scheme), io_type)
        path = str(zoo_saved_model(name))
        if scheme in ("int8", "int8_float_io"):
            return from_ranges.quantize(calibrate_zoo(name), quantization)
        samples = zoo_samples(name) if quantization.scheme.needs_calibration else {}
        return stock.convert(path, "serving_tensors", quantization, samples)

    return convert


@pytest.fixture(scope="session")
def calibrate_zoo(zoo_saved_model, zoo_samples) -> Callable[[str], bytes]:
    """Gives a model of the zoo as float flatbuffer whose tensors carry their ranges."""
    import tensorflow as tf

    @functools.cache
    def calibrate(name: str) -> bytes:
        model = tf.saved_model.load(str(zoo_saved_model(name)))
        function = model.signatures["serving_tensors"]
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        samples = zoo_samples(name)
        rows = len(next(iter(samples.values())))
        converter.representative_dataset = lambda: (
            {key: values[i : i + 1] for key, values in samples.items()} for i in range(rows)
        )
        converter._experimental_calibrate_only = True
        return converter.convert()

    return calibrate
