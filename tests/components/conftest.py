import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


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


@pytest.fixture(scope="session")
def convert_digits(
    digits_model: Path, digits_arrays, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable]:
    """Converts the digits net, once for each quantization and all in one child process."""
    from tfx_tflite.components.quantization.conversion.backends import ConvertedModels
    from tfx_tflite.components.quantization.conversion.converter import Converter
    from tfx_tflite.components.quantization.recipe import Recipe
    from tfx_tflite.components.quantization.schemes import Scheme

    done: dict[Recipe, ConvertedModels] = {}

    def run(scheme: str, **settings) -> ConvertedModels:
        quantization = Recipe(Scheme(scheme), **settings)
        if quantization not in done:
            images, _ = digits_arrays["train"]
            signature, samples = "serving_tensors", {"image": images[:100]}
            done[quantization] = ConvertedModels(
                converter.float32(digits_model, signature, quantization.batch_size),
                converter.convert(digits_model, signature, quantization, samples),
            )
        return done[quantization]

    with Converter(tmp_path_factory.mktemp("conversion")) as converter:
        yield run
