"""The section `kubeflow` of a config: how the pipeline runs on Kubeflow Pipelines or Vertex AI."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator
from typing_extensions import Self

from tfx_tflite.components.errors import listed
from tfx_tflite.components.examples.settings import EXAMPLE_GENS
from tfx_tflite.components.settings import LocalPath, Settings, problem
from tfx_tflite.components.uris import is_local, without_credentials
from tfx_tflite.pipelines.config.kubernetes import (
    ContainerResources,
    Cores,
    LabelKey,
    LabelValue,
    Memory,
    ObjectName,
    OwnLabelKey,
    SecretKey,
    Text,
    Toleration,
    Variable,
    secret_in,
)

# Bytes; of experiments, which are called as the config by default. Names of runs may be longer.
_LONGEST_NAME = 128


def short_enough(name: str) -> str:
    """Returns a name that Kubeflow takes.

    Raises:
        ValueError: It is too long.
    """
    length = len(name.encode("utf-8"))
    if not 1 <= length <= _LONGEST_NAME:
        raise ValueError(
            f"is {length} bytes long, but Kubeflow takes names of 1 to {_LONGEST_NAME}"
        )
    return name


class VolumeConfig(Settings):
    """A persistent volume that every container has, on Kubeflow Pipelines of one's own."""

    claim: str = Field(min_length=1)
    mount: str = Field(pattern=r"^/")


# The components that have containers.
CONTAINERS = (
    *EXAMPLE_GENS.values(),
    "StatisticsGen",
    "SchemaGen",
    "Trainer",
    "CalibrationSampler",
    "QuantizationTuner",
    "QuantizationTuner",
    "TFLiteQuantizer",
    "QuantizationEvaluator",
    "Pusher",
)


class KubeflowConfig(Settings):
    """How the pipeline runs on Kubeflow Pipelines or Vertex AI."""

    image: str = Field(min_length=1)
    # None leaves it to the server.
    pipeline_root: Annotated[str, AfterValidator(without_credentials)] | None = Field(
        default=None, pattern=r"^(gs|s3|minio)://[^/]+"
    )
    namespace: str | None = None
    experiment: Annotated[str, AfterValidator(short_enough)] | None = None
    service_account: str | None = None
    # Cores, and bytes as Kubernetes writes them; requested for every component, and its limit.
    cpu: Cores | None = None
    memory: Memory | None = None
    # What single components are given, by name.
    resources: dict[str, ContainerResources] = {}
    # Of every container; what is secret comes from Kubernetes.
    env: dict[Variable, Text] = {}
    secrets: dict[Variable, SecretKey] = {}
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
    image_pull_secrets: tuple[ObjectName, ...] = ()
    labels: dict[OwnLabelKey, LabelValue] = {}
    cache: bool = False
    # What a model that is not pushed makes of the task of the push.
    when_refused: Literal["succeed", "fail"] = "succeed"
    # How often a task that fails is tried again.
    retries: int = Field(default=0, ge=0, le=100)
    # From files or directories of this machine to where the containers have them.
    paths: dict[LocalPath, str] = {}
    volumes: tuple[VolumeConfig, ...] = ()
    # The cluster's, which its clock reads cron expressions in.
    time_zone: str = "UTC"

    @field_validator("paths")
    @classmethod
    def _places(cls, paths: dict[str, str]) -> dict[str, str]:
        for place in map(without_credentials, paths.values()):
            if not place.startswith("/") and is_local(place):
                raise ValueError(f"{place!r} is neither an absolute path nor a URI")
        return paths

    @model_validator(mode="after")
    def _components_exist(self) -> Self:
        for name in self.resources:
            if name not in CONTAINERS:
                raise problem(
                    f"kubeflow.resources.{name}",
                    f"is no component; there are: {listed(CONTAINERS, 20)}",
                )
        return self

    @model_validator(mode="after")
    def _secrets_are_in_kubernetes(self) -> Self:
        name = secret_in(self.env)
        if name is not None:
            raise problem(
                f"kubeflow.env.{name}",
                "a secret has no place in a config: give its name in Kubernetes under "
                f"kubeflow.secrets, like {{{name}: {{secret: …, key: …}}}}",
            )
        for name in self.secrets:
            if name in self.env:
                raise problem(f"kubeflow.secrets.{name}", "is under kubeflow.env as well")
        return self

    def resources_of(self, component: str) -> ContainerResources:
        """Returns what the containers of a component are given in all.

        Args:
            component: Its name, like `Trainer`.
        """
        own = self.resources.get(component, ContainerResources())
        return own.model_copy(
            update={
                "cpu": self.cpu if own.cpu is None else own.cpu,
                "memory": self.memory if own.memory is None else own.memory,
                "node_selector": {**self.node_selector, **own.node_selector},
                "tolerations": (*self.tolerations, *own.tolerations),
            }
        )

    def place_of(self, path: str) -> str | None:
        """Returns where containers have a path of this machine; None if that is not said."""
        for local in sorted(self.paths, key=len, reverse=True):
            if Path(path).is_relative_to(local):
                rest = Path(path).relative_to(local).as_posix()
                place = self.paths[local].rstrip("/")
                return place if rest == "." else f"{place}/{rest}"
        return None
