"""What a config says of targets: what goes together, and what follows from it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.components.models.target import DEFAULT_TARGETS, Target
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.file import load_config

MICRO, ETHOS = "{runtime: tflite-micro}", "{accelerator: ethos-u55-128}"


@pytest.fixture
def config(tmp_path: Path) -> Callable[..., PipelineConfig]:
    path = tmp_path / "c.yaml"
    path.write_text(MINIMAL)
    return lambda *overrides: load_config(path, overrides)


def test_without_a_target_it_is_litert_with_its_own_kernels(config):
    assert config().devices == DEFAULT_TARGETS == (Target(),)


def test_one_target_or_several_are_the_devices(config):
    micro = Target(runtime="tflite-micro")
    assert config(f"target={MICRO}").devices == (micro,)
    assert config(f"targets=[{MICRO}, {{}}]").devices == (micro, Target())


@pytest.mark.parametrize(
    ("target", "size"),
    [("{}", "dynamic"), ("{kernels: reference}", "dynamic"), (MICRO, 1), (ETHOS, 1)],
)
def test_a_batch_size_of_1_is_built_in_if_a_target_needs_fixed_shapes(config, target, size):
    assert config(f"targets=[{target}]").converted.batch_size == size


def test_a_batch_size_that_is_given_stays(config):
    assert config(f"target={MICRO}", "quantization.batch_size=4").converted.batch_size == 4


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([f"target={MICRO}", f"targets=[{MICRO}]"], "target"),
        ([f"targets=[{MICRO}, {ETHOS}, {MICRO}]"], "targets.2: tflite-micro is listed twice"),
        (["targets=[]"], "targets"),
        (["target={runtime: tflite-micro, kernels: reference}"], "kernels of its own"),
        (["target={runtime: tflite_micro}"], "tflite-micro"),
        (["target={accelerator: ethos-u55-129}"], "ethos-u55-128"),
        (
            [f"target={MICRO}", "quantization.batch_size=dynamic"],
            "target tflite-micro needs a fixed one",
        ),
        (["gate.rules=[{min_accelerated: 1.0}]"], "min_accelerated: needs a target.accelerator"),
        (["push.extras=[vela]"], "push.extras: vela needs a target.accelerator"),
        (["push.extras=[c_array, c_array]"], "push.extras: c_array is listed twice"),
        (["push.extras=[c_aray]"], "c_array"),
    ],
)
def test_what_does_not_go_together_is_said_with_its_key(config, overrides: list, message: str):
    with pytest.raises(ConfigError) as caught:
        config(*overrides)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target(), "litert"),
        (Target(kernels="reference"), "litert, reference kernels"),
        (
            Target(runtime="tflite-micro", accelerator="ethos-u55-128"),
            "tflite-micro, ethos-u55-128",
        ),
    ],
)
def test_a_target_has_a_name_that_says_what_it_is(target: Target, name: str):
    assert target.name == name
