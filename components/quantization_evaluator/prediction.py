"""Both models' predictions on the same batches, as a TFMA extractor.

TFMA's own extractors refuse a SavedModel beside a TFLite model, and quantize inputs by truncation
and wrap-around.
"""

import copy
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.utils import shared

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.float_model import (
    FloatModel,
    InputReader,
    input_reader,
    read_tensor_signature,
)
from tfx_tflite.components.model_inputs import InputSpec
from tfx_tflite.components.quantization_evaluator.labels import LabelCheck
from tfx_tflite.components.quantization_evaluator.saturation import InputRange, InputsSeen
from tfx_tflite.components.tflite_model import TFLiteModel

FLOAT, QUANTIZED = "float", "quantized"
# Where extracts hold what the inputs are like, beside TFMA's own keys.
INPUTS_SEEN_KEY = "inputs_seen"


@dataclass(frozen=True)
class ModelPair:
    """The two models to compare.

    Attributes:
        saved_model: The float SavedModel's directory.
        signature: The signature that was converted.
        preprocessing_signature: As in `float_model.input_reader`.
        tflite: The quantized model's file.
        output: Which output is evaluated; None where there is one.
        input_ranges: What the quantized model's inputs were calibrated for, where that is known.
    """

    saved_model: str
    signature: str
    preprocessing_signature: str | None
    tflite: str
    output: str | None
    input_ranges: tuple[InputRange, ...] = ()

    def resolve_output(self) -> InputSpec:
        """Returns the output that is evaluated.

        Raises:
            EvaluationError: There are several and none is named, or there is none of that name.
        """
        signature = read_tensor_signature(self.saved_model, self.signature)
        outputs = {spec.name: spec for spec in signature.outputs}
        if self.output is None and len(outputs) == 1:
            return signature.outputs[0]
        if self.output not in outputs:
            named = "names none" if self.output is None else f"is {self.output!r}"
            raise EvaluationError(
                f"evaluation.output {named}; signature {self.signature!r} has: {listed(outputs)}"
            )
        return outputs[self.output]


@dataclass
class _LoadedPair:
    reader: InputReader
    float_model: FloatModel
    tflite: TFLiteModel
    output: str
    input_ranges: tuple[InputRange, ...]

    @classmethod
    def load(cls, pair: ModelPair) -> "_LoadedPair":
        signature = read_tensor_signature(pair.saved_model, pair.signature)
        with tf.io.gfile.GFile(pair.tflite, "rb") as file:
            content = file.read()
        return cls(
            input_reader(pair.saved_model, signature, pair.preprocessing_signature),
            FloatModel(pair.saved_model, signature),
            TFLiteModel(content),
            pair.resolve_output().name,
            pair.input_ranges,
        )

    def predict(self, batch: pa.RecordBatch) -> tuple[dict[str, np.ndarray], InputsSeen | None]:
        inputs = self.reader(batch)
        predictions = {
            FLOAT: self.float_model.predict(inputs)[self.output],
            QUANTIZED: self.tflite.predict(inputs)[self.output],
        }
        seen = InputsSeen.of(inputs, self.input_ranges) if self.input_ranges else None
        return predictions, seen


class _PredictDoFn(beam.DoFn):
    """Adds predictions to batched extracts; the models are loaded once a process."""

    def __init__(self, pair: ModelPair, check: LabelCheck, handle: shared.Shared):
        self._pair = pair
        self._check = check
        self._shared = handle

    def setup(self) -> None:
        self._loaded: _LoadedPair = self._shared.acquire(lambda: _LoadedPair.load(self._pair))

    def process(self, extracts: dict[str, Any]) -> Any:
        batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
        predictions, seen = self._loaded.predict(batch)
        self._check(batch, predictions[FLOAT])
        result = copy.copy(extracts)
        result[tfma.PREDICTIONS_KEY] = predictions
        if seen is not None:
            result[INPUTS_SEEN_KEY] = seen
        yield result


class _Predict(beam.PTransform):
    def __init__(self, pair: ModelPair, check: LabelCheck):
        super().__init__()
        self._pair = pair
        self._check = check

    def expand(self, extracts: beam.PCollection) -> beam.PCollection:
        return extracts | beam.ParDo(_PredictDoFn(self._pair, self._check, shared.Shared()))


def PredictExtractor(pair: ModelPair, check: LabelCheck) -> tfma.extractors.Extractor:
    """Returns the extractor that gives both models' predictions for each batch.

    It takes Arrow RecordBatches, so it goes before TFMA's features extractor, which drops them.

    Args:
        pair: The two models.
        check: What the labels must be.
    """
    return tfma.extractors.Extractor("ExtractFloatAndQuantizedPredictions", _Predict(pair, check))
