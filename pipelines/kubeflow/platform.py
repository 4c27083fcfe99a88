"""What the containers of a compiled pipeline are given: resources, variables, secrets, nodes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig
from tfx_tflite.pipelines.config.kubernetes import Toleration, bytes_of
from tfx_tflite.pipelines.kubeflow.pipeline_spec import ExecutorConfig, PlatformSpec

if TYPE_CHECKING:
    from kfp.pipeline_spec.pipeline_spec_pb2 import PipelineDeploymentConfig

# What TFX puts after a component's name in the name of its executor.
_EXECUTOR = "_executor"


def equip(deployment: "PipelineDeploymentConfig", kubeflow: KubeflowConfig) -> None:
    """Gives every container its cores, memory and GPUs, and the variables that are no secrets.

    Args:
        deployment: A PipelineDeploymentConfig of KFP's; changed in place.
        kubeflow: What they are.
    """
    for component, container in _containers(deployment):
        given = kubeflow.resources_of(component)
        # Vertex AI chooses the machine by the limits, Kubernetes the node by the requests.
        resources = container.resources
        if given.cpu is not None:
            resources.cpu_request = resources.cpu_limit = given.cpu
        if given.memory is not None:
            # In units of 10^9 bytes.
            resources.memory_request = resources.memory_limit = bytes_of(given.memory) / 1e9
        if given.gpu is not None:
            resources.accelerator.type, resources.accelerator.count = given.gpu_type, given.gpu
        for name, value in sorted(kubeflow.env.items()):
            container.env.add(name=name, value=value)


def _containers(
    deployment: "PipelineDeploymentConfig",
) -> Iterator[tuple[str, "PipelineDeploymentConfig.PipelineContainerSpec"]]:
    """Yields each component that has a container, and the container."""
    for label, executor in sorted(deployment.executors.items()):
        if executor.HasField("container"):
            yield label.removesuffix(_EXECUTOR), executor.container


def platform_spec(deployment: "PipelineDeploymentConfig", kubeflow: KubeflowConfig) -> PlatformSpec:
    """Returns what is asked of Kubernetes in the form of KFP's platform spec; empty for nothing.

    The fields are those of `KubernetesExecutorConfig` in KFP's kubernetes_executor_config.proto, by
    the names that every release since they came reads.

    Args:
        deployment: A PipelineDeploymentConfig of KFP's, with the components' executors.
        kubeflow: What is asked.
    """
    executors = {
        f"{component}{_EXECUTOR}": asked
        for component, _ in _containers(deployment)
        if (asked := _executor_config(component, kubeflow))
    }
    if not executors:
        return {}
    return {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}


def _executor_config(component: str, kubeflow: KubeflowConfig) -> ExecutorConfig:
    given = kubeflow.resources_of(component)
    config: ExecutorConfig = {
        "pvcMount": [{"mountPath": v.mount, "constant": v.claim} for v in kubeflow.volumes],
        "secretAsEnv": [
            {
                "secretName": place.secret,
                "keyToEnv": [{"secretKey": place.key, "envVar": name}],
            }
            for name, place in sorted(kubeflow.secrets.items())
        ],
        "nodeSelector": {"labels": given.node_selector} if given.node_selector else {},
        "tolerations": [_toleration(toleration) for toleration in given.tolerations],
        "imagePullSecret": [{"secretName": name} for name in kubeflow.image_pull_secrets],
        "podMetadata": {"labels": kubeflow.labels} if kubeflow.labels else {},
    }
    return cast(ExecutorConfig, {key: value for key, value in config.items() if value})


def _toleration(toleration: Toleration) -> dict[str, str | int]:
    fields = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value or None,
        "effect": toleration.effect,
        "tolerationSeconds": toleration.seconds,
    }
    return {key: value for key, value in fields.items() if value is not None}
