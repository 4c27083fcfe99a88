"""The models' predictions on the same batches, as TFMA's extracts have them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from apache_beam.utils import shared

from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.examples import finite
from tfx_tflite.components.examples.tensors import (
    Array,
    InputSpec,
    Tensors,
    format_shape,
)
from tfx_tflite.components.judgement.metrics.label_kinds import for_tfma
from tfx_tflite.components.judgement.metrics.labels import LabelCheck, LabelReader
from tfx_tflite.components.judgement.saturation import InputRange, InputsSeen
from tfx_tflite.components.models.float_model import (
    FloatModel,
    InputReader,
    Signature,
    input_reader,
)
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Kernels

# What TFMA hands from one extractor to the next, by its keys.
Extracts = dict[str, Any]
# Values of the only output, or of each by its key.
ByOutput = Array | Mapping[str | None, Array]

FLOAT, QUANTIZED, PUSHED = "float", "quantized", "pushed"
# Where extracts hold what the inputs are like, beside TFMA's own keys.
INPUTS_SEEN_KEY = "inputs_seen"


@dataclass(frozen=True)
class ModelPair:
    """The models to compare.

    Attributes:
        saved_model: The float SavedModel's directory.
        signature: The signature that was converted, as `read_tensor_signature` gives it.
        preprocessing_signature: As in `float_model.input_reader`.
        tflite: The quantized model's file.
        reference: The TFLite file of the pushed model, which predicts beside the two; None if
            nothing is compared with it.
        schema: The schema of the examples, serialized; as in `float_model.input_reader`.
        kernels: Those that the quantized model runs with, whatever the shapes of its inputs.
        input_ranges: What the quantized model's inputs were calibrated for, where that is known.
        saved_model_stored_at: Where others find the SavedModel, if that is a copy.
        tflite_stored_at: Where others find the quantized model's file, if that is a copy.
    """

    saved_model: str
    signature: Signature
    preprocessing_signature: str | None
    tflite: str
    input_ranges: tuple[InputRange, ...] = ()
    reference: str | None = None
    schema: bytes | None = None
    kernels: Kernels | None = None
    saved_model_stored_at: str | None = None
    tflite_stored_at: str | None = None

    def reader(self, beside: Sequence[str] = ()) -> InputReader:
        """Returns how examples become both models' inputs; see `float_model.input_reader`."""
        return input_reader(
            self.saved_model, self.signature, self.preprocessing_signature, self.schema, beside
        )

    def quantized_model(self) -> TFLiteModel:
        """Returns the quantized model with the kernels that judge it."""
        return _tflite_model(self.tflite, self.kernels)

    def output_named(self, name: str | None) -> InputSpec:
        """Returns an output of the signature; None names the only one.

        Raises:
            EvaluationError: There are several and none is named, or there is none of that name.
        """
        outputs = self.outputs
        if name is None and len(outputs) == 1:
            return next(iter(outputs.values()))
        if name is None or name not in outputs:
            named = "names none" if name is None else f"is {name!r}"
            raise EvaluationError(
                f"evaluation.output {named}; signature {self.signature.name!r} has: "
                f"{listed(outputs)}"
            )
        return outputs[name]

    @property
    def outputs(self) -> dict[str, InputSpec]:
        """The signature's outputs by name."""
        return {spec.name: spec for spec in self.signature.outputs}


@dataclass
class _FloatSide:
    """What threads of a process may share: the float model, which is slow to load.

    Attributes:
        reader: What turns examples into inputs.
        model: The model.
    """

    reader: InputReader
    model: FloatModel

    @classmethod
    def load(cls, pair: ModelPair, labels: Sequence[str]) -> "_FloatSide":
        return cls(pair.reader(labels), FloatModel(pair.saved_model, pair.signature))


class _PredictDoFn(beam.DoFn):
    """Batches to extracts with predictions and labels; a process loads the float model once."""

    def __init__(self, pair: ModelPair, checks: Sequence[LabelCheck], handle: shared.Shared):
        self._pair = pair
        self._outputs = [_PredictedOutput(check) for check in checks]
        self._shared = handle

    def setup(self) -> None:
        labels = [output.label for output in self._outputs]
        self._float: _FloatSide = self._shared.acquire(lambda: _FloatSide.load(self._pair, labels))
        # An interpreter serves one thread.
        self._tflite = {QUANTIZED: self._pair.quantized_model()}
        if self._pair.reference is not None:
            self._tflite[PUSHED] = _tflite_model(self._pair.reference)
        self._inputs = [spec.name for spec in self._pair.signature.inputs]

    def process(self, batch: pa.RecordBatch) -> Iterator[Extracts]:
        groups = self._float.reader.groups(batch)
        for group in groups:
            # A batch for each shape, as a model takes only one at once.
            part = batch if len(groups) == 1 else batch.take(pa.array(group.rows))
            yield self._predicted({tfma.ARROW_RECORD_BATCH_KEY: part}, group.tensors)

    def _predicted(self, extracts: Extracts, prepared: Tensors) -> Extracts:
        batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
        inputs = {name: prepared[name] for name in self._inputs}
        finite.check_inputs(batch, inputs)
        predictions = {FLOAT: self._float.model.predict(inputs)}
        for name, tflite in self._tflite.items():
            predictions[name] = tflite.predict(inputs)
        for model, outputs in predictions.items():
            finite.check_outputs(batch, inputs, outputs, model)
        extracts.update(_by_kind(self._outputs, batch, inputs, prepared, predictions))
        if self._pair.input_ranges:
            seen = InputsSeen.of(inputs, self._pair.input_ranges)
            # By name, as extracts of TFMA may hold nothing but arrays.
            extracts[INPUTS_SEEN_KEY] = vars(seen)
        return extracts


class _PredictedOutput:
    """What one output contributes to the extracts of a batch."""

    def __init__(self, check: LabelCheck):
        self._check = check
        self._reader = LabelReader(check.judged.target)
        self.key, self.label = check.judged.key, check.judged.target.label_name
        self._name = check.judged.spec.name

    def extracts(
        self,
        batch: pa.RecordBatch,
        inputs: Tensors,
        prepared: Tensors,
        predictions: Mapping[str, Tensors],
    ) -> tuple[dict[str, Array], Array, Array | None]:
        """Returns the outputs by model, the labels, and the weights, all checked.

        Args:
            batch: The examples.
            inputs: The model's inputs.
            prepared: What the preprocessing signature gave, inputs and maybe labels.
            predictions: By model, all outputs by name.

        Raises:
            DataError: A label or a weight is missing or out of range.
            EvaluationError: A metric cannot be computed from labels and outputs like these.
        """
        outputs = {model: found[self._name] for model, found in predictions.items()}
        for model, values in outputs.items():
            self._check_batch_axis(values, batch.num_rows, model)
        labels = self._reader.labels(batch, inputs, prepared)
        self._check(labels, outputs, batch)
        weights = self._reader.weights(batch)
        return (
            outputs,
            for_tfma(labels, outputs[FLOAT]),
            None if weights is None else weights[:, None],
        )

    def _check_batch_axis(self, values: Array, rows: int, model: str) -> None:
        if values.ndim == 0 or len(values) != rows:
            raise EvaluationError(
                f"output {self._name!r} of the {model} model has shape "
                f"{format_shape(values.shape)} for {rows} examples, expected one row an example"
            )


def _by_kind(
    outputs: Sequence[_PredictedOutput],
    batch: pa.RecordBatch,
    inputs: Tensors,
    prepared: Tensors,
    predictions: Mapping[str, Tensors],
) -> Extracts:
    """Returns predictions, labels and weights as TFMA has them in extracts.

    That is by output where outputs have keys, else as they are.
    """
    found = {out.key: out.extracts(batch, inputs, prepared, predictions) for out in outputs}
    result: Extracts = {
        tfma.PREDICTIONS_KEY: {
            model: _keyed({key: entry[0][model] for key, entry in found.items()})
            for model in predictions
        },
        tfma.LABELS_KEY: _keyed({key: labels for key, (_, labels, _) in found.items()}),
    }
    weights = {key: known for key, (_, _, known) in found.items() if known is not None}
    if weights:
        result[tfma.EXAMPLE_WEIGHTS_KEY] = _keyed(weights)
    return result


def _keyed(values: Mapping[str | None, Array]) -> ByOutput:
    return values.get(None, values)


def of_output(values: ByOutput | None, key: str | None) -> Array | None:
    """Returns what extracts hold for one output; None where they hold nothing for it.

    Args:
        values: As the predict extractor leaves them: by output, or of the only one.
        key: The output's key.
    """
    return values.get(key) if isinstance(values, Mapping) else values


def _tflite_model(path: str, kernels: Kernels | None = None) -> TFLiteModel:
    with tf.io.gfile.GFile(path, "rb") as file:
        return TFLiteModel(file.read(), kernels)


class Predict(beam.PTransform):
    """A PCollection of RecordBatches to TFMA's extracts, with predictions, labels and weights.

    Each model predicts once a batch, however many of its outputs are judged, and however many
    comparisons there are. TFMA's own extractors refuse a SavedModel beside a TFLite model, and
    quantize inputs by truncation and wrap-around.

    Args:
        pair: The models.
        checks: The outputs that are judged, and what their labels must be.
    """

    def __init__(self, pair: ModelPair, checks: Sequence[LabelCheck]):
        super().__init__()
        self._pair = pair
        self._checks = tuple(checks)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Builds the transform."""
        return batches | beam.ParDo(_PredictDoFn(self._pair, self._checks, shared.Shared()))
