"""Models with TensorFlow Lite Micro, the runtime of microcontrollers, as its Python package has it.

Its kernels are C++ loops that give the same bits on every processor, this one and a
microcontroller's: a port with kernels of its own (CMSIS-NN) is tested against them.

The runtime has one piece of memory, the arena, for all that a model needs beside its file. It
writes what is wrong to the process' error output, and an arena that is much too small ends the
process. So a model is loaded in a copy of the process first.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

import numpy as np

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.examples.tensors import Array, Tensors, format_shape
from tfx_tflite.components.models.flatbuffer import Graph, Tensor, read_graph
from tfx_tflite.components.models.process_copy import told_by_a_copy
from tfx_tflite.components.models.tensor_info import Shapes, TensorInfo, batch_size_of
from tfx_tflite.components.versions import MICRO, Kernels, is_installed

MODULE = "tflite_micro.python.tflite_micro.runtime"
# What installs it.
REMEDY = f"pip install {MICRO}"
# Seconds that loading may take.
_LONGEST_LOADING = 60.0
# An arena for all tensors at once, which share memory in truth, and for what the runtime keeps of
# each tensor and each operator; then some times more.
_OWN_BYTES, _BYTES_A_RECORD = 2**16, 1024
_LARGER = (1, 4, 16, 64)


class Interpreter(Protocol):
    """The interpreter of the package `tflite-micro`."""

    def set_input(self, values: Array, index: int) -> None:
        """Copies the values of an input, by its place in the graph."""

    def invoke(self) -> None:
        """Runs the model."""

    def reset(self) -> None:
        """Forgets what variables hold."""

    def get_output(self, index: int) -> Array:
        """Returns a copy of an output, by its place in the graph."""

    def print_allocations(self) -> None:
        """Writes how the arena is used to the error output of the process."""


class _Interpreters(Protocol):
    def from_bytes(self, content: bytes, *, arena_size: int) -> Interpreter: ...


def interpreter(content: bytes, arena_size: int) -> Interpreter:
    """Returns an interpreter that has loaded a model.

    Args:
        content: The flatbuffer.
        arena_size: The memory for tensors and the runtime's records, in bytes; much too little of
            it ends the process.

    Raises:
        RuntimeError: The runtime does not take the model, or needs more memory.
        ModelError: The runtime is not installed.
    """
    return _interpreters().from_bytes(content, arena_size=arena_size)


def check_installed() -> None:
    """Checks that the runtime is here.

    Raises:
        ModelError: It is not.
    """
    if not is_installed(Kernels.MICRO):
        raise ModelError(
            f"TensorFlow Lite Micro is not installed, so that no model can be run on it; {REMEDY}"
        )


def _interpreters() -> _Interpreters:
    check_installed()
    interpreters: _Interpreters = import_module(MODULE).Interpreter
    return interpreters


@dataclass(frozen=True)
class Loading:
    """How loading a model ended in a copy of this process.

    Attributes:
        well: Whether the runtime took it.
        killed_by: The name of the signal that ended the copy; empty if none did.
        lines: What the runtime wrote.
        in_time: Whether it came to an end.
    """

    well: bool
    killed_by: str
    lines: tuple[str, ...]
    in_time: bool = True

    @property
    def problem(self) -> str:
        """What the runtime says is wrong, in one line."""
        if not self.in_time:
            return "loading it takes more than a minute"
        if self.killed_by:
            return f"it ends the process ({self.killed_by})"
        return next(iter(self.lines), "it says no reason")


def try_loading(content: bytes, arena_size: int) -> Loading:
    """Returns how loading a model ends, which it does in a copy of this process.

    Args:
        content: The flatbuffer.
        arena_size: The memory for it, in bytes.

    Raises:
        ModelError: The runtime is not installed.
    """
    _interpreters()
    ended, lines = told_by_a_copy(lambda: interpreter(content, arena_size), _LONGEST_LOADING)
    return Loading(ended.well, ended.killed_by, lines, ended.in_time)


def generous_arena(content: bytes) -> int:
    """Returns a size of the arena that is enough for a model, in bytes; see `arena` for the least.

    Args:
        content: The flatbuffer.

    Raises:
        ValueError: The runtime does not take the model, whatever the size.
        ModelError: The runtime is not installed.
    """
    graph = read_graph(content)
    _check_shapes(graph)
    records = sum(len(each.tensors) + len(each.operators) for each in graph.subgraphs)
    tensors = sum(_bytes_of(tensor) for each in graph.subgraphs for tensor in each.tensors)
    least = _OWN_BYTES + _BYTES_A_RECORD * records + tensors
    loading = None
    for times in _LARGER:
        loading = try_loading(content, times * least)
        if loading.well:
            return times * least
        if not loading.in_time or (loading.lines and not _is_of_memory(loading.lines)):
            break
    assert loading is not None
    raise ValueError(f"TensorFlow Lite Micro does not take it: {loading.problem}")


def _is_of_memory(lines: tuple[str, ...]) -> bool:
    return any("Requested:" in line or "allocate" in line.lower() for line in lines)


def _bytes_of(tensor: Tensor) -> int:
    """Returns the bytes of a tensor that is not stored in the file."""
    if tensor.is_constant:
        return 0
    return int(np.prod(tensor.shape, dtype=np.int64)) * _item_bytes(tensor)


def _item_bytes(tensor: Tensor) -> int:
    try:
        return np.dtype(tensor.type.lower()).itemsize
    except TypeError:  # A type that NumPy does not know, RESOURCE for example.
        return 8


def _check_shapes(graph: Graph) -> None:
    for signature in graph.signatures:
        for name, tensor in signature.inputs.items():
            if -1 in tensor.signature_shape:
                shape = [None if size == -1 else size for size in tensor.signature_shape]
                raise ValueError(
                    f"input {name!r} has shape {format_shape(shape)}, and TensorFlow Lite Micro "
                    "takes fixed shapes alone; build the batch size in (quantization.batch_size: "
                    "1)"
                )


class MicroModel:
    """A model with TensorFlow Lite Micro; see `runtime.RunnableModel`.

    Args:
        content: The flatbuffer.
        threads: Has no effect: the runtime has one.

    Raises:
        ValueError: The runtime does not take the model, or it has not one signature.
        ModelError: The runtime is not installed.
    """

    kernels = Kernels.MICRO

    def __init__(self, content: bytes, threads: int = 1):
        self._content = content
        graph = read_graph(content)
        # As with the other interpreters, a model of several cannot be told what to run.
        [signature] = graph.signatures
        self.signature = signature.name
        self.inputs = {name: _info(tensor) for name, tensor in signature.inputs.items()}
        self.outputs = {name: _info(tensor) for name, tensor in signature.outputs.items()}
        # The interpreter knows places in the graph and no names.
        self._input_places = _places(signature.inputs, graph.main.inputs)
        self._output_places = _places(signature.outputs, graph.main.outputs)
        self._keeps_state = any(tensor.is_variable for tensor in graph.main.tensors)
        self._interpreter = interpreter(content, generous_arena(content))

    @property
    def at_once(self) -> int | None:
        """How many examples a run takes; see `runtime.RunnableModel`."""
        size = batch_size_of(self)
        # The interpreter takes one, so they are given to it one after the other here.
        return None if size == 1 else size

    def allocate(self, shapes: Shapes) -> None:
        """Checks shapes, which are what they are; see `runtime.RunnableModel`."""
        size = self.at_once
        for name, info in self.inputs.items():
            given = tuple(shapes[name])
            own = given[:1] + info.shape[1:] if size is None else info.shape
            if given != own:
                raise RuntimeError(
                    f"input {name!r} is of shape {format_shape(given)}, expected "
                    f"{format_shape(own)}"
                )

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the outputs of one example after the other; see `runtime.RunnableModel`."""
        self.allocate({name: values.shape for name, values in inputs.items()})
        step = self.at_once or 1
        rows = len(next(iter(inputs.values())))
        given = [(place, inputs[name]) for name, place in self._input_places.items()]
        found: dict[str, list[Array]] = {name: [] for name in self._output_places}
        kept = [(place, found[name].append) for name, place in self._output_places.items()]
        micro = self._interpreter
        for start in range(0, rows, step):
            if self._keeps_state:
                micro.reset()
            for place, values in given:
                micro.set_input(values[start : start + step], place)
            micro.invoke()
            for place, keep in kept:
                keep(micro.get_output(place))
        if rows == step:
            return {name: values[0] for name, values in found.items()}
        return {name: np.concatenate(values) for name, values in found.items()}

    def seconds(self) -> float:
        """Returns how long an inference takes; see `runtime.RunnableModel`."""
        start = time.perf_counter()
        self._interpreter.invoke()
        return time.perf_counter() - start

    def arena_bytes(self) -> int:
        """Returns the size of the smallest arena; see `runtime.RunnableModel`."""
        from tfx_tflite.components.models.micro_arena import arena

        return arena(self._content).size_bytes


def _info(tensor: Tensor) -> TensorInfo:
    scale, zero_point = tensor.quantization
    try:
        dtype = np.dtype(tensor.type.lower())
    except TypeError as error:
        raise ValueError(
            f"tensor {tensor.name!r} is of type {tensor.type}, which TensorFlow Lite Micro's "
            "interpreter neither takes nor gives"
        ) from error
    return TensorInfo(
        tensor.index,
        tensor.name,
        dtype,
        tensor.shape,
        tensor.signature_shape,
        scale or 0.0,
        zero_point or 0,
    )


def _places(named: Mapping[str, Tensor], ordered: Sequence[Tensor]) -> dict[str, int]:
    """Returns the place of each tensor of a signature among those of the graph."""
    for name, tensor in named.items():
        if tensor not in ordered:
            raise ValueError(
                f"{name!r} of the signature is no input or output of the main graph, which "
                "TensorFlow Lite Micro runs"
            )
    return {name: ordered.index(tensor) for name, tensor in named.items()}
