"""Why Vela leaves operators to the processor, in its own words, and what to change.

Vela prints a warning for each:

    Warning (supported operators) operator: GATHER, ofm: 'tensor'
    Reason: axis: 2 != batch_dims: 0
    axis must be equal to batch_dims

Before version 5 it was

    Warning: MEAN 'tensor' is not supported on the NPU. Placing on CPU instead
     - the rule
       what breaks it
    Info: GATHER 'tensor' is a CPU only op
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.models.target_facts import OperatorFinding
from tfx_tflite.components.models.vela_result import free_input

_WARNING = re.compile(
    r"Warning \(supported operators\) operator: (?P<kind>.+), ofm: '(?P<name>.*)'"
)
_OLD_WARNING = re.compile(
    r"Warning: (?:Unsupported TensorFlow Lite semantics for )?(?P<kind>\w+) '(?P<name>.*)'"
    r"(?: is not supported on the NPU)?\. Placing on CPU instead"
)
_CPU_ONLY = re.compile(r"Info: (?P<kind>\w+) '(?P<name>.*)' is a CPU only op")
_REASON = "Reason: "
# An activation that is a part of an operator is one of its own to Vela. It has the operator's name,
# and what goes in between has this ending.
_BEFORE_ACTIVATION = "_act"
_UNSAID = "Vela does not say why"
_INTEGERS = ("INT8", "UINT8", "INT16")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True)
class Warned:
    """A warning.

    Attributes:
        kind: The kind of operator as Vela calls it.
        tensor: The name of what it writes.
        reason: Vela's words, in one line.
    """

    kind: str
    tensor: str
    reason: str


def warnings_in(text: str) -> list[Warned]:
    """Returns the warnings about operators among what Vela has printed."""
    found = []
    lines = text.splitlines()
    for place, line in enumerate(lines):
        if match := _WARNING.fullmatch(line):
            following = _until_blank(lines[place + 1 :])
        elif match := _OLD_WARNING.fullmatch(line):
            following = _indented(lines[place + 1 :])
        elif match := _CPU_ONLY.fullmatch(line):
            following = iter(["is a CPU only op"])
        else:
            continue
        reason = "; ".join(_sentences(following)).removeprefix(_REASON).replace(":; ", ": ")
        found.append(Warned(match["kind"], match["name"], reason))
    return found


def _until_blank(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.strip() or line.startswith("Warning"):
            return
        yield line


def _indented(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith(" "):
            return
        yield line


def _sentences(lines: Iterable[str]) -> Iterator[str]:
    """Yields what lines say, without the marks of lists and what ends a line."""
    for line in lines:
        if said := line.strip().removeprefix("- ").rstrip(".;"):
            yield said


def refusals(
    graph: Graph, left: Sequence[Operator], warnings: Iterable[Warned]
) -> tuple[OperatorFinding, ...]:
    """Returns what is known of the operators that are left to the processor.

    Args:
        graph: The model.
        left: The operators, the model's own or added by the compiler.
        warnings: What Vela says.
    """
    reasons: dict[str, list[str]] = {}
    for warning in warnings:
        for name in {warning.tensor, warning.tensor.removesuffix(_BEFORE_ACTIVATION)}:
            reasons.setdefault(name, []).append(warning.reason)
    return tuple(_finding(graph, operator, reasons) for operator in left)


def _finding(graph: Graph, operator: Operator, reasons: dict[str, list[str]]) -> OperatorFinding:
    said = [reason for output in operator.outputs for reason in reasons.get(output.name, ())]
    reason = " / ".join(dict.fromkeys(said)) or _UNSAID
    return OperatorFinding(
        operator=operator.index if operator in graph.main.operators else None,
        name=operator.name,
        layer=operator.outputs[0].short_name if operator.outputs else "",
        reason=reason,
        advice=_advice(graph, operator, reason),
    )


_SHAPELESS = r"shapeless|must not be dynamic|[Ss]hape must be constant"
# What to change, by what a reason says; the first that fits is taken.
_ADVICE: tuple[tuple[str, str], ...] = (
    (r"(?i)batch (size )?must be 1", "build the batch size in (quantization.batch_size: 1)"),
    (r"dynamic", "give the signature a shape with one free axis at most, the first"),
    (
        r"(?i)kernel stride|strides? (h|w)\b|strides must",
        "use strides of 1 to 3, or a convolution without padding (padding: valid)",
    ),
    (r"stride out of range", "use a stride of 1 or 2 in the transposed convolution"),
    (
        r"kernel (width|height|product)",
        "use a smaller window, several after one another, or one without padding (padding: valid)",
    ),
    (r"scale-factor", "resize height and width by the same factor, 2, 4 or 8"),
    (r"depth axis|Axis attribute", "put what the layer works over into the last axis"),
    (r"per-axis quantization", "the weights need one scale for the whole tensor"),
    (
        r"must be (compile time )?constant",
        "make it a constant of the model that is now computed or given",
    ),
    (
        r"Unsupported op(Type|erator)|CPU only op",
        "use a layer that the accelerator has (`vela --supported-ops-report` lists them)",
    ),
)


def _advice(graph: Graph, operator: Operator, reason: str) -> str:
    """Returns what to change; empty if that is not known."""
    if operator.name == "WHILE":
        return "unroll the loop (`unroll=True` of a recurrent layer in Keras)"
    if _is_float(operator):
        return _advice_of_float(graph, operator)
    if re.search(_SHAPELESS, reason):
        # A tensor of one number has no axes, and is called the same.
        return "build the batch size in (quantization.batch_size: 1)" if free_input(graph) else ""
    for pattern, advice in _ADVICE:
        if re.search(pattern, reason):
            return advice
    return ""


def _is_float(operator: Operator) -> bool:
    return any(tensor.type.startswith("FLOAT") for tensor in operator.tensors)


def _advice_of_float(graph: Graph, operator: Operator) -> str:
    if not _has_integers(graph):
        return "quantize weights and activations (quantization.scheme: int8)"
    if operator.name not in _CONVERSIONS:
        return "TensorFlow Lite has no int8 kernel for this layer; use another one"
    edge = [tensor for tensor in operator.tensors if graph.at_the_edge([tensor])]
    if any(tensor.type.startswith("FLOAT") for tensor in edge):
        is_int16 = any(tensor.type == "INT16" for tensor in operator.tensors)
        setting = "io_type: int16" if is_int16 else "scheme: int8"
        return f"make inputs and outputs integers as well (quantization.{setting})"
    return "goes when the layer in floating point beside it goes"


def _has_integers(graph: Graph) -> bool:
    """Whether anything but constants is in integers of 8 or 16 bits."""
    tensors = (tensor for subgraph in graph.subgraphs for tensor in subgraph.tensors)
    return any(tensor.type in _INTEGERS and not tensor.is_constant for tensor in tensors)
