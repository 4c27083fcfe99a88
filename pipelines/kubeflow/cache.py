"""What Kubeflow may serve again from earlier runs.

The key of open-source Kubeflow's cache has image, command, parameters, the ids of input artifacts
and the names of volume claims; what has the same is served without limit of time. It has neither
what is in a bucket or on a volume under a name that a parameter has, nor the time.
"""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import JsonValue

from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig
from tfx_tflite.pipelines.kubeflow.places import is_outside

if TYPE_CHECKING:
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb2


def uncache_what_is_outside(
    spec: "pb2.PipelineSpec", deployment: "pb2.PipelineDeploymentConfig", kubeflow: KubeflowConfig
) -> frozenset[str]:
    """Keeps what reads outside the image from being served earlier results.

    Args:
        spec: The pipeline, a PipelineSpec of KFP's; changed in place.
        deployment: Its PipelineDeploymentConfig; changed in place.
        kubeflow: Which volumes there are.

    Returns:
        The tasks that may be cached where their drivers are run, which look at the data: on Vertex
        AI, not on open-source Kubeflow.
    """
    outside = {
        name
        for name, task in spec.root.dag.tasks.items()
        if any(is_outside(text, kubeflow) for text in _constants(task))
    }
    guarded = {name for name in outside if _has_driver(spec, deployment, name)}
    for name in outside - guarded:
        spec.root.dag.tasks[name].ClearField("caching_options")
    for executor in deployment.executors.values():
        uri = executor.importer.artifact_uri.constant.string_value
        if executor.HasField("importer") and is_outside(uri, kubeflow):
            # What is at the URI may be another model by now.
            executor.importer.reimport = True
    return frozenset(guarded)


def _constants(task: "pb2.PipelineTaskSpec") -> Iterator[str]:
    """Yields every text in a task's constant parameters."""
    for parameter in task.inputs.parameters.values():
        constant = parameter.runtime_value.constant
        if constant.WhichOneof("kind") == "string_value":
            yield from _texts_in(constant.string_value)


def _texts_in(value: JsonValue) -> Iterator[str]:
    """Yields a text, or every text in the JSON that it is."""
    if isinstance(value, str):
        document = None
        with contextlib.suppress(ValueError):
            document = json.loads(value)
        if isinstance(document, dict | list):
            yield from _texts_in(document)
        else:
            yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts_in(entry)


def _has_driver(
    spec: "pb2.PipelineSpec", deployment: "pb2.PipelineDeploymentConfig", task: str
) -> bool:
    component = spec.components[spec.root.dag.tasks[task].component_ref.name]
    executor = deployment.executors[component.executor_label]
    return bool(executor.HasField("container") and executor.container.HasField("lifecycle"))
