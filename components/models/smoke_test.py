"""A model tried as a device would: in a process of its own, with the plain runtime.

Two things are asked of it. The runtime's default kernels must load and run it and give finite
outputs; how far these are from the recorded ones is told and not judged, as kernels differ without
a bound. The kernels that recorded the golden samples must give them again to the last bit.

Run as a program it tries one model: `python -m … DIRECTORY` reads the description of the golden
samples and the shapes as JSON from stdin, and prints what it came to as JSON.
"""

import json
import platform
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from tfx_tflite.components.artifact_layout import MODEL_FILE
from tfx_tflite.components.destinations.manifest import SmokeTest
from tfx_tflite.components.errors import PushError
from tfx_tflite.components.models import golden_samples
from tfx_tflite.components.models.golden_samples import Deviation
from tfx_tflite.components.models.runtime import allocate, kernels_in_use, open_interpreter
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.versions import Kernels, Runtime


def try_model(
    directory: Path,
    golden: dict[str, Any] | None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    time_limit: float = 600.0,
) -> SmokeTest:
    """Runs the model in a directory on its golden samples, in a child process.

    Args:
        directory: The files of a version.
        golden: The description of the golden samples; None runs the model on zeros, once.
        shapes: Of an example by input name, the batch dimension first, for a model without golden
            samples that has free axes.
        time_limit: Seconds.

    Returns:
        What it was run with, and how far kernels differ.

    Raises:
        PushError: It cannot be loaded or run, takes too long, gives other outputs with the kernels
            that its golden samples were recorded with, or NaN or infinity with the default ones.
    """
    command = [sys.executable, "-m", __name__, str(directory.resolve())]
    trial = json.dumps({"golden": golden, "shapes": {k: [*v] for k, v in (shapes or {}).items()}})
    try:
        # Python looks for modules where it is started, and a folder there may have any name.
        done = subprocess.run(
            command,
            input=trial,
            capture_output=True,
            text=True,
            timeout=time_limit,
            cwd=directory,
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
        raise PushError(f"the model was not pushed: {result['problem']}")
    return SmokeTest.model_validate(result["found"])


def _try(directory: Path, trial: dict[str, Any]) -> dict[str, Any]:
    """Returns the `problem`, empty if there is none, and what was `found`."""
    content, golden = (directory / MODEL_FILE).read_bytes(), trial["golden"]
    try:
        if golden is None:
            return {"problem": "", "found": _run_on_zeros(content, trial["shapes"])}
        problem, found = _replay(content, directory, golden)
        return {"problem": problem, "found": found}
    except (ValueError, RuntimeError) as error:
        message = str(error).strip().splitlines()
        return {"problem": f"it cannot be run: {message[0] if message else error}", "found": None}


def _found(interpreter: Any, **others: Any) -> dict[str, Any]:
    runtime = Runtime.of(kernels_in_use(interpreter))
    found = SmokeTest(runtime=runtime, machine=platform.machine(), **others)
    return found.model_dump(mode="json")


def _run_on_zeros(content: bytes, shapes: Mapping[str, list[int]]) -> dict[str, Any]:
    interpreter = open_interpreter(content)
    allocate(interpreter, shapes)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
    interpreter.invoke()
    return _found(interpreter)


def _replay(
    content: bytes, directory: Path, golden: dict[str, Any]
) -> tuple[str, dict[str, Any] | None]:
    """Returns what is wrong, nothing if all is well, and what was found."""
    inputs, recorded = (
        {entry["name"]: golden_samples.read(directory, entry) for entry in golden[kind]}
        for kind in ("inputs", "outputs")
    )
    runtime = Runtime.model_validate(golden["runtime"])
    default = open_interpreter(content)
    found = golden_samples.run(default, inputs, golden["batch_size"])
    for name, values in found.items():
        if (bad := golden_samples.first_non_finite(values)) is not None:
            given = Runtime.of(kernels_in_use(default))
            return f"with {given} output {name!r} of golden sample {bad} is not finite", None
    again = golden_samples.run(
        open_interpreter(content, runtime.kernels), inputs, golden["batch_size"]
    )
    for name, values in recorded.items():
        if name not in again:
            return f"it has no output {name!r}", None
        # Other kernels are not promised to be the same on every processor.
        is_promised = runtime.kernels is Kernels.REFERENCE
        if is_promised and not golden_samples.is_same(again[name], values):
            deviation = Deviation.between({name: again[name]}, {name: values})
            return (
                f"output {name!r} is not what it was when the model was evaluated: off by up to "
                f"{deviation.largest:.6g} with the same kernels (recorded with {runtime})"
            ), None
    deviation = Deviation.between(found, recorded)
    return "", _found(default, recorded_with=runtime, kernels_deviate=asdict(deviation))


def main() -> None:
    """Tries one model; see the module's docstring."""
    print(json.dumps(_try(Path(sys.argv[1]), json.load(sys.stdin))))


if __name__ == "__main__":
    run_to_the_end(main)
