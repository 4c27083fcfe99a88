"""Which tensors and weights a model loses its accuracy by in int8, why, and what to do about it.

What is found is a part of a document, worst first. Behind each culprit are the figures of
`sensitivity.py`; the reason follows from how its values lie in its range.
"""

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.culprit import Culprit, Reason
from tfx_tflite.components.quantization.ranges.policy import RangePolicy
from tfx_tflite.components.quantization.ranges.ranges import TensorRanges
from tfx_tflite.components.quantization.sensitivity import (
    LEAST_DECIBELS,
    Edge,
    RoundedTensor,
    RoundedWeights,
    Sensitivity,
    by_noisy_channels,
    by_output_error,
    observe,
)

# An output error of a thousandth of the outputs' variance changes no answers to speak of, and half
# of a tensor's channels may be lost without one if nothing depends on them.
_LEAST_ERROR, _LEAST_SHARE = 1e-3, 0.5
# What is no more harmful than this, beside the worst, is not looked at as a first cause.
_SHARE_OF_WORST = 0.05
# Two bits of eight: a channel this many times as wide as the median one, weights as large.
_IMBALANCE = 4.0
# Three bits of eight: no channel has more than this share of the range.
_NARROW = 1 / 8
# The share of values beyond the range from which they are more than a stray one.
_SATURATED = 0.01
_PERCENTILE = 99.0
_SHOWN = 3

# Activation functions that are nearly flat on one side or both.
_SATURATING = frozenset({"LOGISTIC", "TANH", "HARD_SWISH", "ELU", "GELU", "SOFTMAX"})
_ELEMENTWISE = frozenset({"ADD", "SUB", "MUL", "DIV"})


def diagnose(
    float32: bytes,
    quantized: bytes,
    ranges: TensorRanges,
    samples: Sequence[Tensors],
    policy: RangePolicy,
) -> tuple[Culprit, ...]:
    """Returns what a model loses its accuracy by, the worst first.

    Args:
        float32: The float flatbuffer.
        quantized: The int8 flatbuffer that was made of it.
        ranges: Of the float model's activations.
        samples: Examples by input name, each of shape (examples, *example_shape).
        policy: How a range follows from the extremes of the examples.

    Raises:
        ModelError: The runtime does not run the float model.
    """
    return culprits(observe(float32, quantized, ranges, samples, policy))


def culprits(found: Sensitivity) -> tuple[Culprit, ...]:
    """Returns the same of what was observed already.

    Three orders are taken in turn: what the outputs suffer from most; what comes first in the model
    of all that they suffer from, because what follows often only inherits its form; and what has
    most noisy channels. Without anything harmful the first few are returned.
    """
    costs: list[Edge | RoundedWeights] = [*found.edges, *found.weights]
    orders = (by_output_error(costs), _first_causes(found, costs), by_noisy_channels(costs))
    ranked = list({id(each): each for turn in zip(*orders, strict=True) for each in turn}.values())
    harmful = [
        each
        for each in ranked
        if each.output_error >= _LEAST_ERROR
        or (each.noisy_channels >= _LEAST_SHARE and isinstance(each, Edge))
    ]
    described = tuple(
        _of_activations(found, each) if isinstance(each, Edge) else _of_weights(found, each)
        for each in harmful or ranked[:_SHOWN]
    )
    if harmful:
        return described
    return tuple(
        each.model_copy(update={"reason": "unknown", "meaning": _LITTLE, "remedy": _FOR_MANY})
        for each in described
    )


_LITTLE = "It costs most of all, but little: what is lost is lost in many places"
_FOR_MANY = "Train with quantization in the loop, or take int16x8."


_Cost = TypeVar("_Cost", bound=Edge | RoundedWeights)


def _first_causes(found: Sensitivity, costs: Sequence[_Cost]) -> list[_Cost]:
    """Returns what is harmful in the order of the model, then the rest."""
    order = {operator: place for place, operator in enumerate(found.graph.main.operators)}

    def place(cost: Edge | RoundedWeights) -> tuple[int, bool]:
        # A layer's weights come before what it writes.
        if isinstance(cost, RoundedWeights):
            return order[cost.operator], False
        writer = found.graph.writers.get(cost.worst.tensor)
        return (-1 if writer is None else order[writer]), True

    worst = max((cost.output_error for cost in costs), default=0.0)
    return sorted(
        costs, key=lambda cost: (cost.output_error < _SHARE_OF_WORST * worst, place(cost))
    )


def _of_activations(found: Sensitivity, edge: Edge) -> Culprit:
    rounded = edge.worst
    writer, channels = found.graph.writers.get(rounded.tensor), rounded.channels
    reason, meaning, remedy = _why_activations(found, edge)
    is_input = rounded.range.tensor.is_input
    return Culprit(
        key=rounded.key,
        name=rounded.range.tensor.name if is_input else rounded.tensor.short_name,
        operator="" if writer is None else writer.name,
        part="activations",
        reason=reason,
        meaning=meaning,
        remedy=remedy,
        output_error=edge.output_error,
        noisy_channels=edge.noisy_channels,
        worst_channels=() if channels is None else _worst(channels.rounding, rounded),
        sqnr_db=None if rounded.noise is None else rounded.noise.sqnr_db,
        added_db=None if channels is None else _decibels(channels.power, channels.rounding),
        saturated=None if rounded.noise is None else rounded.noise.saturated,
        range=rounded.rounding.limits,
        imbalance=_imbalance(_spreads(rounded)),
        together=tuple(key for key in edge.keys if key != rounded.key),
    )


def _of_weights(found: Sensitivity, layer: RoundedWeights) -> Culprit:
    output = layer.output
    channels = None if output is None else output.channels
    reason, meaning, remedy = _why_weights(layer)
    added = None
    if channels is not None and layer.noise is not None:
        added = _decibels(channels.power, layer.noise)
    worst: tuple[int, ...] = ()
    if output is not None and layer.noise is not None and layer.noisy_channels:
        worst = _worst(layer.noise, output)
    return Culprit(
        key=layer.key,
        name=layer.operator.outputs[0].short_name,
        operator=layer.operator.name,
        part="weights",
        reason=reason,
        meaning=meaning,
        remedy=remedy,
        output_error=layer.output_error,
        noisy_channels=layer.noisy_channels,
        worst_channels=worst,
        sqnr_db=None if output is None or output.noise is None else output.noise.sqnr_db,
        added_db=added,
        range=(float(layer.weights.min()), float(layer.weights.max())),
        imbalance=_imbalance(_sizes(layer, layer.kind.channels)),
    )


def _decibels(power: Array, noise: Array) -> float | None:
    if len(power) != len(noise) or not noise.sum() or not power.sum():
        return None
    return float(10 * np.log10(power.sum() / noise.sum()))


def _worst(noise: Array, rounded: RoundedTensor) -> tuple[int, ...]:
    """Returns the channels with the least signal to noise of those that are noisy."""
    channels = rounded.channels
    if channels is None:
        return ()
    is_noisy = channels.varies & channels.is_below(LEAST_DECIBELS, noise)
    ratios = channels.variance / np.maximum(noise, np.finfo(np.float64).tiny)
    order = [int(place) for place in np.argsort(ratios, kind="stable") if is_noisy[place]]
    return tuple(order[:_SHOWN])


def _spreads(rounded: RoundedTensor, noisy_only: bool = False) -> Array:
    """Returns how far the values of each channel that varies, or is noisy, lie apart."""
    found = rounded.channels
    if found is None:
        return np.empty(0)
    chosen = found.varies
    if noisy_only:
        chosen = chosen & found.is_below(LEAST_DECIBELS, found.rounding)
    spreads: Array = (found.highest - found.lowest)[chosen]
    return spreads


def _imbalance(sizes: Array) -> float | None:
    found = sizes[sizes > 0]
    return float(found.max() / np.median(found)) if len(found) else None


_Why = tuple[Reason, str, str]


def _why_activations(found: Sensitivity, edge: Edge) -> _Why:
    rounded, graph = edge.worst, found.graph
    outlier = _outlier(found, edge)
    if outlier is not None:
        return outlier
    lowest, highest = rounded.rounding.limits
    writer = graph.writers.get(rounded.tensor)
    # Of a fixed scale the ends are where they are to be.
    is_fixed = writer is not None and writer.name in spec.FIXED_OUTPUTS
    saturated = rounded.noise.saturated if rounded.noise is not None else None
    if saturated is not None and saturated > _SATURATED and not is_fixed:
        return (
            "saturating activation",
            f"{saturated:.1%} of its values lie beyond its range of {lowest:.4g} to {highest:.4g} "
            "and are cut off",
            "Calibrate with examples like those that it will see, or with calibration.ranges: "
            "minmax.",
        )
    spreads, extent = _spreads(rounded), highest - lowest
    if len(spreads) and spreads.max() < _NARROW * extent:
        return (
            "narrow output",
            f"Its values take up {spreads.max() / extent:.1%} of its range at most, channel by "
            f"channel, so that they have {spreads.max() / rounded.rounding.scale:.0f} of 256 steps",
            _against_narrow(graph, rounded),
        )
    narrow = _spreads(rounded, noisy_only=True)
    if not len(narrow) or spreads.max() < _IMBALANCE * np.median(narrow):
        return _UNKNOWN
    steps = np.array([np.median(narrow), spreads.max()]) / rounded.rounding.scale
    shared = (
        f"{len(narrow)} of its {len(spreads)} channels are lost (the median of them has "
        f"{steps[0]:.1f} of 256 steps), because the widest, which has {steps[1]:.0f}, sets the "
        "scale"
    )
    if _is_of_inputs(graph, rounded.tensor):
        return (
            "mixed units in one tensor",
            f"{shared}: its features are in units of very different size",
            "Standardise the features before the model, give those of unlike size inputs of their "
            "own, or take scheme int16x8.",
        )
    activation = _saturating(graph, rounded.tensor)
    if activation is not None:
        return (
            "saturating activation",
            f"{shared}: {activation.name} leaves some channels nearly flat, and what follows "
            "stretches them",
            "Put the batch normalization before the activation, or take ReLU or ReLU6 instead.",
        )
    return (
        "channel imbalance",
        shared,
        "Have equalization do it (quantization.scheme: auto), train with weight decay on the layer "
        "or with batch normalization after it, and take ReLU6 for ReLU.",
    )


_UNKNOWN: _Why = (
    "unknown",
    "Rounding it costs much though its channels are of like size: what follows takes differences "
    "of its values, or multiplies them",
    "Look at what reads it; if it cannot be changed, leave the tensor in float or take int16x8.",
)


def _outlier(found: Sensitivity, edge: Edge) -> _Why | None:
    """Returns that a few examples set the range, if they do."""
    indices = {each.tensor.index: each for each in edge.tensors}
    for outlier in found.ranges.outliers():
        rounded = indices.get(outlier.tensor.index)
        if rounded is None:
            continue
        inside = rounded.range.minimum <= outlier.value <= rounded.range.maximum
        if inside:
            count = len(outlier.examples)
            examples = f"{count} calibration example{'s' if count != 1 else ''}"
            return (
                "outlier",
                f"It goes to {outlier.value:.4g} in {examples or 'few'} and to "
                f"{outlier.limit:.4g} in all others, so that those have "
                f"{abs(outlier.limit) / rounded.rounding.scale:.0f} of 256 steps",
                "Remove these examples if they are faults, or leave them out of the ranges with "
                "calibration.ranges: robust.",
            )
    return None


def _against_narrow(graph: Graph, rounded: RoundedTensor) -> str:
    if rounded.tensor in graph.main.outputs:
        return (
            "Scale the output up in the model and down in what reads it (train on standardised "
            "labels, or give logits and not probabilities)."
        )
    return (
        "Take the offset away that all its values have: a bias that a normalization takes away "
        "again, or features that are not centred."
    )


def _is_of_inputs(graph: Graph, tensor: Tensor) -> bool:
    """Returns whether a tensor is an input, or one but for constants that are added or factors."""
    writer = graph.writers.get(tensor)
    if writer is None:
        return True
    if writer.name not in _ELEMENTWISE | spec.SAME_SCALE:
        return False
    return all(_is_of_inputs(graph, each) for each in writer.inputs if _is_computed(each))


def _saturating(graph: Graph, tensor: Tensor) -> Operator | None:
    """Returns the saturating activation that a tensor comes from, through what is elementwise."""
    writer = graph.writers.get(tensor)
    if writer is None or writer.name in _SATURATING:
        return writer
    if writer.name not in _ELEMENTWISE | spec.SAME_SCALE:
        return None
    found = (_saturating(graph, each) for each in writer.inputs if _is_computed(each))
    return next((each for each in found if each is not None), None)


def _is_computed(tensor: Tensor) -> bool:
    return not tensor.is_constant and tensor.type == "FLOAT32"


def _sizes(layer: RoundedWeights, axis: int | None) -> Array:
    """Returns the largest weight along an axis; of all if there is none."""
    others = tuple(each for each in range(layer.weights.ndim) if each != axis)
    found: Array = np.atleast_1d(np.abs(layer.weights).max(axis=others))
    return found


def _why_weights(layer: RoundedWeights) -> _Why:
    sizes = np.abs(layer.weights)
    channels = layer.kind.channels
    # What has one scale: a channel, or all.
    shared = sizes.reshape(1, -1)
    if layer.scales > 1 and channels is not None:
        shared = np.moveaxis(sizes, channels, 0).reshape(sizes.shape[channels], -1)
    usual = np.maximum(np.percentile(shared, _PERCENTILE, axis=1), np.finfo(np.float64).tiny)
    beyond = float((shared.max(axis=1) / usual).max())
    if beyond >= _IMBALANCE:
        return (
            "outlier",
            f"A weight is {beyond:.0f} times as large as 99 % of those that it shares a scale with",
            "Find out what the weight is for (a feature that is always 0 trains to anything); "
            "train with weight decay or a limit to weights.",
        )
    for axis, what in ((channels, "output"), (sizes.ndim - 1, "input")):
        if axis is None or (axis == channels and (what == "input" or layer.scales > 1)):
            continue
        imbalance = _imbalance(_sizes(layer, axis))
        if imbalance is not None and imbalance >= _IMBALANCE:
            scale = "one scale" if layer.scales == 1 else "one scale for each output channel"
            return (
                "weights of very different size",
                f"Weights of the largest {what} channel are {imbalance:.0f} times those of the "
                f"median one, and there is {scale}",
                "Give each output channel a scale (quantization.scheme: auto does), and train with "
                "weight decay."
                if what == "output"
                else "Bring what the layer reads to one size: standardise features, or equalize "
                "the layer before (quantization.scheme: auto does).",
            )
    return _UNKNOWN_WEIGHTS


_UNKNOWN_WEIGHTS: _Why = (
    "unknown",
    "Rounding its weights costs much though they are of like size",
    "Train the layer with more regularization, or keep it in float.",
)
