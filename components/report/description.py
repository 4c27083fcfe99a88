"""What of a report a push takes along."""

from collections.abc import Mapping

from tfx_tflite.components.destinations.manifest import Description, MetadataIds
from tfx_tflite.components.report.document import Report


def description_of(report: Report, metadata: MetadataIds) -> Description:
    """Returns what a manifest says of the model that a report is of.

    Args:
        report: The report.
        metadata: Where the push and what is pushed are.
    """
    return Description(
        name=report.provenance.pipeline if report.provenance else None,
        scheme=report.scheme,
        io_type=report.io_type,
        verdict=report.verdict.value,
        examples=report.examples,
        rules=report.rules,
        metrics=report.metrics,
        runtime=report.runtime,
        signature=report.signature,
        golden=report.golden,
        digests=report.digests,
        evaluated=report.evaluated,
        calibration_sample=report.calibration_sample,
        versions=report.versions,
        metadata=metadata,
    )


def example_shapes(report: Report) -> Mapping[str, tuple[int, ...]]:
    """Returns the shapes of an example by input name, the batch first, if the report has them."""
    inputs = report.signature.inputs if report.signature else ()
    return {each.name: each.example_shape for each in inputs if each.example_shape is not None}
