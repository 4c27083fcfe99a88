"""The working memory of a model on TensorFlow Lite Micro, found by trying sizes."""

import platform
from importlib.metadata import version

from tfx_tflite.components.models.micro import generous_arena, try_loading
from tfx_tflite.components.models.target_facts import Arena, Source
from tfx_tflite.components.versions import MICRO

# What the runtime aligns the arena to: smaller steps make no difference.
_GRAIN = 16
_CAVEAT = (
    "pointers have 64 bits here and 32 on most microcontrollers, where the runtime's records are "
    "smaller; kernels of CMSIS-NN take scratch of another size"
)


def arena(content: bytes) -> Arena:
    """Returns the smallest arena with which a model can be loaded.

    Args:
        content: The flatbuffer.

    Raises:
        ValueError: The runtime does not take the model.
        ModelError: The runtime is not installed.
    """
    too_small, enough = 0, generous_arena(content) // _GRAIN
    while enough - too_small > 1:
        middle = (too_small + enough) // 2
        if try_loading(content, middle * _GRAIN).well:
            enough = middle
        else:
            too_small = middle
    source = Source(
        tool=MICRO,
        version=version(MICRO),
        kind="exact",
        machine=platform.machine(),
        caveat=_CAVEAT,
    )
    return Arena(size_bytes=enough * _GRAIN, source=source)
