"""What a container runs on Kubeflow: TFX's own entry point, made to work on every back end.

Give it to TFX's runner:

    KubeflowV2DagRunnerConfig(
        default_commands=["python", "-m", "tfx_tflite.components.kubeflow_entry_point"]
    )

It knows our artifact types. Beyond that it makes up for what open-source Kubeflow Pipelines leaves
out and Vertex AI does, where nothing is left to do:

- Input artifacts come without their type; it is in the component's input definitions.
- Nothing runs the driver of ExampleGen, which finds span, version and fingerprint.
- Artifacts may have no name, which TFX makes ids of; their URIs are as good.
- Artifacts at `minio://` and `s3://` have been copied to the container, and are copied back, by
  Kubeflow's launcher; TFX has no file system for the first, and for the second seldom.

And for both: a blessing names its model by the artifact's name, where TFX's Pusher and ours compare
ids.
"""

import argparse
import posixpath
import sys
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components.evaluator import constants
from tfx.components.example_gen import driver, utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import (
    kubeflow_v2_entrypoint_utils,
    kubeflow_v2_run_executor,
)
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.types.standard_artifacts import ModelBlessing
from tfx.utils import import_utils

from tfx_tflite.components.beam_packages import no_package_of_tfx
from tfx_tflite.components.kubeflow_artifacts import CLASS_PATHS

# Where Kubeflow's launcher keeps its copies of artifacts in the container.
_COPIES = {"minio://": "/minio/", "s3://": "/s3/"}
_DRIVER = f"{driver.__name__}.FileBasedDriver"
_FINDINGS = (
    utils.SPAN_PROPERTY_NAME,
    utils.VERSION_PROPERTY_NAME,
    utils.FINGERPRINT_PROPERTY_NAME,
    standard_component_specs.INPUT_CONFIG_KEY,
)
_MODEL_IDS = (
    constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY,
    constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY,
)


def main(argv: Sequence[str]) -> None:
    """Runs the executor that the arguments name; see TFX's entry point.

    Args:
        argv: The program's name and its arguments: those of TFX's entry point; `--driver` to run
            the driver of ExampleGen instead; and `--driver_class_path`, where that is not TFX's.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--driver", action="store_true")
    parser.add_argument("--driver_class_path", default=_DRIVER)
    parser.add_argument("--executor_class_path")
    parser.add_argument("--json_serialized_invocation_args", dest="invocation", required=True)
    parser.add_argument("--json_serialized_inputs_spec_args", dest="inputs_spec")
    arguments, beam_args = parser.parse_known_args(list(argv)[1:])
    compiler_utils.TITLE_TO_CLASS_PATH.update(CLASS_PATHS)
    invocation = json_format.Parse(
        arguments.invocation, pipeline_spec_pb2.ExecutorInput(), ignore_unknown_fields=True
    )
    inputs_spec = json_format.Parse(
        arguments.inputs_spec or "{}",
        pipeline_spec_pb2.ComponentInputsSpec(),
        ignore_unknown_fields=True,
    )
    complete(invocation, inputs_spec)
    if arguments.driver:
        run_driver(invocation, inputs_spec, arguments.driver_class_path)
        return
    copies = use_copies(invocation)
    if needs_driver(arguments.executor_class_path, invocation):
        run_driver(invocation, inputs_spec, arguments.driver_class_path)
    arguments.json_serialized_invocation_args = json_format.MessageToJson(invocation)
    arguments.json_serialized_inputs_spec_args = arguments.inputs_spec
    with no_package_of_tfx(), _blessings_with_ids():
        kubeflow_v2_run_executor.main((arguments, beam_args))
    _restore_uris(invocation.outputs.output_file, copies)


def complete(
    invocation: pipeline_spec_pb2.ExecutorInput, inputs_spec: pipeline_spec_pb2.ComponentInputsSpec
) -> None:
    """Gives input artifacts the type and the name that a back end has left out.

    Args:
        invocation: What the container was called with; changed in place.
        inputs_spec: The component's input definitions.
    """
    for key, entries in invocation.inputs.artifacts.items():
        for artifact in entries.artifacts:
            if artifact.type.WhichOneof("kind") is None and key in inputs_spec.artifacts:
                artifact.type.CopyFrom(inputs_spec.artifacts[key].artifact_type)
            artifact.name = artifact.name or artifact.uri


def use_copies(
    invocation: pipeline_spec_pb2.ExecutorInput, copies: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Lets artifacts be read and written where Kubeflow's launcher has its copies of them.

    Args:
        invocation: What the container was called with; changed in place.
        copies: From the beginnings of URIs to those of paths.

    Returns:
        The URIs by the paths that took their places.
    """
    found: dict[str, str] = {}
    for entries in (
        *invocation.inputs.artifacts.values(),
        *invocation.outputs.artifacts.values(),
    ):
        for artifact in entries.artifacts:
            path = _copy_of(artifact.uri, copies or _COPIES)
            if path is not None:
                found[path] = artifact.uri
                artifact.uri = path
    return found


def _copy_of(uri: str, copies: Mapping[str, str]) -> str | None:
    for beginning, directory in copies.items():
        if uri.startswith(beginning):
            path = directory + uri.removeprefix(beginning)
            # The launcher makes the directories of outputs, and copies inputs, before the start.
            return path if Path(path).parent.is_dir() else None
    return None


def needs_driver(
    executor_class_path: str | None, invocation: pipeline_spec_pb2.ExecutorInput
) -> bool:
    """Returns whether this is ExampleGen on files, and no driver has left its findings.

    Args:
        executor_class_path: The executor's class.
        invocation: What the container was called with.
    """
    if not executor_class_path or "input_config" not in invocation.inputs.parameter_values:
        return False
    executor = import_utils.import_class_by_path(executor_class_path)
    is_example_gen = issubclass(executor, BaseExampleGenExecutor)
    return is_example_gen and not fileio.exists(invocation.outputs.output_file)


def run_driver(
    invocation: pipeline_spec_pb2.ExecutorInput,
    inputs_spec: pipeline_spec_pb2.ComponentInputsSpec,
    driver_class_path: str = _DRIVER,
) -> None:
    """Runs the driver of ExampleGen, and leaves its findings where executors look for them.

    TFX's own driver for Kubeflow does the same, for the one class of drivers.

    Args:
        invocation: What the container was called with; the output gets span and fingerprint.
        inputs_spec: The component's input definitions.
        driver_class_path: The driver's class.
    """
    properties = kubeflow_v2_entrypoint_utils.parse_execution_properties(
        invocation.inputs.parameter_values, invocation.inputs.parameters, inputs_spec
    )
    # What a driver takes from ML Metadata and of pipeline and component, none on files uses.
    found = import_utils.import_class_by_path(driver_class_path)(None).resolve_exec_properties(
        properties, None, None
    )
    names: dict[int, str] = {}
    outputs = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(
        invocation.outputs.artifacts, names
    )
    key = standard_component_specs.EXAMPLES_KEY
    examples = artifact_utils.get_single_instance(outputs[key])
    driver.update_output_artifact(found, examples.mlmd_artifact)
    described = kubeflow_v2_entrypoint_utils.to_runtime_artifact(examples, names)
    [artifact] = invocation.outputs.artifacts[key].artifacts
    artifact.metadata.update(json_format.MessageToDict(described.metadata))
    output = pipeline_spec_pb2.ExecutorOutput()
    output.artifacts[key].artifacts.append(described)
    for name in _FINDINGS:
        if isinstance(found.get(name), str):
            output.parameter_values[name].string_value = found[name]
        elif found.get(name) is not None:
            output.parameter_values[name].number_value = found[name]
    _write_output(invocation.outputs.output_file, output)


def _read_output(path: str) -> pipeline_spec_pb2.ExecutorOutput:
    with fileio.open(path, "rb") as file:
        return json_format.Parse(file.read(), pipeline_spec_pb2.ExecutorOutput())


def _write_output(path: str, output: pipeline_spec_pb2.ExecutorOutput) -> None:
    fileio.makedirs(posixpath.dirname(path))
    with fileio.open(path, "wb") as file:
        file.write(json_format.MessageToJson(output).encode("utf-8"))


@contextmanager
def _blessings_with_ids() -> Iterator[None]:
    """Lets TFX's entry point hand out blessings whose models are named by id while the block runs.

    On the way out of an evaluator TFX replaces ids by names; on the way in it offers no hook.
    """
    parse = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict

    def parse_with_ids(
        artifacts: Any, name_from_id: MutableMapping[int, str] | None = None
    ) -> dict[str, list[Artifact]]:
        names = {} if name_from_id is None else name_from_id
        parsed = parse(artifacts, names)
        for entries in parsed.values():
            for artifact in entries:
                if isinstance(artifact, ModelBlessing):
                    _name_models_by_id(artifact, names)
        return parsed

    kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict = parse_with_ids
    try:
        yield
    finally:
        kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict = parse


def _name_models_by_id(blessing: Artifact, name_from_id: MutableMapping[int, str]) -> None:
    for key in _MODEL_IDS:
        name = blessing.get_custom_property(key)
        if isinstance(name, str) and name:
            model_id = kubeflow_v2_entrypoint_utils._get_hashed_id(name, name_from_id)
            del blessing.mlmd_artifact.custom_properties[key]
            blessing.set_int_custom_property(key, model_id)


def _restore_uris(output_file: str, copies: Mapping[str, str]) -> None:
    """Puts the URIs back into what the executor has reported of its outputs."""
    if not copies:
        return
    output = _read_output(output_file)
    for entries in output.artifacts.values():
        for artifact in entries.artifacts:
            artifact.uri = copies.get(artifact.uri, artifact.uri)
    _write_output(output_file, output)


if __name__ == "__main__":
    main(sys.argv)
