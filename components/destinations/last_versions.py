"""What the manifests of the versions that were pushed last say of them, for a trend."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tfx_tflite.components.destinations.manifest import Manifest
from tfx_tflite.components.documents import Part
from tfx_tflite.components.errors import DestinationError
from tfx_tflite.components.verdict import OVERALL, RuleResult

if TYPE_CHECKING:  # Reports are read without any store.
    from tfx_tflite.components.destinations.destination import Destination

MOST_VERSIONS = 12


class PastVersion(Part):
    """A pushed version as its manifest has it.

    Attributes:
        version: Its number.
        pushed_at: When, in UTC.
        scheme: What it was quantized to.
        size_bytes: The model file's size.
        figures: What each rule found over all examples of its own time, by the rule's title.
    """

    version: int
    pushed_at: str
    scheme: str | None = None
    size_bytes: int
    figures: dict[str, float] = {}

    @classmethod
    def of(cls, manifest: Manifest) -> "PastVersion":
        """Returns what a manifest says."""
        return cls(
            version=manifest.version,
            pushed_at=manifest.pushed_at,
            scheme=manifest.scheme,
            size_bytes=manifest.model.size_bytes,
            figures=overall_figures(manifest.rules),
        )


def overall_figures(rules: Iterable[RuleResult]) -> dict[str, float]:
    """Returns what rules found of the quantized model over all examples, by their names.

    Releases of runtimes are left out: the numbers that stand for them are no figures.
    """
    return {
        rule.name: rule.quantized_value
        for rule in rules
        if rule.slice == OVERALL
        and rule.limit_release is None
        and math.isfinite(rule.quantized_value)
    }


def last_versions(destination: "Destination") -> tuple[PastVersion, ...]:
    """Returns the versions that were released last and are still there, the oldest first.

    One whose manifest cannot be made out is left out: it may have been removed meanwhile.

    Args:
        destination: Where they are.

    Raises:
        DestinationError: Pointer or ledger are not what was signed, or damaged.
        NotKnownError: The destination cannot be read.
    """
    reading = destination.reading()
    numbers = [number for number in reading.state.numbers if number in reading.state.releases]
    found = []
    for number in numbers[-MOST_VERSIONS:]:
        try:
            found.append(PastVersion.of(reading.manifest(number)))
        except DestinationError:
            continue
    return tuple(found)
