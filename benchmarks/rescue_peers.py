"""What others offer where int8 costs too much: the other sides of `benchmarks/rescue.py`."""

import csv
import io
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
from tensorflow.lite.python import convert
from tensorflow.lite.tools.optimize.debugging.python.debugger import QuantizationDebugger

from tests.components.quantization_tuner.bed import quantized
from tests.components.quantization_tuner.bed.cases import ALLOWED, Case
from tests.components.quantization_tuner.bed.data import Array
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models.flatbuffer import Operator, read_graph
from tfx_tflite.components.quantization.audit.specification import CONVERSIONS
from tfx_tflite.components.quantization.conversion.from_ranges import write_ranges
from tfx_tflite.components.quantization.ranges.policy import RangePolicy

_LITERT_RECIPES = Path(__file__).with_name("litert_recipes.py")
# A layer's mean error is known well enough from so many.
_DEBUGGED_EXAMPLES = 100
_FLOATS = {"FLOAT32", "FLOAT16"}


@dataclass(frozen=True)
class Net:
    """A net of the bed, or the same one trained from another seed.

    Attributes:
        case: Its data, and what it is judged by.
        content: The float model.
        name: What the table calls it.
    """

    case: Case
    content: bytes
    name: str

    def tuning(self, content: bytes) -> float:
        """Returns a model's figure on the tuning examples."""
        return quantized.score(self.case, content, self.case.splits().tuning)

    def eval(self, content: bytes) -> float:
        """Returns a model's figure on the eval split."""
        return quantized.score(self.case, content, self.case.splits().eval)


class Arithmetic(IntEnum):
    """What a model computes with, the better the higher."""

    FLOATS = 0
    # Floats come in and go out, and are made integers first and of integers last.
    INTEGERS_INSIDE = 1
    INTEGERS = 2


@dataclass(frozen=True)
class Result:
    """What one side made of a net.

    Attributes:
        score: Its figure on the eval split.
        size: Its bytes.
        arithmetic: What it computes with.
        cpu: Seconds of the processor, of this process and of those that it started.
        evaluations: How many models were tried on the tuning examples.
        how: What was chosen.
    """

    score: float
    size: int
    arithmetic: Arithmetic
    cpu: float
    evaluations: int
    how: str


def arithmetic_of(content: bytes) -> Arithmetic:
    """Returns what a model computes with."""
    operators = read_graph(content).main.operators
    conversions = [each for each in operators if each.name in CONVERSIONS]
    if any(_has_floats(each) for each in operators if each not in conversions):
        return Arithmetic.FLOATS
    has_floats = any(map(_has_floats, conversions))
    return Arithmetic.INTEGERS_INSIDE if has_floats else Arithmetic.INTEGERS


def _has_floats(operator: Operator) -> bool:
    return any(tensor.type in _FLOATS for tensor in operator.tensors)


def cpu_seconds() -> float:
    """Returns the processor's time of this process and of its children that have ended."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


Candidates = Callable[[Net], Iterator[tuple[str, bytes]]]


def best_of(net: Net, candidates: Candidates) -> Result:
    """Returns the best of some models, chosen on the tuning examples.

    Of those that are good enough that is the one with the best arithmetic, or else the smallest.
    If none is, it is the one with the best figure.

    Args:
        net: The net.
        candidates: Yields names and flatbuffers.
    """
    start, wanted = cpu_seconds(), net.tuning(net.content) - ALLOWED
    tried: list[tuple[tuple[bool, int, float], str, bytes]] = []
    for name, content in candidates(net):
        try:
            figure = net.tuning(content)
        except ModelError:
            continue
        holds = figure >= wanted
        order = (holds, arithmetic_of(content) if holds else 0, -len(content) if holds else figure)
        tried.append((order, name, content))
    if not tried:
        return Result(-np.inf, 0, Arithmetic.FLOATS, cpu_seconds() - start, 0, "nothing that runs")
    _, name, content = max(tried, key=lambda each: each[0])
    cpu = cpu_seconds() - start
    return Result(net.eval(content), len(content), arithmetic_of(content), cpu, len(tried), name)


def litert_recipes(python: Path) -> Candidates:
    """Returns what gives the models of litert-quantizer's static recipes.

    Args:
        python: That of an environment with litert-quantizer.
    """

    def made(net: Net) -> Iterator[tuple[str, bytes]]:
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            (directory / "float32.tfl").write_bytes(net.content)
            np.savez(directory / "examples.npz", **net.case.calibration.inputs)
            given = (directory / "float32.tfl", directory / "examples.npz", directory)
            subprocess.run([python, _LITERT_RECIPES, *given], check=True, capture_output=True)
            files = sorted(directory.glob("*.tflite"), key=lambda file: file.stat().st_mtime_ns)
            for file in files:
                yield file.stem, file.read_bytes()

    return made


def without_the_worst_layers(net: Net) -> Iterator[tuple[str, bytes]]:
    """Yields int8 models of TensorFlow's quantizer with more and more of the worst layers in float.

    Layers are ranked by TensorFlow's debugger, by the root mean square of their errors in steps
    of their scale. Its guide calls a layer suspicious from 0.1 on, which are all layers of most of
    these nets; so every number of layers is tried, from none to all.
    """
    calibration = net.case.calibration.inputs
    ranges = quantized.ranges(net.content, calibration)
    calibrated = write_ranges(net.content, ranges, RangePolicy("minmax"))
    ranked = _ranked_layers(calibrated, calibration)
    names = [name for name, _ in ranked]
    for count in range(len(names) + 1):
        # The quantizer refuses some.
        with suppress(convert.ConverterError):
            left_out = set(names[:count]) or None
            content = convert.mlir_quantize(calibrated, denylisted_nodes=left_out)
            yield f"{count} of {len(names)} layers float", bytes(content)


def _ranked_layers(calibrated: bytes, inputs: dict[str, Array]) -> list[tuple[str, float]]:
    """Returns the layers by the names of what they write, the worst first, with their errors."""
    debugged = bytes(convert.mlir_quantize(calibrated, enable_numeric_verify=True))
    graph = read_graph(debugged)
    names = {tensor.index: name for name, tensor in graph.signatures[0].inputs.items()}
    order = [names[tensor.index] for tensor in graph.main.inputs]

    def examples() -> Iterator[list[Array]]:
        for row in range(_DEBUGGED_EXAMPLES):
            yield [inputs[name][row : row + 1] for name in order]

    debugger = QuantizationDebugger(quant_debug_model_content=debugged, debug_dataset=examples)
    debugger.run()
    table = io.StringIO()
    debugger.layer_statistics_dump(table)
    table.seek(0)
    found = [
        (row["tensor_name"], float(row["mean_squared_error"]) ** 0.5 / float(row["scale"]))
        for row in csv.DictReader(table)
    ]
    return sorted(found, key=lambda each: -each[1])
