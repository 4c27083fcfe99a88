"""A model and its golden samples as C source, for programs without a file system.

`model.h` and `model.cc` hold the flatbuffer, `golden.h` and `golden.cc` the golden samples, and
`golden_test.cc` is a program that runs them on TensorFlow Lite Micro. The same model gives the same
bytes.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models import flatbuffer
from tfx_tflite.components.models.flatbuffer import Graph, read_graph
from tfx_tflite.components.models.golden_samples import GoldenSamples, little_endian

MODEL_FILES = ("model.h", "model.cc")
GOLDEN_FILES = ("golden.h", "golden.cc", "golden_test.cc")
# What the program's arena has beyond what is needed here: other kernels take other scratch.
ARENA_MARGIN = 0.25
_ARENA_GRAIN = 1024
_BYTES_A_LINE = 16
# Methods of MicroMutableOpResolver that are not called like their operators.
_METHODS = {
    "BATCH_MATMUL": "AddBatchMatMul",
    "CUMSUM": "AddCumSum",
    "PADV2": "AddPadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "AddUnidirectionalSequenceLSTM",
    "CIRCULAR_BUFFER": "AddCircularBuffer",
    "TFLite_Detection_PostProcess": "AddDetectionPostprocess",
    "TFLM_DECODE": "AddDecode",
    "ethos-u": "AddEthosU",
}
# Custom operators of Micro's library for signals: `SignalRfft` is registered by `AddRfft`.
_SIGNAL = re.compile(r"Signal(?P<name>\w+)")


def identifier(name: str) -> str:
    """Returns a name as the begin of identifiers in C and C++: `digits-v2` becomes `digits_v2`.

    Args:
        name: Any text.
    """
    # Two underscores in a row and one at the begin are the compiler's.
    found = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")
    return found if found and not found[0].isdigit() else f"model_{found}".rstrip("_")


def model_sources(content: bytes, name: str) -> dict[str, str]:
    """Returns a model as C source, by the names of the files.

    Args:
        content: The flatbuffer.
        name: What the model is called; see `identifier`.
    """
    values = {
        "prefix": identifier(name),
        "digest": bytes_digest(content),
        "size": len(content),
        "bytes": _listed_bytes(np.frombuffer(content, np.uint8)),
    }
    return {file: _rendered(file, values) for file in MODEL_FILES}


def arena_with_margin(size_bytes: int) -> int:
    """Returns the size of the program's arena in bytes.

    Args:
        size_bytes: What the model needs on this machine.
    """
    wanted = size_bytes * (1 + ARENA_MARGIN)
    return int(-(-wanted // _ARENA_GRAIN)) * _ARENA_GRAIN


@dataclass(frozen=True)
class _CTensor:
    """One tensor of all golden samples, as the templates show it.

    Attributes:
        place: Its place among the inputs or the outputs of the graph.
        name: Its name, as a string literal.
        dtype: Its type.
        run_bytes: How many bytes one run takes or gives.
        bytes: Its values of all runs, as an initializer.
    """

    place: int
    name: str
    dtype: str
    run_bytes: int
    bytes: str


def golden_sources(
    content: bytes, golden: GoldenSamples, arena_bytes: int, name: str
) -> dict[str, str]:
    """Returns golden samples and the program that runs them as C++, by the names of the files.

    Args:
        content: The flatbuffer.
        golden: Its samples, with outputs of TensorFlow Lite Micro.
        arena_bytes: The smallest arena with which the model runs on this machine.
        name: What the model is called; see `identifier`.

    Raises:
        ValueError: An operator is none that TensorFlow Lite Micro can be given.
    """
    graph = read_graph(content)
    [signature] = graph.signatures
    samples = len(next(iter(golden.inputs.values())))
    values = {
        "prefix": identifier(name),
        "digest": graph.digest,
        "runtime": str(golden.runtime),
        "samples": samples,
        "batch_size": golden.batch_size,
        "runs": samples // golden.batch_size,
        "inputs": _tensors(golden.inputs, signature.inputs, graph.main.inputs, golden.batch_size),
        "outputs": _tensors(
            golden.outputs, signature.outputs, graph.main.outputs, golden.batch_size
        ),
        "registered": resolver_calls(graph),
        "needed_bytes": arena_bytes,
        "arena_bytes": arena_with_margin(arena_bytes),
        "margin": f"{ARENA_MARGIN:.0%}",
        "keeps_state": any(tensor.is_variable for tensor in graph.main.tensors),
    }
    return {file: _rendered(file, values) for file in GOLDEN_FILES}


def resolver_calls(graph: Graph) -> tuple[str, ...]:
    """Returns the methods of a MicroMutableOpResolver that register a model's operators, sorted.

    Args:
        graph: The model.

    Raises:
        ValueError: A custom operator is none that TensorFlow Lite Micro has.
    """
    kinds = {operator.name: operator.is_custom for operator in graph.operators}
    return tuple(sorted({_resolver_call(name, kinds[name]) for name in kinds}))


def _resolver_call(name: str, is_custom: bool) -> str:
    if name in _METHODS:
        return _METHODS[name]
    if is_custom:
        if found := _SIGNAL.fullmatch(name):
            return f"Add{found['name']}"
        raise ValueError(f"TensorFlow Lite Micro has no custom operator {name!r}")
    # CONV_2D is registered by AddConv2D.
    return "Add" + "".join(
        word if word[0].isdigit() else word.capitalize() for word in name.split("_")
    )


def _tensors(
    values: Tensors,
    named: Mapping[str, flatbuffer.Tensor],
    ordered: Sequence[flatbuffer.Tensor],
    batch_size: int,
) -> list[_CTensor]:
    found = []
    for name, array in values.items():
        content = np.frombuffer(little_endian(array), np.uint8)
        found.append(
            _CTensor(
                place=ordered.index(named[name]),
                name=_literal(name),
                dtype=array.dtype.name,
                run_bytes=len(content) // len(array) * batch_size,
                bytes=_listed_bytes(content),
            )
        )
    return sorted(found, key=lambda tensor: tensor.place)


def _literal(text: str) -> str:
    """Returns a text as a string literal of C."""
    return '"' + "".join(map(_escaped, text.encode())) + '"'


def _escaped(byte: int) -> str:
    # A question mark may begin a trigraph.
    is_plain = 0x20 <= byte < 0x7F and chr(byte) not in '"\\?'
    return chr(byte) if is_plain else f"\\{byte:03o}"


def _listed_bytes(values: Array) -> str:
    """Returns bytes as the lines of an initializer, quickly even for those of a large model.

    Args:
        values: uint8, of shape (bytes,).
    """
    width = len("0x00,")
    rows = -(-len(values) // _BYTES_A_LINE)
    text = np.full((rows, 2 + width * _BYTES_A_LINE + 1), ord(" "), np.uint8)
    text[:, -1] = ord("\n")
    filled = np.zeros(rows * _BYTES_A_LINE, np.uint8)
    filled[: len(values)] = values
    text[:, 2:-1] = _BYTE_TEXTS[filled].reshape(rows, -1)
    missing = len(filled) - len(values)
    return text.tobytes().decode("ascii")[: -1 - width * missing]


_BYTE_TEXTS = np.frombuffer(
    "".join(f"0x{byte:02x}," for byte in range(256)).encode(), np.uint8
).reshape(256, -1)


def _rendered(file: str, values: Mapping[str, object]) -> str:
    return _templates().get_template(f"{file}.j2").render(values)


@cache
def _templates() -> Environment:
    return Environment(
        loader=PackageLoader("tfx_tflite.components.models", "c_sources"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
    )
