"""Proof from the flatbuffer that a converted model is what its scheme promises.

The converter leaves float operators in a model asked to be full integer, and weights as they were
in one asked to be smaller, without an error. What each scheme promises is the table in
docs/schemes.md, after the TensorFlow Lite quantization specification
(https://ai.google.dev/edge/litert/models/quantization_spec).
"""

from collections.abc import Iterator

from tfx_tflite.components.errors import ConversionError, listed
from tfx_tflite.components.models.flatbuffer import Graph, Violation, read_graph
from tfx_tflite.components.quantization.audit import float_promises, integer_promises
from tfx_tflite.components.quantization.audit.specification import FLOATS
from tfx_tflite.components.quantization.recipe import Recipe

_SHOWN = 4


def audit(content: bytes, recipe: Recipe) -> list[Violation]:
    """Returns every way in which a TFLite model breaks what its scheme promises.

    Args:
        content: The flatbuffer.
        recipe: What it was made to.
    """
    try:
        graph = read_graph(content)
    except ValueError as error:
        return [Violation("model", str(error))]
    # Nothing else can be said of a graph that refers to what is not there.
    broken = list(graph.broken_references())
    if broken:
        return broken
    if recipe.scheme.needs_calibration:
        promises = integer_promises.violations(graph, recipe)
    else:
        promises = float_promises.violations(graph, recipe.scheme)
    return list(dict.fromkeys([*_foreign_operators(graph), *_io(graph, recipe), *promises]))


def check(content: bytes, recipe: Recipe) -> None:
    """Checks that a TFLite model is what its scheme promises.

    Raises:
        ConversionError: It is not; the operators that break the promise are named.
    """
    violations = audit(content, recipe)
    if violations:
        shown = "; ".join(str(violation) for violation in violations[:_SHOWN])
        rest = len(violations) - _SHOWN
        more = f" (and {rest} more)" if rest > 0 else ""
        raise ConversionError(
            f"the converted model is not {recipe.scheme.value}: {shown}{more}. "
            f"{_remedy(content, recipe, violations)}"
        )


def _remedy(content: bytes, recipe: Recipe, violations: list[Violation]) -> str:
    """Returns what to do about violations."""
    general = "Replace these operators in the model or choose another quantization.scheme"
    if recipe.allows_float or not all("computes in" in each.reason for each in violations):
        return general
    operators = read_graph(content).operators
    staying = {op.name for op in operators if integer_promises.may_stay_float(op)}
    if not staying or recipe.scheme.traits.activations != "INT8":
        return general
    return (
        f"There is no integer form of {listed(sorted(staying))}: leave that in float with "
        "quantization.scheme: int8_float_io and quantization.float_fallback: allow, replace it in "
        "the model, or take scheme dynamic_range"
    )


def _foreign_operators(graph: Graph) -> Iterator[Violation]:
    for operator in graph.operators:
        if not operator.is_builtin:
            yield Violation(operator.label, "is not a builtin operator of TensorFlow Lite")


def _io(graph: Graph, recipe: Recipe) -> Iterator[Violation]:
    """Inputs and outputs that were float have the promised type; integer ones stay as they are."""
    promised = recipe.resolved_io_type.upper()
    for side, tensor in graph.io:
        found = tensor.type
        if found != promised and (found in FLOATS or tensor.is_quantized):
            yield Violation(f"{side} {tensor.short_name}", f"is {found}, expected {promised}")
