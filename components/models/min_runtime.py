"""The least release of TensorFlow Lite's runtime that can run a model.

Every operator in a flatbuffer has a version, and a runtime refuses a model that has an operator of
a version that came after it: "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'". So
the operators' versions decide. `operator_releases.json` has the first release with each version, as
TensorFlow's own converter knows it; `tests/components/models/recorded_releases.py` records it.

Converters also write a release into the file, as metadata named `min_runtime_version`. It is that
of the model which the converter wrote, and is left as it was by tools that change operators
afterwards: in an int16x8 model it is the float model's. So it is taken only if an operator is newer
than our record, as a newer converter wrote such an operator and knew.

Neither tells of int8 dense layers with a scale a channel, as TensorFlow 2.21 has: they have the
version of layers with one scale. Runtimes before 2.10.0 take such a model and give wrong answers
without a word: 6 % of the answers of the digits model agree with LiteRT's in tflite-runtime 2.7.0,
2.8.0 and 2.9.1, and all do in 2.10.0 to 2.14.0, with each family of kernels.
"""

import json
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter

from tfx_tflite.components.documents import Part
from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.releases import release_name, release_number

_RECORD = Path(__file__).with_name("operator_releases.json")
_ENTRY = "min_runtime_version"
# The runtime's first release.
_FIRST = "1.5.0"
# The first with right answers of int8 dense layers that have a scale a channel.
_SCALES_OF_DENSE_LAYERS = "2.10.0"


class _Record(Part):
    """What was recorded.

    Attributes:
        tensorflow: The TensorFlow that it was recorded from.
        operators: By operator, the first release with its version 1, 2 and so on; None if
            TensorFlow does not say.
    """

    tensorflow: str
    operators: dict[str, tuple[str | None, ...]]


@cache
def _record() -> _Record:
    return TypeAdapter(_Record).validate_python(json.loads(_RECORD.read_bytes()))


def first_release(operator: str, version: int) -> str | None:
    """Returns the first release of the runtime with a version of an operator.

    Args:
        operator: As the schema names it.
        version: Its version, from 1 on.

    Returns:
        The release; None if it came after the record, or TensorFlow does not say.
    """
    releases = _record().operators.get(operator, ())
    return releases[version - 1] if 1 <= version <= len(releases) else None


def min_runtime_version(graph: Graph) -> str | None:
    """Returns the least release of the runtime that can run a model.

    Custom operators do not count: whoever runs the model brings them.

    Args:
        graph: The model.

    Returns:
        The release; None if it is not known, as the model has an operator that is newer than the
        record and does not say itself what it needs.
    """
    versions = {(each.name, each.version) for each in graph.operators if not each.is_custom}
    releases = {first_release(*version) for version in versions}
    if any(_is_dense_with_scales(each) for each in graph.operators):
        releases.add(_SCALES_OF_DENSE_LAYERS)
    known = [release_number(release) for release in releases if release is not None]
    if None in releases:
        written = _written(graph)
        newest = release_number(_record().tensorflow)
        if written is None or written <= newest:
            return None
        known.append(written)
    return release_name(max(known, default=release_number(_FIRST)))


def _is_dense_with_scales(operator: Operator) -> bool:
    """Returns whether an operator is an int8 dense layer with a scale a channel."""
    values, weights = operator.operand(0), operator.operand(1)
    if operator.name != "FULLY_CONNECTED" or values is None or weights is None:
        return False
    return values.type == "INT8" and len(weights.scales) > 1


def _written(graph: Graph) -> int | None:
    """Returns the number of the release that is written in a model; None if none is."""
    found = []
    for entry in graph.metadata(_ENTRY):
        # One of several is empty where a model was quantized from a flatbuffer.
        with suppress(ValueError):
            found.append(release_number(entry.rstrip(b"\0").decode("ascii")))
    return max(found, default=None)
