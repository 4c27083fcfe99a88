"""Whether two runs of one pipeline made the same sample, ranges, model and figures."""

import json
from collections.abc import Iterator, Mapping, Set
from pathlib import Path

# What no run shares with another, whatever its engine: times that were measured, when and where it
# was, and the files of the float model, which Keras does not write twice with the same bytes.
_OF_ONE_RUN = {
    "report.json": frozenset(
        (
            *("latency_ms", "latency_by_threads", "evaluated_at", "run", "provenance", "pushed"),
            *("history", "lineage", "digests.float_model"),
        )
    ),
    "quantization.json": frozenset(("digests.float_model",)),
}
# The files that are compared, in the artifacts of a run: stage, output, and the file below its id.
_COMPARED = (
    ("CalibrationSampler", "calibration_examples", "**/*"),
    ("TFLiteQuantizer", "quantized_model", "ranges.json"),
    ("TFLiteQuantizer", "quantized_model", "quantization.json"),
    ("TFLiteQuantizer", "quantized_model", "Format-Serving/tflite"),
    ("QuantizationEvaluator", "evaluation", "comparison.json"),
    ("QuantizationEvaluator", "evaluation", "report.json"),
    ("Pusher", "pushed_model", "golden/*"),
    ("Pusher", "pushed_model", "model.tflite"),
)


class NothingToCompareError(Exception):
    """A run has not written what is compared."""


def outputs(root: Path) -> dict[str, Path]:
    """Returns the files that are compared, by names that have no ids of a run in them.

    Args:
        root: The root of a pipeline that ran once.

    Raises:
        NothingToCompareError: Something is missing.
    """
    found = {}
    for stage, output, pattern in _COMPARED:
        folder = root / "artifacts" / stage / output
        files = {
            f"{stage}/{output}/{path.relative_to(artifact)}": path
            for artifact in folder.glob("*")
            for path in sorted(artifact.glob(pattern))
            if path.is_file()
        }
        if not files:
            raise NothingToCompareError(f"{folder} has no {pattern}")
        found.update(files)
    return found


def differences(expected: Mapping[str, Path], found: Mapping[str, Path]) -> Iterator[str]:
    """Yields what differs between the files of two runs, as a name or a name and a key.

    Args:
        expected: What one run wrote, as `outputs` returns it.
        found: What another one wrote.
    """
    for name in sorted(expected.keys() | found.keys()):
        if name not in expected or name not in found:
            yield f"{name} is of one of them only"
        elif Path(name).name in _OF_ONE_RUN:
            ignored = _OF_ONE_RUN[Path(name).name]
            before, after = (json.loads(files[name].read_text()) for files in (expected, found))
            yield from (f"{name}: {key}" for key in _different_keys(before, after, ignored))
        elif expected[name].read_bytes() != found[name].read_bytes():
            yield name


def _different_keys(
    before: Mapping[str, object], after: Mapping[str, object], ignored: Set[str], above: str = ""
) -> Iterator[str]:
    """Yields the keys whose values differ, those of mappings within as `key.key`."""
    for name in sorted(before.keys() | after.keys()):
        key, one, other = above + name, before.get(name), after.get(name)
        if key in ignored:
            continue
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from _different_keys(one, other, ignored, f"{key}.")
        elif one != other or (name in before) != (name in after):
            yield key
