"""A model tried as a device would: in a process of its own, with the plain runtime alone.

Run as a program it tries one model: `python -m … DIRECTORY` reads the description of the golden
samples, or null, from stdin, and prints a JSON object: `runtime`, and `problem` where there is one.
"""

import json
import platform
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from tfx_tflite.components import golden_samples
from tfx_tflite.components.destinations.manifest import MODEL_FILE
from tfx_tflite.components.errors import PushError
from tfx_tflite.components.process_end import run_to_the_end


def try_model(
    directory: Path, golden: dict[str, Any] | None, time_limit: float = 600.0
) -> dict[str, str]:
    """Runs the model in a directory on its golden samples, in a child process.

    Args:
        directory: The files of a version.
        golden: The description of the golden samples; None runs the model on zeros, once.
        time_limit: Seconds.

    Returns:
        What it was run with, by name and version.

    Raises:
        PushError: It cannot be loaded or run, takes too long, or gives other outputs.
    """
    command = [sys.executable, "-m", __name__, str(directory.resolve())]
    try:
        done = subprocess.run(
            command, input=json.dumps(golden), capture_output=True, text=True, timeout=time_limit
        )
    except subprocess.TimeoutExpired as error:
        raise PushError(
            f"the model was not pushed: trying it took more than {time_limit:.0f} s"
        ) from error
    print(done.stderr, file=sys.stderr, end="")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise PushError(f"the model was not pushed: the runtime died of {name} when it was tried")
    try:
        result = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError) as error:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise PushError(f"the model was not pushed: it could not be tried: {lines[-1]}") from error
    if result["problem"]:
        raise PushError(
            f"the model was not pushed: tried with {result['runtime']}, {result['problem']}"
        )
    return {"smoke_test": result["runtime"], "machine": platform.machine()}


def _interpreter(content: bytes) -> tuple[str, Any]:
    """Returns the runtime's name and version, and an interpreter of a model."""
    try:
        from ai_edge_litert.interpreter import Interpreter

        name = f"ai-edge-litert {version('ai-edge-litert')}"
    except ImportError:
        from tensorflow.lite.python.interpreter import Interpreter

        name = f"tensorflow {version('tensorflow')}"
    return name, Interpreter(model_content=content, num_threads=1)


def _try(directory: Path, golden: dict[str, Any] | None) -> dict[str, str]:
    content = (directory / MODEL_FILE).read_bytes()
    name = "the plain runtime"
    try:
        name, interpreter = _interpreter(content)
        if golden is None:
            _run_on_zeros(interpreter)
            return {"runtime": name, "problem": ""}
        return {"runtime": name, "problem": _compare(interpreter, directory, golden)}
    except (ValueError, RuntimeError) as error:
        message = str(error).strip().splitlines()
        return {"runtime": name, "problem": f"it cannot be run: {message[0] if message else error}"}


def _run_on_zeros(interpreter: Any) -> None:
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()


def _compare(interpreter: Any, directory: Path, golden: dict[str, Any]) -> str:
    """Returns what is wrong with the outputs; nothing where they are the recorded ones."""
    inputs = {entry["name"]: golden_samples.read(directory, entry) for entry in golden["inputs"]}
    found = golden_samples.run(interpreter, inputs, golden["batch_size"])
    for entry in golden["outputs"]:
        name = entry["name"]
        if name not in found:
            return f"it has no output {name!r}"
        deviation = golden_samples.deviation(found[name], golden_samples.read(directory, entry))
        if not deviation <= entry["tolerance"]:
            return (
                f"output {name!r} is off by up to {deviation:.6g} from what it was when the model "
                f"was evaluated (recorded with {golden['runtime']}); {entry['tolerance']:.6g} is "
                "allowed"
            )
    return ""


def main() -> None:
    """Tries one model; see the module's docstring."""
    print(json.dumps(_try(Path(sys.argv[1]), json.load(sys.stdin))))


if __name__ == "__main__":
    run_to_the_end(main)
