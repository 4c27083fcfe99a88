"""How a calibration sample lies on disk: a TFRecord file in split format, and a summary in JSON.

Of several draws each is a split of its own; the first has the name that one alone has.
"""

import posixpath

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfx_tflite.components.digests import records_digest
from tfx_tflite.components.documents import Part
from tfx_tflite.components.examples.sampling import CalibrationSample
from tfx_tflite.components.object_stores import any_place


class Stratum(Part):
    """How many examples of a stratum were drawn, of how many that it has in the data."""

    drawn: int
    seen: int


class SampleSummary(Part):
    """What was drawn.

    Attributes:
        digest: Of the records in their order, those of all draws.
        size: How many records a draw has.
        strata: Their names in order.
        draws: A digest of each draw's records; none if there is one draw.
        shared: The share of the draws' examples that more than one draw has.
    """

    digest: str
    size: int
    strata: dict[str, Stratum]
    draws: tuple[str, ...] = ()
    shared: float = 0.0

    @classmethod
    def of(cls, sample: CalibrationSample) -> "SampleSummary":
        """Returns the summary of a sample."""
        strata = {
            name: Stratum(drawn=sample.drawn[name], seen=seen)
            for name, seen in sorted(sample.seen.items())
        }
        return cls(
            digest=sample.digest,
            size=len(sample.records),
            strata=strata,
            draws=tuple(map(records_digest, sample.draws)) if sample.others else (),
            shared=sample.shared if sample.others else 0.0,
        )


def summary_path(uri: str) -> str:
    """Returns where the summary of the sample in artifact `uri` is."""
    return posixpath.join(uri, "sample.json")


def sample_path(uri: str, split: str) -> str:
    """Returns where the records of the sample in artifact `uri` are."""
    return posixpath.join(uri, f"Split-{split}", "data_tfrecord-00000-of-00001.gz")


def split_of_draw(split: str, draw: int) -> str:
    """Returns the name of the split that a draw is in.

    Args:
        split: The split of the first draw.
        draw: Which draw, from 0.
    """
    return f"{split}_draw_{draw}" if draw else split


def write_sample(sample: CalibrationSample, uri: str, split: str) -> None:
    """Writes a sample below an artifact's URI.

    Args:
        sample: The sample.
        uri: The `Examples` artifact's URI.
        split: The split to write, of the first draw.
    """
    # Only the one worker that writes pays for TensorFlow's import.
    import tensorflow as tf

    for draw, records in enumerate(sample.draws):
        path = sample_path(uri, split_of_draw(split, draw))
        with any_place.written_file(path) as here:
            tf.io.gfile.makedirs(posixpath.dirname(here))
            with tf.io.TFRecordWriter(here, "GZIP") as writer:
                for record in records:
                    writer.write(record)
    with FileSystems.create(
        summary_path(uri), compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(SampleSummary.of(sample).model_dump_json(indent=1).encode())
