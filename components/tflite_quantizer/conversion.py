"""Conversion in a child process, so that a crash of the converter is an error like any other.

The converter ends its process on some models (an LLVM fatal error, a segmentation fault), which no
`except` could catch.
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from tfx_tflite.components.errors import ConversionError, listed, telling_line
from tfx_tflite.components.schemes import Quantization

# Files of a conversion's working directory, written by one side and read by the other.
REQUEST = "request.json"
CALIBRATION = "calibration"
FLOAT_TFLITE = "float32.tflite"
QUANTIZED_TFLITE = "quantized.tflite"
FAILURE = "failure.json"
LOG = "converter.log"

DEFAULT_TIME_LIMIT = 3600.0

_CONVERTER = (sys.executable, "-m", "tfx_tflite.components.tflite_quantizer.converter")


@dataclass(frozen=True)
class ConversionRequest:
    """What the child process is asked to do.

    Attributes:
        saved_model: The float SavedModel.
        signature: The signature to convert.
        scheme: The quantization scheme's name.
        io_type: The type of the inputs and outputs that are float in the float model.
        batch_size: A fixed batch size, or None to keep the signature's.
    """

    saved_model: str
    signature: str
    scheme: str
    io_type: str
    batch_size: int | None

    @classmethod
    def read(cls, directory: Path) -> "ConversionRequest":
        """Returns the request that lies in a working directory."""
        return cls(**json.loads((directory / REQUEST).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class ConvertedModels:
    """What a conversion gives: the same graph as float32 and as quantized TFLite flatbuffer."""

    float32: bytes
    quantized: bytes


def convert(
    saved_model: Path,
    signature: str,
    quantization: Quantization,
    samples: Mapping[str, np.ndarray] | None,
    working_directory: Path,
    time_limit: float = DEFAULT_TIME_LIMIT,
) -> ConvertedModels:
    """Converts one signature of a SavedModel.

    Args:
        saved_model: The float SavedModel.
        signature: The signature to convert; its inputs are tensors.
        quantization: What to convert to.
        samples: Calibration tensors by input name, each of shape (samples, *example_shape); only
            needed by schemes that calibrate.
        working_directory: An empty directory for this conversion's files.
        time_limit: Seconds until the converter counts as hung.

    Raises:
        ConversionError: The converter refused the model, crashed, or ran out of time.
    """
    if quantization.scheme.needs_calibration:
        _write_samples(samples or {}, working_directory / CALIBRATION)
    request = ConversionRequest(
        str(saved_model.resolve()),
        signature,
        quantization.scheme.value,
        quantization.resolved_io_type,
        quantization.batch_size,
    )
    working_directory = working_directory.resolve()
    (working_directory / REQUEST).write_text(json.dumps(asdict(request)), encoding="utf-8")
    _run_child(working_directory, time_limit)
    return ConvertedModels(
        (working_directory / FLOAT_TFLITE).read_bytes(),
        (working_directory / QUANTIZED_TFLITE).read_bytes(),
    )


def _write_samples(samples: Mapping[str, np.ndarray], directory: Path) -> None:
    # An empty set converts without a warning to a model that is float inside.
    if not samples or any(len(values) == 0 for values in samples.values()):
        raise ConversionError("there are no calibration examples; the scheme needs some")
    directory.mkdir()
    for index, (name, values) in enumerate(sorted(samples.items())):
        np.save(directory / f"{index}.npy", values)
        (directory / f"{index}.name").write_text(name, encoding="utf-8")


def read_samples(directory: Path) -> dict[str, np.ndarray]:
    """Returns calibration tensors by input name, mapped from disk."""
    return {
        name.read_text(encoding="utf-8"): np.load(name.with_suffix(".npy"), mmap_mode="r")
        for name in directory.glob("*.name")
    }


def _run_child(working_directory: Path, time_limit: float) -> None:
    log = working_directory / LOG
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                [*_CONVERTER, str(working_directory)],
                # Python would import modules from the directory it is started in.
                cwd=working_directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=time_limit,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"the TensorFlow Lite converter was stopped after {time_limit:.0f} s"
            ) from error
    failure = working_directory / FAILURE
    if failure.exists():
        raise ConversionError(_explain(**json.loads(failure.read_text(encoding="utf-8"))))
    if code:
        raise ConversionError(
            _explain_crash(code, log.read_text(encoding="utf-8", errors="replace"))
        )


def _explain(kind: str, message: str) -> str:
    """Returns what a Python exception of the converter means, in a line or two."""
    # "TF Select ops" need the Flex delegate, "Custom ops" even a kernel of one's own.
    missing = re.findall(r"^(?:TF Select|Custom) ops: (.+)$", message, re.MULTILINE)
    if missing:
        operators = sorted({name.strip() for names in missing for name in names.split(",")})
        return (
            "the model needs operators that TensorFlow Lite has no builtin for: "
            f"{listed(operators)}; replace them in the model (Flex operators do not go to devices)"
        )
    return f"the TensorFlow Lite converter refused the model: {kind}: {telling_line(message)}"


def _explain_crash(code: int, log: str) -> str:
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    message = last_converter_message(log)
    return f"the TensorFlow Lite converter crashed ({how}): {message or 'it left no message'}"


def last_converter_message(log: str) -> str:
    """Returns the last line of a converter's log that is an error of LLVM, MLIR or Python."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    marked = [line for line in lines if re.search(r"LLVM ERROR|error:|Error:|Check failed", line)]
    return marked[-1] if marked else ""
