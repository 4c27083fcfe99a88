"""Conversion in a child process, so that a crash of the converter is an error like any other.

The converter ends its process on some models (an LLVM fatal error, a segmentation fault), which no
`except` could catch, and on others never returns or takes all the memory there is.
"""

import re
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from absl import logging

from tfx_tflite.components.errors import ConversionError, listed, telling_line
from tfx_tflite.components.examples.tensors import Tensors
from tfx_tflite.components.quantization.conversion import early_start, messages
from tfx_tflite.components.quantization.conversion.child_process import (
    ChildProcess,
    Died,
    MemoryLimitExceeded,
    TimeLimitExceeded,
)
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.conversion.log import last_complaint, without_paths
from tfx_tflite.components.quantization.conversion.messages import Failed, Request, Step
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

_MEGABYTE = 2**20
_NO_LIMITS = Limits()


class Converter(AbstractContextManager["Converter"]):
    """The TensorFlow Lite converter, quarantined in a child process.

    One child answers all requests, so that TensorFlow is imported once. The first request takes the
    one that was started early (see `early_start.py`) or starts one, and so does the one after a
    crash. It ends with the `with` block, with this process, and with the thread that started it.

    Example:
        with Converter(directory, Limits(time=600)) as converter:
            float32 = converter.float32(saved_model, "serving_tensors")

    Args:
        working_directory: A directory for requests' files, none of which stay.
        limits: What the child may use.
    """

    def __init__(self, working_directory: Path, limits: Limits = _NO_LIMITS):
        self._directory = working_directory.resolve()
        self._limits = limits
        self._child: ChildProcess | None = None

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child process and removes its log."""
        if self._child is not None:
            self._child.close()
            self._child = None

    def float32(self, saved_model: Path, signature: str, batch_size: int | None = None) -> bytes:
        """Returns one signature of a SavedModel as a flatbuffer, nothing quantized.

        Args:
            saved_model: The float SavedModel.
            signature: The signature to convert; its inputs are tensors.
            batch_size: A fixed batch size; None keeps the signature's.

        Raises:
            ConversionError: The converter refused the model, crashed, or went past a limit.
        """
        return self.convert(saved_model, signature, Recipe(Scheme.FLOAT32, batch_size=batch_size))

    def convert(
        self,
        saved_model: Path,
        signature: str,
        recipe: Recipe,
        samples: Tensors | None = None,
    ) -> bytes:
        """Returns one signature of a SavedModel made to a recipe by the converter's own means.

        Args:
            saved_model: The float SavedModel.
            signature: The signature to convert; its inputs are tensors.
            recipe: What to convert to.
            samples: Calibration tensors by input name, each of shape (samples, *example_shape);
                only needed by schemes that calibrate.

        Raises:
            ConversionError: There are no samples, the converter refused the model, crashed, or
                went past a limit.
        """
        _check_samples(recipe, samples)
        with self._request_directory() as directory:
            if recipe.scheme.needs_calibration:
                with _writing():
                    messages.write_samples(samples or {}, directory)
            return self._ask(
                messages.ConvertRequest(directory, str(saved_model.resolve()), signature, recipe),
                f"converting signature {signature!r} to {recipe.scheme.value}",
            )

    def quantize(self, calibrated: bytes, recipe: Recipe) -> bytes:
        """Returns a float flatbuffer whose tensors carry their ranges, quantized.

        Args:
            calibrated: The flatbuffer; each activation has a min and a max.
            recipe: What to quantize to: a scheme that quantizes activations.

        Raises:
            ConversionError: The converter refused the model, crashed, or went past a limit.
        """
        with self._request_directory() as directory:
            with _writing():
                (directory / messages.CALIBRATED).write_bytes(calibrated)
            return self._ask(
                messages.QuantizeRequest(directory, recipe),
                f"quantizing the calibrated model to {recipe.scheme.value}",
            )

    @contextmanager
    def _request_directory(self) -> Iterator[Path]:
        with _writing():
            directory = tempfile.TemporaryDirectory(
                dir=self._directory, prefix="request-", ignore_cleanup_errors=True
            )
        with directory as name:
            yield Path(name)

    def _ask(self, request: Request, doing: str) -> bytes:
        """Returns what the child made of a request, or says why it could not."""
        try:
            answer = self._started().ask(request, self._limits)
        except (Died, TimeLimitExceeded, MemoryLimitExceeded) as error:
            log = self._child.log() if self._child else ""
            self.close()
            raise ConversionError(self._explain_end(error, log, doing)) from error
        if isinstance(answer, Failed):
            raise ConversionError(_explain(answer, doing))
        return (request.directory / messages.RESULT).read_bytes()

    def _started(self) -> ChildProcess:
        if self._child is not None:
            return self._child
        try:
            self._child = early_start.take_early_converter() or ChildProcess(
                early_start.COMMAND, self._directory
            )
        except OSError as error:
            raise ConversionError(
                f"the converter's process cannot be started: {error.strerror or error}; it needs "
                f"{Path(early_start.COMMAND[0]).name} and a directory for its log that can be "
                "written"
            ) from error
        start = time.monotonic()
        answer = self._child.answer(self._limits)
        logging.info("Waited %.2f s for the converter's process", time.monotonic() - start)
        if isinstance(answer, Failed):
            self.close()
            raise ConversionError(_explain(answer, ""))
        return self._child

    def _explain_end(
        self, error: Died | TimeLimitExceeded | MemoryLimitExceeded, log: str, doing: str
    ) -> str:
        if isinstance(error, TimeLimitExceeded):
            return (
                f"the TensorFlow Lite converter was stopped after {self._limits.time:g} s while "
                f"{doing}; raise quantization.time_limit if the model is merely large"
            )
        if isinstance(error, MemoryLimitExceeded):
            limit = (self._limits.memory or 0) // _MEGABYTE
            return (
                f"the TensorFlow Lite converter was stopped at {limit} MB of memory while {doing}; "
                "raise quantization.memory_limit, or calibrate with fewer samples"
            )
        return _explain_death(error.returncode, log, doing)


def _check_samples(recipe: Recipe, samples: Tensors | None) -> None:
    if not recipe.scheme.needs_calibration:
        return
    # An empty set converts without a warning to a model that is float inside.
    if not samples or any(len(values) == 0 for values in samples.values()):
        raise ConversionError("there are no calibration examples; the scheme needs some")


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConversionError(_explain_writing(error.strerror or str(error))) from error


def _explain_writing(reason: str) -> str:
    return (
        f"the conversion's working directory cannot be used: {reason}; free some space or point "
        "TMPDIR to a directory that can be written"
    )


def _explain(failure: Failed, doing: str) -> str:
    """Returns what a Python exception of the child process means, in a line or two."""
    if failure.step is Step.WRITE:
        return _explain_writing(failure.message)
    if failure.step is Step.IMPORT:
        return (
            f"TensorFlow cannot be imported: {failure.kind}: {_line(failure.message)}; mend the "
            "Python environment"
        )
    if failure.kind == ConversionError.__name__:
        return failure.message
    # "TF Select ops" need the Flex delegate, "Custom ops" even a kernel of one's own.
    missing = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", failure.message, re.MULTILINE)
    if missing:
        operators = sorted({name.strip() for names in missing for name in names.split(",")})
        return (
            "the model needs operators that TensorFlow Lite has no builtin for: "
            f"{listed(operators)}; replace them in the model (Flex operators do not go to devices)"
        )
    if failure.kind == MemoryError.__name__:
        return f"memory ran out while {doing}; calibrate with fewer samples or give it more memory"
    complaint = last_complaint(failure.message)
    said = str(complaint) if complaint.operator or complaint.layer else _line(failure.message)
    return (
        f"the TensorFlow Lite converter refused the model while {doing}: {failure.kind}: "
        f"{said.rstrip('.')}. Replace that layer in the model or choose another quantization.scheme"
    )


def _line(message: str) -> str:
    return without_paths(telling_line(message))


def _explain_death(returncode: int, log: str, doing: str) -> str:
    """Returns what the end of the child process means, in a line or two."""
    if returncode == -signal.SIGKILL:
        return (
            f"the TensorFlow Lite converter was killed (SIGKILL) while {doing}, most likely by the "
            "system for want of memory; give it more, or calibrate with fewer samples"
        )
    how = signal.Signals(-returncode).name if returncode < 0 else f"exit code {returncode}"
    said = (str(last_complaint(log)) or "it left no message").rstrip(".")
    return (
        f"the TensorFlow Lite converter crashed ({how}) while {doing}: {said}. Replace that layer "
        "in the model or choose another quantization.scheme"
    )
