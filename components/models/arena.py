"""The working memory of a TensorFlow Lite model, beside the model file itself."""

from tfx_tflite.components.models.runtime import example_shapes, open_model
from tfx_tflite.components.models.tensor_info import Shapes
from tfx_tflite.components.versions import Kernels


def arena_bytes(content: bytes, shapes: Shapes) -> int:
    """Returns how much memory the tensors of one inference take, in bytes.

    Those are activations and the kernels' scratch, where TensorFlow Lite's planner has laid them
    out. It is measured with the builtin kernels, as delegates plan memory of their own; a
    microcontroller's runtime has other kernels, so its arena differs somewhat.

    Args:
        content: The flatbuffer.
        shapes: Of an example by input name, for free axes; see `runtime.example_shapes`.
    """
    model = open_model(content, Kernels.BUILTIN)
    model.allocate(example_shapes(model, shapes))
    return model.arena_bytes()
