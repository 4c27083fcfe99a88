"""What the containers of a pipeline are given by Kubernetes: variables, secrets, resources, nodes.

What Kubernetes refuses is refused here, before anything is sent. Values of secrets have no place in
a config: it names the secret, and Kubernetes puts the value into the container.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from tfx_tflite.components.settings import Settings
from tfx_tflite.pipelines.config.secrets import is_secret

NVIDIA_GPU = "nvidia.com/gpu"
_MEMORY_UNITS: dict[str, int] = {
    **{unit: 1000**power for power, unit in enumerate("KMGT", start=1)},
    **{f"{unit}i": 1024**power for power, unit in enumerate("KMGT", start=1)},
}
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What Kubeflow gives its containers itself and reads there.
_KUBEFLOWS_OWN = re.compile(r"KFP_.*|METADATA_GRPC_SERVICE_.*|ML_PIPELINE_.*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DOMAIN = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_KUBEFLOW_LABELS = "pipelines.kubeflow.org/"


def _object_name(name: str) -> str:
    if not _DOMAIN.fullmatch(name):
        raise ValueError(
            "expected the name of something in Kubernetes: lower-case letters, digits, '-' and '.'"
        )
    return name


def _variable(name: str) -> str:
    if not _VARIABLE.fullmatch(name):
        raise ValueError(
            "expected the name of an environment variable: letters, digits and '_', no digit first"
        )
    if _KUBEFLOWS_OWN.fullmatch(name):
        raise ValueError("is a variable that Kubeflow gives its containers itself")
    return name


def _text(value: object) -> object:
    if isinstance(value, int | float):
        # As in Kubernetes: 007, 1.10 and true would not be what was written.
        raise ValueError("expected text: put numbers, yes and no in quotes, like '4'")
    return value


def _plain(value: str) -> str:
    if "{{$" in value:
        raise ValueError("has {{$, which Kubeflow would put something of its own in place of")
    return value


def _label_key(key: str) -> str:
    prefix, slash, name = key.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and not _DOMAIN.fullmatch(prefix)):
        raise ValueError(
            "expected the key of a Kubernetes label, like gpu-type or example.com/gpu-type"
        )
    return key


def _label_value(value: str) -> str:
    if value and not _LABEL_NAME.fullmatch(value):
        raise ValueError(
            "expected the value of a Kubernetes label: up to 63 letters, digits, '-', '_' and '.'"
        )
    return value


def _own_label_key(key: str) -> str:
    if key.startswith(_KUBEFLOW_LABELS):
        raise ValueError("is a label that Kubeflow sets itself")
    return key


ObjectName = Annotated[str, AfterValidator(_object_name)]
Variable = Annotated[str, AfterValidator(_variable)]
Text = Annotated[str, BeforeValidator(_text), AfterValidator(_plain)]
LabelKey = Annotated[str, AfterValidator(_label_key)]
LabelValue = Annotated[str, BeforeValidator(_text), AfterValidator(_label_value)]
OwnLabelKey = Annotated[LabelKey, AfterValidator(_own_label_key)]
Cores = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Memory = Annotated[str, Field(pattern=r"^[1-9][0-9]*(\.[0-9]+)?[KMGT]i?$")]


def bytes_of(memory: str) -> float:
    """Returns how many bytes a size is.

    Args:
        memory: As Kubernetes writes it, like `4Gi` or `500M`.
    """
    number = memory.rstrip("KMGTi")
    return float(number) * _MEMORY_UNITS[memory[len(number) :]]


def secret_in(variables: Mapping[str, str]) -> str | None:
    """Returns a variable that holds a secret, by its name or its value; None if none does.

    The place of a file with a secret is none.
    """
    return next((name for name, value in variables.items() if is_secret(name, value)), None)


class SecretKey(Settings):
    """Where Kubernetes has the value of a variable."""

    secret: ObjectName
    key: str = Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")


class Toleration(Settings):
    """A taint of nodes that does not keep containers away; as in Kubernetes."""

    key: LabelKey | None = None
    operator: Literal["Equal", "Exists"] = "Equal"
    value: LabelValue = ""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    # Of NoExecute, after how long a container has to go nevertheless.
    seconds: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _is_possible(self) -> "Toleration":
        if self.operator == "Equal" and self.key is None:
            raise ValueError("Equal needs a key; Exists alone tolerates everything")
        if self.operator == "Exists" and self.value:
            raise ValueError("Exists has no value")
        if self.seconds is not None and self.effect != "NoExecute":
            raise ValueError("seconds go with effect NoExecute alone")
        return self


class ContainerResources(Settings):
    """What the containers of one component are given instead of what all are, or beside it."""

    cpu: Cores | None = None
    memory: Memory | None = None
    gpu: int | None = Field(default=None, ge=1, strict=True)
    gpu_type: str = Field(default=NVIDIA_GPU, min_length=1)
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: tuple[Toleration, ...] = ()
