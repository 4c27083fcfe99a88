"""Where this machine finds the reports of a run."""

from pathlib import Path
from typing import TYPE_CHECKING

from tfx_tflite.components import artifact_layout as layout
from tfx_tflite.components.object_stores import files as objects
from tfx_tflite.components.presence import not_known
from tfx_tflite.components.private_files import make_private_directory
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.config import PipelineConfig

if TYPE_CHECKING:
    from tfx.types import Artifact

# Below the root.
DIRECTORY = "reports"


def local_reports(artifact: "Artifact", config: PipelineConfig) -> Path:
    """Returns the folder on this machine with `report.json` and `report.html` of an artifact.

    That is the artifact, or copies below the root if it is in an object store.

    Raises:
        NotKnownError: The store does not give them.
    """
    if is_local(artifact.uri):
        return Path(artifact.uri)
    directory = Path(config.root) / DIRECTORY / f"{artifact.type_name}-{artifact.id}"
    make_private_directory(directory)
    for name in (layout.REPORT_FILE, layout.PAGE_FILE):
        uri = f"{artifact.uri}/{name}"
        try:
            (directory / name).write_bytes(objects.read(uri))
        except FileNotFoundError as error:
            raise not_known(uri, "read", "there is no such object any more") from error
    return directory
