"""What is in a TensorFlow Lite file, and what targets make of it: `tfx-tflite inspect --json`.

`python -m tfx_tflite.components.models.inspection` prints the JSON Schema in
docs/inspection.schema.json.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from tfx_tflite.components.documents import Document, Part
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import soundness
from tfx_tflite.components.models.facts import facts_of
from tfx_tflite.components.models.flatbuffer import Graph, Operator, Tensor, read_graph
from tfx_tflite.components.models.min_runtime import min_runtime_version
from tfx_tflite.components.models.target import Target
from tfx_tflite.components.models.target_facts import TargetFacts

FORMAT = 1
Scales = Literal["none", "per tensor", "per channel"]
# Operators that only change how numbers are represented.
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
_FLOATS = ("FLOAT32", "FLOAT16", "BFLOAT16", "FLOAT64")


class FileParts(Part):
    """Where the bytes of a file are.

    Attributes:
        constants: Weights, biases, shapes.
        metadata: What the converter and authors wrote of the model.
        graph: Operators, tensors, names and padding.
    """

    constants: int
    metadata: int
    graph: int


class Port(Part):
    """A tensor that a signature takes or gives.

    Attributes:
        name: What the signature calls it; the tensor's own name if there is no signature.
        dtype: Its type as NumPy calls it.
        shape: Its shape; null for an axis that is free.
        scale: What one step of its integers is worth; null if it is not quantized.
        zero_point: The integer that stands for zero; null if it is not quantized.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...]
    scale: float | None = None
    zero_point: int | None = None


class Signature(Part):
    """How a graph is called.

    Attributes:
        name: Its name; null for the main graph of a file without signatures.
        subgraph: The graph's place, from 0.
        inputs: What it takes.
        outputs: What it gives.
    """

    name: str | None
    subgraph: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


class OperatorKind(Part):
    """A kind of operator that a model has.

    Attributes:
        name: As the schema or a custom operator's author names it.
        count: How often it is there, in all graphs.
        versions: Which of its versions are there; empty for a custom operator.
        computes_in: How many of them give numbers of each type. `float32 from int8 weights` are
            layers whose weights alone are quantized.
    """

    name: str
    count: int
    versions: tuple[int, ...]
    computes_in: dict[str, int]


class Constants(Part):
    """Stored tensors of one kind: weights, biases, shapes.

    Attributes:
        dtype: Their type.
        scales: Whether each has a scale for all of it, one for each channel, or none.
        tensors: How many there are.
        size_bytes: What they take; values that several share count once.
    """

    dtype: str
    scales: Scales
    tensors: int
    size_bytes: int


class FloatOperator(Part):
    """An operator that computes in float in a model that has quantized activations.

    Attributes:
        operator: Its place among the operators of all graphs, from 0.
        name: Its kind.
        layer: What it writes.
    """

    operator: int
    name: str
    layer: str


class Failure(Part):
    """A target of which nothing can be said.

    Attributes:
        target: Its name.
        reason: What is not installed, or failed.
    """

    target: str
    reason: str


class Inspection(Document):
    """What is in a file.

    Attributes:
        format: The version of this document's form.
        file: The file as it was named.
        digest: `sha256:<hex>` of its bytes.
        size_bytes: Its size.
        size_parts: Where its bytes are.
        min_runtime_version: The least release of TensorFlow Lite's runtime that can run it; null if
            that is not known.
        signatures: How it is called.
        subgraphs: How many graphs it has.
        operators: The kinds of operators, the most frequent first.
        constants: What is stored, the largest part first.
        float_operators: What was left in float, if activations of other operators are quantized.
        targets: What is known of it on each target.
        failures: The targets of which nothing can be said.
    """

    kind = "an inspection"

    format: int = FORMAT
    file: str
    digest: str
    size_bytes: int
    size_parts: FileParts
    min_runtime_version: str | None
    signatures: tuple[Signature, ...]
    subgraphs: int
    operators: tuple[OperatorKind, ...]
    constants: tuple[Constants, ...]
    float_operators: tuple[FloatOperator, ...] = ()
    targets: tuple[TargetFacts, ...] = ()
    failures: tuple[Failure, ...] = ()


def check(content: bytes, file: str) -> None:
    """Checks that the bytes of a file hang together.

    Args:
        content: The file.
        file: What to call it.

    Raises:
        ModelError: It is not a TensorFlow Lite model, or is damaged.
    """
    problem = next(soundness.problems(content), None)
    if problem is not None:
        raise ModelError(f"{file} is not a valid TensorFlow Lite model: {problem}")


def inspect(content: bytes, file: str, targets: Sequence[Target]) -> Inspection:
    """Returns what is in a file.

    Args:
        content: The file, which `check` finds nothing wrong with.
        file: What to call it.
        targets: Those to say something of; if one needs something that is not installed or fails,
            that is said of it.
    """
    graph = read_graph(content)
    found: list[TargetFacts] = []
    failures: list[Failure] = []
    for target in targets:
        try:
            found.append(facts_of(content, target))
        except ModelError as error:
            failures.append(Failure(target=target.name, reason=str(error)))
    return Inspection(
        file=file,
        digest=graph.digest,
        size_bytes=len(content),
        size_parts=FileParts.model_validate(graph.size_parts()),
        min_runtime_version=min_runtime_version(graph),
        signatures=tuple(_signatures(graph)),
        subgraphs=len(graph.subgraphs),
        operators=tuple(_kinds(graph)),
        constants=tuple(_constants(graph)),
        float_operators=tuple(_float_operators(graph)),
        targets=tuple(found),
        failures=tuple(failures),
    )


def _signatures(graph: Graph) -> Iterator[Signature]:
    for signature in graph.signatures:
        inputs, outputs = (
            tuple(_port(name, tensor) for name, tensor in side.items())
            for side in (signature.inputs, signature.outputs)
        )
        yield Signature(
            name=signature.name, subgraph=signature.subgraph, inputs=inputs, outputs=outputs
        )
    if not graph.signatures:
        inputs, outputs = (
            tuple(_port(tensor.name, tensor) for tensor in side)
            for side in (graph.main.inputs, graph.main.outputs)
        )
        yield Signature(name=None, subgraph=0, inputs=inputs, outputs=outputs)


def _port(name: str, tensor: Tensor) -> Port:
    scale, zero_point = tensor.quantization
    return Port(
        name=name,
        dtype=tensor.type.lower(),
        shape=tuple(None if size == -1 else size for size in tensor.signature_shape),
        scale=scale,
        zero_point=zero_point,
    )


def _kinds(graph: Graph) -> Iterator[OperatorKind]:
    for name, count in Counter(operator.name for operator in graph.operators).most_common():
        same = [operator for operator in graph.operators if operator.name == name]
        yield OperatorKind(
            name=name,
            count=count,
            versions=tuple(sorted({each.version for each in same if not each.is_custom})),
            computes_in=dict(Counter(map(_computes_in, same)).most_common()),
        )


def _computes_in(operator: Operator) -> str:
    if not operator.outputs:
        return "nothing"
    given = operator.outputs[0].type.lower()
    weights = [tensor for tensor in operator.inputs if tensor.is_constant and tensor.is_quantized]
    if weights and given == "float32" and operator.name not in _CONVERSIONS:
        return f"{given} from {weights[0].type.lower()} weights"
    return given


def _constants(graph: Graph) -> Iterator[Constants]:
    found: Counter[tuple[str, Scales]] = Counter()
    sizes: Counter[tuple[str, Scales]] = Counter()
    counted: set[int] = set()
    for tensor in (tensor for each in graph.subgraphs for tensor in each.tensors):
        if not tensor.is_constant:
            continue
        kind = tensor.type.lower(), _scales(tensor)
        found[kind] += 1
        place = None if tensor.data is None else tensor.data.__array_interface__["data"][0]
        if place is None or place not in counted:
            sizes[kind] += tensor.stored_bytes
            counted.update(() if place is None else (place,))
    for (dtype, scales), size in sizes.most_common():
        yield Constants(dtype=dtype, scales=scales, tensors=found[dtype, scales], size_bytes=size)


def _scales(tensor: Tensor) -> Scales:
    if not tensor.is_quantized:
        return "none"
    return "per tensor" if len(tensor.scales) == 1 else "per channel"


def _float_operators(graph: Graph) -> Iterator[FloatOperator]:
    has_integers = any(
        tensor.is_quantized and not tensor.is_constant
        for operator in graph.operators
        for tensor in operator.outputs
    )
    if not has_integers:
        return
    for operator in graph.operators:
        if operator.name not in _CONVERSIONS and any(
            tensor.type in _FLOATS for tensor in operator.outputs
        ):
            yield FloatOperator(
                operator=operator.index,
                name=operator.name,
                layer=operator.outputs[0].short_name,
            )


if __name__ == "__main__":
    print(Inspection.json_schema(), end="")
