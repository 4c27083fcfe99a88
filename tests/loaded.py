"""What processes that are forked need not import again: a fork server imports this once.

As `tfx-tflite run` does it: what no run needs is not loaded, and no garbage is collected meanwhile.
"""

import importlib

from tfx_tflite.components.deferred_imports import deferred_imports, uncollected_imports
from tfx_tflite.pipelines.tfx.imports import UNUSED_BY_RUNS

MODULES = (
    # What the processes run.
    "tests.forked",
    "tfx_tflite.pipelines.cli.main",
    "tfx_tflite.pipelines.runs.run",
    "tfx_tflite.pipelines.kubeflow.entry_point",
    "tfx_tflite.pipelines.kubeflow.verdict",
    "tfx_tflite.components.quantization.conversion.child_main",
    "tfx_tflite.components.models.smoke_test",
    # What those import when they need it.
    "tfx_tflite.components.quantization.conversion.from_ranges",
    "tfx_tflite.components.quantization.conversion.stock",
    "tfx_tflite.components.calibration_sampler.executor",
    "tfx_tflite.components.tflite_quantizer.executor",
    "tfx_tflite.components.quantization_evaluator.executor",
    "tfx_tflite.components.pusher.executor",
    "tfx.components.example_gen.import_example_gen.executor",
    "tfx.components.statistics_gen.executor",
    "tfx.components.schema_gen.executor",
    "tfx.components.trainer.executor",
)

# What the libraries of a run import in its middle.
IN_THE_MIDDLE = (
    # The digits and the tables that come along.
    "sklearn.datasets",
    "apache_beam.runners.portability.fn_api_runner.fn_runner",
)

with deferred_imports(UNUSED_BY_RUNS), uncollected_imports():
    for _name in (*MODULES, *IN_THE_MIDDLE):
        importlib.import_module(_name)
    # Every pipeline of Beam asks it whether this is a notebook.
    _ = importlib.import_module("IPython").get_ipython
