"""Both models' predictions on the same batches, as a TFMA extractor.

TFMA's own extractors refuse a SavedModel beside a TFLite model, and quantize inputs by truncation
and wrap-around.
"""

import copy
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
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
        reference: The TFLite file that is compared with instead of the float model, from which only
            the inputs come then.
        input_ranges: What the quantized model's inputs were calibrated for, where that is known.
        saved_model_stored_at: Where others find the SavedModel, if that is a copy.
        tflite_stored_at: Where others find the quantized model's file, if that is a copy.
    """

    saved_model: str
    signature: str
    preprocessing_signature: str | None
    tflite: str
    output: str | None
    input_ranges: tuple[InputRange, ...] = ()
    reference: str | None = None
    saved_model_stored_at: str | None = None
    tflite_stored_at: str | None = None

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
class _FloatSide:
    """What threads of a process may share: the float model, which is slow to load.

    Attributes:
        reader: What turns examples into inputs.
        model: The model; None where another is compared with.
    """

    reader: InputReader
    model: FloatModel | None

    @classmethod
    def load(cls, pair: ModelPair) -> "_FloatSide":
        signature = read_tensor_signature(pair.saved_model, pair.signature)
        return cls(
            input_reader(pair.saved_model, signature, pair.preprocessing_signature),
            FloatModel(pair.saved_model, signature) if pair.reference is None else None,
        )


class _PredictDoFn(beam.DoFn):
    """Adds predictions to batched extracts; the float model is loaded once a process."""

    def __init__(self, pair: ModelPair, check: LabelCheck, handle: shared.Shared):
        self._pair = pair
        self._check = check
        self._shared = handle

    def setup(self) -> None:
        self._float: _FloatSide = self._shared.acquire(lambda: _FloatSide.load(self._pair))
        # An interpreter serves one thread.
        self._tflite = _tflite_model(self._pair.tflite)
        self._reference = self._float.model or _tflite_model(str(self._pair.reference))
        self._output = self._pair.resolve_output().name

    def process(self, extracts: dict[str, Any]) -> Any:
        batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
        inputs = self._float.reader(batch)
        predictions = {
            FLOAT: self._reference.predict(inputs)[self._output],
            QUANTIZED: self._tflite.predict(inputs)[self._output],
        }
        self._check(batch, predictions[FLOAT])
        result = copy.copy(extracts)
        result[tfma.PREDICTIONS_KEY] = predictions
        if self._pair.input_ranges:
            result[INPUTS_SEEN_KEY] = InputsSeen.of(inputs, self._pair.input_ranges)
        yield result


def _tflite_model(path: str) -> TFLiteModel:
    with tf.io.gfile.GFile(path, "rb") as file:
        return TFLiteModel(file.read())


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
