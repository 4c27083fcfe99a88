"""The worker processes of a run on this machine. Importing this loads neither TFX nor Beam."""

from contextlib import AbstractContextManager, closing, nullcontext

from tfx_tflite.pipelines.config.beam import BeamConfig
from tfx_tflite.pipelines.tfx.forked_workers import ForkedWorkers

_STAGES = "tfx_tflite.pipelines.runs.stage_imports"


def workers_of(beam: BeamConfig) -> AbstractContextManager[ForkedWorkers | None]:
    """Returns what forks the worker processes of a run, and loads TFX for them from now on.

    Args:
        beam: The run's settings, by which there may be no such processes.
    """
    return closing(ForkedWorkers([_STAGES])) if beam.has_worker_processes else nullcontext()
