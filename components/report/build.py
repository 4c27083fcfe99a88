"""The evaluation's report as JSON: the verdict, what it rests on, and what was compared."""

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_model_analysis as tfma

from tfx_tflite.components.digests import bytes_digest, records_digest
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.judgement.comparison import OutputSums
from tfx_tflite.components.judgement.evaluation import Evaluation, OutputEvaluation
from tfx_tflite.components.judgement.judging import GateResult
from tfx_tflite.components.judgement.metrics.slices import slice_name
from tfx_tflite.components.judgement.saturation import InputAdequacy, InputRange, adequacy
from tfx_tflite.components.models.arena import arena_bytes
from tfx_tflite.components.models.latency import Latency, measure_latency
from tfx_tflite.components.verdict import OVERALL

FILE_NAME = "report.json"
PAGE_NAME = "report.html"
FORMAT = 3
_THREADS = (1, 2)
_SATURATED_SLICES = 10


@dataclass(frozen=True)
class ModelProperties:
    """What is known of the quantized model.

    Attributes:
        digest: Of the flatbuffer's bytes, read now.
        size_bytes: Its size.
        quantization: What TFLiteQuantizer wrote beside it; empty for a model from elsewhere.
        latencies: Of it and of the float32 TFLite model, with one thread and with two; none for a
            model from elsewhere.
        arena_bytes: The working memory of the `float` and the `quantized` model; None for a model
            from elsewhere.
    """

    digest: str
    size_bytes: int
    quantization: dict[str, Any]
    latencies: tuple[Latency, ...]
    arena_bytes: dict[str, int] | None

    @property
    def ratios(self) -> dict[str, float | None]:
        """What it costs as a multiple of the float32 TFLite model; None where that is not known."""
        before = self.quantization.get("size_bytes", {}).get("float")
        arena = self.arena_bytes
        return {
            "size_ratio": self.size_bytes / before if before else None,
            "latency_ratio": self.latencies[0].ratio if self.latencies else None,
            "arena_ratio": arena["quantized"] / arena["float"] if arena else None,
        }

    @classmethod
    def read(
        cls,
        directory: Path,
        content: bytes,
        shapes: Mapping[str, tuple[int, ...]],
        latency_seconds: float,
    ) -> "ModelProperties":
        """Returns the properties of the model in an artifact's directory.

        Args:
            directory: The artifact's.
            content: The model in it.
            shapes: Of an example by input name, the batch dimension first.
            latency_seconds: About how long to measure latency with each number of threads.
        """
        summary = directory / "quantization.json"
        quantization = json.loads(summary.read_text(encoding="utf-8")) if summary.exists() else {}
        float_model = directory / "float32.tflite"
        latencies: tuple[Latency, ...] = ()
        arena = None
        if float_model.exists():
            before = float_model.read_bytes()
            latencies = tuple(
                measure_latency(before, content, shapes, threads, latency_seconds)
                for threads in _THREADS
            )
            arena = {
                "float": arena_bytes(before, shapes),
                "quantized": arena_bytes(content, shapes),
            }
        return cls(bytes_digest(content), len(content), quantization, latencies, arena)


def build(
    result: GateResult,
    evaluation: Evaluation,
    model: ModelProperties,
    exec_properties: dict[str, Any],
    lineage: dict[str, str],
    source: SplitFiles,
) -> dict[str, Any]:
    """Returns the report, ready for JSON; figures that are not numbers are null.

    Args:
        result: The gate's verdict.
        evaluation: The figures.
        model: The quantized model.
        exec_properties: What the evaluator was asked for.
        lineage: Where what was compared lies, by what it is.
        source: The split that both models were compared on.
    """
    quantization = model.quantization
    judged = json.loads(result.model_dump_json(by_alias=True))
    outputs = evaluation.comparison.outputs
    inputs = adequacy(
        evaluation.comparison.saturation, input_ranges(quantization), evaluation.examples
    )
    return _finite(
        {
            "format": FORMAT,
            "verdict": judged["verdict"],
            "reasons": judged["reasons"],
            "scheme": quantization.get("scheme"),
            "io_type": quantization.get("io_type"),
            "examples": judged["examples"],
            "rules": judged["rules"],
            "metrics": [
                json.loads(value.model_dump_json(by_alias=True)) for value in evaluation.values
            ],
            "size_bytes": {
                "float": quantization.get("size_bytes", {}).get("float"),
                "quantized": model.size_bytes,
            },
            "latency_ms": _latency(model.latencies[0]) if model.latencies else None,
            "latency_by_threads": [_latency(latency) for latency in model.latencies],
            "arena_bytes": model.arena_bytes,
            # Of the first output; `by_output` has them all, if several are judged.
            **_differences(outputs, source),
            "by_output": [
                {
                    "output": output.key,
                    "label": output.plan.judged.target.label_name,
                    **_differences(output.comparison.outputs, source),
                }
                for output in evaluation.outputs
                if output.key is not None
            ],
            "layers": quantization.get("layers", []),
            "size_parts": quantization.get("size_parts"),
            "calibration": quantization.get("calibration"),
            "saturation": _saturation(evaluation, inputs),
            "warnings": [
                *quantization.get("warnings", []),
                *(warning for warning in (known.warning() for known in inputs) if warning),
            ],
            "digests": {
                **quantization.get("digests", {}),
                "quantized_model": model.digest,
                "eval_split": f"blake2b-sum:{outputs.digest:032x}",
                "config": _config_digest(exec_properties),
            },
            "evaluated": {
                "split": exec_properties["split"],
                "signature": exec_properties["signature"],
                "output": _first_output(evaluation, exec_properties),
                "outputs": [_judged(output) for output in evaluation.outputs],
            },
            "calibration_sample": quantization.get("calibration_sample"),
            "lineage": lineage,
            "gate": json.loads(exec_properties["gate"]),
            "versions": {
                "tfx_tflite": version("tfx-tflite"),
                "tfx": version("tfx"),
                "tfma": tfma.__version__,
                "tensorflow": tf.__version__,
                "python": platform.python_version(),
            },
        }
    )


def _first_output(evaluation: Evaluation, exec_properties: dict[str, Any]) -> str | None:
    return exec_properties.get("output") or evaluation.outputs[0].plan.judged.target.output


def _judged(output: OutputEvaluation) -> dict[str, Any]:
    """Returns what an output was judged by."""
    judged = output.plan.judged
    return {
        "output": judged.spec.name,
        "label": judged.target.label_name,
        "label_is_input": judged.target.label_input is not None,
        "vocabulary": len(judged.target.vocabulary),
        "example_weight": judged.target.example_weight,
        "weight": None if judged.target.example_weight is None else output.comparison.weight(()),
    }


def _differences(outputs: OutputSums, source: SplitFiles) -> dict[str, Any]:
    """Returns how both models' values of one output differ."""
    return {
        "agreement": _agreement(outputs),
        "outputs": {
            "sqnr_db": outputs.sqnr_db,
            "mean_absolute_difference": outputs.mean_absolute_difference,
            "max_absolute_difference": outputs.largest,
            "kl_divergence": outputs.kl_divergence,
        },
        "worst_examples": [
            {**_place(source, position), "digest": digest, "difference": difference}
            for difference, digest, position in outputs.worst
        ],
    }


def _finite(value: Any) -> Any:
    """Returns a document with null for every number that JSON has none for."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _place(source: SplitFiles, position: int) -> dict[str, Any]:
    """Returns in which file of the split an example is, and as which of its records from 0."""
    if position < 0:
        return {}
    file, number = source.place(position)
    return {"file": file, "index": number}


def input_ranges(quantization: dict[str, Any]) -> tuple[InputRange, ...]:
    """Returns what the inputs were calibrated for, of what TFLiteQuantizer wrote."""
    found = quantization.get("input_ranges", {})
    return tuple(InputRange(name, *limits) for name, limits in sorted(found.items()))


def _saturation(evaluation: Evaluation, inputs: tuple[InputAdequacy, ...]) -> list[dict[str, Any]]:
    """Returns the share of each input's values outside its range: overall, then worst slices."""
    comparison = evaluation.comparison
    found = []
    for index, known in enumerate(inputs):
        shares = {
            slice_name(key): float(sums[index]) / comparison.examples(key)
            for key, sums in comparison.saturation.outside.items()
        }
        worst = sorted(shares.items(), key=lambda item: (item[0] != OVERALL, -item[1], item[0]))
        found.append(
            {
                "input": known.range.name,
                "range": [known.range.lowest, known.range.highest],
                "extent": [known.lowest, known.highest],
                "slices": [
                    {"slice": name, "outside": share} for name, share in worst[:_SATURATED_SLICES]
                ],
            }
        )
    return found


def _latency(latency: Latency) -> dict[str, Any]:
    return {
        "float": latency.float_ms,
        "quantized": latency.quantized_ms,
        "ratio": latency.ratio,
        "batch_size": latency.batch_size,
        "threads": latency.threads,
        "runtime": latency.quantized_runtime.model_dump(mode="json"),
        "float_runtime": latency.float_runtime.model_dump(mode="json"),
    }


def _agreement(outputs: OutputSums) -> dict[str, Any] | None:
    """Returns how often both models decide alike, and which decisions became which."""
    if outputs.agreement is None:
        return None
    flips = [
        {"float": before, "quantized": after, "examples": count}
        for (before, after), count in outputs.transitions.most_common()
        if before != after
    ]
    decisions = sum(outputs.transitions.values())
    return {"rate": outputs.agreement, "flips": flips, "decisions": decisions}


def _config_digest(exec_properties: dict[str, Any]) -> str:
    """Returns a digest of all that the evaluator was asked for."""
    return records_digest(
        f"{key}={exec_properties[key]}".encode() for key in sorted(exec_properties)
    )
