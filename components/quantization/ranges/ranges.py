"""The ranges that a float model's activations take over the calibration examples.

Each example is reduced to the smallest and the largest value of every tensor. Of these extremes
the outermost ones of each tensor are kept exactly, so that accumulators merge in any order to the
same result, to the last bit, and any percentile near the ends can be read off without a histogram's
bins. What runs the model is in `collection.py`, what uses the ranges in
`conversion/from_ranges.py`.

Only Beam, NumPy and Arrow are imported here, because workers import this module.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from apache_beam.utils import shared

from tfx_tflite.components import progress
from tfx_tflite.components.digests import bytes_digest
from tfx_tflite.components.errors import DataError, listed
from tfx_tflite.components.examples.tensors import (
    EXAMPLES_A_FILE,
    Array,
)
from tfx_tflite.components.progress import Step
from tfx_tflite.components.quantization.ranges.outermost import Lowest
from tfx_tflite.components.quantization.ranges.outliers import most_outliers, outliers
from tfx_tflite.components.quantization.ranges.policy import MINMAX, ROBUST, RangePolicy
from tfx_tflite.components.quantization.ranges.tensor_range import ActivationTensor, TensorRange


@dataclass(frozen=True)
class Outlier:
    """Examples whose values are not in a tensor's `robust` range.

    Attributes:
        tensor: The tensor.
        examples: The examples' positions among all, ascending.
        value: The outermost value.
        limit: The outermost one of the other examples.
    """

    tensor: ActivationTensor
    examples: tuple[int, ...]
    value: float
    limit: float


def _no_examples() -> Array:
    return np.empty((0, 0), np.int64)


@dataclass(frozen=True, eq=False)
class TensorRanges:
    """What calibration knows of a model: the outermost extremes of every activation.

    Attributes:
        model_digest: SHA-256 of the float flatbuffer, to whose tensors the ranges belong.
        tensors: The activations, inputs first, then in the order in which they are computed.
        examples: How many examples were observed.
        minima: The lowest of the examples' minima, ascending, float32 of shape
            (tensors, min(examples, KEPT)).
        maxima: The highest of the examples' maxima, descending, of the same shape.
        lowest_examples: The positions of the examples that the first of `minima` are from, those
            that may be outliers, int64 of shape (tensors, most_outliers(examples)).
        highest_examples: Those of `maxima`.
    """

    model_digest: str
    tensors: tuple[ActivationTensor, ...]
    examples: int
    minima: Array
    maxima: Array
    lowest_examples: Array = field(default_factory=_no_examples)
    highest_examples: Array = field(default_factory=_no_examples)

    def resolve(self, policy: RangePolicy) -> tuple[TensorRange, ...]:
        """Returns each tensor's range.

        Args:
            policy: How the range follows from the extremes.

        Raises:
            ConfigError: The policy leaves out more extremes than are kept.
        """
        minima = _at_rank(self.minima, self._left_out(policy, -self.minima))
        maxima = _at_rank(self.maxima, self._left_out(policy, self.maxima))
        return tuple(
            TensorRange(tensor, float(minimum), float(maximum))
            for tensor, minimum, maximum in zip(self.tensors, minima, maxima, strict=True)
        )

    def _left_out(self, policy: RangePolicy, outermost: Array) -> Array:
        """Returns how many extremes each tensor's range leaves out on one side."""
        if policy.kind == ROBUST:
            return outliers(outermost, self.examples)
        return np.full(len(self.tensors), policy.left_out(self.examples))

    def constant(self) -> tuple[TensorRange, ...]:
        """Returns the tensors that had one and the same value throughout, with that value.

        An input among them carries no information: a feature that is always zero, say, or one that
        was filled with its default. Nothing is known of its range in production.
        """
        return tuple(
            found for found in self.resolve(RangePolicy(MINMAX)) if found.minimum == found.maximum
        )

    def outliers(self) -> tuple["Outlier", ...]:
        """Returns what `robust` ranges leave out, inputs first, then as tensors are computed."""
        sides = [
            (self.minima, outliers(-self.minima, self.examples), self.lowest_examples),
            (self.maxima, outliers(self.maxima, self.examples), self.highest_examples),
        ]
        return tuple(
            Outlier(
                tensor,
                tuple(sorted(map(int, positions[row, : counts[row]]))) if positions.size else (),
                float(extremes[row, 0]),
                float(extremes[row, counts[row]]),
            )
            for row, tensor in enumerate(self.tensors)
            for extremes, counts, positions in sides
            if counts[row]
        )

    def warnings(self, policy: RangePolicy | None = None) -> tuple[str, ...]:
        """Returns a sentence for each tensor that was constant, and one for the outliers.

        Args:
            policy: How ranges follow from the extremes.
        """
        constant = tuple(_constant_warning(found, self.examples) for found in self.constant())
        found = self.outliers() if policy is not None and policy.kind == ROBUST else ()
        return (*constant, _outlier_warning(found)) if found else constant

    def to_json(self) -> str:
        """Returns the ranges as JSON text, equal for equal ranges."""
        tensors = [
            {
                **asdict(tensor),
                "minima": _decimals(self.minima[row]),
                "maxima": _decimals(self.maxima[row]),
                "lowest_examples": self.lowest_examples[row : row + 1].ravel().tolist(),
                "highest_examples": self.highest_examples[row : row + 1].ravel().tolist(),
            }
            for row, tensor in enumerate(self.tensors)
        ]
        return json.dumps(
            {"model_digest": self.model_digest, "examples": self.examples, "tensors": tensors},
            indent=1,
        )

    @classmethod
    def from_json(cls, text: str) -> "TensorRanges":
        """Returns the ranges that `to_json` wrote."""
        read = json.loads(text)
        tensors = read["tensors"]
        return cls(
            read["model_digest"],
            tuple(ActivationTensor(t["index"], t["name"], t["is_input"]) for t in tensors),
            read["examples"],
            np.array([t["minima"] for t in tensors], np.float32),
            np.array([t["maxima"] for t in tensors], np.float32),
            # Files of older versions do not have them.
            np.array([t.get("lowest_examples", []) for t in tensors], np.int64),
            np.array([t.get("highest_examples", []) for t in tensors], np.int64),
        )


def _constant_warning(found: TensorRange, examples: int) -> str:
    unknown = "; its range in production is unknown" if found.tensor.is_input else ""
    return f"{found.tensor} is {found.minimum:g} in all {examples} calibration examples{unknown}"


def _outlier_warning(found: Sequence[Outlier]) -> str:
    examples = sorted({example for outlier in found for example in outlier.examples})
    # Files of older versions do not have them.
    names = listed([place_of(example) for example in examples] or ["unknown"])
    first, tensors = found[0], len({outlier.tensor for outlier in found})
    return (
        f"outliers were left out of the ranges of {tensors} tensor{'s' if tensors > 1 else ''}: "
        f"calibration example{'s' if len(examples) > 1 else ''} {names}; {first.tensor} goes to "
        f"{first.value:g} there and to {first.limit:g} otherwise. Remove such examples if they are "
        "faults, or set calibration.ranges: minmax if they are not"
    )


def _at_rank(extremes: Array, ranks: Array) -> Array:
    return np.take_along_axis(extremes, ranks[:, None], axis=1)[:, 0]


def _decimals(values: Array) -> list[float]:
    """Returns float32 values with no more digits than they need to be read back exactly."""
    return [float(str(value)) for value in values]


@dataclass(frozen=True)
class BatchExtremes:
    """The extremes of every tensor in each example of a batch.

    Attributes:
        position: The place of the first example among the calibration examples, from 0.
        minima: float32 of shape (batch, tensors); NaN if the tensor holds NaN.
        maxima: Of the same shape.
    """

    position: int
    minima: Array
    maxima: Array


@dataclass(frozen=True, order=True)
class _NonFinite:
    """Where NaN or infinity was: the example's position, the tensor's rank, the value."""

    position: int
    tensor: int
    value: str


@dataclass
class Extremes:
    """The outermost extremes of some examples.

    Attributes:
        examples: How many examples.
        minima: The lowest minima; None before the first example.
        maxima: The lowest of the maxima's negatives.
        non_finite: The first NaN or infinity.
    """

    examples: int = 0
    minima: Lowest | None = None
    maxima: Lowest | None = None
    non_finite: _NonFinite | None = None

    def add(self, other: "Extremes") -> None:
        """Takes in other examples."""
        self.examples += other.examples
        self.minima = other.minima if self.minima is None else self.minima.with_others(other.minima)
        self.maxima = other.maxima if self.maxima is None else self.maxima.with_others(other.maxima)
        found = [place for place in (self.non_finite, other.non_finite) if place is not None]
        self.non_finite = min(found, default=None)

    def ranges(self, model_digest: str, tensors: tuple[ActivationTensor, ...]) -> TensorRanges:
        """Returns the ranges of the tensors that the columns stand for.

        Raises:
            DataError: There are no examples, or one gave NaN or infinity.
        """
        if self.minima is None or self.maxima is None:
            raise DataError("the calibration split holds no examples")
        if self.non_finite is not None:
            raise DataError(_explain(self.non_finite, tensors[self.non_finite.tensor]))
        minima, maxima = self.minima.ascending(), self.maxima.ascending()
        most = most_outliers(self.examples)
        # Adding zero makes one zero of the two, which sort as equal, in no fixed order.
        return TensorRanges(
            model_digest,
            tensors,
            self.examples,
            minima.values.T + np.float32(0),
            -maxima.values.T + np.float32(0),
            minima.examples[:most].T,
            maxima.examples[:most].T,
        )


def _explain(found: _NonFinite, tensor: ActivationTensor) -> str:
    place = place_of(found.position)
    if tensor.is_input:
        return (
            f"calibration example {place} has {found.value} in {tensor}; remove such examples or "
            "clean the feature"
        )
    return (
        f"calibration example {place} gives {found.value} in {tensor}; remove such examples or "
        "clean the feature or, if every example does so, train a model whose weights are finite"
    )


def place_of(position: int) -> str:
    """Returns where an example is: its number in its file, from 0, and which file it is.

    Args:
        position: Its position among all calibration examples.
    """
    file, number = divmod(position, EXAMPLES_A_FILE)
    # The sampler writes one file.
    return f"{number} of file {file}" if file else str(number)


class CombineExtremes(beam.CombineFn):
    """Combines `BatchExtremes` into one `Extremes`, the same for any order and any shards.

    It raises nothing, because Beam also calls it on no elements while a pipeline is built, and
    because which of several bad examples is named must not depend on the shards.
    """

    def create_accumulator(self) -> Extremes:
        """Returns no examples."""
        return Extremes()

    def add_input(self, accumulator: Extremes, element: BatchExtremes) -> Extremes:
        """Adds a batch."""
        if len(element.minima):
            accumulator.add(
                Extremes(
                    len(element.minima),
                    Lowest.of(element.minima, element.position),
                    Lowest.of(-element.maxima, element.position),
                    _first_non_finite(element),
                )
            )
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[Extremes]) -> Extremes:
        """Merges in any order to the same result."""
        merged = Extremes()
        for accumulator in accumulators:
            merged.add(accumulator)
        return merged

    def extract_output(self, accumulator: Extremes) -> Extremes:
        """Returns the extremes."""
        return accumulator


class CombineExtremesOfFiles(beam.CombineFn):
    """Combines `BatchExtremes` into one `Extremes` for each file, in the order of the files.

    Those of a file are what they would be if there were no other.
    """

    def __init__(self) -> None:
        self._each = CombineExtremes()

    def create_accumulator(self) -> dict[int, Extremes]:
        """Returns no files."""
        return {}

    def add_input(
        self, accumulator: dict[int, Extremes], element: BatchExtremes
    ) -> dict[int, Extremes]:
        """Adds a batch, which is of one file."""
        file, position = divmod(element.position, EXAMPLES_A_FILE)
        within = replace(element, position=position)
        accumulator[file] = self._each.add_input(accumulator.get(file, Extremes()), within)
        return accumulator

    def merge_accumulators(
        self, accumulators: Iterable[dict[int, Extremes]]
    ) -> dict[int, Extremes]:
        """Merges in any order to the same result."""
        merged: dict[int, Extremes] = {}
        for accumulator in accumulators:
            for file, extremes in accumulator.items():
                merged.setdefault(file, Extremes()).add(extremes)
        return merged

    def extract_output(self, accumulator: dict[int, Extremes]) -> tuple[Extremes, ...]:
        """Returns the extremes of each file."""
        return tuple(accumulator[file] for file in sorted(accumulator))


def _first_non_finite(batch: BatchExtremes) -> _NonFinite | None:
    rows, tensors = np.nonzero(~(np.isfinite(batch.minima) & np.isfinite(batch.maxima)))
    if not len(rows):
        return None
    value = "NaN" if np.isnan(batch.minima[rows[0], tensors[0]]) else "infinity"
    return _NonFinite(batch.position + int(rows[0]), int(tensors[0]), value)


@dataclass(frozen=True)
class RangeSource:
    """What ranges are collected with, as paths, so that each worker loads it for itself.

    Attributes:
        tflite: The float flatbuffer, as converted from `signature` without optimizations.
        saved_model: The float SavedModel.
        signature: The signature that was converted.
        preprocessing_signature: As in `float_model.input_reader`.
        schema: The same.
        features: The same.
        digest: The same.
    """

    tflite: str
    saved_model: str
    signature: str
    preprocessing_signature: str | None = None
    schema: bytes | None = None
    features: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None


class _ObserveDoFn(beam.DoFn):
    """(position, RecordBatch) to `BatchExtremes`; what is slow to load is loaded once a process."""

    def __init__(self, source: RangeSource, handle: shared.Shared):
        self._source = source
        self._shared = handle

    def setup(self) -> None:
        # Only the workers that run the model pay for TensorFlow's import.
        from tfx_tflite.components.quantization.ranges.collection import ExampleObserver

        self._observer = ExampleObserver.load(self._source, self._shared)

    def process(self, element: tuple[int, pa.RecordBatch]) -> Iterator[BatchExtremes]:
        position, batch = element
        yield self._observer(position, batch)
        progress.tell(Step(progress.CALIBRATED, batch.num_rows))


def write(ranges: TensorRanges, path: str) -> None:
    """Writes ranges as JSON to a path that any of Beam's file systems reaches."""
    with FileSystems.create(path, compression_type=CompressionTypes.UNCOMPRESSED) as file:
        file.write(ranges.to_json().encode())


def write_all(found: tuple[TensorRanges, ...], paths: Sequence[str]) -> None:
    """Writes several ranges, each to a path of its own."""
    for ranges, path in zip(found, paths, strict=True):
        write(ranges, path)


class CollectRanges(beam.PTransform):
    """PCollection of (position, RecordBatch) to a PCollection of one `TensorRanges`.

    The positions are those of `splits.with_position`; errors name examples by them.

    Args:
        source: The model, and how examples become its inputs.
    """

    def __init__(self, source: RangeSource):
        super().__init__()
        self._source = source

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Builds the transform.

        Raises:
            ConversionError: The model cannot be calibrated.
        """
        return (
            batches
            | "Observe" >> beam.ParDo(_ObserveDoFn(self._source, shared.Shared()))
            | "Combine" >> beam.CombineGlobally(CombineExtremes())
            | "Ranges" >> beam.Map(Extremes.ranges, *_observed(self._source))
        )


class CollectRangesOfDraws(beam.PTransform):
    """PCollection of (position, RecordBatch) to one of a single tuple: the ranges of each draw.

    Each draw is a file. Its ranges are what `CollectRanges` gives of that file alone.

    Args:
        source: The model, and how examples become its inputs.
        draws: Which draws the files are, for messages.
    """

    def __init__(self, source: RangeSource, draws: Sequence[int]):
        super().__init__()
        self._source = source
        self._draws = tuple(draws)

    def expand(self, batches: beam.PCollection) -> beam.PCollection:
        """Builds the transform.

        Raises:
            ConversionError: The model cannot be calibrated.
        """
        return (
            batches
            | "Observe" >> beam.ParDo(_ObserveDoFn(self._source, shared.Shared()))
            | "Combine" >> beam.CombineGlobally(CombineExtremesOfFiles())
            | "Ranges" >> beam.Map(_ranges_of_draws, self._draws, *_observed(self._source))
        )


def _observed(source: RangeSource) -> tuple[str, tuple[ActivationTensor, ...]]:
    """Returns the digest of the model whose activations are observed, and which those are."""
    from tfx_tflite.components.quantization.ranges import collection

    content = collection.read_tflite(source)
    return bytes_digest(content), collection.activation_tensors(content)


def _ranges_of_draws(
    found: tuple[Extremes, ...],
    draws: Sequence[int],
    model_digest: str,
    tensors: tuple[ActivationTensor, ...],
) -> tuple[TensorRanges, ...]:
    if len(found) != len(draws):
        raise DataError(f"{len(found)} of {len(draws)} draws of calibration examples hold any")
    return tuple(
        _ranges_of_draw(extremes, draw, model_digest, tensors)
        for draw, extremes in zip(draws, found, strict=True)
    )


def _ranges_of_draw(
    extremes: Extremes, draw: int, model_digest: str, tensors: tuple[ActivationTensor, ...]
) -> TensorRanges:
    try:
        return extremes.ranges(model_digest, tensors)
    except DataError as error:
        # The number of an example is its number in the draw.
        raise DataError(f"draw {draw}: {error}") from error
