"""The examples and the schema of TFX artifacts, as files that the modules below can read."""

from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.io import fileio
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import io_utils

from tfx_tflite.components.errors import DataError, listed
from tfx_tflite.components.examples.splits import SplitFiles


def read_schema(artifacts: Sequence[types.Artifact] | None) -> schema_pb2.Schema | None:
    """Returns the schema of a `Schema` artifact, or None if there is no artifact."""
    if not artifacts:
        return None
    uri = artifact_utils.get_single_uri(list(artifacts))
    return io_utils.SchemaReader().read(io_utils.get_only_uri_in_dir(uri))


def split_files(
    examples: Sequence[types.Artifact],
    split: str,
    schema: schema_pb2.Schema | None,
    component: str,
    features: Sequence[str] | None = None,
) -> SplitFiles:
    """Returns the files of a split of `Examples` artifacts.

    Args:
        examples: The artifacts.
        split: The split.
        schema: The schema of the examples.
        component: Who reads.
        features: Decode only these; all of them by default.

    Raises:
        DataError: There is no such split or feature, or the payload is not tf.Example.
    """
    _check_split(examples, split)
    if features is not None:
        schema = _only(schema, features) if schema is not None or not features else None
    patterns = examples_utils.get_split_file_patterns(list(examples), split)
    files = sorted(file for pattern in patterns for file in fileio.glob(pattern))
    serialized = None if schema is None else schema.SerializeToString(deterministic=True)
    return SplitFiles(split, tuple(files), serialized, component)


def _check_split(examples: Sequence[types.Artifact], split: str) -> None:
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


def _only(schema: schema_pb2.Schema | None, names: Sequence[str]) -> schema_pb2.Schema:
    features = {feature.name: feature for feature in (schema.feature if schema else [])}
    missing = [name for name in names if name not in features]
    if missing:
        raise DataError(
            f"feature {missing[0]!r} is not in the schema; it has: {listed(sorted(features))}"
        )
    return schema_pb2.Schema(feature=[features[name] for name in names])
