"""What is compiled for Kubeflow, read with the real classes of the pipeline spec."""

import json
import re
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2 as pb

from tests.conftest import CONFIGS
from tests.pipelines.kubeflow.kfp_server import serving
from tfx_tflite.components.destinations.settings import PusherSettings
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.kubeflow import CONTAINERS, KubeflowConfig
from tfx_tflite.pipelines.config.trust import trust_settings
from tfx_tflite.pipelines.kubeflow import compile as kubeflow
from tfx_tflite.pipelines.kubeflow.places import Places
from tfx_tflite.pipelines.kubeflow.recurring import RecurringSchedule

pytestmark = pytest.mark.generations

DIGITS = CONFIGS / "digits.yaml"


def config(*overrides: str, name: str = "digits") -> PipelineConfig:
    return load_config(CONFIGS / f"{name}.yaml", overrides)


def compile_command(output: Path, *arguments: str):
    return CliRunner().invoke(main, ["compile", str(DIGITS), "--output", str(output), *arguments])


# Which files containers need, without TFX


def test_a_path_is_where_the_longest_entry_of_paths_says(tmp_path: Path):
    section = KubeflowConfig.model_validate(
        {"image": "x", "paths": {".": "/app", "data": "gs://bucket/data/"}},
        context={"base": tmp_path},
    )
    assert section.place_of(f"{tmp_path}/trainer.py") == "/app/trainer.py"
    assert section.place_of(f"{tmp_path}/data/train") == "gs://bucket/data/train"
    assert section.place_of(f"{tmp_path}/data") == "gs://bucket/data"
    assert section.place_of(f"{tmp_path}-other") is None


def test_every_path_that_paths_does_not_place_is_named_with_its_key():
    settings = config("kubeflow.paths={}", "data.schema=digits.yaml")
    with pytest.raises(ConfigError) as caught:
        kubeflow.container_places(settings)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "data.schema",
        "model.trainer.module_file",
        "push.destination",
    ]
    assert f"{CONFIGS}/digits_trainer.py is on this machine" in lines[1]
    assert "kubeflow.paths" in lines[1]


@pytest.mark.parametrize(
    "key", ["model.trainer.module_file", "push.signing_key", "push.verify_key"]
)
def test_what_is_read_as_a_file_cannot_be_at_a_uri(key: str):
    keys = ("push.signing_key=key.pem", "push.verify_key=public.pem")
    settings = config(*keys, "kubeflow.paths={.: /app}")
    path = settings.local_paths()[key]
    settings = config(
        *keys,
        f"kubeflow.paths={{.: /app, ../pushed: 'gs://m/pushed', '{path}': 'gs://m/file'}}",
    )
    with pytest.raises(ConfigError, match=f"^{key}: kubeflow.paths puts it at gs://m/file, but"):
        kubeflow.container_places(settings)


def test_a_keras_file_is_not_taken_for_its_export():
    model = "model={keras: m.keras, inputs: {image: image}}"
    with pytest.raises(
        ConfigError, match=r"^model\.keras: .* like \{m\.keras: /models/exported\}$"
    ):
        kubeflow.container_places(config(model, "kubeflow.paths={.: /app, ../pushed: /pushed}"))
    placed = "kubeflow.paths={m.keras: /models/exported, ../pushed: /pushed}"
    places = kubeflow.container_places(config(model, placed))
    assert "/models/exported" in places.values()


def test_uris_need_no_place():
    settings = config("data={input_base: 'gs://bucket/data'}")
    assert set(settings.local_paths()) == {"model.trainer.module_file", "push.destination"}


@pytest.mark.parametrize(
    ("arguments", "output", "expected"),
    [
        ([], "p.txt", "expected a name in .yaml (Kubeflow Pipelines) or .json (Vertex AI)"),
        (["--set", "kubeflow=null"], "p.yaml", "kubeflow: this section is needed"),
        (["--set", "kubeflow.paths={}"], "p.yaml", "model.trainer.module_file: "),
        (["--set", "kubeflow.image="], "p.yaml", "kubeflow.image: expected a valid string"),
        (["--set", "kubeflow.memory=4 gigabytes"], "p.yaml", "kubeflow.memory: "),
    ],
)
def test_what_cannot_be_compiled_exits_with_2(
    tmp_path: Path, arguments: list[str], output: str, expected: str
):
    result = compile_command(tmp_path / output, *arguments)
    assert result.exit_code == 2 and expected in result.stderr
    assert not (tmp_path / output).exists()


def test_an_error_is_json_where_json_was_asked_for(tmp_path: Path):
    result = compile_command(tmp_path / "p.txt", "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["status"] == "failed"


def test_parameters_are_called_as_the_keys_of_the_config():
    settings = config("gate.rules.1={max_size_ratio: 0.5}")
    assert {p.name: p.value for p in kubeflow.runtime_parameters(settings)} == {
        "model_trainer_train_steps": 300,
        "model_trainer_eval_steps": 8,
        "calibration_samples": 200,
        "quantization_scheme": "int8",
        "gate_rules_0_max_drop": 0.01,
        "gate_rules_1_max_size_ratio": 0.5,
    }


BOUND = "gate.rules.0.max_drop"


def test_a_search_has_the_bounds_that_the_gate_has():
    settings = config("quantization={scheme: auto}")
    found = {p.key: p.components for p in kubeflow.runtime_parameters(settings)}
    assert found[BOUND] == ("QuantizationTuner", "QuantizationEvaluator")
    assert found["calibration.samples"] == ("CalibrationSampler",)
    plain = {p.key: p.components for p in kubeflow.runtime_parameters(config())}
    assert plain[BOUND] == ("QuantizationEvaluator",)


def test_draws_have_the_bounds_that_the_gate_has_and_the_scheme_is_compiled_in():
    settings = config("calibration.seeds=3")
    found = {p.key: p.components for p in kubeflow.runtime_parameters(settings)}
    assert found[BOUND] == ("QuantizationTuner", "QuantizationEvaluator")
    assert found["calibration.samples"] == ("CalibrationSampler",)
    with pytest.raises(ConfigError, match="a run cannot replace 'int8', which is compiled in"):
        kubeflow.given_values(settings, ["quantization.scheme=int16x8"])
    # Nothing is calibrated, so that there are no draws.
    plain = config("calibration.seeds=3", "quantization.scheme=float16")
    found = {p.key: p.components for p in kubeflow.runtime_parameters(plain)}
    assert found[BOUND] == ("QuantizationEvaluator",) and "quantization.scheme" in found


@pytest.mark.parametrize("quantization", ["{scheme: auto}", "{recipe: recipe.json}"])
def test_a_run_cannot_replace_what_a_recipe_says(quantization: str):
    settings = config(f"quantization={quantization}")
    names = {p.name for p in kubeflow.runtime_parameters(settings)}
    assert "quantization_scheme" not in names
    for key in ("quantization.scheme", "quantization_scheme"):
        with pytest.raises(
            ConfigError, match=f"^--param {key}: a run cannot replace 'auto|recipe'"
        ):
            kubeflow.given_values(settings, [f"{key}=int8"])


def test_the_name_is_one_that_kubeflow_allows():
    assert kubeflow.pipeline_name(config("name=My_Model.v2")) == "my-model-v2"


# What is compiled


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def compiled(root: Path) -> kubeflow.CompiledPipeline:
    return kubeflow.compile_pipeline(
        config(
            f"root={root}",
            "kubeflow.cpu=2",
            "kubeflow.memory=4Gi",
            "kubeflow.pipeline_root=gs://bucket/digits",
            "kubeflow.volumes=[{claim: models, mount: /pushed}]",
            "kubeflow.env={S3_ENDPOINT: 'http://store:9000', THREADS: '4'}",
            "kubeflow.secrets={AWS_SECRET_ACCESS_KEY: {secret: s3, key: secret-key}, "
            "AWS_ACCESS_KEY_ID: {secret: s3, key: access-key}}",
            "kubeflow.resources={Trainer: {memory: 16Gi, gpu: 1, node_selector: {gpu: a100}, "
            "tolerations: [{key: gpu, operator: Exists, effect: NoExecute, seconds: 60}]}}",
            "kubeflow.node_selector={pool: batch}",
            "kubeflow.image_pull_secrets=[registry]",
            "kubeflow.labels={team: vision}",
        )
    )


@pytest.fixture(scope="module")
def spec(compiled: kubeflow.CompiledPipeline) -> pb.PipelineSpec:
    return json_format.ParseDict(compiled.job["pipelineSpec"], pb.PipelineSpec())


@pytest.fixture(scope="module")
def containers(spec: pb.PipelineSpec):
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec), pb.PipelineDeploymentConfig()
    )
    return {
        name.removesuffix("_executor"): executor.container
        for name, executor in deployment.executors.items()
    }


@pytest.mark.slow
def test_the_schema_is_the_one_that_both_back_ends_take(spec: pb.PipelineSpec):
    assert spec.schema_version == "2.1.0"
    assert spec.default_pipeline_root == "gs://bucket/digits"


@pytest.mark.slow
def test_every_component_has_image_command_and_resources(containers):
    assert len(containers) == 8
    for name, container in containers.items():
        assert container.image == "tfx-tflite:0.1.0"
        assert tuple(container.command) == kubeflow.COMMAND
        assert container.resources.cpu_request == container.resources.cpu_limit == 2
        # KFP counts in 10^9 bytes.
        memory = (16 if name == "Trainer" else 4) * 1024**3 / 1e9
        assert container.resources.memory_request == pytest.approx(memory)
        assert container.resources.memory_limit == container.resources.memory_request


@pytest.mark.slow
def test_the_trainer_alone_has_a_gpu(containers):
    accelerators = {name: container.resources.accelerator for name, container in containers.items()}
    assert (accelerators["Trainer"].type, accelerators["Trainer"].count) == ("nvidia.com/gpu", 1)
    assert {name for name, found in accelerators.items() if found.count} == {"Trainer"}


@pytest.mark.slow
def test_every_container_has_the_variables(containers):
    for container in containers.values():
        assert [(entry.name, entry.value) for entry in container.env] == [
            ("S3_ENDPOINT", "http://store:9000"),
            ("THREADS", "4"),
        ]


@pytest.mark.slow
def test_every_component_with_a_container_can_have_resources(containers):
    assert set(containers) <= set(CONTAINERS)


@pytest.mark.slow
def test_artifacts_have_types_with_a_title_and_parameters_have_types(spec: pb.PipelineSpec):
    for component in spec.components.values():
        for definitions in (component.input_definitions, component.output_definitions):
            for artifact in definitions.artifacts.values():
                title = yaml.safe_load(artifact.artifact_type.instance_schema)["title"]
                assert re.match(r"^[a-z][a-z0-9-_]{2,20}[.][A-Z][a-zA-Z0-9-_]{2,49}$", title)
        for parameter in component.input_definitions.parameters.values():
            assert parameter.parameter_type != pb.ParameterType.PARAMETER_TYPE_ENUM_UNSPECIFIED


@pytest.mark.slow
def test_nothing_but_containers_is_asked_of_the_back_end(spec: pb.PipelineSpec):
    executors = json_format.MessageToDict(spec.deployment_spec)["executors"]
    assert {kind for executor in executors.values() for kind in executor} == {"container"}


@pytest.mark.slow
def test_runtime_parameters_have_defaults_and_reach_their_components(
    compiled: kubeflow.CompiledPipeline, spec: pb.PipelineSpec, containers
):
    assert set(spec.root.input_definitions.parameters) == set(compiled.values)
    for parameter in compiled.parameters:
        root = spec.root.input_definitions.parameters[parameter.name]
        default = getattr(root.default_value, root.default_value.WhichOneof("kind"))
        assert default == parameter.value
        for name in parameter.components:
            given = spec.root.dag.tasks[name].inputs.parameters[parameter.name]
            assert given.component_input_parameter == parameter.name
            component = spec.components[name].input_definitions
            arguments = list(containers[name].args)
            told = arguments[arguments.index("--json_serialized_inputs_spec_args") + 1]
            assert json_format.Parse(told, pb.ComponentInputsSpec()) == component
            targets = json.loads(arguments[arguments.index("--parameters") + 1])
            assert targets[parameter.name] == list(parameter.target)


@pytest.mark.slow
def test_example_gens_driver_is_run_by_our_command_and_may_be_of_another_class(containers):
    from tfx.components import ImportExampleGen
    from tfx.orchestration.pipeline import Pipeline

    from tests.pipelines.kubeflow import test_entry_point as other

    class OwnExampleGen(ImportExampleGen):
        DRIVER_CLASS = other.OldestSpan

    hook = containers["ImportExampleGen"].lifecycle.pre_cache_check
    assert tuple(hook.command) == (*kubeflow.COMMAND, "--driver")
    assert "--driver_class_path" not in hook.args
    nodes = [OwnExampleGen(input_base="x"), ImportExampleGen(input_base="x")]
    drivers = kubeflow._own_drivers(Pipeline("p", pipeline_root="r", components=nodes))
    assert drivers == {"OwnExampleGen": f"{other.__name__}.OldestSpan"}


@pytest.mark.slow
def test_containers_are_told_their_own_paths_and_none_of_this_machine(
    compiled: kubeflow.CompiledPipeline, spec: pb.PipelineSpec, root: Path
):
    text = json.dumps(compiled.job)
    assert str(CONFIGS.parent) not in text and str(root) not in text
    tasks = spec.root.dag.tasks
    trainer = tasks["Trainer"].inputs.parameters["module_file"].runtime_value.constant
    assert trainer.string_value == "/app/configs/digits_trainer.py"
    push = tasks["Pusher"].inputs.parameters["push_destination"].runtime_value.constant
    assert json.loads(push.string_value) == {"filesystem": {"base_directory": "/pushed/digits"}}


@pytest.mark.slow
def test_nothing_is_cached_unless_the_config_says_so_and_a_push_never(
    spec: pb.PipelineSpec, root: Path
):
    assert not any(task.caching_options.enable_cache for task in spec.root.dag.tasks.values())
    cached = kubeflow.compile_pipeline(config(f"root={root}", "kubeflow.cache=true"))
    assert uncached(cached.kubeflow_spec) == uncached(cached.job["pipelineSpec"]) == {"Pusher"}


def uncached(spec: dict) -> set[str]:
    """Returns the tasks that are never served earlier results."""
    return {
        name
        for name, task in spec["root"]["dag"]["tasks"].items()
        if not task.get("cachingOptions", {}).get("enableCache")
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "on_kubeflow", "on_vertex"),
    [
        # Vertex AI runs ExampleGen's driver, which looks at the data, before it looks at the cache.
        (
            ["data={input_base: 'gs://bucket/data'}"],
            {"ImportExampleGen", "Pusher"},
            {"Pusher"},
        ),
        (
            [
                "data={input_base: data, format: csv, schema: schema.pbtxt}",
                "kubeflow.paths={data: /data/in, schema.pbtxt: gs://b/schema.pbtxt, .: /app, "
                "../pushed: gs://b/pushed}",
                "kubeflow.volumes=[{claim: data, mount: /data}]",
            ],
            {"CsvExampleGen", "SchemaGen", "Pusher"},
            {"SchemaGen", "Pusher"},
        ),
        (
            # How often a model was judged is counted at the destination.
            ["data={input_base: 'gs://bucket/data', format: npz}", "gate.rules.0.confidence=0.95"],
            {"NpzExampleGen", "QuantizationEvaluator", "Pusher"},
            {"QuantizationEvaluator", "Pusher"},
        ),
        (
            ["data={input_base: 'gs://bucket/data', format: parquet}"],
            {"ParquetExampleGen", "Pusher"},
            {"Pusher"},
        ),
        (
            [
                "data={input_base: data}",
                "kubeflow.paths={data: /data/in, .: /modules, ../pushed: gs://b/pushed}",
                "kubeflow.volumes=[{claim: modules, mount: /modules}]",
            ],
            {"Trainer", "Pusher"},
            {"Trainer", "Pusher"},
        ),
    ],
)
def test_what_reads_outside_the_image_is_not_cached(
    tmp_path: Path, overrides: list[str], on_kubeflow: set[str], on_vertex: set[str]
):
    for name in ("digits.yaml", "digits_trainer.py"):
        (tmp_path / name).write_bytes((CONFIGS / name).read_bytes())
    (tmp_path / "schema.pbtxt").write_text("")
    settings = load_config(tmp_path / "digits.yaml", [*overrides, "kubeflow.cache=true"])
    compiled = kubeflow.compile_pipeline(settings)
    assert uncached(compiled.kubeflow_spec) == on_kubeflow
    assert uncached(compiled.job["pipelineSpec"]) == on_vertex


@pytest.mark.slow
def test_every_container_is_told_the_outputs_of_its_component(containers, spec: pb.PipelineSpec):
    for name, container in containers.items():
        arguments = list(container.args)
        told = arguments[arguments.index("--json_serialized_outputs_spec_args") + 1]
        outputs = json_format.Parse(told, pb.ComponentOutputsSpec())
        assert outputs == spec.components[name].output_definitions


@pytest.mark.slow
def test_retries_are_asked_for_each_task_that_has_a_container(root: Path, tmp_path: Path):
    def retries(*settings: str) -> dict[str, int]:
        job = kubeflow.compile_pipeline(config(f"root={root}", *settings)).job
        spec = json_format.ParseDict(job["pipelineSpec"], pb.PipelineSpec())
        return {
            name: task.retry_policy.max_retry_count
            for name, task in spec.root.dag.tasks.items()
            if task.HasField("retry_policy")
        }

    assert retries() == {}
    model = tmp_path / "model"
    model.mkdir()
    asked = retries(
        "kubeflow.retries=2",
        f"model={{saved_model: {model}, signature: s}}",
        f"kubeflow.paths={{{CONFIGS.parent}: /app, {model}: 'gs://models/float'}}",
    )
    assert set(asked.values()) == {2} and {"Pusher", "ImportExampleGen"} <= set(asked)
    assert "FloatModel" not in asked


@pytest.mark.slow
@pytest.mark.parametrize("choice", ["succeed", "fail"])
def test_the_push_alone_is_told_what_a_refused_model_makes_of_it(root: Path, choice: str):
    settings = [f"root={root}", f"kubeflow.when_refused={choice}"]
    job = kubeflow.compile_pipeline(config(*settings)).job
    executors = job["pipelineSpec"]["deploymentSpec"]["executors"]
    told = {
        label: arguments[arguments.index("--when_refused") + 1]
        for label, executor in executors.items()
        if "--when_refused" in (arguments := executor["container"]["args"])
    }
    assert told == {"Pusher_executor": choice}


@pytest.mark.slow
def test_yaml_holds_spec_and_what_is_asked_of_kubernetes_for_the_kfp_client(
    compiled: kubeflow.CompiledPipeline, spec: pb.PipelineSpec, tmp_path: Path
):
    from kfp.client.client import _extract_pipeline_yaml

    compiled.write(tmp_path / "p.yaml")
    read = _extract_pipeline_yaml(str(tmp_path / "p.yaml"))
    assert read.pipeline_spec == spec
    executors = json_format.MessageToDict(read.platform_spec)["platforms"]["kubernetes"][
        "deploymentSpec"
    ]["executors"]
    of_all = {
        "pvcMount": [{"mountPath": "/pushed", "constant": "models"}],
        "secretAsEnv": [
            {
                "secretName": "s3",
                "keyToEnv": [{"secretKey": key, "envVar": name}],
            }
            for name, key in (
                ("AWS_ACCESS_KEY_ID", "access-key"),
                ("AWS_SECRET_ACCESS_KEY", "secret-key"),
            )
        ],
        "nodeSelector": {"labels": {"pool": "batch"}},
        "imagePullSecret": [{"secretName": "registry"}],
        "podMetadata": {"labels": {"team": "vision"}},
    }
    of_the_trainer = {
        **of_all,
        "nodeSelector": {"labels": {"pool": "batch", "gpu": "a100"}},
        "tolerations": [
            {"key": "gpu", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}
        ],
    }
    assert executors.pop("Trainer_executor") == of_the_trainer
    assert len(executors) == 7 and all(config == of_all for config in executors.values())


@pytest.mark.slow
def test_json_is_a_job_with_its_values_and_root(
    compiled: kubeflow.CompiledPipeline, tmp_path: Path
):
    compiled.write(tmp_path / "p.json")
    job = json_format.Parse((tmp_path / "p.json").read_text(), pb.PipelineJob())
    assert job.runtime_config.gcs_output_directory == "gs://bucket/digits"
    values = json_format.MessageToDict(job.runtime_config)["parameterValues"]
    assert values == compiled.values
    assert job.pipeline_spec["pipelineInfo"]["name"] == "digits"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["breast_cancer", "diabetes"])
def test_other_configs_compile_once_they_say_where_files_are(name: str, root: Path):
    settings = config(
        f"root={root}", "kubeflow.image=x", f"kubeflow.paths={{{CONFIGS.parent}: /app}}", name=name
    )
    job = kubeflow.compile_pipeline(settings).job
    assert job["pipelineSpec"]["pipelineInfo"]["name"] == name.replace("_", "-")
    assert str(CONFIGS.parent) not in json.dumps(job)


@pytest.mark.slow
def test_a_trained_model_a_schema_and_spans_are_placed_too(root: Path, tmp_path: Path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"x")
    (tmp_path / "schema.pbtxt").write_text("")
    settings = config(
        f"root={root}",
        f"data={{input_base: 'gs://bucket/data', schema: {tmp_path}/schema.pbtxt, splits: "
        "{train: 'span-{SPAN}/train/*', eval: 'span-{SPAN}/eval/*'}}",
        f"model={{saved_model: {tmp_path}/model}}",
        f"kubeflow.paths={{{tmp_path}: /opt/in, ../pushed: gs://bucket/pushed}}",
        "quantization.scheme=float16",
    )
    made = kubeflow.compile_pipeline(settings)
    assert str(tmp_path) not in json.dumps(made.job) and str(root) not in json.dumps(made.job)
    pipeline = made.job["pipelineSpec"]
    importer = pipeline["deploymentSpec"]["executors"]["FloatModel_executor"]["importer"]
    assert importer["artifactUri"] == {"constant": "/opt/in/model"}
    # In the image, the model is what it was.
    assert "reimport" not in importer
    schema = pipeline["root"]["dag"]["tasks"]["SchemaGen"]["inputs"]["parameters"]["schema_file"]
    assert schema["runtimeValue"]["constant"] == "/opt/in/schema.pbtxt"
    assert made.values["data_span"] == kubeflow.NEWEST_SPAN
    assert "CalibrationSampler" not in pipeline["root"]["dag"]["tasks"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "place"), [("tflite", "/opt/m.tflite"), ("keras", "/opt/exported")]
)
def test_a_model_that_is_a_file_is_placed_too(root: Path, tmp_path: Path, key: str, place: str):
    file = tmp_path / f"m.{key}"
    file.write_bytes(b"x")
    settings = config(
        f"root={root}",
        f"model={{{key}: {file}, inputs: {{args_0: image}}}}",
        f"kubeflow.paths={{{file}: {place}, ../pushed: gs://bucket/pushed}}",
    )
    made = kubeflow.compile_pipeline(settings)
    pipeline = made.job["pipelineSpec"]
    importer = pipeline["deploymentSpec"]["executors"]["FloatModel_executor"]["importer"]
    assert importer["artifactUri"] == {"constant": place}
    assert str(tmp_path) not in json.dumps(made.job)
    for component in ("TFLiteQuantizer", "QuantizationEvaluator"):
        parameters = pipeline["root"]["dag"]["tasks"][component]["inputs"]["parameters"]
        asked = json.loads(parameters["settings"]["runtimeValue"]["constant"])
        assert asked["inputs"] == {"args_0": "image"} and asked["not_inputs"] == ["label"]


@pytest.mark.slow
def test_scheduling_the_real_pipeline_again_changes_nothing(
    root: Path, monkeypatch, tmp_path: Path
):
    import kfp

    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    settings = config(f"root={root}", "schedule.cron=0 3 * * *")
    with serving() as server:
        assert "created" in RecurringSchedule(settings, server.url).apply(DIGITS)
        assert "unchanged" in RecurringSchedule(settings, server.url).apply(DIGITS)
        assert len(server.recurring_runs) == 1


@pytest.mark.slow
def test_a_trained_model_outside_the_image_is_another_one_with_every_run(
    root: Path, tmp_path: Path
):
    (tmp_path / "saved_model.pb").write_bytes(b"x")
    settings = config(
        f"root={root}",
        f"model={{saved_model: {tmp_path}}}",
        f"kubeflow.paths={{{tmp_path}: gs://bucket/model, ../pushed: gs://bucket/pushed}}",
        "kubeflow.cache=true",
    )
    executors = kubeflow.compile_pipeline(settings).job["pipelineSpec"]["deploymentSpec"][
        "executors"
    ]
    importer = executors["FloatModel_executor"]["importer"]
    assert importer["artifactUri"] == {"constant": "gs://bucket/model"}
    assert importer["reimport"] is True


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("p.yaml", "Kubeflow Pipelines 2.0.4 or later (secrets)"),
        (
            "p.json",
            "Vertex AI Pipelines, without what only Kubernetes has "
            "(volumes, secrets, nodes, labels)",
        ),
    ],
)
def test_compile_says_that_it_checked_its_product_and_what_that_is_good_for(
    tmp_path: Path, name: str, expected: str
):
    secrets = "kubeflow.secrets={X: {secret: s, key: k}}"
    result = compile_command(
        tmp_path / name, "--set", f"root={tmp_path}", "--set", secrets, "--json"
    )
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["good_for"] == expected
    plain = compile_command(tmp_path / name, "--set", f"root={tmp_path}", "--set", secrets)
    assert plain.stdout.endswith(f"\nchecked; good for {expected}\n")


def test_what_was_seen_on_this_machine_is_not_for_containers():
    settings = config("push.signing_key=key.pem", "kubeflow.paths={.: /app, ../pushed: /pushed}")
    places = Places(settings, kubeflow.container_places(settings))
    value = PusherSettings.of(settings.push, trust_settings(settings)).to_property()
    found = json.loads(places.replaced(value))
    assert found["signing_key"] == "/app/key.pem" and found["seen_pointers"] is None


def test_a_container_pushes_what_has_to_be_approved_as_such():
    settings = config("push.approval=required", "kubeflow.paths={.: /app, ../pushed: /pushed}")
    places = Places(settings, kubeflow.container_places(settings))
    value = PusherSettings.of(settings.push, trust_settings(settings)).to_property()
    assert json.loads(places.replaced(value))["approval"] == "required"


@pytest.mark.slow
def test_a_search_is_a_task_with_inputs_settings_and_the_gates_parameters(tmp_path: Path):
    settings = config(f"root={tmp_path}", "quantization={scheme: auto}", "kubeflow.cpu=2")
    job = kubeflow.compile_pipeline(settings).job["pipelineSpec"]
    spec = json_format.ParseDict(job, pb.PipelineSpec())
    tasks = spec.root.dag.tasks
    inputs = tasks["QuantizationTuner"].inputs
    assert {
        key: each.task_output_artifact.producer_task for key, each in inputs.artifacts.items()
    } == {
        "examples": "ImportExampleGen",
        "model": "Trainer",
        "calibration_examples": "CalibrationSampler",
        "schema": "SchemaGen",
    }
    bound = "gate_rules_0_max_drop"
    for name in ("QuantizationTuner", "QuantizationEvaluator"):
        assert tasks[name].inputs.parameters[bound].component_input_parameter == bound
    quantizer = tasks["TFLiteQuantizer"].inputs.artifacts
    assert quantizer["recipe"].task_output_artifact.producer_task == "QuantizationTuner"
    deployment = json_format.ParseDict(
        json_format.MessageToDict(spec.deployment_spec), pb.PipelineDeploymentConfig()
    )
    container = deployment.executors["QuantizationTuner_executor"].container
    place = list(container.args).index("--parameters") + 1
    assert json.loads(container.args[place])[bound] == ["settings", "gate", "rules", 0, "max_drop"]
    assert container.resources.cpu_limit == 2
