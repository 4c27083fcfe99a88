"""The models' predictions on the same batches, as TFMA's extracts have them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow_model_analysis as tfma
from apache_beam.utils import shared

from tfx_tflite.components import progress
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import EvaluationError, listed
from tfx_tflite.components.examples import finite
from tfx_tflite.components.examples.matching import FeatureMatch
from tfx_tflite.components.examples.tensors import Array, InputSpec, Tensors, format_shape
from tfx_tflite.components.judgement.candidate import FIRST, Candidate
from tfx_tflite.components.judgement.copies import CopyFinder
from tfx_tflite.components.judgement.metrics.label_kinds import for_tfma
from tfx_tflite.components.judgement.metrics.labels import LabelCheck
from tfx_tflite.components.judgement.saturation import InputRange, InputsSeen
from tfx_tflite.components.models.float_model import (
    FloatModel,
    InputReader,
    Signature,
    input_reader,
    open_float_model,
    runs_in_threads,
)
from tfx_tflite.components.models.input_normalization import normalized
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.object_stores import any_place
from tfx_tflite.components.progress import Step
from tfx_tflite.components.versions import Kernels

# What TFMA hands from one extractor to the next, by its keys.
Extracts = dict[str, Any]
# Values of the only output, or of each by its key.
ByOutput = Array | Mapping[str | None, Array]

FLOAT, QUANTIZED, PUSHED = "float", "quantized", "pushed"
# The quantized model with this machine's default kernels, beside those of targets.
HOST = "quantized (on this machine)"
# Kernels that are taken only if a target asks for them, and which are slow.
CHOSEN = (Kernels.REFERENCE, Kernels.MICRO)
# After how many examples they tell how far they are.
_EXAMPLES_A_STEP = 50
# Where extracts hold what the inputs are like, beside TFMA's own keys.
INPUTS_SEEN_KEY = "inputs_seen"
# And the examples' scores by model, if metrics are of groups, which are those of the only output.
SCORES_KEY = "scores"
# And digests by which copies are found.
DIGESTS_KEY = "digests"


@dataclass(frozen=True)
class ModelPair:
    """The models to compare.

    Attributes:
        saved_model: The float model: a SavedModel, or what a TensorFlow Lite file is in.
        signature: The signature that was converted, as `read_tensor_signature` gives it.
        preprocessing_signature: As in `float_model.input_reader`.
        tflite: The quantized model's file.
        reference: The TFLite file of the pushed model, which predicts beside the two; None if
            nothing is compared with it.
        schema: The schema of the examples, serialized; as in `float_model.input_reader`.
        match: Which feature feeds which input.
        candidates: The quantized model on each target, with the kernels that it runs with there,
            whatever the shapes of its inputs.
        host: This machine's default kernels, if their answers are wanted beside the targets'.
        input_ranges: What the quantized model's inputs were calibrated for, if that is known.
        saved_model_stored_at: Where others find the SavedModel, if that is a copy.
        tflite_stored_at: Where others find the quantized model's file, if that is a copy.
        digests: Of TFLite files, by path (a float one's by `saved_model`), and of a SavedModel that
            is in an object store; a worker runs no other bytes than those that were checked.
        copy_finder: What finds examples that are copies of others; None if nobody asks.
    """

    saved_model: str
    signature: Signature
    preprocessing_signature: str | None
    tflite: str
    input_ranges: tuple[InputRange, ...] = ()
    reference: str | None = None
    schema: bytes | None = None
    match: FeatureMatch = field(default_factory=FeatureMatch)
    candidates: tuple[Candidate, ...] = (FIRST,)
    host: Kernels | None = None
    saved_model_stored_at: str | None = None
    tflite_stored_at: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    copy_finder: CopyFinder | None = None

    def reader(self, beside: Sequence[str] = ()) -> InputReader:
        """Returns how examples become both models' inputs; see `float_model.input_reader`."""
        return input_reader(
            self.saved_model,
            self.signature,
            self.preprocessing_signature,
            self.schema,
            beside,
            self.match.features,
            self.digests.get(self.saved_model),
        )

    def float_model(self) -> FloatModel | TFLiteModel:
        """Returns the float model."""
        digest = self.digests.get(self.saved_model)
        return open_float_model(self.saved_model, self.signature, digest)

    def quantized_model(self) -> TFLiteModel:
        """Returns the quantized model with the kernels of the first target."""
        return self._tflite_model(self.tflite, self.candidates[0].kernels)

    def tflite_models(self) -> dict[str, TFLiteModel]:
        """Returns the TensorFlow Lite models that predict, by what their predictions are called."""
        found = {}
        for candidate in self.candidates:
            kernels = candidate.kernels
            found[candidate.key(QUANTIZED)] = self._tflite_model(self.tflite, kernels)
            if self.reference is not None:
                # Which of LiteRT's kernels an older model takes by itself is its own affair.
                own = kernels if kernels in CHOSEN else None
                found[candidate.key(PUSHED)] = self._tflite_model(self.reference, own)
        if self.host is not None:
            found[HOST] = self._tflite_model(self.tflite, self.host)
        return found

    @property
    def slowest(self) -> str:
        """What the predictions are called that take longest."""
        chosen = [each for each in self.candidates if each.kernels in CHOSEN]
        return [*chosen, *self.candidates][0].key(QUANTIZED)

    def _tflite_model(self, path: str, kernels: Kernels | None = None) -> TFLiteModel:
        content = any_place.read(path)
        if path in self.digests and bytes_digest(content) != self.digests[path]:
            raise EvaluationError(
                f"{path} was changed while it was being evaluated; find out what writes there and "
                "run again"
            )
        return TFLiteModel(content, kernels)

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


class Predicts(Protocol):
    """A model."""

    def predict(self, inputs: Tensors) -> dict[str, Array]:
        """Returns the outputs by name, the batch dimension first."""


@dataclass
class FloatSide:
    """What threads of a process may share: a float SavedModel, which is slow to load.

    Attributes:
        reader: How examples become the models' inputs.
        model: The float model; None if each thread needs one of its own.
    """

    reader: InputReader
    model: Predicts | None

    @classmethod
    def load(cls, pair: ModelPair, checks: Sequence[LabelCheck]) -> "FloatSide":
        """Returns the float side of a pair.

        Args:
            pair: The models.
            checks: The outputs that are judged.
        """
        is_shared = runs_in_threads(pair.saved_model)
        return cls(_reader(pair, checks), pair.float_model() if is_shared else None)


def _reader(pair: ModelPair, checks: Sequence[LabelCheck]) -> InputReader:
    return pair.reader([check.judged.target.label_name for check in checks])


class _PredictDoFn(beam.DoFn):
    """Batches to extracts with predictions and labels; a process loads the float model once."""

    def __init__(self, pair: ModelPair, checks: Sequence[LabelCheck], handle: shared.Shared):
        self._pair, self._checks, self._shared = pair, checks, handle

    def setup(self) -> None:
        side: FloatSide = self._shared.acquire(lambda: FloatSide.load(self._pair, self._checks))
        self._predictor = Predictor(self._pair, self._checks, side)

    def process(self, batch: pa.RecordBatch) -> Iterator[Extracts]:
        yield from self._predictor(batch)


class Predictor:
    """The models' predictions on batches, in one thread.

    Args:
        pair: The models.
        checks: The outputs that are judged, and what their labels must be.
        side: The float side of the pair.
    """

    def __init__(self, pair: ModelPair, checks: Sequence[LabelCheck], side: FloatSide):
        self._pair, self._checks, self._float = pair, checks, side
        # An interpreter serves one thread.
        self._float_model = side.model or pair.float_model()
        self._tflite = pair.tflite_models()
        self._slowest = pair.slowest
        self._inputs = [spec.name for spec in pair.signature.inputs]

    def __call__(self, batch: pa.RecordBatch) -> Iterator[Extracts]:
        """Yields the extracts of a batch, one for each shape of its examples.

        Args:
            batch: Examples, as `ReadBatches` gives them.

        Raises:
            DataError: An example does not fit the models, or holds NaN or infinity; or a label is
                not possible.
            EvaluationError: A model gives NaN or infinity, or not one row an example.
        """
        groups = self._float.reader.groups(batch)
        for group in groups:
            # A batch for each shape, as a model takes only one at once.
            part = batch if len(groups) == 1 else batch.take(pa.array(group.rows))
            yield self._predicted(part, group.tensors)

    def _predicted(self, batch: pa.RecordBatch, prepared: Tensors) -> Extracts:
        inputs = {name: prepared[name] for name in self._inputs}
        finite.check_inputs(batch, inputs)
        predictions = {FLOAT: self._float_model.predict(inputs)}
        for name, tflite in self._tflite.items():
            if name != self._slowest:
                predictions[name] = tflite.predict(inputs)
        # How far it has come is told by what takes longest.
        slowest = self._tflite[self._slowest]
        predictions[self._slowest] = _predicted_in_steps(slowest, inputs, batch.num_rows)
        for model, outputs in predictions.items():
            finite.check_outputs(batch, inputs, outputs, model)
        extracts = self._judged(batch, inputs, prepared, predictions)
        if self._pair.copy_finder is not None:
            extracts[DIGESTS_KEY] = self._pair.copy_finder.digests(inputs)
        if self._pair.input_ranges:
            # In what the quantized model takes, as the ranges are.
            taken = normalized(inputs, slowest.normalizations)
            seen = InputsSeen.of(taken, self._pair.input_ranges)
            # By name, as extracts of TFMA may hold nothing but arrays.
            extracts[INPUTS_SEEN_KEY] = vars(seen)
        return extracts

    def _judged(
        self,
        batch: pa.RecordBatch,
        inputs: Tensors,
        prepared: Tensors,
        predictions: Mapping[str, Tensors],
    ) -> Extracts:
        """Returns a batch with predictions, labels and weights as TFMA has them in extracts.

        That is by output if outputs have keys, else as they are.
        """
        judged: dict[str, dict[str | None, Array]] = {model: {} for model in predictions}
        labels: dict[str | None, Array] = {}
        weights: dict[str | None, Array] = {}
        scores: dict[str, Array] = {}
        for check in self._checks:
            key, name = check.judged.key, check.judged.spec.name
            outputs = {model: found[name] for model, found in predictions.items()}
            for model, values in outputs.items():
                _check_batch_axis(name, values, batch.num_rows, model)
                judged[model][key] = values
            own_labels = check.reader.labels(batch, inputs, prepared)
            if check.judged.target.aggregate is not None:
                scores = check.scores(outputs, batch, inputs, prepared)
                check(own_labels, scores, batch)
            else:
                check(own_labels, outputs, batch)
            labels[key] = for_tfma(own_labels, outputs[FLOAT])
            own_weights = check.reader.weights(batch)
            if own_weights is not None:
                weights[key] = own_weights[:, None]
        return {
            tfma.ARROW_RECORD_BATCH_KEY: batch,
            tfma.PREDICTIONS_KEY: {model: _keyed(values) for model, values in judged.items()},
            tfma.LABELS_KEY: _keyed(labels),
            **({tfma.EXAMPLE_WEIGHTS_KEY: _keyed(weights)} if weights else {}),
            **({SCORES_KEY: scores} if scores else {}),
        }


def _predicted_in_steps(model: TFLiteModel, inputs: Tensors, rows: int) -> dict[str, Array]:
    """Returns a model's outputs, and tells how many of the examples are done."""
    step = _EXAMPLES_A_STEP if model.kernels in CHOSEN else rows
    parts = []
    for start in range(0, rows, step):
        part = {name: values[start : start + step] for name, values in inputs.items()}
        parts.append(model.predict(part))
        progress.tell(Step(progress.PREDICTED, min(step, rows - start)))
    if len(parts) == 1:
        return parts[0]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_batch_axis(output: str, values: Array, rows: int, model: str) -> None:
    if values.ndim == 0 or len(values) != rows:
        raise EvaluationError(
            f"output {output!r} of the {model} model has shape {format_shape(values.shape)} for "
            f"{rows} examples, expected one row an example"
        )


def _keyed(values: Mapping[str | None, Array]) -> ByOutput:
    return values.get(None, values)


def of_output(values: ByOutput | None, key: str | None) -> Array | None:
    """Returns what extracts hold for one output; None if they hold nothing for it.

    Args:
        values: As the predict extractor leaves them: by output, or of the only one.
        key: The output's key.
    """
    return values.get(key) if isinstance(values, Mapping) else values


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
