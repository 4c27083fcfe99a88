"""Executors as the Beam runner of a pipeline makes them."""

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from tfx_tflite.pipelines.tfx import patches


def on_beam(executor_class: type[BaseBeamExecutor], *beam_args: str) -> BaseBeamExecutor:
    """Returns an executor whose jobs run in this process.

    As in a run, TFX does not write its source package for it: 57 MB that nothing deletes.
    """
    context = BaseBeamExecutor.Context(beam_pipeline_args=["--runner=FnApiRunner", *beam_args])
    with patches.no_package_of_tfx():
        return executor_class(context)
