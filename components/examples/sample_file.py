"""How a calibration sample lies on disk: a TFRecord file in split format, and a summary in JSON."""

import posixpath

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfx_tflite.components.documents import Part
from tfx_tflite.components.examples.sampling import CalibrationSample


class Stratum(Part):
    """How many examples of a stratum were drawn, of how many that it has in the data."""

    drawn: int
    seen: int


class SampleSummary(Part):
    """What was drawn.

    Attributes:
        digest: Of the records in their order.
        size: How many records.
        strata: Their names in order.
    """

    digest: str
    size: int
    strata: dict[str, Stratum]

    @classmethod
    def of(cls, sample: CalibrationSample) -> "SampleSummary":
        """Returns the summary of a sample."""
        strata = {
            name: Stratum(drawn=sample.drawn[name], seen=seen)
            for name, seen in sorted(sample.seen.items())
        }
        return cls(digest=sample.digest, size=len(sample.records), strata=strata)


def summary_path(uri: str) -> str:
    """Returns where the summary of the sample in artifact `uri` is."""
    return posixpath.join(uri, "sample.json")


def sample_path(uri: str, split: str) -> str:
    """Returns where the records of the sample in artifact `uri` are."""
    return posixpath.join(uri, f"Split-{split}", "data_tfrecord-00000-of-00001.gz")


def write_sample(sample: CalibrationSample, uri: str, split: str) -> None:
    """Writes a sample below an artifact's URI.

    Args:
        sample: The sample.
        uri: The `Examples` artifact's URI.
        split: The split to write.
    """
    # Only the one worker that writes pays for TensorFlow's import.
    import tensorflow as tf

    path = sample_path(uri, split)
    tf.io.gfile.makedirs(posixpath.dirname(path))
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for record in sample.records:
            writer.write(record)
    with FileSystems.create(
        summary_path(uri), compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(SampleSummary.of(sample).model_dump_json(indent=1).encode())
