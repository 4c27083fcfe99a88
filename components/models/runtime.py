"""Which runtime and which of its kernels run a TensorFlow Lite model.

Kernels differ: of one and the same int8 file XNNPACK, the builtin and the reference kernels give
other answers for 2 to 4 % of the examples, and single outputs that are tens of steps apart. So a
figure belongs to the kernels that gave it, and everything that runs a model says which it wants.

- The runtime's default kernels are what a phone or a server runs: LiteRT's XNNPACK delegate, and
  its builtin kernels for what the delegate does not take. LiteRT is used where it is installed.
- The reference kernels are plain loops in C++, the same on every processor. TensorFlow's own
  interpreter has them, and its figures equal TensorFlow Lite Micro's to the bit. LiteRT's setting
  of the same name does not: it gives the delegate's figures on dense nets.

Nothing is imported here before an interpreter is asked for.
"""

import faulthandler
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tfx_tflite.components.versions import Kernels, default_package

if TYPE_CHECKING:
    import numpy as np


def open_interpreter(content: bytes, kernels: Kernels | None = None, num_threads: int = 1) -> Any:
    """Returns an interpreter of a model, nothing allocated yet.

    TensorFlow's and LiteRT's interpreters are alike.

    Args:
        content: The flatbuffer; the interpreter refers to it without a copy.
        kernels: Which; None and `XNNPACK` take the runtime's default, of which `kernels_in_use`
            says what it came to once tensors are allocated.
        num_threads: Threads of the interpreter; more than one a worker is slower on few cores.

    Raises:
        ValueError: The runtime does not take the model.
    """
    if kernels is Kernels.REFERENCE or default_package() == "tensorflow":
        from tensorflow.lite.python.interpreter import Interpreter, OpResolverType
    else:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

    resolver = {
        Kernels.BUILTIN: OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        Kernels.REFERENCE: OpResolverType.BUILTIN_REF,
    }
    return Interpreter(
        model_content=content,
        num_threads=num_threads,
        experimental_op_resolver_type=resolver.get(kernels or Kernels.XNNPACK, OpResolverType.AUTO),
    )


def kernels_in_use(interpreter: Any) -> Kernels:
    """Returns whether the default interpreter took its delegate.

    It does so without a word for some shapes of the inputs and not for others: TensorFlow's runs a
    graph that computes shapes from a free batch axis with builtin kernels.

    Args:
        interpreter: Of the default kernels, its tensors allocated.
    """
    operators = {detail["op_name"] for detail in interpreter._get_ops_details()}
    return Kernels.XNNPACK if "DELEGATE" in operators else Kernels.BUILTIN


def reproducible_kernels(content: bytes, inputs: "Mapping[str, np.ndarray]") -> Kernels:
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
        runner = open_interpreter(content, Kernels.REFERENCE).get_signature_runner()
    except ValueError:
        open_interpreter(content, Kernels.BUILTIN)
        return Kernels.BUILTIN
    return Kernels.REFERENCE if _survives(lambda: runner(**inputs)) else Kernels.BUILTIN


# Seconds that one inference may take.
_LONGEST_TRIAL = 60.0


def _survives(run: Callable[[], object]) -> bool:
    """Returns whether something ends well, tried in a copy of this process that it may end.

    The copy has this thread alone, so it does nothing that waits for another.
    """
    copy = os.fork()
    if copy == 0:
        code = 1
        try:
            # That it ends the copy is no news that a log should tell of.
            faulthandler.disable()
            run()
            code = 0
        finally:
            os._exit(code)
    end = time.monotonic() + _LONGEST_TRIAL
    while time.monotonic() < end:
        ended, status = os.waitpid(copy, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.002)
    os.kill(copy, signal.SIGKILL)
    os.waitpid(copy, 0)
    return False


def allocate(interpreter: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """Allocates a model's tensors for one example, or for the batch size that is built in.

    Args:
        interpreter: Of the model.
        shapes: Of an example by input name, the batch dimension first; for the free axes beside the
            batch, which have no size of their own.

    Raises:
        RuntimeError: The runtime refuses.
    """
    for name, detail in interpreter.get_signature_runner().get_input_details().items():
        signature = [int(size) for size in detail["shape_signature"]]
        if -1 in signature[1:]:
            filled = [
                given if size == -1 else size
                for size, given in zip(signature, shapes[name], strict=True)
            ]
            interpreter.resize_tensor_input(detail["index"], filled)
    interpreter.allocate_tensors()
