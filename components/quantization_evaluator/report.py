"""The evaluation's report as JSON: the verdict, what it rests on, and what was compared."""

import json
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma
import tfx

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.quantization_evaluator.evaluation import Evaluation
from tfx_tflite.components.quantization_evaluator.gate import GateResult

FILE_NAME = "report.json"
FORMAT = 1


@dataclass(frozen=True)
class ModelProperties:
    """What is known of the quantized model.

    Attributes:
        digest: Of the flatbuffer's bytes, read now.
        size_bytes: Its size.
        quantization: What TFLiteQuantizer wrote beside it; empty for a model from elsewhere.
    """

    digest: str
    size_bytes: int
    quantization: dict[str, Any]

    @property
    def size_ratio(self) -> float | None:
        """The size as a multiple of the float32 TFLite model's; None where that is not known."""
        before = self.quantization.get("size_bytes", {}).get("float")
        return self.size_bytes / before if before else None

    @classmethod
    def read(cls, directory: Path, tflite: Path) -> "ModelProperties":
        """Returns the properties of the model in an artifact's directory."""
        summary = directory / "quantization.json"
        quantization = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
        return cls(file_digest(tflite), tflite.stat().st_size, quantization)


def build(
    result: GateResult,
    evaluation: Evaluation,
    model: ModelProperties,
    exec_properties: dict[str, Any],
) -> dict[str, Any]:
    """Returns the report, ready for JSON; figures that are not numbers are null.

    Args:
        result: The gate's verdict.
        evaluation: The figures.
        model: The quantized model.
        exec_properties: What the evaluator was asked for.
    """
    quantization = model.quantization
    judged = json.loads(result.model_dump_json(by_alias=True))
    return {
        "format": FORMAT,
        "verdict": judged["verdict"],
        "reasons": judged["reasons"],
        "scheme": quantization.get("scheme"),
        "examples": judged["examples"],
        "rules": judged["rules"],
        "metrics": [
            json.loads(value.model_dump_json(by_alias=True)) for value in evaluation.values
        ],
        "size_bytes": {
            "float": quantization.get("size_bytes", {}).get("float"),
            "quantized": model.size_bytes,
        },
        "digests": {**quantization.get("digests", {}), "quantized_model": model.digest},
        "evaluated": {
            "split": exec_properties["split"],
            "signature": exec_properties["signature"],
            "output": exec_properties.get("output"),
        },
        "calibration_sample": quantization.get("calibration_sample"),
        "gate": json.loads(exec_properties["gate"]),
        "versions": {
            "tfx": tfx.__version__,
            "tfma": tfma.__version__,
            "tensorflow": tf.__version__,
            "python": platform.python_version(),
        },
    }
