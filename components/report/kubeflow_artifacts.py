"""Artifacts that Kubeflow Pipelines' own pages show: a report page, and figures.

Kubeflow goes by the names of its artifact types. TFX's entry point for containers imports the class
of an artifact by that name, which these have none for, so that pipelines on Kubeflow need
`tfx_tflite.pipelines.kubeflow.entry_point` as their command.
"""

from tfx.types.artifact import Artifact
from tfx.types.value_artifact import ValueArtifact


class ReportPage(ValueArtifact):
    """One self-contained HTML file, which the URI names; Kubeflow shows it in a frame."""

    TYPE_NAME = "system.HTML"

    def encode(self, value: str) -> bytes:
        """Returns the page as a file holds it."""
        return value.encode("utf-8")

    def decode(self, serialized_value: bytes) -> str:
        """Returns the page that a file holds."""
        return serialized_value.decode("utf-8")


class Figures(Artifact):
    """Figures as custom properties; Kubeflow shows a table of them."""

    TYPE_NAME = "system.Metrics"


CLASS_PATHS = {cls.TYPE_NAME: f"{__name__}.{cls.__name__}" for cls in (ReportPage, Figures)}
