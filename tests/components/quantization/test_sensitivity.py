"""What 8 bits cost, place by place, on nets whose bad places are known."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from tests.components.quantization_tuner.bed.cases import ALLOWED, CASES, Case
from tests.components.quantization_tuner.bed.quantized import ranges, score
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.audit.audit import audit
from tfx_tflite.components.quantization.conversion.from_ranges import quantize, write_ranges
from tfx_tflite.components.quantization.conversion.rewrites import rewritten
from tfx_tflite.components.quantization.fewest_edges import Trial, fewest_edges, most_evaluations
from tfx_tflite.components.quantization.layer_noise import measure
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.sensitivity import (
    Edge,
    Sensitivity,
    by_noisy_channels,
    by_output_error,
    by_relief,
    observe,
    ranked_edges,
)

pytestmark = pytest.mark.slow

WITH_EDGES = Scheme.INT8_FLOAT_IO


@cache
def calibrated(case: Case) -> bytes:
    float32 = rewritten(case.float_tflite)
    found = ranges(float32, case.calibration.inputs)
    return write_ranges(float32, found, RangePolicy(case.ranges))


@cache
def observed(case: Case) -> Sensitivity:
    float32 = rewritten(case.float_tflite)
    samples = case.calibration.inputs
    return observe(
        float32,
        quantize(calibrated(case), Recipe(Scheme.INT8)),
        ranges(float32, samples),
        [samples],
        RangePolicy(case.ranges),
    )


def test_every_activation_is_in_one_edge():
    found = observed(CASES["swish"])
    tensors = [each.tensor for edge in found.edges for each in edge.tensors]
    computed = [tensor for operator in found.graph.main.operators for tensor in operator.outputs]
    expected = {t for t in (*found.graph.main.inputs, *computed) if t.type == "FLOAT32"}
    assert len(tensors) == len(set(tensors)) and set(tensors) == expected


def test_the_noise_of_rounding_is_less_than_that_of_all_that_came_before():
    found = observed(CASES["rescaled_residual"])
    late = [each for edge in found.edges for each in edge.tensors][-3]
    assert late.channels.rounding.sum() < late.channels.noise.sum() / 10


def test_what_noise_weights_add_is_that_of_a_layer_fed_with_exact_numbers(float_tflite):
    """Rounding the weights is the only difference between both models."""
    case = CASES["outlier_weights"]
    found = observed(case)
    [layer] = [each for each in found.weights if each.key == "FULLY_CONNECTED:0"]
    draft = found.graph.draft()
    first = draft.main.operators[found.graph.main.operators.index(layer.operator)]
    first.inputs = [
        first.inputs[0],
        draft.add_constant(draft.main, layer.rounded.astype(np.float32)),
        first.inputs[2],
    ]
    noise = measure(found.graph.content, draft.content(), [case.calibration.inputs])
    exact = noise[layer.operator.outputs[0].name].channels.noise
    # The estimate knows no ReLU, behind which half of the noise is gone, and no correlation.
    assert 0.1 < exact.sum() / layer.noise.sum() < 3


def test_the_order_by_output_error_begins_with_what_hurts_alone():
    found = observed(CASES["rescaled_mobile_net"])
    assert by_output_error(found.edges)[0].worst.key == "CONV_2D:1"


def test_the_order_by_noisy_channels_finds_what_hurts_only_together():
    """A mean that is subtracted again, of numbers that all have one offset."""
    found = observed(CASES["layer_normalization"])
    assert found.edges and by_noisy_channels(found.edges)[0].noisy_channels == 1.0
    assert by_output_error(found.edges)[0].noisy_channels < 0.1


def test_an_edge_relieves_of_the_weights_beside_it_too():
    """Weights of all four layers are bad: with two edges all are float."""
    found = observed(CASES["autoencoder"])
    first = {edge.worst.key for edge in by_relief(found)[:2]}
    assert first == {"FULLY_CONNECTED:0", "FULLY_CONNECTED:2"}


def test_both_orders_have_every_other_place():
    found = observed(CASES["layer_normalization"])
    both = ranked_edges(found)
    assert sorted(map(id, both)) == sorted(map(id, found.edges))
    assert both[:2] == (by_relief(found)[0], by_noisy_channels(found.edges)[0])


def test_a_net_that_quantizes_well_has_nothing_that_costs_much():
    found = observed(CASES["convolution"])
    assert max(each.output_error for each in (*found.edges, *found.weights)) < 1e-3
    assert all(math.isfinite(edge.output_error) for edge in found.edges)


def fewest(case: Case) -> tuple[tuple[Edge, ...] | None, int, Callable[..., bytes]]:
    """Returns the fewest float edges, how many models were evaluated, and what makes the model."""
    examples, found = case.splits().tuning, observed(case)
    float32 = found.graph.content
    least = score(case, float32, examples) - ALLOWED
    evaluated = 0

    def made(edges: tuple[Edge, ...]) -> tuple[bytes, Recipe]:
        recipe = Recipe(WITH_EDGES, float_edges=tuple(edge.keys[0] for edge in edges))
        return quantize(calibrated(case), recipe), recipe

    asking = fewest_edges(ranked_edges(found))
    try:
        edges = next(asking)
        while True:
            content, recipe = made(edges)
            assert audit(content, recipe) == []
            trial = Trial.TOO_LARGE
            if len(content) < len(float32):
                evaluated += 1
                is_good = score(case, content, examples) >= least
                trial = Trial.GOOD if is_good else Trial.TOO_FEW
            edges = asking.send(trial)
    except StopIteration as end:
        return end.value, evaluated, made


@pytest.mark.parametrize(
    ("name", "expected", "most"),
    [
        ("raw_units", {"input:x"}, 1),
        ("normalization_layer", {"SUB:0"}, 3),
        ("autoencoder", {"FULLY_CONNECTED:0", "FULLY_CONNECTED:2"}, 3),
    ],
)
def test_few_float_edges_bring_a_net_back_in_few_evaluations(name: str, expected: set, most: int):
    case = CASES[name]
    edges, evaluated, made = fewest(case)
    assert edges is not None and {edge.worst.key for edge in edges} == expected
    assert evaluated <= most <= most_evaluations(len(observed(case).edges))
    content, _ = made(edges)
    examples = case.splits().eval
    assert score(case, content, examples) >= score(case, case.float_tflite, examples) - ALLOWED


def test_large_weights_beside_a_float_edge_are_stored_as_float16():
    content = quantize(calibrated(CASES["raw_units"]), Recipe(WITH_EDGES, float_edges=("input:x",)))
    constants = {
        tensor.type: tensor.shape
        for operator in read_graph(content).operators
        for tensor in operator.inputs
        if tensor.is_constant and tensor.type.startswith("FLOAT")
    }
    # 64 biases are too few.
    assert constants == {"FLOAT16": (64, 13), "FLOAT32": (64,)}
