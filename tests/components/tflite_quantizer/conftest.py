import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def convert_digits(
    digits_model: Path, digits_arrays, tmp_path_factory: pytest.TempPathFactory
) -> Callable:
    """Converts the digits net, once for each quantization."""
    from tfx_tflite.components.schemes import Quantization, Scheme
    from tfx_tflite.components.tflite_quantizer.conversion import ConvertedModels, convert

    done: dict[Quantization, ConvertedModels] = {}

    def run(scheme: str, **settings) -> ConvertedModels:
        quantization = Quantization(Scheme(scheme), **settings)
        if quantization not in done:
            images, _ = digits_arrays["train"]
            done[quantization] = convert(
                digits_model,
                "serving_tensors",
                quantization,
                {"image": images[:100]},
                tmp_path_factory.mktemp("conversion"),
            )
        return done[quantization]

    return run


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
def float_tflite() -> Callable[..., bytes]:
    """Converts a function of tensors, described by name, to a float TFLite model."""
    import tensorflow as tf

    def convert(function: Callable, **inputs: tuple) -> bytes:
        specs = [tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in inputs.items()]

        class Module(tf.Module):
            @tf.function(input_signature=specs)
            def __call__(self, *tensors):
                return {"output": function(*tensors)}

        module = Module()
        path = tempfile.mkdtemp()
        concrete = module.__call__.get_concrete_function()
        tf.saved_model.save(module, path, signatures={"s": concrete})
        loaded = tf.saved_model.load(path)
        shutil.rmtree(path)
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [loaded.signatures["s"]], loaded
        )
        return converter.convert()

    return convert
