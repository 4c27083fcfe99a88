"""Which runtime and which of its kernels run a TensorFlow Lite model.

Kernels differ: of one and the same int8 file XNNPACK, the builtin and the reference kernels give
other answers for 2 to 4 % of the examples, and single outputs that are tens of steps apart. So a
figure belongs to the kernels that gave it, and everything that runs a model says which it wants.

- The runtime's default kernels are what a phone or a server runs: LiteRT's XNNPACK delegate, and
  its builtin kernels for what the delegate does not take. LiteRT is used where it is installed.
- The reference kernels are plain loops in C++, the same on every processor. TensorFlow's own
  interpreter has them. Up to 2.16 they give what TensorFlow Lite Micro gives, to the bit; in 2.21
  dense layers are rounded otherwise, so that outputs of dense nets may be a step away. LiteRT's
  do the same.
- TensorFlow Lite Micro's kernels are what a microcontroller runs; see `micro.py`.

A runtime is added here: a row in `RUNTIMES`, what opens a model with it, and in `versions.py` the
name of its kernels and of its distribution. Nothing is imported before a model is opened.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol, TypedDict

import numpy as np

from tfx_tflite.components.examples.tensors import Array, Tensors
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.tensor_info import Shapes, TensorInfo, batch_size_of
from tfx_tflite.components.versions import LITERT, TENSORFLOW, Kernels, package_of


class RunnableModel(Protocol):
    """A model with a runtime of its own, which runs it on one thread or on several.

    Tensors are allocated anew only if the shapes of the inputs change.

    Attributes:
        signature: The name of its only signature.
        inputs: What it takes, by name in the signature.
        outputs: What it gives, by name in the signature.
    """

    signature: str
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]

    @property
    def kernels(self) -> Kernels:
        """Which kernels run it with the shapes that are allocated.

        The default interpreter takes its delegate for some shapes of the inputs and not for others,
        without a word: TensorFlow's runs a graph that computes shapes from a free batch axis with
        builtin kernels.
        """

    @property
    def at_once(self) -> int | None:
        """How many examples a run takes; None for any number."""

    def allocate(self, shapes: Shapes) -> None:
        """Allocates tensors for inputs of some shapes, by name.

        Raises:
            RuntimeError: The runtime refuses.
        """

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the outputs by name, in the model's own types.

        Args:
            inputs: In the model's own types, by name, the batch dimension first.

        Raises:
            RuntimeError: The runtime refuses the shapes, or fails.
            ValueError: An input is not of the shape that is built in.
        """

    def seconds(self) -> float:
        """Returns how long an inference takes on the inputs that were given last."""

    def arena_bytes(self) -> int:
        """Returns how much memory the tensors that are allocated take, in bytes.

        Memory that several share counts once, and weights that stay in the file do not count.
        """


class ObservableModel(RunnableModel, Protocol):
    """A model whose activations can be looked at after a run."""

    def activation(self, index: int) -> Array:
        """Returns a tensor of the main graph, to be given up before the model runs again."""

    def tensors(self) -> dict[int, TensorInfo]:
        """Returns the descriptions of the tensors of the main graph, by index."""


def open_model(content: bytes, kernels: Kernels | None = None, threads: int = 1) -> RunnableModel:
    """Returns a model that a runtime has loaded, nothing allocated yet.

    Args:
        content: The flatbuffer; the runtime refers to it without a copy.
        kernels: Which; None and `XNNPACK` take the runtime's default, of which the model says what
            it came to once tensors are allocated.
        threads: Threads of an inference; more than one a worker is slower on few cores.

    Raises:
        ValueError: The runtime does not take the model, or it has not one signature.
    """
    return RUNTIMES[kernels or Kernels.XNNPACK](content, threads)


def open_observable(content: bytes, kernels: Kernels = Kernels.XNNPACK) -> ObservableModel:
    """Returns a model with TensorFlow's own interpreter, whatever else is installed.

    Ranges and the noise of layers are measured with it, so that they stay what they were.

    Args:
        content: The flatbuffer.
        kernels: The default ones keep the outputs alone; the builtin ones keep every activation.

    Raises:
        ValueError: The runtime does not take the model, or it has not one signature.
    """
    return _Interpreted(content, TENSORFLOW, kernels, keeps_all=kernels is Kernels.BUILTIN)


class _Detail(TypedDict):
    """How interpreters describe a tensor."""

    index: int
    name: str
    dtype: type[np.generic]
    shape: Array
    shape_signature: Array
    quantization: tuple[float, int]


class _SignatureRunner(Protocol):
    def get_input_details(self) -> dict[str, _Detail]: ...
    def get_output_details(self) -> dict[str, _Detail]: ...


class _Interpreter(Protocol):
    """What TensorFlow's and LiteRT's interpreters have in common."""

    def get_signature_list(self) -> dict[str, object]: ...
    def get_signature_runner(self) -> _SignatureRunner: ...
    def get_tensor_details(self) -> list[_Detail]: ...
    def resize_tensor_input(self, index: int, shape: Sequence[int]) -> None: ...
    def allocate_tensors(self) -> None: ...
    def set_tensor(self, index: int, values: Array) -> None: ...
    def invoke(self) -> None: ...
    def reset_all_variables(self) -> None: ...
    def get_tensor(self, index: int) -> Array: ...
    def tensor(self, index: int) -> Callable[[], Array]: ...
    # Not public; `tests/components/models/test_runtime.py` says what is relied on.
    def _get_ops_details(self) -> list[dict[str, object]]: ...


_MODULES = {LITERT: "ai_edge_litert.interpreter", TENSORFLOW: "tensorflow.lite.python.interpreter"}
_RESOLVERS = {
    Kernels.XNNPACK: "AUTO",
    Kernels.BUILTIN: "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    Kernels.REFERENCE: "BUILTIN_REF",
}


_SUCCESSOR = r"\s*Warning: tf\.lite\.Interpreter is deprecated"


class _Interpreted:
    """A model with an interpreter of TensorFlow or LiteRT, which are alike."""

    def __init__(
        self,
        content: bytes,
        package: str,
        kernels: Kernels,
        threads: int = 1,
        keeps_all: bool = False,
    ):
        # From 2.20 on TensorFlow's says of each model that LiteRT's is to be used. Figures
        # of both were recorded with it.
        warnings.filterwarnings("ignore", message=_SUCCESSOR)
        module = import_module(_MODULES[package])
        # The interpreter refers to the bytes without a copy.
        self._content = content
        self._asked = kernels
        self._interpreter: _Interpreter = module.Interpreter(
            model_content=content,
            num_threads=threads,
            experimental_op_resolver_type=module.OpResolverType[_RESOLVERS[kernels]],
            experimental_preserve_all_tensors=keeps_all,
        )
        runner = self._interpreter.get_signature_runner()
        [self.signature] = self._interpreter.get_signature_list()
        self.inputs = {name: _info(found) for name, found in runner.get_input_details().items()}
        self.outputs = {name: _info(found) for name, found in runner.get_output_details().items()}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._used: Kernels | None = None

    @property
    def kernels(self) -> Kernels:
        if self._used is None:
            operators = {detail["op_name"] for detail in self._interpreter._get_ops_details()}
            self._used = Kernels.XNNPACK if "DELEGATE" in operators else Kernels.BUILTIN
        return self._used if self._asked is Kernels.XNNPACK else self._asked

    @property
    def at_once(self) -> int | None:
        return batch_size_of(self)

    def allocate(self, shapes: Shapes) -> None:
        wanted = {name: tuple(shapes[name]) for name in self.inputs}
        if wanted == self._shapes:
            return
        self._shapes, self._used = {}, None
        for name, info in self.inputs.items():
            if -1 in info.signature_shape:
                self._interpreter.resize_tensor_input(info.index, wanted[name])
        self._interpreter.allocate_tensors()
        self._shapes = wanted

    def run(self, inputs: Tensors) -> dict[str, Array]:
        self.allocate({name: values.shape for name, values in inputs.items()})
        # What examples give does not depend on those before them.
        self._interpreter.reset_all_variables()
        for name, info in self.inputs.items():
            self._interpreter.set_tensor(info.index, inputs[name])
        self._interpreter.invoke()
        return {
            name: self._interpreter.get_tensor(info.index) for name, info in self.outputs.items()
        }

    def seconds(self) -> float:
        start = time.perf_counter()
        self._interpreter.invoke()
        return time.perf_counter() - start

    def arena_bytes(self) -> int:
        file_start = _address(np.frombuffer(self._content, np.uint8))
        spans = []
        for detail in self._interpreter.get_tensor_details():
            try:
                values = self.activation(detail["index"])
            except ValueError:  # A tensor that no kernel needed memory for.
                continue
            start = _address(values)
            if not file_start <= start < file_start + len(self._content):
                spans.append((start, start + values.nbytes))
        return _covered(spans)

    def activation(self, index: int) -> Array:
        return self._interpreter.tensor(index)()

    def tensors(self) -> dict[int, TensorInfo]:
        return {each["index"]: _info(each) for each in self._interpreter.get_tensor_details()}


def _info(detail: _Detail) -> TensorInfo:
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        int(detail["index"]),
        detail["name"],
        np.dtype(detail["dtype"]),
        tuple(int(size) for size in detail["shape"]),
        tuple(int(size) for size in detail["shape_signature"]),
        float(scale),
        int(zero_point),
    )


def _address(values: Array) -> int:
    return int(values.__array_interface__["data"][0])


def _covered(spans: list[tuple[int, int]]) -> int:
    """Returns how many bytes lie in at least one of some (start, end) spans."""
    covered = reached = 0
    for start, end in sorted(spans):
        covered += max(end - max(start, reached), 0)
        reached = max(reached, end)
    return covered


def _interpreted(kernels: Kernels) -> Callable[[bytes, int], RunnableModel]:
    return lambda content, threads: _Interpreted(content, package_of(kernels), kernels, threads)


def _micro(content: bytes, threads: int) -> RunnableModel:
    from tfx_tflite.components.models.micro import MicroModel

    return MicroModel(content, threads)


# What opens a model, by the kernels that are to run it.
RUNTIMES: Mapping[Kernels, Callable[[bytes, int], RunnableModel]] = {
    Kernels.XNNPACK: _interpreted(Kernels.XNNPACK),
    Kernels.BUILTIN: _interpreted(Kernels.BUILTIN),
    Kernels.REFERENCE: _interpreted(Kernels.REFERENCE),
    Kernels.MICRO: _micro,
}


def example_shapes(model: RunnableModel, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of one example, or of the batch size that is built in.

    Args:
        model: The model.
        shapes: Of an example by input name, the batch dimension first; for axes that are free.
    """
    return {
        name: tuple(
            given if size == -1 else size
            for size, given in zip(info.signature_shape, shapes.get(name, info.shape), strict=True)
        )
        for name, info in model.inputs.items()
    }


def run_on_zeros(model: RunnableModel, shapes: Shapes) -> None:
    """Runs a model once, on inputs of zeros.

    Args:
        model: The model.
        shapes: As in `example_shapes`.
    """
    found = example_shapes(model, shapes)
    model.run({name: np.zeros(found[name], info.dtype) for name, info in model.inputs.items()})


# Seconds that one inference may take.
_LONGEST_TRIAL = 60.0


def reproducible_kernels(content: bytes, inputs: Tensors) -> Kernels:
    """Returns the kernels whose outputs others can be compared with.

    Those are the reference kernels, which give the same bits wherever they run. A few new versions
    of operators (TILE of int8, say) have none yet, and some end the process where others do not (a
    softmax of a very small scale); such a model is run with the builtin kernels, which promise
    nothing of the kind.

    Args:
        content: The flatbuffer.
        inputs: An example by input name, in the model's own types, as many as the model takes at
            once.

    Raises:
        ValueError: No runtime takes the model.
    """
    try:
        model = open_model(content, Kernels.REFERENCE)
    except ValueError:
        open_model(content, Kernels.BUILTIN)
        return Kernels.BUILTIN
    survived = in_a_copy(lambda: model.run(inputs), _LONGEST_TRIAL).well
    return Kernels.REFERENCE if survived else Kernels.BUILTIN
