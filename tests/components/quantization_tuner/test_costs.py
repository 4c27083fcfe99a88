"""What candidates of a search cost beside their bytes."""

from tests.components.quantization_tuner.bed.cases import CASES
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Target
from tfx_tflite.components.quantization_tuner.costs import costs

CONTENT = CASES["dense"].float_tflite
SHAPES = {
    name: (1, *values.shape[1:]) for name, values in CASES["dense"].calibration.inputs.items()
}


def test_time_and_memory_are_those_of_this_machine():
    found = costs(CONTENT, CONTENT, SHAPES, DEFAULT_TARGETS)
    assert found.latency_ms > 0
    assert found.arena_bytes == arena_bytes(CONTENT, SHAPES)


def test_nothing_is_measured_that_says_nothing_of_the_target():
    # This one does not even take free axes.
    found = costs(CONTENT, CONTENT, SHAPES, (Target(runtime="tflite-micro"),))
    assert found.latency_ms is None and found.arena_bytes is None
