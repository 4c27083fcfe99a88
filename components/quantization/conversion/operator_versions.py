"""The versions of a model's operators, by which a runtime knows whether it has their kernels."""

from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.conversion.tensorflow_lite import operator_versions


def with_right_versions(content: bytes) -> bytes:
    """Returns a model whose operators have the versions that its tensors need.

    The older quantizer, which makes int16x8 models, writes the versions of int8 operators into
    them: a runtime without kernels for int16 would take the model, and fail in the middle of it.

    Args:
        content: The flatbuffer, which is returned as it is if its versions are right.
    """
    draft = read_graph(content).draft()
    return draft.content() if draft.set_versions(operator_versions(content)) else content
