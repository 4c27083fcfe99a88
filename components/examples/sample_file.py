"""How a calibration sample lies on disk: a TFRecord file in split format, and a summary in JSON."""

import json
import posixpath

import apache_beam as beam
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from tfx_tflite.components.examples.sampling import CalibrationSample


def summary_path(uri: str) -> str:
    """Returns where the summary of the sample in artifact `uri` is."""
    return posixpath.join(uri, "sample.json")


class WriteSample(beam.PTransform):
    """Writes one `CalibrationSample` below an artifact's URI.

    Args:
        uri: The `Examples` artifact's URI.
        split: The split to write.
    """

    def __init__(self, uri: str, split: str):
        super().__init__()
        self._uri = uri
        self._split = split

    def expand(self, samples: beam.PCollection) -> beam.PCollection:
        """Builds the transform."""
        return samples | beam.Map(_write, self._uri, self._split)


def _write(sample: CalibrationSample, uri: str, split: str) -> None:
    # Only the one worker that writes pays for TensorFlow's import.
    import tensorflow as tf

    path = posixpath.join(uri, f"Split-{split}", "data_tfrecord-00000-of-00001.gz")
    tf.io.gfile.makedirs(posixpath.dirname(path))
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for record in sample.records:
            writer.write(record)
    summary = {
        "digest": sample.digest,
        "size": len(sample.records),
        "strata": {
            name: {"seen": seen, "drawn": sample.drawn[name]} for name, seen in sample.seen.items()
        },
    }
    with FileSystems.create(
        summary_path(uri), compression_type=CompressionTypes.UNCOMPRESSED
    ) as file:
        file.write(json.dumps(summary, indent=1, sort_keys=True).encode())
