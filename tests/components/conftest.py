import shutil
import tempfile
from collections.abc import Callable

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
