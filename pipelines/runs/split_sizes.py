"""How many examples the splits have, for whoever shows how far a stage has come."""

import contextlib
import json
import os
from pathlib import Path

from google.protobuf.message import DecodeError
from tensorflow_metadata.proto.v0 import statistics_pb2
from tfx.types import Artifact

from tfx_tflite.components.artifact_layout import SPLIT_SIZES
from tfx_tflite.components.progress import EXAMPLES, VARIABLE, Step, tell

# As StatisticsGen and TFX's readers call them.
_FILE, _SPLIT = "FeatureStats.pb", "Split-"


def tell_split_sizes(artifact: Artifact) -> None:
    """Tells how many examples each split has, if somebody shows it.

    Args:
        artifact: Examples that were counted, statistics of a sample, which say of how many it is,
            or statistics of all examples, as StatisticsGen leaves them on this machine, where a
            run has its artifacts. If those cannot be read, that is for others to say who need them.
    """
    if VARIABLE not in os.environ:
        return
    if counted := artifact.get_string_custom_property(SPLIT_SIZES):
        for split, size in json.loads(counted).items():
            tell(Step(EXAMPLES, of=size, split=split))
        return
    with contextlib.suppress(OSError, DecodeError):
        # The artifact itself does not name its splits before ML Metadata has it.
        for directory in Path(artifact.uri).iterdir():
            data = (directory / _FILE).read_bytes()
            found = statistics_pb2.DatasetFeatureStatisticsList.FromString(data)
            size = sum(part.num_examples for part in found.datasets)
            tell(Step(EXAMPLES, of=size, split=directory.name.removeprefix(_SPLIT)))
