"""All that stages import: a process that imports this has it."""

from tfx_tflite.components.deferred_imports import deferred_imports, uncollected_imports
from tfx_tflite.pipelines.tfx.imports import UNUSED_BY_RUNS

with deferred_imports(UNUSED_BY_RUNS), uncollected_imports():
    import tfx_tflite.pipelines.runs.run  # noqa: F401
