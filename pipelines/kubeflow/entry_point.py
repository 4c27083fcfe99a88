"""What a container runs on Kubeflow: TFX's own entry point, made to work on every back end.

Give it to TFX's runner:

    KubeflowV2DagRunnerConfig(
        default_commands=["python", "-m", "tfx_tflite.pipelines.kubeflow.entry_point"]
    )

It knows our artifact types. Beyond that it makes up for what open-source Kubeflow Pipelines leaves
out and Vertex AI does, where nothing is left to do:

- Calls come in several forms, with types that are empty and outputs that nobody declared; see
  `call.py`.
- Nothing runs the driver of ExampleGen, which finds span, version and fingerprint.
- Artifacts at `minio://`, `s3://` and `gs://` have been copied to the container, and are copied
  back, by Kubeflow's launcher; TFX has no file system for the first, and for the others seldom.
- Metadata with a null in it is refused.

And for both: a blessing names its model by the artifact's name, where TFX's Pusher and ours compare
ids; and an output may hold what an attempt before this one has left.
"""

import argparse
import contextlib
import importlib.util
import json
import posixpath
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2
from tfx.components.evaluator import constants
from tfx.components.example_gen import driver, utils
from tfx.components.example_gen.base_example_gen_executor import BaseExampleGenExecutor
from tfx.dsl.io import fileio
from tfx.orchestration.kubeflow.v2.container import (
    kubeflow_v2_entrypoint_utils,
    kubeflow_v2_run_executor,
)
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import import_utils

from tfx_tflite.components import artifact_digests
from tfx_tflite.components.artifact_files import STORED_AT
from tfx_tflite.components.artifact_layout import CONTENT_DIGESTS
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.report.kubeflow_artifacts import CLASS_PATHS
from tfx_tflite.pipelines.kubeflow.call import COPIES, RuntimeArtifact, Task
from tfx_tflite.pipelines.tfx import patches

_MOUNTS = Path("/proc/self/mounts")
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
        argv: The program's name and its arguments, as `Task.parse` takes them.
    """
    run(Task.parse(list(argv)[1:]))


def run(task: Task) -> dict[str, RuntimeArtifact]:
    """Runs the executor, or the driver, of a task.

    Args:
        task: What to do.

    Returns:
        What is reported of each output; nothing of a driver's.
    """
    patches.add_kubeflow_types(CLASS_PATHS)
    invocation = json_format.ParseDict(task.call.to_json(), pipeline_spec_pb2.ExecutorInput())
    inputs_spec = json_format.ParseDict(
        task.inputs.to_json(), pipeline_spec_pb2.ComponentInputsSpec()
    )
    if not task.outputs.is_known:
        leave_unknown_outputs(invocation)
    if task.is_driver:
        run_driver(invocation, inputs_spec, task.driver_class_path)
        return {}
    copies = use_copies(invocation)
    clear_outputs(invocation)
    if needs_driver(task.executor_class_path, invocation):
        run_driver(invocation, inputs_spec, task.driver_class_path)
    arguments = argparse.Namespace(
        executor_class_path=task.executor_class_path,
        json_serialized_invocation_args=json_format.MessageToJson(invocation),
        json_serialized_inputs_spec_args=_inputs_for_tfx(task),
    )
    with (
        patches.no_package_of_tfx(),
        patches.features_in_order(),
        patches.named_models_of_blessings(_MODEL_IDS),
        unchanged_inputs(task, invocation),
    ):
        kubeflow_v2_run_executor.main((arguments, list(task.beam_args)))
    return finish_report(invocation.outputs.output_file, copies)


def unchanged_inputs(
    task: Task, invocation: pipeline_spec_pb2.ExecutorInput
) -> contextlib.AbstractContextManager[None]:
    """Returns what checks the inputs of an executor that is TFX's own and does not do it itself."""
    if artifact_digests.is_own(task.executor_class_path or ""):
        return contextlib.nullcontext()
    inputs = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict(invocation.inputs.artifacts, {})
    return artifact_digests.unchanged(inputs)


def _inputs_for_tfx(task: Task) -> str | None:
    # Without it TFX reads the parameters of pipelines of the schema 2.0.
    is_older = task.call.inputs.parameters and not task.inputs.is_known
    return None if is_older else json.dumps(task.inputs.to_json())


def leave_unknown_outputs(invocation: pipeline_spec_pb2.ExecutorInput) -> None:
    """Removes the outputs of types that TFX has no class for, as the back end's own logs are.

    Args:
        invocation: What the container was called with; changed in place.
    """
    artifacts = invocation.outputs.artifacts
    for key in list(artifacts):
        if not all(_has_class(artifact) for artifact in artifacts[key].artifacts):
            del artifacts[key]


def _has_class(artifact: pipeline_spec_pb2.RuntimeArtifact) -> bool:
    if not (artifact.type.schema_title or artifact.type.instance_schema):
        return False
    path = patches.kubeflow_class_path(artifact.type)
    try:
        return issubclass(import_utils.import_class_by_path(path), Artifact)
    except (ImportError, AttributeError, ValueError):
        return False


def use_copies(
    invocation: pipeline_spec_pb2.ExecutorInput, copies: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Lets artifacts be read and written where Kubeflow's launcher has its copies of them.

    Inputs remember where they are stored, for what names them to people; see `artifact_files`.

    Args:
        invocation: What the container was called with; changed in place.
        copies: From the beginnings of URIs to those of paths.

    Returns:
        The URIs by the paths that took their places.
    """
    found: dict[str, str] = {}
    for artifact in (*_artifacts(invocation.inputs), *_artifacts(invocation.outputs)):
        path = _copy_of(artifact.uri, copies or COPIES)
        if path is not None:
            found[path] = artifact.uri
            artifact.uri = path
    for artifact in _artifacts(invocation.inputs):
        if artifact.uri in found:
            artifact.metadata[STORED_AT] = found[artifact.uri]
    return found


def _artifacts(
    side: "pipeline_spec_pb2.ExecutorInput.Inputs | pipeline_spec_pb2.ExecutorOutput",
) -> Iterator[pipeline_spec_pb2.RuntimeArtifact]:
    """Yields the artifacts of all inputs, or of all outputs."""
    for entries in side.artifacts.values():
        yield from entries.artifacts


def _copy_of(uri: str, copies: Mapping[str, str]) -> str | None:
    for beginning, directory in copies.items():
        if uri.startswith(beginning):
            path = directory + uri.removeprefix(beginning)
            if _is_bucket(directory):
                return None if _tensorflow_has_gcs() else path
            # The launcher makes the directories of outputs, and copies inputs, before the start.
            return path if Path(path).parent.is_dir() else None
    return None


def readable_at(uri: str) -> str:
    """Returns where this container reads and writes what is stored at a URI."""
    return _copy_of(uri, COPIES) or uri


def _is_bucket(directory: str) -> bool:
    """Returns whether a directory is no place for copies but the bucket itself, as on Vertex AI."""
    # In the order of man 5 proc: device, directory, type.
    mounts = [line.split()[1:3] for line in _MOUNTS.read_text(encoding="utf-8").splitlines()]
    return any(place == directory.rstrip("/") and kind.startswith("fuse") for place, kind in mounts)


def _tensorflow_has_gcs() -> bool:
    # Since TensorFlow 2.6 in a package of its own, which 2.21 brings no more.
    return importlib.util.find_spec("tensorflow_io_gcs_filesystem") is not None


def clear_outputs(invocation: pipeline_spec_pb2.ExecutorInput) -> None:
    """Makes outputs as they are for a first attempt: nothing is there but the directory above.

    Args:
        invocation: What the container was called with.
    """
    for artifact in _artifacts(invocation.outputs):
        if fileio.isdir(artifact.uri):
            fileio.rmtree(artifact.uri)
        elif fileio.exists(artifact.uri):
            fileio.remove(artifact.uri)
        fileio.makedirs(posixpath.dirname(artifact.uri))


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
    driver_class_path: str,
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


def finish_report(output_file: str, copies: Mapping[str, str]) -> dict[str, RuntimeArtifact]:
    """Makes what the executor has reported of its outputs fit for the back end, and returns it.

    URIs are those that the back end knows, nothing is null, which it would refuse, and the digests
    of files are recorded where the executor did not do it.

    Args:
        output_file: Where the report is.
        copies: The URIs by the paths that took their places.
    """
    output = _read_output(output_file)
    for artifact in _artifacts(output):
        if CONTENT_DIGESTS not in artifact.metadata and (
            digests := artifact_digests.described(artifact.uri)
        ):
            artifact.metadata[CONTENT_DIGESTS] = digests
        artifact.uri = copies.get(artifact.uri, artifact.uri)
        reported = RuntimeArtifact(metadata=json_format.MessageToDict(artifact.metadata))
        artifact.metadata.Clear()
        artifact.metadata.update(reported.metadata)
    _write_output(output_file, output)
    return {
        key: RuntimeArtifact.model_validate(json_format.MessageToDict(entries.artifacts[0]))
        for key, entries in output.artifacts.items()
    }


if __name__ == "__main__":
    run_to_the_end(lambda: main(sys.argv))
