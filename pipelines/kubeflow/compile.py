"""The file that Kubeflow Pipelines and Vertex AI run: TFX's compiled form, made fit for both.

TFX compiles the pipeline; what is added to the result are resources, runtime parameters with
defaults, and the places of files in the containers. `kubeflow_task.py` is what containers run.
Nothing here loads TFX before `compile_pipeline`.
"""

import contextlib
import copy
import importlib.util
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tfx_tflite.components.errors import ConfigError, TfxTfliteError, listed
from tfx_tflite.components.judgement.gate import LIMITS, METRIC_BOUNDS
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.report.document import Provenance
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.config.config import OF_THIS_MACHINE, PipelineConfig
from tfx_tflite.pipelines.config.kubeflow import KubeflowConfig
from tfx_tflite.pipelines.engines.engine import Engine
from tfx_tflite.pipelines.kubeflow import rules as kubeflow_rules
from tfx_tflite.pipelines.kubeflow.cache import uncache_what_is_outside
from tfx_tflite.pipelines.kubeflow.call import INPUTS_ARGUMENT, OUTPUTS_ARGUMENT
from tfx_tflite.pipelines.kubeflow.pipeline_spec import (
    PipelineJob,
    PipelineSpec,
    PlatformSpec,
    Value,
)
from tfx_tflite.pipelines.kubeflow.places import BUILTIN_SCHEME, Places
from tfx_tflite.pipelines.kubeflow.platform import equip, platform_spec

if TYPE_CHECKING:
    from kfp.pipeline_spec import pipeline_spec_pb2 as pb2
    from tfx.orchestration.pipeline import Pipeline

COMMAND = ("python", "-m", "tfx_tflite.pipelines.kubeflow.task")
SCHEME = "quantization.scheme"
# The newest span there is.
NEWEST_SPAN = -1

_BOUNDS = (*METRIC_BOUNDS, *(limit.key for limit in LIMITS))
_SPAN = re.compile(r"\{(SPAN|YYYY|MM|DD)(:\d+)?\}")
# What is read as a plain file wherever it is used.
_FILES = ("model.trainer.module_file", "push.signing_key", "push.verify_key")
# What kfp's runs and Vertex' jobs may be called.
_NOT_IN_NAMES = re.compile(r"[^a-z0-9]+")


@dataclass(frozen=True)
class RuntimeParameter:
    """A value of the config that can be given anew with every run of one compiled pipeline.

    Attributes:
        key: The key in the config.
        components: The components that take it.
        target: Where it goes: an execution property and, where that holds JSON, the keys and
            indices inside.
        value: The config's own value, the default.
    """

    key: str
    components: tuple[str, ...]
    target: tuple[str | int, ...]
    value: Value

    @property
    def name(self) -> str:
        """The key as Kubeflow can spell it."""
        return self.key.replace(".", "_")

    @property
    def kind(self) -> str:
        """The type that Kubeflow's pages ask for, by KFP's name of it."""
        return {int: "NUMBER_INTEGER", float: "NUMBER_DOUBLE", str: "STRING"}[type(self.value)]


def runtime_parameters(config: PipelineConfig) -> tuple[RuntimeParameter, ...]:
    """Returns what can be given with every run.

    Args:
        config: The config, whose values are the defaults.
    """
    return (
        *_trainer_parameters(config),
        *_calibration_parameters(config),
        *_scheme_parameters(config),
        *_gate_parameters(config),
        *_span_parameters(config),
    )


def _trainer_parameters(config: PipelineConfig) -> Iterator[RuntimeParameter]:
    trainer = config.model.trainer
    if trainer is None:
        return
    for key, target, value in (
        ("train_steps", "train_args", trainer.train_steps),
        ("eval_steps", "eval_args", trainer.eval_steps),
    ):
        yield RuntimeParameter(f"model.trainer.{key}", ("Trainer",), (target, "num_steps"), value)


def _calibration_parameters(config: PipelineConfig) -> Iterator[RuntimeParameter]:
    if config.quantization.needs_calibration:
        yield RuntimeParameter(
            "calibration.samples",
            ("CalibrationSampler",),
            (PROPERTY, "samples"),
            config.calibration.samples,
        )


def _scheme_parameters(config: PipelineConfig) -> Iterator[RuntimeParameter]:
    scheme = config.quantization.scheme
    # What a recipe says, found or given, is no choice of a run.
    is_chosen = config.is_tuned or config.quantization.recipe is not None
    if isinstance(scheme, Scheme) and not is_chosen:
        yield RuntimeParameter(SCHEME, ("TFLiteQuantizer",), (PROPERTY, "scheme"), scheme.value)


def _gate_parameters(config: PipelineConfig) -> Iterator[RuntimeParameter]:
    # A search must find what the gate will let pass.
    searching = ("QuantizationTuner",) if config.is_tuned else ()
    for index, rule in enumerate(config.gate.rules):
        keys = rule.model_dump()
        for bound in _BOUNDS:
            if keys[bound] is not None:
                yield RuntimeParameter(
                    f"gate.rules.{index}.{bound}",
                    (*searching, "QuantizationEvaluator"),
                    (PROPERTY, "gate", "rules", index, bound),
                    keys[bound],
                )


def _span_parameters(config: PipelineConfig) -> Iterator[RuntimeParameter]:
    # Where several spans are taken at once, the newest are.
    is_one = config.data.spans == 1
    if is_one and any(_SPAN.search(pattern) for pattern in config.data.splits.values()):
        yield RuntimeParameter(
            "data.span", (config.data.example_gen,), ("range_config", "span"), NEWEST_SPAN
        )


class CompilationFailed(TfxTfliteError):
    """The pipeline could not be compiled, for a reason that only the log explains."""


def given_values(config: PipelineConfig, given: Sequence[str]) -> dict[RuntimeParameter, Value]:
    """Returns the runtime parameters that a run is given, and their values.

    Args:
        config: The config.
        given: `key=value` each; the key as in the config, or as Kubeflow spells it.

    Raises:
        ConfigError: There is no such parameter, or the value is of another type.
    """
    known = runtime_parameters(config)
    by_name = {name: parameter for parameter in known for name in (parameter.key, parameter.name)}
    values = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"--param {text!r}: expected key=value")
        if key in (SCHEME, SCHEME.replace(".", "_")) and key not in by_name:
            raise ConfigError(
                f"--param {key}: a run cannot replace {config.quantization.scheme_name!r}, which "
                "is compiled in; set quantization.scheme in the config and compile again"
            )
        if key not in by_name:
            raise ConfigError(
                f"--param {key}: not a runtime parameter; there are: "
                + listed((parameter.key for parameter in known), 20)
            )
        values[by_name[key]] = _typed(by_name[key], value)
    return values


def _typed(parameter: RuntimeParameter, text: str) -> Value:
    try:
        return type(parameter.value)(text)
    except ValueError as error:
        expected = "a number" if isinstance(parameter.value, float) else "a whole number"
        raise ConfigError(
            f"--param {parameter.key}: expected {expected}, received {text!r}"
        ) from error


def as_overrides(values: Mapping[RuntimeParameter, Value]) -> list[str]:
    """Returns the values of runtime parameters as `--set` takes them, where the config has the key.

    Args:
        values: The values, by parameter.
    """
    return [
        f"{parameter.key}={value}"
        for parameter, value in values.items()
        if parameter.target[0] != "range_config"
    ]


def kubeflow_of(config: PipelineConfig) -> KubeflowConfig:
    """Returns the section `kubeflow` of a config.

    Raises:
        ConfigError: There is none, or the package for it is not installed, or stages need a job
            server.
    """
    if importlib.util.find_spec("kfp") is None:
        raise ConfigError(
            "kfp is not installed: pip install '.[kubeflow]' in a checkout, see docs/install.md"
        )
    if config.kubeflow is None:
        raise ConfigError("kubeflow: this section is needed, with an image; see docs/kubeflow.md")
    if (engine := Engine.of(config.beam)) is not None:
        raise ConfigError(
            f"beam.engine: Kubeflow's containers start no job server for {engine.title}; for "
            "Kubeflow leave the engine out, or name a job server that is there, with "
            "--job_endpoint in beam.args"
        )
    return config.kubeflow


def pipeline_name(config: PipelineConfig) -> str:
    """Returns the name of a config as Kubeflow allows it: lower case, digits and hyphens."""
    return _NOT_IN_NAMES.sub("-", config.name.lower()).strip("-")[:128]


def container_places(config: PipelineConfig) -> dict[str, str]:
    """Returns where containers have each path of this machine that the config names.

    Raises:
        ConfigError: `kubeflow.paths` does not say it for a path, names a URI for a file that is
            read as one, or a Keras file in place of its export; a line for each.
    """
    kubeflow, paths = kubeflow_of(config), config.local_paths()
    places = {path: kubeflow.place_of(path) for path in paths.values()}
    missing = [
        f"{key}: {path} is on this machine; say under kubeflow.paths where containers have it (in "
        f"the image, on a volume, or a URI), like {{{Path(path).parent.name or '.'}: /app}}"
        for key, path in paths.items()
        if places[path] is None
    ]
    elsewhere = [
        f"{key}: kubeflow.paths puts it at {places[paths[key]]}, but it is read as a file: have it "
        "in the image or on a volume"
        for key in _FILES
        if not is_local(places.get(paths.get(key, "")) or "")
    ]
    unexported = [
        f"model.keras: containers read it as it is, so it must be exported: write an export with "
        f"model.export(DIRECTORY), and say under kubeflow.paths where containers have that, like "
        f"{{{Path(keras).name}: /models/exported}}"
        for keras in filter(None, [config.model.keras])
        if (places[keras] or "").endswith(Path(keras).suffix)
    ]
    if missing or elsewhere or unexported:
        raise ConfigError("\n".join(missing + elsewhere + unexported))
    return {path: place for path, place in places.items() if place is not None}


@dataclass(frozen=True)
class CompiledPipeline:
    """A pipeline in the form that Kubeflow takes.

    Attributes:
        job: TFX's PipelineJob, which Vertex AI takes: spec, defaults and pipeline root.
        platform: What only Kubernetes has, in KFP's form; empty if nothing is asked of it.
        parameters: What can be given with every run.
        unkeyed: The tasks whose results only Vertex AI can use again: it runs their drivers, which
            look at the data, before it looks for them.
    """

    job: PipelineJob
    platform: PlatformSpec
    parameters: tuple[RuntimeParameter, ...]
    unkeyed: frozenset[str] = frozenset()

    @property
    def kubeflow_spec(self) -> PipelineSpec:
        """The pipeline as open-source Kubeflow takes it."""
        spec = copy.deepcopy(self.job["pipelineSpec"])
        for name in self.unkeyed:
            spec["root"]["dag"]["tasks"][name].pop("cachingOptions", None)
        return spec

    @property
    def values(self) -> dict[str, Value]:
        """The value of every runtime parameter, by name."""
        return {parameter.name: parameter.value for parameter in self.parameters}

    def good_for(self, path: Path) -> str:
        """Returns which back ends take the pipeline as a file has it.

        Args:
            path: The file, by whose suffix the form is known.
        """
        if path.suffix != ".json":
            return f"Kubeflow Pipelines {kubeflow_rules.oldest_release(self.platform)}"
        left_out = ", without what only Kubernetes has (volumes, secrets, nodes, labels)"
        return f"Vertex AI Pipelines{left_out if self.platform else ''}"

    def write(self, path: Path) -> None:
        """Writes the pipeline: PipelineJob for `.json`, what the KFP client takes for `.yaml`.

        Raises:
            ConfigError: The suffix is another, or the file cannot be written.
        """
        check_suffix(path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self._text(path.suffix), encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}") from error

    def _text(self, suffix: str) -> str:
        if suffix == ".json":
            return json.dumps(self.job, indent=1, sort_keys=True) + "\n"
        from tfx_tflite.pipelines.kubeflow.yaml_file import dumped

        documents = [self.kubeflow_spec, *([self.platform] if self.platform else [])]
        return dumped(documents)


def check_suffix(path: Path) -> None:
    """Checks that a compiled pipeline can be written in the form that a file's name asks for.

    Raises:
        ConfigError: The suffix is neither `.json` nor `.yaml`.
    """
    if path.suffix not in (".json", ".yaml", ".yml"):
        raise ConfigError(
            f"--output {path}: expected a name in .yaml (Kubeflow Pipelines) or .json (Vertex AI)"
        )


def compile_logged(config: PipelineConfig) -> CompiledPipeline:
    """Returns the compiled pipeline; what TFX prints meanwhile goes to a log below the root.

    Args:
        config: The config, with a section `kubeflow`.

    Raises:
        ConfigError: As `compile_pipeline`.
        CompilationFailed: For a reason that only the log explains.
    """
    import traceback

    from tfx_tflite.pipelines.cli.console import log_file, output_to_log

    container_places(config)
    log = log_file(config.root)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with output_to_log(log):
        try:
            return compile_pipeline(config)
        except TfxTfliteError:
            raise
        except Exception as error:
            traceback.print_exc()
            raise CompilationFailed(
                f"{type(error).__name__}: {error}\n  the log has more: {log}"
            ) from error


def compile_pipeline(config: PipelineConfig) -> CompiledPipeline:
    """Returns the pipeline of a config as Kubeflow takes it. Loads TFX.

    Args:
        config: The config, with a section `kubeflow`.

    Raises:
        ConfigError: The section is missing, or does not say where containers have a file.
    """
    kubeflow, places = kubeflow_of(config), container_places(config)
    from google.protobuf import json_format
    from kfp.pipeline_spec import pipeline_spec_pb2

    parameters = runtime_parameters(config)
    job, drivers = _compile_with_tfx(config, kubeflow, places)
    spec = json_format.ParseDict(job["pipelineSpec"], pipeline_spec_pb2.PipelineSpec())
    deployment = pipeline_spec_pb2.PipelineDeploymentConfig()
    json_format.ParseDict(json_format.MessageToDict(spec.deployment_spec), deployment)
    _place(spec, deployment, Places(config, places))
    unkeyed = uncache_what_is_outside(spec, deployment, kubeflow)
    equip(deployment, kubeflow)
    for parameter in parameters:
        _add_parameter(spec, parameter)
    _complete_arguments(spec, deployment, parameters, drivers)
    push = deployment.executors["Pusher_executor"].container
    push.args.extend(["--when_refused", kubeflow.when_refused])
    _retry(spec, deployment, kubeflow.retries)
    spec.deployment_spec.Clear()
    spec.deployment_spec.update(json_format.MessageToDict(deployment))
    if kubeflow.pipeline_root:
        spec.default_pipeline_root = kubeflow.pipeline_root
    job["pipelineSpec"] = json_format.MessageToDict(spec)
    job["displayName"] = config.name
    job["runtimeConfig"] = {"parameterValues": {p.name: p.value for p in parameters}}
    if kubeflow.pipeline_root:
        job["runtimeConfig"]["gcsOutputDirectory"] = kubeflow.pipeline_root
    compiled = CompiledPipeline(job, platform_spec(deployment, kubeflow), parameters, unkeyed)
    kubeflow_rules.check(compiled.kubeflow_spec, compiled.platform, compiled.values)
    return compiled


def _without_this_machine(made_of: Provenance, places: Mapping[str, str]) -> Provenance:
    """Returns what a config was made of, with the places that containers have for its paths."""
    overrides = [
        override
        for override in made_of.overrides
        if override.partition("=")[0].partition(".")[0] not in OF_THIS_MACHINE
    ]
    for path in sorted(places, key=len, reverse=True):
        overrides = [override.replace(path, places[path]) for override in overrides]
    return made_of.model_copy(
        update={"config": Path(made_of.config).name, "overrides": tuple(overrides)}
    )


def _compile_with_tfx(
    config: PipelineConfig, kubeflow: KubeflowConfig, places: Mapping[str, str]
) -> tuple[PipelineJob, dict[str, str]]:
    """Returns TFX's PipelineJob, and the classes of the drivers that TFX's does not run."""
    from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner

    from tfx_tflite.pipelines.pipeline import create_pipeline
    from tfx_tflite.pipelines.runs.runners import NEVER_CACHED

    named = config.model_copy(update={"name": pipeline_name(config), "artifacts": None})
    if config.provenance is not None:
        named.came_from(_without_this_machine(config.provenance, places))
    input_base = config.data.input_base or f"{BUILTIN_SCHEME}{config.data.builtin}"
    with _module_files_as_they_are():
        pipeline = create_pipeline(named, input_base, is_model_known=False)
    pipeline.enable_cache = kubeflow.cache
    runner = kubeflow_v2_dag_runner.KubeflowV2DagRunner(
        kubeflow_v2_dag_runner.KubeflowV2DagRunnerConfig(
            default_image=kubeflow.image,
            default_commands=list(COMMAND),
            # All that open-source Kubeflow Pipelines takes.
            use_pipeline_spec_2_1=True,
        )
    )
    job: PipelineJob = runner.run(pipeline, write_out=False)
    never_cached = set(NEVER_CACHED)
    if config.gate.against("pushed") or config.gate.is_counted:
        # As a push does, it looks at the destination every time.
        never_cached.add("QuantizationEvaluator")
    for name, task in job["pipelineSpec"]["root"]["dag"]["tasks"].items():
        if name in never_cached:
            task.pop("cachingOptions", None)
    return job, _own_drivers(pipeline)


def _own_drivers(pipeline: "Pipeline") -> dict[str, str]:
    """Returns the classes of ExampleGen's drivers, by component, if they are not TFX's."""
    from tfx.components.example_gen.driver import FileBasedDriver
    from tfx.utils import name_utils

    drivers = {node.id: getattr(node, "DRIVER_CLASS", None) for node in pipeline.components}
    return {
        name: name_utils.get_full_name(driver)
        for name, driver in drivers.items()
        if driver is not None
        and driver is not FileBasedDriver
        and issubclass(driver, FileBasedDriver)
    }


@contextlib.contextmanager
def _module_files_as_they_are() -> Iterator[None]:
    """Keeps TFX from building wheels of module files, which the image has already.

    It would write them to the pipeline root, which this machine may not reach.
    """
    name = "UNSUPPORTED_DO_NOT_PACKAGE_USER_MODULES"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _place(
    spec: "pb2.PipelineSpec", deployment: "pb2.PipelineDeploymentConfig", places: Places
) -> None:
    for task in spec.root.dag.tasks.values():
        for parameter in task.inputs.parameters.values():
            constant = parameter.runtime_value.constant
            if constant.WhichOneof("kind") == "string_value":
                constant.string_value = places.replaced(constant.string_value)
    for executor in deployment.executors.values():
        if executor.HasField("importer"):
            uri = executor.importer.artifact_uri.constant
            uri.string_value = places.replaced(uri.string_value)


def _add_parameter(spec: "pb2.PipelineSpec", parameter: RuntimeParameter) -> None:
    """Adds a runtime parameter to the pipeline and hands it to its components."""
    from kfp.pipeline_spec import pipeline_spec_pb2

    kind = pipeline_spec_pb2.ParameterType.ParameterTypeEnum.Value(parameter.kind)
    root = spec.root.input_definitions.parameters[parameter.name]
    root.parameter_type = kind
    root.is_optional = True
    if isinstance(parameter.value, str):
        root.default_value.string_value = parameter.value
    else:
        root.default_value.number_value = parameter.value
    for name in parameter.components:
        definitions = spec.components[name].input_definitions
        definitions.parameters[parameter.name].parameter_type = kind
        task = spec.root.dag.tasks[name]
        task.inputs.parameters[parameter.name].component_input_parameter = parameter.name


def _complete_arguments(
    spec: "pb2.PipelineSpec",
    deployment: "pb2.PipelineDeploymentConfig",
    parameters: tuple[RuntimeParameter, ...],
    drivers: Mapping[str, str],
) -> None:
    """Tells each container what is declared, where its runtime parameters go, and its driver."""
    from google.protobuf import json_format

    for name, component in spec.components.items():
        executor = deployment.executors[component.executor_label]
        if not executor.HasField("container"):
            continue
        own = {p.name: list(p.target) for p in parameters if name in p.components}
        inputs, outputs = (
            json_format.MessageToJson(definitions, sort_keys=True, indent=None)
            for definitions in (component.input_definitions, component.output_definitions)
        )
        driver = executor.container.lifecycle.pre_cache_check
        if executor.container.HasField("lifecycle"):
            # TFX's own driver knows neither these parameters nor builtin data.
            del driver.command[:]
            driver.command.extend([*COMMAND, "--driver"])
        for arguments in (executor.container.args, driver.args):
            if INPUTS_ARGUMENT in arguments:
                arguments[list(arguments).index(INPUTS_ARGUMENT) + 1] = inputs
                arguments.extend([OUTPUTS_ARGUMENT, outputs])
                if own:
                    arguments.extend(["--parameters", json.dumps(own)])
                if name in drivers:
                    arguments.extend(["--driver_class_path", drivers[name]])


def _retry(
    spec: "pb2.PipelineSpec", deployment: "pb2.PipelineDeploymentConfig", times: int
) -> None:
    """Asks for tasks to be tried again when they fail."""
    for task in spec.root.dag.tasks.values():
        component = spec.components[task.component_ref.name]
        if times and deployment.executors[component.executor_label].HasField("container"):
            task.retry_policy.max_retry_count = times
