"""ImportSchemaGen for a schema whose digest is known: it imports that one or none.

TFX's own reads what lies at the path when it runs. Something else put there in time would be the
schema of this run, and of every later one, which takes it from the cache by the path.
"""

import posixpath
import re

from tfx.components.schema_gen.import_schema_gen import component, executor
from tfx.dsl.components.base import executor_spec
from tfx.dsl.io import fileio
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from tfx_tflite.components.artifact_digests import on_known_bytes
from tfx_tflite.components.artifact_files import Artifacts
from tfx_tflite.components.digests import stream_digest
from tfx_tflite.components.errors import ArtifactError

_DIGEST = re.compile(r"[0-9a-f]{64}")


class Executor(executor.Executor):
    """Imports a schema that lies in a directory named by its digest."""

    @on_known_bytes
    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, object]
    ) -> None:
        """Copies the schema, and compares what was copied.

        Raises:
            ArtifactError: It is not that of the directory's name.
        """
        super().Do(input_dict, output_dict, exec_properties)
        path = str(exec_properties[standard_component_specs.SCHEMA_FILE_KEY])
        digest = posixpath.basename(posixpath.dirname(path))
        key = standard_component_specs.SCHEMA_KEY
        copied = io_utils.get_only_uri_in_dir(artifact_utils.get_single_uri(output_dict[key]))
        with fileio.open(copied, "rb") as file:
            found = stream_digest(file)
        # In a container the schema is where the pipeline's places have it.
        if _DIGEST.fullmatch(digest) and found != f"sha256:{digest}":
            raise ArtifactError(
                f"{path} changed since the run began: {found}, expected sha256:{digest}; run again"
            )


class SchemaImport(component.ImportSchemaGen):
    """TFX's ImportSchemaGen, which looks whether it has imported what was meant."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(Executor)
