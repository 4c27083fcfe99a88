"""What a container is called with on Kubeflow and Vertex AI, read from any of its forms into one.

A back end says as little or as much as it likes: types of artifacts are there, missing, or there
and empty; artifacts have names, ids or nothing; a task has outputs, inputs and parameters that the
component never declared (`executor-logs`, since Kubeflow Pipelines 2.5). So one rule holds for
every field. Missing, null and empty mean the same; what the component declares is read, with the
type that it declares; the rest is left alone.

Importing this loads neither TensorFlow nor TFX.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from tfx_tflite.components.errors import ConfigError

INVOCATION_ARGUMENT = "--json_serialized_invocation_args"
INPUTS_ARGUMENT = "--json_serialized_inputs_spec_args"
OUTPUTS_ARGUMENT = "--json_serialized_outputs_spec_args"

# Where Kubeflow's launcher keeps its copies of artifacts in the container, by their URIs.
COPIES = {"minio://": "/minio/", "s3://": "/s3/", "gs://": "/gcs/"}

TFX_DRIVER = "tfx.components.example_gen.driver.FileBasedDriver"
# What the launcher wraps lists and structs in on their way to ML Metadata.
_WRAPPINGS: dict[str, type] = {"list": list, "struct": dict}

Entry = TypeVar("Entry")


def _without_nulls(fields: Mapping[str, object]) -> dict[str, object]:
    """Returns a mapping without its nulls, and without those in the mappings below it."""
    return {
        name: _without_nulls(value) if isinstance(value, dict) else value
        for name, value in fields.items()
        if value is not None
    }


class _Message(BaseModel):
    """A message of the pipeline spec, of which these are the fields that matter."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", alias_generator=to_camel, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_missing(cls, fields: object) -> object:
        return _without_nulls(fields) if isinstance(fields, dict) else fields

    def to_json(self) -> dict[str, JsonValue]:
        """Returns it as the pipeline spec's JSON, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_defaults=True)


class ArtifactType(_Message):
    """The type of an artifact; at most one of title and schemas is set.

    Attributes:
        schema_title: The name of a type.
        instance_schema: A schema in YAML, with the name as its title.
        schema_uri: Where the schema is.
        schema_version: Of what `schema_title` names.
    """

    schema_title: str = ""
    instance_schema: str = ""
    schema_uri: str = ""
    schema_version: str = ""


class RuntimeArtifact(_Message):
    """An artifact as a container gets or reports it.

    Attributes:
        name: The resource's name on Vertex AI, ML Metadata's id or the output's key on Kubeflow.
        uri: Where it is.
        type: Its type.
        metadata: Its properties and custom properties.
        properties: The same in an older form, as messages.
        custom_properties: The same in an older form, as messages.
    """

    name: str = ""
    uri: str = ""
    type: ArtifactType = ArtifactType()
    metadata: dict[str, JsonValue] = {}
    properties: dict[str, JsonValue] = {}
    custom_properties: dict[str, JsonValue] = {}


class ArtifactList(_Message):
    """The artifacts of one input or output."""

    artifacts: tuple[RuntimeArtifact, ...] = ()


class Inputs(_Message):
    """The inputs of a call.

    Attributes:
        artifacts: Artifacts, by input.
        parameter_values: Values, by parameter.
        parameters: The same as messages, as pipelines of the schema 2.0 have them.
    """

    artifacts: dict[str, ArtifactList] = {}
    parameter_values: dict[str, JsonValue] = {}
    parameters: dict[str, JsonValue] = {}


class Outputs(_Message):
    """The outputs of a call, and where the container reports them."""

    artifacts: dict[str, ArtifactList] = {}
    parameters: dict[str, JsonValue] = {}
    output_file: str = ""


class Call(_Message):
    """What takes the place of `{{$}}` in a container's arguments."""

    inputs: Inputs = Inputs()
    outputs: Outputs = Outputs()

    def with_parameters(self, values: Mapping[str, JsonValue]) -> "Call":
        """Returns the call with other values of parameters."""
        inputs = self.inputs.model_copy(update={"parameter_values": dict(values)})
        return self.model_copy(update={"inputs": inputs})


class DeclaredArtifact(_Message):
    """An input or output artifact of a component."""

    artifact_type: ArtifactType = ArtifactType()


class DeclaredParameter(_Message):
    """An input or output parameter of a component."""

    parameter_type: str = ""


class Declared(_Message):
    """The inputs, or the outputs, that a component declares; none means that it is not known."""

    artifacts: dict[str, DeclaredArtifact] = {}
    parameters: dict[str, DeclaredParameter] = {}

    @property
    def is_known(self) -> bool:
        """Whether anything is declared."""
        return bool(self.artifacts or self.parameters)


@dataclass(frozen=True)
class Task:
    """What a container is to do.

    Attributes:
        call: The call, of what the component declares alone.
        inputs: The declared inputs.
        outputs: The declared outputs.
        executor_class_path: The executor's class.
        is_driver: Whether to run the driver of ExampleGen instead.
        driver_class_path: The class of that driver.
        beam_args: What else there is among the arguments, which is Beam's.
    """

    call: Call
    inputs: Declared
    outputs: Declared
    executor_class_path: str | None
    is_driver: bool
    driver_class_path: str
    beam_args: tuple[str, ...]

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> "Task":
        """Returns what the arguments of a container say.

        Args:
            arguments: Those of TFX's entry point; the outputs that the component declares in
                `--json_serialized_outputs_spec_args`, if they are known; `--driver` to run the
                driver of ExampleGen instead; and `--driver_class_path`, if that is not TFX's.

        Raises:
            ConfigError: The call cannot be read, or is not of the declared types.
        """
        parser = argparse.ArgumentParser(allow_abbrev=False)
        parser.add_argument("--driver", action="store_true")
        parser.add_argument("--driver_class_path", default=TFX_DRIVER)
        parser.add_argument("--executor_class_path")
        parser.add_argument(INVOCATION_ARGUMENT, dest="call", required=True)
        parser.add_argument(INPUTS_ARGUMENT, dest="inputs")
        parser.add_argument(OUTPUTS_ARGUMENT, dest="outputs")
        known, beam_args = parser.parse_known_args(list(arguments))
        inputs, outputs = (Declared.model_validate_json(text or "{}") for text in
                           (known.inputs, known.outputs))  # fmt: skip
        return cls(
            call=read_call(known.call, inputs, outputs),
            inputs=inputs,
            outputs=outputs,
            executor_class_path=known.executor_class_path,
            is_driver=known.driver,
            driver_class_path=known.driver_class_path,
            beam_args=tuple(beam_args),
        )


def read_call(text: str, inputs: Declared, outputs: Declared) -> Call:
    """Returns a call of any form in the one form that executors are run by.

    Args:
        text: The call in JSON.
        inputs: The inputs that the component declares.
        outputs: The outputs that it declares.

    Raises:
        ConfigError: It is no call, an artifact has no URI, or a parameter is not of its type.
    """
    try:
        call = Call.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise ConfigError(f"the container's call: {place}: {problem['msg']}") from error
    return Call(
        inputs=Inputs(
            artifacts=_artifacts(call.inputs.artifacts, inputs),
            parameter_values=_parameters(call.inputs.parameter_values, inputs),
            parameters={} if inputs.is_known else call.inputs.parameters,
        ),
        outputs=Outputs(
            artifacts=_artifacts(call.outputs.artifacts, outputs),
            parameters=_declared(call.outputs.parameters, outputs, outputs.parameters),
            output_file=call.outputs.output_file,
        ),
    )


def _declared(
    entries: Mapping[str, Entry], of: Declared, names: Mapping[str, object]
) -> dict[str, Entry]:
    return {key: entry for key, entry in entries.items() if key in names or not of.is_known}


def _artifacts(entries: Mapping[str, ArtifactList], declared: Declared) -> dict[str, ArtifactList]:
    return {
        key: ArtifactList(
            artifacts=tuple(
                _completed(key, artifact, declared.artifacts.get(key))
                for artifact in entry.artifacts
            )
        )
        for key, entry in _declared(entries, declared, declared.artifacts).items()
        if entry.artifacts
    }


def _completed(
    key: str, artifact: RuntimeArtifact, declared: DeclaredArtifact | None
) -> RuntimeArtifact:
    if not artifact.uri:
        raise ConfigError(f"the container's call: the artifact {key!r} has no URI")
    return artifact.model_copy(
        update={
            # TFX makes ids of names, and a URI is as good.
            "name": artifact.name or artifact.uri,
            "type": declared.artifact_type if declared else artifact.type,
            "metadata": {name: _unwrapped(value) for name, value in artifact.metadata.items()},
        }
    )


def _unwrapped(value: JsonValue) -> JsonValue:
    if isinstance(value, dict) and len(value) == 1:
        [(name, content)] = value.items()
        if isinstance(content, _WRAPPINGS.get(name, ())):
            return content
    return value


def _parameters(values: Mapping[str, JsonValue], inputs: Declared) -> dict[str, JsonValue]:
    return {
        name: _of_type(name, value, inputs.parameters[name].parameter_type)
        if name in inputs.parameters
        else value
        for name, value in _declared(values, inputs, inputs.parameters).items()
    }


def _of_type(name: str, value: JsonValue, kind: str) -> JsonValue:
    """Returns the value of a parameter as the one of the two types that TFX's parameters have."""
    if kind == "STRING":
        return value if isinstance(value, str) else json.dumps(value)
    if kind in ("NUMBER_INTEGER", "NUMBER_DOUBLE"):
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{name}: expected a number, received {value!r}") from error
        if kind == "NUMBER_INTEGER" and not number.is_integer():
            raise ConfigError(f"{name}: expected a whole number, received {value!r}")
        return int(number) if kind == "NUMBER_INTEGER" else number
    return value


def with_uris(text: str) -> str:
    """Returns a text for people with the URIs in the places of the launcher's copies."""
    for beginning, directory in COPIES.items():
        text = re.sub(rf"(?<![\w./:-]){directory}", beginning, text)
    return text
