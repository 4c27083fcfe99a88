"""Some examples of a split that their bytes alone decide, whatever files they are in.

They are those with the lowest digests, each once however often it is there. Engines and their
workers write the examples of a split in other orders, and into other files: the first ones of the
first file would be others each time.

Workers import this module, so it knows nothing of TFX.
"""

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
import pyarrow as pa
import tensorflow as tf

from tfx_tflite.components.digests import example_digest
from tfx_tflite.components.errors import DataError
from tfx_tflite.components.examples.data_files import state_of
from tfx_tflite.components.examples.splits import SplitFiles
from tfx_tflite.components.object_stores import any_place

# So many bytes of files are read in this process in about a second, which workers take to start.
_READ_HERE = 1 << 24
_POSITION_BYTES = 8

# Where an example is in the split, and the example.
Placed = tuple[int, bytes]


@dataclass
class _Lowest:
    """Examples by their digests, at least those with the lowest ones.

    Attributes:
        examples: Of several that are the same, the one with the lowest position.
        threshold: No digest above it is among the lowest; None if that is not known.
    """

    examples: dict[bytes, Placed] = field(default_factory=dict)
    threshold: bytes | None = None

    def add(self, position: int, record: bytes) -> None:
        digest = example_digest(record)
        if self.threshold is None or digest <= self.threshold:
            self.keep(digest, (position, record))

    def keep(self, digest: bytes, example: Placed) -> None:
        self.examples[digest] = min(self.examples.get(digest, example), example)

    def prune(self, count: int) -> None:
        lowest = sorted(self.examples)[:count]
        self.examples = {digest: self.examples[digest] for digest in lowest}
        if len(lowest) == count:
            self.threshold = lowest[-1]


class LowestDigests(beam.CombineFn):
    """Combines batches of examples to those with the lowest digests, the same in any order.

    Args:
        count: How many are wanted, at least one.
    """

    def __init__(self, count: int):
        self._count = count

    def create_accumulator(self) -> _Lowest:
        """Returns no examples."""
        return _Lowest()

    def add_input(self, accumulator: _Lowest, element: tuple[int, Sequence[bytes]]) -> _Lowest:
        """Adds a batch: the position of the first example, and the examples."""
        start, examples = element
        for position, record in enumerate(examples, start):
            accumulator.add(position, record)
        if len(accumulator.examples) > 2 * self._count:
            accumulator.prune(self._count)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[_Lowest]) -> _Lowest:
        """Merges in any order to the same result."""
        merged = _Lowest()
        for accumulator in accumulators:
            for digest, example in accumulator.examples.items():
                merged.keep(digest, example)
        merged.prune(self._count)
        return merged

    def extract_output(self, accumulator: _Lowest) -> list[Placed]:
        """Returns the examples by ascending digest."""
        accumulator.prune(self._count)
        return list(accumulator.examples.values())


@dataclass(frozen=True)
class Workers:
    """What reads a large split.

    Attributes:
        pipeline: Makes a Beam pipeline.
        directory: Where a worker may put a file that this process reads, and removes.
    """

    pipeline: Callable[[], beam.Pipeline]
    directory: str


def lowest_digests(source: SplitFiles, count: int, workers: Workers | None) -> pa.RecordBatch:
    """Returns the examples of a split with the lowest digests, by ascending digest.

    Args:
        source: The split.
        count: How many; if the split has fewer that differ, all of these.
        workers: What reads a split that is large; None reads it here.

    Raises:
        DataError: The split is empty or cannot be read.
    """
    size = sum(state_of(file).size for file in source.files)
    if workers is None or size <= _READ_HERE:
        found = _read_here(source, count)
    else:
        found = _read_by(workers, source, count)
    if not found:
        raise DataError(f"split {source.split!r} holds no examples")
    positions, records = zip(*found, strict=True)
    return source.decoded(records, positions)


def _read_here(source: SplitFiles, count: int) -> list[Placed]:
    combine = LowestDigests(count)
    lowest = combine.create_accumulator()
    for place in range(len(source.files)):
        for batch in source.records_of(place):
            lowest = combine.add_input(lowest, batch)
    return combine.extract_output(lowest)


def _read_by(workers: Workers, source: SplitFiles, count: int) -> list[Placed]:
    path = posixpath.join(workers.directory, "lowest_digests.gz")
    any_place.make_directory(workers.directory)
    with workers.pipeline() as pipeline:
        _ = (
            pipeline
            | "Files" >> beam.Create(range(len(source.files)))
            | "Records" >> beam.FlatMap(_records_of, source)
            | "LowestDigests" >> beam.CombineGlobally(LowestDigests(count))
            | "Write" >> beam.Map(_write, path)
        )
    with any_place.local_file(path) as here:
        found = [
            (int.from_bytes(row[:_POSITION_BYTES], "little"), row[_POSITION_BYTES:])
            for row in tf.data.TFRecordDataset(here, "GZIP").as_numpy_iterator()
        ]
    any_place.remove(path)
    return found


def _records_of(place: int, source: SplitFiles) -> Iterator[tuple[int, list[bytes]]]:
    yield from source.records_of(place)


def _write(examples: Sequence[Placed], path: str) -> None:
    with any_place.written_file(path) as here, tf.io.TFRecordWriter(here, "GZIP") as writer:
        for position, record in examples:
            writer.write(position.to_bytes(_POSITION_BYTES, "little") + record)
