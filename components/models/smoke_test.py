"""A model tried as a device would: in a process of its own, with the plain runtime.

Two things are asked of it. The runtime's default kernels must load and run it and give finite
outputs; how far these are from the recorded ones is told and not judged, as kernels differ without
a bound. The kernels that recorded the golden samples must give them again to the last bit.

Run as a program it tries one model: `python -m … DIRECTORY` reads the description of the golden
samples and the shapes as JSON from stdin, and prints what it came to as JSON.
"""

import platform
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from tfx_tflite.components.artifact_layout import MODEL_FILE
from tfx_tflite.components.deferred_imports import TENSORFLOW, deferred_imports
from tfx_tflite.components.destinations.manifest import Golden, KernelsDeviate, SmokeTest
from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import ModelError, PushError
from tfx_tflite.components.examples.tensors import first_non_finite
from tfx_tflite.components.models import golden_samples
from tfx_tflite.components.models.environment import without_secrets
from tfx_tflite.components.models.runtime import (
    RunnableModel,
    open_model,
    run_on_zeros,
)
from tfx_tflite.components.models.tensor_info import Shapes
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.versions import Runtime


class _Trial(Part):
    """What the child is given: golden samples, and the shapes of an example by input name."""

    goldens: tuple[Golden, ...]
    shapes: dict[str, tuple[int, ...]]


class _Outcome(Part):
    """What the child says: what was found, or what is wrong."""

    found: SmokeTest | None = None
    problem: str = ""


def try_model(
    directory: Path,
    goldens: Sequence[Golden],
    shapes: Shapes | None = None,
    time_limit: float = 600.0,
) -> SmokeTest:
    """Runs the model in a directory on its golden samples, in a child process.

    Args:
        directory: The files of a version.
        goldens: The description of the golden samples, those of each target; without any the model
            is run on zeros, once.
        shapes: Of an example by input name, the batch dimension first, for a model without golden
            samples that has free axes.
        time_limit: Seconds.

    Returns:
        What it was run with, and how far kernels differ.

    Raises:
        PushError: It cannot be loaded or run, takes too long, gives other outputs with the kernels
            that its golden samples were recorded with, or NaN or infinity with the default ones.
    """
    trial = _Trial(goldens=tuple(goldens), shapes={k: tuple(v) for k, v in (shapes or {}).items()})
    try:
        done = _ended(directory.resolve(), trial.model_dump_json(), time_limit)
    except subprocess.TimeoutExpired as error:
        raise PushError(
            f"the model was not pushed: trying it took more than {time_limit:.0f} s"
        ) from error
    print(done.stderr, file=sys.stderr, end="")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise PushError(f"the model was not pushed: the runtime died of {name} when it was tried")
    try:
        outcome = _Outcome.model_validate_json(done.stdout.splitlines()[-1])
    except (IndexError, ValidationError) as error:
        lines = done.stderr.strip().splitlines() or ["it printed nothing"]
        raise PushError(f"the model was not pushed: it could not be tried: {lines[-1]}") from error
    if outcome.found is None:
        raise PushError(f"the model was not pushed: {outcome.problem}")
    return outcome.found


def _ended(directory: Path, trial: str, time_limit: float) -> "subprocess.CompletedProcess[str]":
    """Runs this module as a program to its end; tests replace it by one that need not import."""
    return subprocess.run(
        [sys.executable, "-m", __name__, str(directory)],
        input=trial,
        capture_output=True,
        text=True,
        timeout=time_limit,
        # Python looks for modules where it is started, and a folder there may have any name.
        cwd=directory,
        env=without_secrets(),
    )


def _try(directory: Path, trial: _Trial) -> _Outcome:
    content = (directory / MODEL_FILE).read_bytes()
    try:
        outcomes = [_replay(content, directory, golden) for golden in trial.goldens]
        if outcomes:
            return next((each for each in outcomes if each.problem), outcomes[0])
        model = open_model(content)
        run_on_zeros(model, trial.shapes)
        return _Outcome(found=_found(model))
    except (ValueError, RuntimeError, ModelError) as error:
        message = str(error).strip().splitlines()
        return _Outcome(problem=f"it cannot be run: {message[0] if message else error}")


def _found(
    model: RunnableModel,
    recorded_with: Runtime | None = None,
    kernels_deviate: KernelsDeviate | None = None,
) -> SmokeTest:
    return SmokeTest(
        runtime=Runtime.of(model.kernels),
        machine=platform.machine(),
        recorded_with=recorded_with,
        kernels_deviate=kernels_deviate,
    )


def _replay(content: bytes, directory: Path, golden: Golden) -> _Outcome:
    runtime = golden.runtime
    if not isinstance(runtime, Runtime):
        raise ValueError(f"its golden samples name no kernels ({runtime}); evaluate it again")
    inputs, recorded = (
        golden_samples.read(directory, side) for side in (golden.inputs, golden.outputs)
    )
    model = open_model(content)
    found = golden_samples.run(model, inputs, golden.batch_size)
    for name, values in found.items():
        if (bad := first_non_finite(values)) is not None:
            given = Runtime.of(model.kernels)
            return _Outcome(
                problem=f"with {given} output {name!r} of golden sample {bad} is not finite"
            )
    again = golden_samples.run(open_model(content, runtime.kernels), inputs, golden.batch_size)
    for name, values in recorded.items():
        if name not in again:
            return _Outcome(problem=f"it has no output {name!r}")
        # Other kernels are not promised to be the same on every processor.
        is_promised = runtime.kernels.are_reproducible
        if is_promised and not golden_samples.is_same(again[name], values):
            deviation = golden_samples.deviation({name: again[name]}, {name: values})
            return _Outcome(
                problem=f"output {name!r} is not what it was when the model was evaluated: off by "
                f"up to {deviation.largest:.6g} with the same kernels (recorded with {runtime})"
            )
    return _Outcome(found=_found(model, runtime, golden_samples.deviation(found, recorded)))


def main() -> None:
    """Tries one model; see the module's docstring."""
    trial = _Trial.model_validate_json(sys.stdin.read())
    # An interpreter needs little of TensorFlow, whose package imports all of it.
    with deferred_imports(TENSORFLOW):
        print(_try(Path(sys.argv[1]), trial).model_dump_json())


if __name__ == "__main__":
    run_to_the_end(main)
