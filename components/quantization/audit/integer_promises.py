"""What a model with quantized activations promises, operator by operator."""

from collections.abc import Iterator

import numpy as np

from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, Violation
from tfx_tflite.components.quantization.audit import specification as spec
from tfx_tflite.components.quantization.float_parts import float_operators
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import SchemeTraits

# Types of few bits, which only quantization gives to what was float.
_QUANTIZED = frozenset({"INT4", "INT8", "UINT8", "INT16"})
# Scales are stored as float32; the kernels compare bias scales within 2 % and others exactly.
_SAME = 1e-5
_SAME_BIAS = 0.02


def violations(graph: Graph, recipe: Recipe) -> Iterator[Violation]:
    """Finds what breaks the promise of a scheme with quantized activations."""
    yield from _floats(graph, recipe)
    promised = recipe.scheme.traits
    zeros = _zeros(graph)
    for operator in graph.operators:
        if any(tensor.type in spec.FLOATS for tensor in operator.tensors):
            continue
        yield from _treatment(operator)
        yield from _types(graph, operator, promised.activations)
        yield from _parameters(operator, zeros)
        yield from _fixed_output(operator)
        yield from _same_scale(operator)
        yield from _weights(operator, promised)
        yield from _bias(operator, promised)


def _treatment(operator: Operator) -> Iterator[Violation]:
    """Only operators that are known to take quantized numbers do."""
    found = spec.treatment(operator.name)
    if found is spec.Treatment.NOT_ALLOWED:
        yield Violation(operator.label, "is not an operator of an integer model")
    elif found is spec.Treatment.FLOAT_ONLY and any(t.is_quantized for t in operator.tensors):
        yield Violation(operator.label, "has no kernel for quantized numbers")
    elif found is None:
        yield Violation(operator.label, "is not known, so that its scales cannot be checked")


def _floats(graph: Graph, recipe: Recipe) -> Iterator[Violation]:
    """No operator reads or writes a float, but for conversions and those that may stay float."""
    allowed = allowed_floats(graph, recipe)
    converting: list[Violation] = []
    computing: list[Violation] = []
    for operator in graph.operators:
        floats = float_tensors(operator)
        if not floats or operator.name in spec.CALLS or operator.index in allowed:
            continue
        is_conversion = operator.name in spec.CONVERSIONS
        types = ", ".join(sorted({tensor.type for tensor in floats}))
        beside = " though it has an integer form" if recipe.allows_float else ""
        found = Violation(operator.label, f"computes in {types}{beside}")
        (converting if is_conversion else computing).append(found)
    # A conversion inside the graph is there because of an operator that computes in float.
    yield from computing or converting
    for tensor in graph.idle_tensors:
        if tensor.type in spec.FLOATS:
            yield Violation(f"tensor {tensor.short_name}", f"is {tensor.type}, unused")


def float_tensors(operator: Operator) -> list[Tensor]:
    """Returns the tensors of an operator that are float."""
    return [tensor for tensor in operator.tensors if tensor.type in spec.FLOATS]


def allowed_floats(graph: Graph, recipe: Recipe) -> dict[int, Operator]:
    """Returns the operators that may have float tensors, by index.

    These are conversions at the model's edge if its inputs and outputs are float; if operators
    without an integer form may stay float, those; what the recipe names, and what reads or writes a
    tensor that it names; and the conversions between these and the rest.
    """
    staying = [op for op in float_operators(graph, recipe) if float_tensors(op)]
    if recipe.allows_float:
        staying += [op for op in graph.operators if may_stay_float(op)]
    edges = {tensor for operator in staying for tensor in float_tensors(operator)}
    found = {operator.index: operator for operator in staying}
    for operator in graph.operators:
        floats = float_tensors(operator)
        at_the_edge = recipe.resolved_io_type == "float32" and graph.at_the_edge(floats)
        beside = all(
            tensor in edges or tensor.is_constant or graph.at_the_edge([tensor])
            for tensor in floats
        )
        if operator.name in spec.CONVERSIONS and floats and (at_the_edge or (edges and beside)):
            found[operator.index] = operator
    return found


def may_stay_float(operator: Operator) -> bool:
    """Returns whether an operator computes with floats and may have no integer form."""
    return operator.name in spec.MAY_BE_FLOAT and bool(float_tensors(operator))


def _types(graph: Graph, operator: Operator, activation: str) -> Iterator[Violation]:
    """Quantized activations have the scheme's type; other integers are indices and shapes."""
    if operator.name in spec.RECURRENT:
        tensors = (*operator.inputs[:1], *operator.outputs)
    else:
        weights = set(map(operator.operand, spec.weighted(operator.name).weights))
        tensors = tuple(t for t in operator.tensors if not (t in weights and t.is_constant))
    for tensor in tensors:
        found = tensor.type
        is_edge = operator.name == "QUANTIZE" and graph.at_the_edge([tensor])
        if found in _QUANTIZED and tensor.is_quantized and found != activation and not is_edge:
            yield Violation(operator.label, f"has {found} activations, not {activation}")
            return


def _zeros(graph: Graph) -> frozenset[Tensor]:
    """Returns the tensors that hold nothing but zeros, whose range and scale may be 0."""
    found: set[Tensor] = set()
    for operator in graph.operators:
        for tensor in operator.inputs:
            values = tensor.integers if tensor.is_constant else None
            if values is not None and not values.any():
                found.add(tensor)
        if operator.name == "FILL" and operator.inputs[-1] in found:
            found.update(operator.outputs)
    return frozenset(found)


def _parameters(operator: Operator, zeros: frozenset[Tensor]) -> Iterator[Violation]:
    """Quantized tensors have scales that are positive and zero points that their type holds."""
    tensors = operator.tensors
    if not any(tensor.is_quantized for tensor in tensors):
        # Nothing but integers that were integers in the float model.
        return
    for tensor in tensors:
        found = tensor.type
        scales, points = tensor.scales, tensor.zero_points
        name = tensor.short_name
        if found in _QUANTIZED and not len(scales):
            yield Violation(operator.label, f"{found} tensor {name} has no scale")
            continue
        positive = (scales > 0) | ((scales == 0) & (tensor in zeros))
        if not np.all(np.isfinite(scales) & positive):
            yield Violation(operator.label, f"tensor {name} has a scale that is not positive")
        lowest, highest = spec.ZERO_POINTS.get(found, (0, 0))
        if len(points) and not (lowest <= points.min() and points.max() <= highest):
            worst = points.min() if points.min() < lowest else points.max()
            allowed = "0" if lowest == highest else f"{lowest} to {highest}"
            yield Violation(
                operator.label, f"{found} tensor {name} has zero point {worst}, not {allowed}"
            )


def _fixed_output(operator: Operator) -> Iterator[Violation]:
    fixed = spec.FIXED_OUTPUTS.get(operator.name)
    if not fixed:
        return
    output = operator.outputs[0]
    expected = fixed.get(output.type)
    scale, point = output.quantization
    if expected is None or scale is None:
        return
    if not np.isclose(scale, expected[0], rtol=_SAME, atol=0) or point != expected[1]:
        yield Violation(
            operator.label,
            f"has output scale {scale:.6g} and zero point {point}, not {expected[0]:.6g} and "
            f"{expected[1]}",
        )


def _same_scale(operator: Operator) -> Iterator[Violation]:
    if operator.name not in spec.SAME_SCALE:
        return
    found = {tensor.quantization for tensor in operator.tensors} - {(None, None)}
    if len(found) > 1:
        yield Violation(operator.label, "has inputs and outputs of different scales")
    elif operator.name in spec.ZERO_FILLED and any(zero_point for _, zero_point in found):
        yield Violation(operator.label, "fills up with the integer 0, which is not its zero point")


def _weights(operator: Operator, scheme: SchemeTraits) -> Iterator[Violation]:
    """Stored weights are INT8, symmetric and have a scale for each channel if that is said."""
    kind = spec.weighted(operator.name)
    for weights in map(operator.operand, kind.weights):
        if weights is None or not holds_weights(weights):
            continue
        found = weights.type
        # A factor whose partner is an activation has its type, and so do a table's rows.
        promised = scheme.weights if kind.symmetric else scheme.activations
        if found != promised:
            yield Violation(operator.label, f"has {found} weights, not {promised}")
        elif kind.symmetric:
            yield from _symmetry(operator, weights)
            yield from channel_scales(operator, weights, kind)


def holds_weights(tensor: Tensor) -> bool:
    """Returns whether an operand that may be weights is: stored, and no table of indices."""
    is_table = tensor.type in ("INT32", "INT64", "BOOL") and not tensor.is_quantized
    return tensor.is_constant and not is_table


def _symmetry(operator: Operator, weights: Tensor) -> Iterator[Violation]:
    points = weights.zero_points
    if points.any():
        worst = points[np.argmax(np.abs(points))]
        yield Violation(operator.label, f"has weights with zero point {worst}, not 0")
    values = weights.integers
    if values is not None and values.min(initial=0) < -127:
        yield Violation(operator.label, "has weights of -128, which is outside [-127, 127]")


def channel_scales(
    operator: Operator, weights: Tensor, kind: spec.WeightedOperator
) -> Iterator[Violation]:
    """Checks that weights have one scale, or one a channel, as the specification says."""
    scales = len(weights.scales)
    if scales == 0:
        # Said of each tensor already.
        return
    channels = 1 if kind.channels is None else weights.shape[kind.channels]
    if scales == 1:
        if kind.per_channel and channels > 1:
            yield Violation(
                operator.label, f"has one scale for its weights, not one for each of {channels}"
            )
    elif scales != channels:
        yield Violation(operator.label, f"has {scales} scales for {channels} channels of weights")
    elif weights.channel_axis != kind.channels:
        yield Violation(
            operator.label,
            f"has its weights' scales along dimension {weights.channel_axis}, not {kind.channels}",
        )


def _bias(operator: Operator, scheme: SchemeTraits) -> Iterator[Violation]:
    """A bias has 32 (or 64) bits and scale = scale of the activations x scale of the weights."""
    kind = spec.weighted(operator.name)
    bias = None if kind.bias is None else operator.operand(kind.bias)
    if bias is None:
        return
    if bias.type not in scheme.biases:
        allowed = " or ".join(scheme.biases)
        yield Violation(operator.label, f"has {bias.type} biases, not {allowed}")
        return
    values = bias.integers
    if values is not None and not values.any():
        # Operators share a bias of zeros, whose scale is then that of one of them.
        return
    activations, weights = operator.operand(kind.activation), operator.operand(kind.weights[0])
    if activations is None or weights is None:
        return
    if not weights.is_quantized or len(activations.scales) != 1:
        # Said of these tensors already.
        return
    expected = activations.scales * weights.scales
    if len(bias.scales) not in (1, len(expected)) or not np.allclose(
        bias.scales, expected, rtol=_SAME_BIAS, atol=0
    ):
        yield Violation(
            operator.label, "has biases whose scale is not that of its input times its weights'"
        )
