"""Reading the splits of TFX `Examples` artifacts through TFXIO."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.util import examples_utils, tfxio_utils
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils
from tfx_bsl.tfxio import dataset_options, tfxio

from tfx_tflite.components.errors import DataError, listed
from tfx_tflite.components.model_inputs import RAW_RECORD_COLUMN

# The one split of the examples that a model is calibrated with.
CALIBRATION = "calibration"


def read_schema(artifacts: Sequence[types.Artifact] | None) -> schema_pb2.Schema | None:
    """Returns the schema of a `Schema` artifact, or None where there is no artifact."""
    if not artifacts:
        return None
    uri = artifact_utils.get_single_uri(list(artifacts))
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def split_tfxio(
    examples: Sequence[types.Artifact],
    split: str,
    schema: schema_pb2.Schema | None,
    component: str,
    features: Sequence[str] | None = None,
) -> tfxio.TFXIO:
    """Returns the TFXIO of one split, with the serialized examples in `RAW_RECORD_COLUMN`.

    Args:
        examples: The `Examples` artifacts.
        split: The split's name.
        schema: Types and shapes of the features; None lets the examples say.
        component: Who reads, for Beam's metrics.
        features: Decode only these; all of them by default.

    Raises:
        DataError: There is no such split or feature, or the payload is not tf.Example.
    """
    check_split(examples, split)
    if features is not None and schema is not None:
        schema = _only(schema, features)
    return tfxio_utils.get_split_tfxio(
        examples=list(examples),
        split=split,
        telemetry_descriptors=[component],
        schema=schema,
        read_as_raw_records=features is not None and not features,
        raw_record_column_name=RAW_RECORD_COLUMN,
    )


def check_split(examples: Sequence[types.Artifact], split: str) -> None:
    """Checks that the artifacts have the split, as tf.Examples.

    Raises:
        DataError: They do not; the splits that they have are listed.
    """
    for artifact in examples:
        splits = artifact_utils.decode_split_names(artifact.split_names)
        if split not in splits:
            raise DataError(
                f"there is no split {split!r} in the examples; they have: {listed(splits)}"
            )
        payload = examples_utils.get_payload_format(artifact)
        if payload != example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE:
            name = example_gen_pb2.PayloadFormat.Name(payload)
            raise DataError(f"the examples have payload {name}, expected FORMAT_TF_EXAMPLE")


def _only(schema: schema_pb2.Schema, names: Sequence[str]) -> schema_pb2.Schema:
    features = {feature.name: feature for feature in schema.feature}
    missing = [name for name in names if name not in features]
    if missing:
        raise DataError(
            f"feature {missing[0]!r} is not in the schema; it has: {listed(sorted(features))}"
        )
    return schema_pb2.Schema(feature=[features[name] for name in names])


def record_batches(
    examples: Sequence[types.Artifact],
    split: str,
    schema: schema_pb2.Schema | None,
    component: str,
    batch_size: int,
) -> Iterator[pa.RecordBatch]:
    """Yields a split's examples in file order, in this process.

    Raises:
        DataError: As `split_tfxio`, or the files cannot be read.
    """
    source = split_tfxio(examples, split, schema, component)
    options = dataset_options.RecordBatchesOptions(
        batch_size=batch_size, drop_final_batch=False, num_epochs=1, shuffle=False
    )
    try:
        yield from source.RecordBatches(options)
    except tf.errors.OpError as error:
        raise DataError(f"split {split!r} cannot be read: {error.message}") from error
