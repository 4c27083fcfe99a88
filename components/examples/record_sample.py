"""A sample of the records of TFRecord files that depends on the records and the seed alone.

As for calibration the records of the lowest ranks are kept, whatever the files, their order and
the workers; see `sampling.py`. But here a record is ranked by the checksum that its file has of it,
mixed with the seed, so that it need not be hashed. Copies of a record have its rank.

Only Beam and NumPy are imported here, because workers import this module.
"""

import posixpath
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from tfx_tflite.components.documents import Part
from tfx_tflite.components.examples.data_files import opened, written
from tfx_tflite.components.examples.frames import Frames, frames_of
from tfx_tflite.components.examples.settings import StatisticsSettings
from tfx_tflite.components.object_stores import any_place

_RECORDS = "data_tfrecord-00000-of-00001.gz"
# SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
_GOLDEN, _FIRST, _SECOND = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)


@dataclass
class RecordSample:
    """The records of the lowest ranks, and some more, of how many there were.

    Attributes:
        limit: How many records a sample has.
        seen: How many records there were.
        candidates: Ranks and records, with at least the `limit` lowest.
    """

    limit: int
    seen: int = 0
    candidates: list[tuple[int, bytes]] = field(default_factory=list)
    _highest: int | None = None

    def add_frames(self, frames: Frames, seed: int) -> None:
        """Adds records of a file.

        Args:
            frames: The records.
            seed: Another seed gives another sample.
        """
        ranks = ranks_of(frames.checksums, seed)
        self.seen += len(frames)
        numbers = np.arange(len(frames))
        if self._highest is not None:
            numbers = np.flatnonzero(ranks <= np.uint64(self._highest))
        self._extend((int(ranks[number]), frames.record(number)) for number in numbers)

    def add(self, other: "RecordSample") -> None:
        """Adds what is in another sample; the order of all additions does not matter."""
        self.seen += other.seen
        self._extend(other.candidates)

    def _extend(self, candidates: Iterable[tuple[int, bytes]]) -> None:
        self.candidates.extend(candidates)
        if len(self.candidates) > 2 * self.limit:
            self.candidates = self.lowest()
            self._highest = self.candidates[-1][0]

    def lowest(self) -> list[tuple[int, bytes]]:
        """Returns the ranks and records of the sample by ascending rank."""
        return sorted(self.candidates)[: self.limit]


def ranks_of(checksums: npt.NDArray[np.uint32], seed: int) -> npt.NDArray[np.uint64]:
    """Returns the ranks of records, which are as good as random.

    Args:
        checksums: Their checksums.
        seed: Another seed gives other ranks.
    """
    mixed = _mix(np.array([seed % (1 << 64)], np.uint64))
    return _mix(_mix(checksums.astype(np.uint64)) ^ mixed)


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    values = values + _GOLDEN
    values = (values ^ values >> np.uint64(30)) * _FIRST
    values = (values ^ values >> np.uint64(27)) * _SECOND
    return values ^ values >> np.uint64(31)


class SeenRecords(Part):
    """Of how many records a sample was drawn."""

    seen: int


class DrawRecords(beam.PTransform):
    """Draws records of files into one file.

    Args:
        files: TFRecord files.
        settings: How many records are drawn, and the seed.
        directory: Where the sample is written.
    """

    def __init__(self, files: Sequence[str], settings: StatisticsSettings, directory: str):
        super().__init__()
        self._files = files
        self._settings = settings
        self._directory = directory

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        """Builds the transform."""
        return (
            root
            | "Files" >> beam.Create(self._files)
            | "Lowest" >> beam.FlatMap(_draw_of_file, self._settings)
            | "All" >> beam.CombineGlobally(_Merge(self._settings.sample))
            | "Write" >> beam.Map(_write, self._directory)
        )


def _draw_of_file(file: str, settings: StatisticsSettings) -> Iterator[RecordSample]:
    sample = RecordSample(settings.sample)
    with opened(file) as stream:
        for frames in frames_of(stream, file):
            sample.add_frames(frames, settings.seed)
    yield RecordSample(settings.sample, sample.seen, sample.lowest())


class _Merge(beam.CombineFn):
    """Combines samples into one.

    Args:
        limit: How many records it has.
    """

    def __init__(self, limit: int):
        self._limit = limit

    def create_accumulator(self) -> RecordSample:
        """Returns an empty sample."""
        return RecordSample(self._limit)

    def add_input(self, accumulator: RecordSample, element: RecordSample) -> RecordSample:
        """Adds a sample."""
        accumulator.add(element)
        return accumulator

    def merge_accumulators(self, accumulators: Iterable[RecordSample]) -> RecordSample:
        """Merges samples in any order to the same one."""
        merged = self.create_accumulator()
        for accumulator in accumulators:
            merged.add(accumulator)
        return merged

    def extract_output(self, accumulator: RecordSample) -> RecordSample:
        """Returns the sample."""
        return RecordSample(self._limit, accumulator.seen, accumulator.lowest())


def _write(sample: RecordSample, directory: str) -> None:
    # Only the one worker that writes pays for TensorFlow's import.
    import tensorflow as tf

    with any_place.written_file(posixpath.join(directory, _RECORDS)) as here:
        tf.io.gfile.makedirs(posixpath.dirname(here))
        with tf.io.TFRecordWriter(here, "GZIP") as writer:
            for _, record in sample.candidates:
                writer.write(record)
    with written(_seen_path(directory)) as stream:
        stream.write(SeenRecords(seen=sample.seen).model_dump_json().encode())


def _seen_path(directory: str) -> str:
    """Returns where it is said how many there were: beside the folder, all of which is records."""
    return f"{directory}.json"


def read_seen(directory: str) -> int:
    """Returns of how many records the sample in a directory was drawn."""
    with opened(_seen_path(directory)) as stream:
        return SeenRecords.model_validate_json(stream.read()).seen
