"""What upstream is, for each patch of it: if a test fails, upstream is not what we patch any more.

Of each the name and signature that it rests on are looked at, and the behaviour that makes it
needed.
"""

import contextlib
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

from tfx_tflite.components.artifact_layout import PROVENANCE, REFERENCE_NOT_KNOWN
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.tfx import patches

pytestmark = pytest.mark.generations


def parameters(function) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_tfx_packs_itself_for_beam_unless_it_is_kept_from_it(monkeypatch):
    from tfx.utils import dependency_utils

    monkeypatch.setattr(dependency_utils, "build_ephemeral_package", lambda: "tfx.tar.gz")
    flags = ["--runner=FnApiRunner"]
    packed = [*flags, "--extra_package=tfx.tar.gz"]
    assert dependency_utils.make_beam_dependency_flags(flags) == packed
    with patches.no_package_of_tfx():
        assert dependency_utils.make_beam_dependency_flags(flags) == flags
    assert dependency_utils.make_beam_dependency_flags(flags) == packed


def test_executors_ask_for_the_package_through_the_module():
    from tfx.dsl.components.base import base_beam_executor

    source = inspect.getsource(base_beam_executor)
    assert "dependency_utils.make_beam_dependency_flags(" in source


def test_beam_makes_a_parser_for_every_view_of_options_unless_it_is_kept_from_it(monkeypatch):
    from apache_beam.options import pipeline_options
    from apache_beam.options.pipeline_options import PipelineOptions, TypeOptions

    made = []

    class Counted(pipeline_options._BeamArgumentParser):
        def __init__(self, **settings: Any):
            made.append(self)
            super().__init__(**settings)

    # Tests have them parsed once, see conftest.py.
    monkeypatch.setattr(PipelineOptions, "view_as", inspect.unwrap(PipelineOptions.view_as))
    monkeypatch.setattr(pipeline_options, "_BeamArgumentParser", Counted)
    options = PipelineOptions(["--runner=FnApiRunner"])
    made.clear()
    for _ in range(3):
        options.view_as(TypeOptions)
    assert len(made) == 3
    with patches.options_parsed_once():
        for _ in range(3):
            options.view_as(TypeOptions)
    assert len(made) == 4


def test_views_of_options_that_are_parsed_once_are_those_of_beam(monkeypatch):
    from apache_beam.options.pipeline_options import PipelineOptions

    monkeypatch.setattr(PipelineOptions, "view_as", inspect.unwrap(PipelineOptions.view_as))
    flags = ["--runner=FnApiRunner", "--experiments=one", "--direct_num_workers=2", "--unknown=3"]
    kinds = PipelineOptions.__subclasses__()
    options = PipelineOptions(flags)
    expected = [options.view_as(kind) for kind in kinds]
    with patches.options_parsed_once():
        # The second ones are of what is remembered.
        for again in (PipelineOptions(flags), PipelineOptions(flags)):
            views = [again.view_as(kind) for kind in kinds]
            assert [type(view) for view in views] == kinds
            assert list(map(str, views)) == list(map(str, expected))
            assert again.get_all_options() == options.get_all_options()


def test_views_of_options_that_are_parsed_once_share_what_is_set_with_their_options_alone():
    from apache_beam.options.pipeline_options import DebugOptions, PipelineOptions

    with patches.options_parsed_once():
        first, second = (PipelineOptions(["--experiments=one"]) for _ in range(2))
        first.view_as(DebugOptions).add_experiment("two")
        assert first.view_as(DebugOptions).experiments == ["one", "two"]
        assert second.view_as(DebugOptions).experiments == ["one"]
        assert PipelineOptions(["--experiments=one"]).view_as(DebugOptions).experiments == ["one"]


def test_options_of_the_command_line_are_those_of_the_moment(monkeypatch):
    from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions

    with patches.options_parsed_once():
        for workers in (2, 3):
            monkeypatch.setattr("sys.argv", ["run", f"--direct_num_workers={workers}"])
            assert PipelineOptions().view_as(DirectOptions).direct_num_workers == workers


def test_examples_are_serialized_by_the_class_that_is_replaced():
    from tfx.components.example_gen import write_split

    assert "beam.ParDo(MaybeSerialize())" in inspect.getsource(write_split)


def test_beam_looks_at_the_signature_of_a_dofns_function_once(monkeypatch):
    import apache_beam as beam
    from apache_beam.transforms import core

    looked_at: list[object] = []
    look = core.get_function_args_defaults
    monkeypatch.setattr(
        core,
        "get_function_args_defaults",
        lambda function: looked_at.append(function.__name__) or look(function),
    )
    first, second = beam.DoFn(), beam.DoFn()
    with patches.signatures_looked_at_once():
        found = [dofn.get_function_arguments("process") for dofn in (first, second)]
    assert looked_at == ["process"]
    assert found == [first.get_function_arguments("process")] * 2
    assert looked_at == ["process"] * 2


def test_the_bytes_of_an_example_do_not_depend_on_the_order_of_its_features():
    import tensorflow as tf
    from tfx.components.example_gen import write_split

    def example(names: str) -> tf.train.Example:
        message = tf.train.Example()
        for name in names:
            message.features.feature[name].int64_list.value.append(ord(name))
        return message

    with patches.features_in_order():
        serializer = write_split.MaybeSerialize()
        forward, backward = (list(serializer.process(example(n))) for n in ("abcdef", "fedcba"))
        assert list(serializer.process(b"a record")) == [b"a record"]
    assert forward == backward == [example("abcdef").SerializeToString(deterministic=True)]
    assert write_split.MaybeSerialize is not type(serializer)


def test_executors_read_the_command_line_unless_it_is_hidden(monkeypatch, tmp_path: Path):
    from absl import flags

    from tfx_tflite.components.calibration_sampler.executor import Executor

    monkeypatch.setattr("sys.argv", ["tfx-tflite", "run", "mine.yaml", "-v"])
    context = Executor.Context(
        beam_pipeline_args=["--runner=FnApiRunner"], tmp_dir=str(tmp_path), unique_id="1"
    )

    with patches.no_package_of_tfx():
        with pytest.raises(flags.IllegalFlagValueError, match="--verbosity"):
            Executor(context)
        with patches.no_command_line():
            assert Executor(context)._beam_pipeline_args
    assert sys.argv[-1] == "-v"


def test_a_pipeline_without_a_runner_takes_beams_default():
    import apache_beam as beam
    from apache_beam.options.pipeline_options import StandardOptions

    assert StandardOptions.DEFAULT_RUNNER == "DirectRunner"
    with patches.named_beam_runner():
        runner = beam.Pipeline().runner
    assert type(runner).__name__ == "FnApiRunner"
    assert StandardOptions.DEFAULT_RUNNER == "DirectRunner"


@pytest.fixture
def store() -> ml_metadata.MetadataStore:
    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    return ml_metadata.MetadataStore(config)


def cache_key(store: ml_metadata.MetadataStore, pipeline_root: str, **more: str) -> str:
    """Returns the key that TFX takes for a node of a pipeline below a root."""
    from tfx.orchestration.portable import cache_utils
    from tfx.proto.orchestration import pipeline_pb2

    node = pipeline_pb2.PipelineNode()
    node.node_info.id = "Trainer"
    context = cache_utils.get_cache_context(
        SimpleNamespace(store=store),
        pipeline_node=node,
        pipeline_info=pipeline_pb2.PipelineInfo(id="digits"),
        parameters={"train_steps": "1", **more},
    )
    return context.name


def test_keys_of_tfx_cache_have_no_root_unless_they_are_given_one(store):
    assert cache_key(store, "a") == cache_key(store, "b")
    keys = []
    for root in ("a", "b", "a"):
        with patches.cache_of_root(root):
            keys.append(cache_key(store, root))
    assert keys[0] == keys[2] != keys[1]


def test_who_asks_is_no_part_of_a_key(store):
    with patches.cache_of_root("a"):
        assert cache_key(store, "a", **{PROVENANCE: "x"}) == cache_key(store, "a")
        assert cache_key(store, "a", scheme="x") != cache_key(store, "a")


def test_the_launcher_asks_for_keys_through_the_module():
    from tfx.orchestration.portable import launcher

    source = inspect.getsource(launcher.Launcher)
    assert "cache_utils.get_cache_context(" in source
    assert "cache_utils.get_cached_outputs(" in source
    assert "pipeline_node=self._pipeline_node" in source


def test_keys_of_tfx_cache_have_what_lies_beside_of_the_node_that_reads_it(store):
    keys = []
    for beside in ({}, {"Trainer": "1"}, {"Trainer": "2"}, {"Evaluator": "1"}):
        with patches.cache_of_root("a", beside):
            keys.append(cache_key(store, "a"))
    assert keys[0] == keys[3] and len({*keys}) == 3


def test_tfx_tells_data_by_sizes_and_times_unless_it_is_given_their_contents(tmp_path: Path):
    from tfx.utils import io_utils

    file = tmp_path / "a"
    file.write_text("one")
    before = file.stat()
    pattern = f"{tmp_path}/*"

    def fingerprint_of(text: str) -> str:
        file.write_text(text)
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
        return io_utils.generate_fingerprint("train", pattern)

    assert fingerprint_of("one") == fingerprint_of("two")
    with patches.fingerprints_of_contents(lambda _: file.read_text()):
        assert fingerprint_of("one") == fingerprint_of("one") != fingerprint_of("two")


def test_both_example_gens_ask_for_fingerprints_through_the_module():
    from tfx.components.example_gen import utils

    from tfx_tflite.components.rolling_example_gen import driver

    for module in (utils, driver):
        assert "io_utils.generate_fingerprint(" in inspect.getsource(module)


@pytest.mark.parametrize("is_known", [True, False])
def test_a_verdict_that_could_not_look_at_the_pushed_model_is_not_cached(
    monkeypatch: pytest.MonkeyPatch, is_known: bool
):
    from tfx.orchestration.portable import cache_utils
    from tfx.types import standard_artifacts

    evaluation = standard_artifacts.ModelEvaluation()
    if not is_known:
        evaluation.set_int_custom_property(REFERENCE_NOT_KNOWN, 1)
    outputs = {"evaluation": [evaluation]}
    monkeypatch.setattr(cache_utils, "get_cached_outputs", lambda *_, **__: outputs)
    with patches.cache_of_what_was_known():
        assert cache_utils.get_cached_outputs(None, None) == (outputs if is_known else None)


def test_both_runners_launch_through_the_class_of_the_module():
    from tfx.orchestration.beam import beam_dag_runner
    from tfx.orchestration.local import local_dag_runner

    for module in (beam_dag_runner, local_dag_runner):
        assert "launcher.Launcher(" in inspect.getsource(module)


def test_a_launcher_has_what_an_observed_one_reads():
    from tfx.orchestration.portable import launcher

    source = inspect.getsource(launcher.Launcher.__init__)
    for name in ("_pipeline_node", "_mlmd_connection", "_system_node_handler"):
        assert f"self.{name} = " in source
    assert parameters(launcher.Launcher.launch) == ["self"]
    assert parameters(launcher.Launcher._run_executor) == ["self", "execution_info"]


class Observer:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def launch(self, launch: patches.Launch):
        self.told.append(f"launch {launch.node}")
        info = launch.run()
        self.told.append(f"end {launch.node}")
        return info

    def executes(self, node: str) -> None:
        self.told.append(f"execute {node}")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["beam", "local"])
def test_an_executor_runs_inside_the_launch_and_only_if_nothing_is_cached(
    tmp_path: Path, runner: str
):
    from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
    from tfx.orchestration import metadata
    from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import Pipeline

    (tmp_path / "schema.pbtxt").write_text("")
    observer = Observer()
    for _ in range(2):
        pipeline = Pipeline(
            "schema",
            str(tmp_path / "root"),
            components=[ImportSchemaGen(schema_file=str(tmp_path / "schema.pbtxt"))],
            enable_cache=True,
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(tmp_path / "store")
            ),
        )
        with patches.named_beam_runner(), patches.observed_launches(observer):
            (BeamDagRunner() if runner == "beam" else LocalDagRunner()).run(pipeline)
    name = "ImportSchemaGen"
    first = [f"launch {name}", f"execute {name}", f"end {name}"]
    assert observer.told == [*first, f"launch {name}", f"end {name}"]


def beam_operator():
    """What runs an executor on Beam, with one argument that is a placeholder."""
    from tfx.orchestration.portable import beam_executor_operator
    from tfx.proto.orchestration import executable_spec_pb2

    spec = executable_spec_pb2.BeamExecutableSpec()
    path = "tests.pipelines.tfx.executor_of_nothing.ExecutorOfNothing"
    spec.python_executor_spec.class_path = path
    spec.beam_pipeline_args_placeholders.add().value.string_value = "--runner=FnApiRunner"
    return beam_executor_operator.BeamExecutorOperator(spec)


def run_twice(operator, directory: Path) -> None:
    from tfx.orchestration.portable import data_types
    from tfx.proto.orchestration import pipeline_pb2

    for _ in range(2):
        info = data_types.ExecutionInfo(
            pipeline_node=pipeline_pb2.PipelineNode(),
            pipeline_info=pipeline_pb2.PipelineInfo(),
            execution_output_uri=str(directory / "output"),
            stateful_working_dir=str(directory / "state"),
            tmp_dir=str(directory / "tmp"),
        )
        with patches.no_package_of_tfx(), patches._kept_placeholders(operator):
            operator.run_executor(info)


def test_tfx_cannot_run_an_executor_on_beam_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(patches, "_kept_placeholders", lambda operator: contextlib.nullcontext())
    with pytest.raises(AttributeError, match="HasField"):
        run_twice(beam_operator(), tmp_path)


def test_an_executor_on_beam_runs_again(tmp_path: Path):
    run_twice(beam_operator(), tmp_path)


def test_what_runs_executors_otherwise_is_left_alone():
    with patches._kept_placeholders(None):
        pass


def test_the_entry_point_leaves_names_of_models_in_blessings():
    utils = pytest.importorskip(
        "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils"
    )
    assert parameters(utils.parse_raw_artifact_dict) == ["inputs_dict", "name_from_id"]
    names: dict[int, str] = {}
    number = utils._get_hashed_id("projects/1/model", names)
    assert names == {number: "projects/1/model"}
    assert utils._get_hashed_id("projects/1/model", names) == number


def test_the_entry_point_finds_classes_by_title():
    utils = pytest.importorskip(
        "tfx.orchestration.kubeflow.v2.container.kubeflow_v2_entrypoint_utils"
    )
    from kfp.pipeline_spec import pipeline_spec_pb2
    from tfx.orchestration.kubeflow.v2 import compiler_utils

    assert parameters(utils._retrieve_class_path) == ["type_schema"]
    patches.add_kubeflow_types({"test.OfATest": "tfx.types.standard_artifacts.Model"})
    try:
        schema = pipeline_spec_pb2.ArtifactTypeSchema(schema_title="test.OfATest")
        assert patches.kubeflow_class_path(schema) == "tfx.types.standard_artifacts.Model"
    finally:
        del compiler_utils.TITLE_TO_CLASS_PATH["test.OfATest"]


def test_ml_metadata_sends_every_request_through_one_method():
    client = ml_metadata.MetadataStore
    assert parameters(client._call)[:4] == ["self", "method_name", "request", "response"]
    for name in (*patches._LISTINGS, *patches._LISTINGS_OF_IDS):
        assert "self._call" in inspect.getsource(getattr(client, name))
    assert "self._call(" in inspect.getsource(client._call_method_with_list_options)


def test_ml_metadata_has_no_listing_that_is_not_put_in_order():
    returning_lists = {
        name
        for name in vars(ml_metadata.MetadataStore)
        if name.startswith(("get_artifacts", "get_contexts", "get_executions"))
    }
    known = {*patches._LISTINGS, *patches._LISTINGS_OF_IDS}
    # Of relations between contexts, which TFX does not use.
    assert returning_lists - known <= {
        "get_artifacts_and_types_by_artifact_ids",
        "get_contexts_by_external_ids",
        "get_artifacts_by_external_ids",
        "get_executions_by_external_ids",
    }


class Reversing:
    """Writes texts backwards."""

    def encode(self, message) -> None:
        for artifact in getattr(message, "artifacts", ()):
            artifact.name = artifact.name[::-1]

    decode = encode


def test_the_replaced_client_keeps_order_password_and_texts(store):
    public, private = (metadata_store_pb2.ConnectionConfig() for _ in range(2))
    public.fake_database.SetInParent()
    private.CopyFrom(public)
    private.retry_options.max_num_retries = 7
    original = ml_metadata.MetadataStore
    with patches.metadata_server(public, private, str, Reversing()):
        client = ml_metadata.MetadataStore(public)
        kind = client.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
        first, second = client.put_artifacts(
            [metadata_store_pb2.Artifact(type_id=kind, name=name) for name in ("ab", "cd")]
        )
        found = client.get_artifacts_by_id([second, first])
        assert [artifact.name for artifact in found] == ["cd", "ab"]
        request = metadata_store_service_pb2.GetArtifactsRequest()
        response = metadata_store_service_pb2.GetArtifactsResponse()
        original._call(client, "GetArtifacts", request, response)
        assert {artifact.name for artifact in response.artifacts} == {"ba", "dc"}
    assert ml_metadata.MetadataStore is original


def test_a_refusal_is_said_in_our_words_and_other_connections_are_left_alone():
    public = metadata_store_pb2.ConnectionConfig()
    public.fake_database.SetInParent()
    # A connection without any database is refused.
    private = metadata_store_pb2.ConnectionConfig()
    with patches.metadata_server(public, private, lambda message: "no login", None):
        with pytest.raises(RuntimeError, match=r"^no login$"):
            ml_metadata.MetadataStore(public)
        other = metadata_store_pb2.ConnectionConfig()
        other.fake_database.SetInParent()
        other.retry_options.max_num_retries = 3
        assert ml_metadata.MetadataStore(other).get_artifacts() == []


def test_ml_metadata_writes_connections_into_its_debug_log():
    source = inspect.getsource(ml_metadata.MetadataStore.__init__)
    assert "logging.log(logging.DEBUG" in source or "logging.debug" in source


class Kept:
    """Where jobs are sent, and what was asked."""

    def name(self, given: str | None) -> str:
        return "digits-Trainer-0a"

    def __init__(self, endpoint: str | None = None):
        self._endpoint = endpoint
        self.waited: list[str] = []
        self.downloads: list[Callable[[], str]] = []

    def endpoint(self, download: Callable[[], str]) -> str | None:
        self.downloads.append(download)
        return self._endpoint

    def wait(self, job: Any, until_it_ends: Callable[[], str]) -> str:
        self.waited.append(job.state)
        return until_it_ends()


def test_beam_starts_a_job_server_for_each_pipeline_and_takes_ctrl_c():
    from apache_beam.runners.portability import flink_runner, job_server, spark_runner

    for runner in (flink_runner.FlinkRunner, spark_runner.SparkRunner):
        assert parameters(runner.default_job_server) == ["self", "options"]
    assert parameters(job_server.ExternalJobServer.__init__) == ["self", "endpoint", "timeout"]
    assert "SIGINT" in inspect.getsource(job_server.StopOnExitJobServer.start)


@pytest.mark.parametrize("name", ["FlinkRunner", "SparkRunner"])
def test_jobs_go_to_the_job_server_that_is_kept(name: str):
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability import flink_runner, spark_runner

    runner = getattr(flink_runner if name == "FlinkRunner" else spark_runner, name)
    original = runner.default_job_server
    keeper = Kept("localhost:1")
    with patches.kept_jobs(keeper):
        server = runner().default_job_server(PipelineOptions([f"--runner={name}"]))
    assert server._endpoint == "localhost:1" and runner.default_job_server is original
    assert len(keeper.downloads) == 1


def test_the_jar_that_beam_would_fetch_is_found_by_beam(tmp_path: Path):
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability import flink_runner

    jar = tmp_path / "j.jar"
    jar.touch()
    keeper = Kept("localhost:1")
    with patches.kept_jobs(keeper):
        options = PipelineOptions([f"--flink_job_server_jar={jar}"])
        flink_runner.FlinkRunner().default_job_server(options)
    assert keeper.downloads[0]() == str(jar)


def test_without_a_job_server_of_ours_beam_starts_its_own():
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability import flink_runner, job_server

    with patches.kept_jobs(Kept()):
        server = flink_runner.FlinkRunner().default_job_server(PipelineOptions([]))
    assert isinstance(server, job_server.StopOnExitJobServer)


def test_a_job_is_named_and_waited_for(monkeypatch: pytest.MonkeyPatch):
    import apache_beam as beam
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    names: list[str] = []
    encode = JobServiceHandle.encode_pipeline_options

    def encoded(options: dict[str, Any]) -> object:
        names.append(options["job_name"])
        return encode(options)

    monkeypatch.setattr(JobServiceHandle, "encode_pipeline_options", staticmethod(encoded))
    keeper = Kept()
    arguments = ["--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK"]
    with patches.kept_jobs(keeper), beam.Pipeline(argv=arguments) as pipeline:
        pipeline | beam.Create([1, 2])
    assert names == ["digits-Trainer-0a"] and len(keeper.waited) == 1


def test_looking_at_a_job_while_it_ends_does_not_make_it_one_that_failed():
    from apache_beam.portability.api import beam_job_api_pb2 as api
    from apache_beam.runners.portability.portable_runner import PipelineResult

    class Server:
        """A job server whose answer to a look comes when the job has ended."""

        def GetState(self, request):
            return api.JobStateEvent(state=api.JobState.RUNNING)

    looked: list[str] = []

    class Looking(Kept):
        """Looks at the job when its last state has come, and before that is judged."""

        def wait(self, job: Any, until_it_ends: Callable[[], str]) -> str:
            self.job = job
            return until_it_ends()

    keeper = Looking()

    def messages():
        # Beam waits for the last of these between the last state and what it makes of it.
        while job._state != "DONE":
            time.sleep(0.001)
        looked.append(keeper.job.state)
        yield from ()

    states = iter([api.JobStateEvent(state=api.JobState.DONE)])
    with patches.kept_jobs(keeper):
        job = PipelineResult(Server(), "1", messages(), states)
        assert job.wait_until_finish() == "DONE"
    assert looked == ["RUNNING"]


def test_a_value_that_an_option_of_the_job_server_does_not_take_is_a_mistake_of_the_config():
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.portability.api import beam_job_api_pb2 as api
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    class Flink:
        """The job server's answer, as far as it is of this option."""

        def DescribePipelineOptions(self, request, timeout=None):
            option = api.PipelineOptionDescriptor(
                name="disable_metrics", type=api.PipelineOptionType.BOOLEAN, default_value="false"
            )
            return api.DescribePipelineOptionsResponse(options=[option])

    def sent(argument: str) -> object:
        return JobServiceHandle(Flink(), PipelineOptions([argument])).get_pipeline_options()

    with pytest.raises(SystemExit):
        sent("--disable_metrics=true")
    with patches.kept_jobs(Kept()):
        assert sent("--disable_metrics")["beam:option:disable_metrics:v1"] is True
        with pytest.raises(ConfigError) as caught:
            sent("--disable_metrics=true")
    assert str(caught.value) == (
        "beam.args: argument --disable_metrics: ignored explicit argument 'true'"
    )


def test_beam_pickles_what_workers_are_to_do_through_the_module():
    from apache_beam import pipeline, transforms
    from apache_beam.io import iobase

    for module in (pipeline, transforms.core, transforms.ptransform, iobase):
        assert "pickler.dumps(" in inspect.getsource(module) or module is pipeline
    names = ["o", "enable_trace", "use_zlib"]
    assert parameters(pickler().dumps)[:3] == names
    assert parameters(pickler().loads) == ["encoded", *names[1:]]


def test_workers_of_a_pool_import_no_plugins():
    from apache_beam.runners.worker import sdk_worker, worker_pool_main

    for module in (sdk_worker, worker_pool_main):
        assert "beam_plugin" not in inspect.getsource(module)


@pytest.mark.parametrize("settings", [{}, {"use_zlib": True}])
def test_what_is_sent_to_workers_brings_the_file_systems_of_object_stores(settings: dict):
    work = {"what": "is done"}
    with patches.workers_know_object_stores():
        sent = pickler().dumps(work, **settings)
    assert pickler().loads(sent, **settings) == work
    assert b"object_stores.for_workers" not in pickler().dumps(work, **settings)
    assert pickler().dumps.__name__ == "dumps"


def pickler():
    from apache_beam.internal import pickler

    return pickler
