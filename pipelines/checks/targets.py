"""Checks of what will run the model: whether it is here, and takes models of such a scheme."""

from collections.abc import Iterator
from dataclasses import replace

from tfx_tflite.components.models.target import Target
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.pipelines.checks.mistake import Mistake, error_of
from tfx_tflite.pipelines.checks.subject import Subject
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.doctor.installed import is_importable

# What runs a model for a target, by module and package.
_MICRO = ("tflite_micro", "tflite-micro")
_VELA = ("ethosu.vela", "ethos-u-vela")
# Weights that are stored in one type and computed with in another.
_HYBRID = (Scheme.DYNAMIC_RANGE, Scheme.FLOAT16)


def packages_are_installed(subject: Subject) -> Iterator[Mistake]:
    """Checks that there is what runs and compiles models for the targets.

    What a container's image has need not be here.
    """
    is_elsewhere = subject.config.kubeflow is not None
    for mistake in _missing_packages(subject.config):
        yield replace(mistake, is_warning=is_elsewhere)


def check_packages(config: PipelineConfig) -> None:
    """Checks that what the targets need is on this machine, which a run on it needs.

    Raises:
        ConfigError: It is not; each key and package is named.
    """
    if missing := list(_missing_packages(config)):
        raise error_of(missing)


def schemes_are_run(subject: Subject) -> Iterator[Mistake]:
    """Checks that the targets run models of the scheme."""
    scheme = subject.config.quantization.scheme
    if not isinstance(scheme, Scheme):
        # A search makes no model that a target does not run.
        return
    for device in subject.config.devices:
        if device.runtime == "tflite-micro" and scheme in _HYBRID:
            yield Mistake(
                "quantization.scheme",
                f"is {scheme.value}, but TensorFlow Lite Micro has no kernels that compute in "
                f"float with {scheme.traits.weights.lower()} weights (target {device.name}); take "
                "int8, int16x8, int8_float_io or float32",
            )
        elif device.accelerator is not None and not scheme.needs_calibration:
            yield Mistake(
                "quantization.scheme",
                f"is {scheme.value}, but {device.accelerator} computes with integers alone (target "
                f"{device.name}); take int8 or int16x8",
            )


def shapes_are_fixed(subject: Subject) -> Iterator[Mistake]:
    """Checks that a TensorFlow Lite file has the batch size that the targets need.

    Nothing can give it another one; other models are converted with it.
    """
    config, signature = subject.config, subject.signature
    needing = [device for device in config.devices if device.needs_fixed_shapes]
    if config.model.tflite is None or signature is None or not needing:
        return
    for tensor in signature.inputs:
        found = tensor.shape[0] if tensor.shape else None
        if found is None:
            yield Mistake(
                "model.tflite",
                f"input {tensor.name!r} takes a batch of any size, but target {needing[0].name} "
                "needs a fixed one; convert the model again with a batch size of 1",
            )
        elif found != config.converted.batch_size:
            yield Mistake(
                "model.tflite",
                f"input {tensor.name!r} takes {found} examples at once, and target "
                f"{needing[0].name} is given {config.converted.batch_size}; set "
                f"quantization.batch_size: {found}",
            )


def _missing_packages(config: PipelineConfig) -> Iterator[Mistake]:
    for key, device in _keyed_devices(config):
        if device.runtime == "tflite-micro" and not is_importable(_MICRO[0]):
            yield Mistake(f"{key}.runtime", _lacking(device.runtime, _MICRO[1]))
        if device.accelerator is not None and not is_importable(_VELA[0]):
            yield Mistake(f"{key}.accelerator", _lacking(device.accelerator, _VELA[1]))


def _lacking(wanted: str, package: str) -> str:
    return f"{wanted} needs the package {package}, which is not installed; pip install {package}"


def _keyed_devices(config: PipelineConfig) -> Iterator[tuple[str, Target]]:
    if config.targets is None:
        yield from (("target", device) for device in config.devices)
    else:
        yield from ((f"targets.{index}", each) for index, each in enumerate(config.targets))
