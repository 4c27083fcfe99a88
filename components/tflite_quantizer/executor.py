"""The TFLiteQuantizer executor: artifacts in, the converted and checked model out."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from tfx_tflite.components import artifact_files, example_splits
from tfx_tflite.components.digests import directory_digest
from tfx_tflite.components.float_model import InputReader, input_reader, read_tensor_signature
from tfx_tflite.components.schemes import Quantization, Scheme
from tfx_tflite.components.tflite_quantizer import audit, conversion, report
from tfx_tflite.components.tflite_quantizer.calibration_tensors import collect_tensors

_COMPONENT = "TFLiteQuantizer"
_BATCH_SIZE = 256


class Executor(base_executor.BaseExecutor):
    """Converts and checks; see `conversion.py` and `audit.py` for how."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Writes the quantized model, the float32 TFLite model and the report.

        Raises:
            ModelError: The SavedModel or the signature is not usable.
            DataError: The calibration examples do not fit the signature.
            ConversionError: The model does not convert, or not to what the scheme promises.
        """
        quantization = Quantization(
            Scheme(exec_properties["scheme"]),
            exec_properties.get("io_type"),
            exec_properties.get("batch_size"),
        )
        output = artifact_utils.get_single_instance(output_dict["quantized_model"])
        with (
            artifact_files.readable(
                artifact_files.float_model_uri(input_dict["model"])
            ) as saved_model,
            tempfile.TemporaryDirectory() as working_directory,
        ):
            signature = read_tensor_signature(saved_model, exec_properties["signature"])
            reader = input_reader(
                saved_model, signature, exec_properties.get("preprocessing_signature")
            )
            samples = (
                self._samples(input_dict, reader) if quantization.scheme.needs_calibration else None
            )
            models = conversion.convert(
                saved_model, signature.name, quantization, samples, Path(working_directory)
            )
            audit.check(models.quantized, quantization)
            float_model_digest = directory_digest(saved_model)
        summary = report.summarize(
            models,
            quantization,
            signature=signature.name,
            float_model_digest=float_model_digest,
            sample=_sample_properties(input_dict) if samples else None,
        )
        with artifact_files.writable(output.uri) as directory:
            _write(directory, models, summary)
        _describe(output, summary)

    def _samples(
        self, input_dict: dict[str, list[types.Artifact]], reader: InputReader
    ) -> dict[str, np.ndarray]:
        source = example_splits.SplitFiles.of(
            input_dict["calibration_examples"],
            example_splits.CALIBRATION,
            example_splits.read_schema(input_dict.get("schema")),
            _COMPONENT,
        )
        samples = collect_tensors(source.batches(_BATCH_SIZE), reader)
        logging.info("Calibrating with %s.", {name: v.shape for name, v in samples.items()})
        return samples


def _sample_properties(input_dict: dict[str, list[types.Artifact]]) -> dict[str, Any]:
    sample = artifact_utils.get_single_instance(input_dict["calibration_examples"])
    return {
        "digest": sample.get_string_custom_property("sample_digest"),
        "size": sample.get_int_custom_property("sample_size"),
        "requested": sample.get_int_custom_property("sample_requested"),
    }


def _write(directory: Path, models: conversion.ConvertedModels, summary: dict[str, Any]) -> None:
    tflite = artifact_files.tflite_file(directory)
    tflite.parent.mkdir(parents=True, exist_ok=True)
    tflite.write_bytes(models.quantized)
    (directory / conversion.FLOAT_TFLITE).write_bytes(models.float32)
    (directory / report.FILE_NAME).write_text(json.dumps(summary, indent=1), encoding="utf-8")


def _describe(output: types.Artifact, summary: dict[str, Any]) -> None:
    output.set_string_custom_property("scheme", summary["scheme"])
    output.set_string_custom_property("model_digest", summary["digests"]["quantized_model"])
    output.set_string_custom_property("float_model_digest", summary["digests"]["float_model"])
    output.set_string_custom_property(
        "sample_digest", summary["digests"]["calibration_sample"] or ""
    )
    output.set_int_custom_property("size_bytes", summary["size_bytes"]["quantized"])
    output.set_int_custom_property("float_size_bytes", summary["size_bytes"]["float"])
