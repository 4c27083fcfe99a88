"""All that is replaced of TFX, ML Metadata and Beam, and all their private names that are used.

Each patch says what upstream does and offers no hook for. `tests/pipelines/tfx/test_patches.py`
looks at upstream for each, and fails if a name, a signature or the behaviour is another one.
Importing this loads nothing of theirs but the patched ML Metadata.
"""

import copy
import functools
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

import absl.logging
import ml_metadata
from google.protobuf.message import Message
from ml_metadata.proto import metadata_store_pb2

from tfx_tflite.components.artifact_layout import (
    CONTENT_DIGESTS,
    PROVENANCE,
    REFERENCE_NOT_KNOWN,
)
from tfx_tflite.components.errors import ConfigError, DataError
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.tfx.forked_workers import ForkedWorkers
from tfx_tflite.pipelines.tfx.replacing import replaced

if TYPE_CHECKING:
    from kfp.pipeline_spec import pipeline_spec_pb2
    from tfx.orchestration import metadata
    from tfx.orchestration.portable.data_types import ExecutionInfo
    from tfx.proto.orchestration import pipeline_pb2
    from tfx.types import Artifact

_Connection: TypeAlias = metadata_store_pb2.ConnectionConfig
# Seconds for a job server that listens already to answer.
_SERVER_LIMIT = 60


@contextmanager
def no_package_of_tfx() -> Iterator[None]:
    """Keeps TFX from packing itself for Beam's workers while the block runs.

    For every Beam job whose arguments name neither packages nor an image, TFX writes a source
    package of itself: 2.5 s and 57 MB that it never deletes. Workers in this process or on this
    machine do not install it, and others need this package besides: their image has both.
    """
    from tfx.utils import dependency_utils

    with replaced(dependency_utils, "make_beam_dependency_flags", list):
        yield


@contextmanager
def features_in_order() -> Iterator[None]:
    """Lets ExampleGen write the same bytes of an example in every process while the block runs.

    TFX leaves the order of its features to protobuf.
    """
    from tfx.components.example_gen import write_split

    from tfx_tflite.pipelines.tfx.example_bytes import SerializeInOrder

    with replaced(write_split, "MaybeSerialize", SerializeInOrder):
        yield


@contextmanager
def no_command_line() -> Iterator[None]:
    """Hides the arguments of this process while the block runs.

    TFX's executors give them to absl, whose flags are not the command line's: there `-v` takes the
    argument after it for its value, and the run fails.
    """
    with replaced(sys, "argv", sys.argv[:1]):
        yield


@contextmanager
def named_beam_runner() -> Iterator[None]:
    """Lets Beam's default runner be its FnApiRunner while the block runs.

    Its own default looks for a runner to download first, and TFX's BeamDagRunner takes the default
    for its own pipeline.
    """
    from apache_beam.options.pipeline_options import StandardOptions

    with replaced(StandardOptions, "DEFAULT_RUNNER", "FnApiRunner"):
        yield


@contextmanager
def options_parsed_once() -> Iterator[None]:
    """Lets Beam parse the same arguments once for each kind of options while the block runs.

    It asks the pipeline's options several times for every transform, and makes and runs a parser of
    the command line each time: a quarter of what StatisticsGen takes for few examples.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    view_as = PipelineOptions.view_as
    parsed: dict[tuple[type[PipelineOptions], tuple[str, ...]], Any] = {}

    @functools.wraps(view_as)
    def view(options: PipelineOptions, kind: type[PipelineOptions]) -> PipelineOptions:
        if options._flags is None:
            # Those of the command line, as it is then.
            return view_as(options, kind)
        key = (kind, tuple(options._flags))
        if key not in parsed:
            parsed[key] = copy.deepcopy(kind(options._flags)._visible_options)
        found = object.__new__(kind)
        found._flags, found._visible_options = options._flags, parsed[key]
        for name, value in vars(parsed[key]).items():
            if name not in options._all_options:
                # Whoever adds to a list adds to that of these options alone.
                options._all_options[name] = copy.deepcopy(value)
        found._all_options = options._all_options
        return found

    with replaced(PipelineOptions, "view_as", view):
        yield


@contextmanager
def signatures_looked_at_once() -> Iterator[None]:
    """Lets Beam look at the signature of a DoFn's function once while the block runs.

    It looks at those of all methods several times for every transform; see `beam_lookups.py`.
    """
    from apache_beam.transforms import core

    from tfx_tflite.pipelines.tfx.beam_lookups import RememberedSignatures

    signatures = RememberedSignatures(core.get_function_args_defaults)
    with replaced(core, "get_function_args_defaults", signatures):
        yield


@contextmanager
def forked_workers(workers: ForkedWorkers) -> Iterator[None]:
    """Lets Beam's worker processes on this machine be forked while the block runs.

    Beam starts them anew for each pipeline; see `forked_workers.py`.

    Args:
        workers: What forks them.
    """
    from apache_beam.runners.portability import local_job_service

    # Now, and not in a thread of Beam's: while that starts a worker, a run cannot be interrupted.
    if not workers.is_ready():
        yield
        return
    with replaced(local_job_service, "subprocess", workers):
        yield


@contextmanager
def workers_know_object_stores() -> Iterator[None]:
    """Lets Beam's workers read and write object stores, whatever they run, while the block runs.

    Beam knows the file systems of modules that were imported, and a worker imports what it
    unpickles. Its option for more is for workers in containers alone.
    """
    from apache_beam.internal import pickler

    from tfx_tflite.components.object_stores.for_workers import Sent

    dumps = pickler.dumps

    def dumps_sent(what: object, *arguments: Any, **settings: Any) -> bytes:
        # Who unpickles says whether it is compressed; `Sent` has what it holds as it is.
        inside = {name: value for name, value in settings.items() if name != "use_zlib"}
        return bytes(dumps(Sent(dumps(what, **inside)), *arguments, **settings))

    with replaced(pickler, "dumps", dumps_sent):
        yield


@contextmanager
def cache_of_root(root: str, beside: Mapping[str, str] | None = None) -> Iterator[None]:
    """Keeps the runs of one root to the artifacts of that root while the block runs.

    A key of TFX's cache has the pipeline's name in it and not its root. In a store that several
    roots share, a run would be answered with artifacts that lie below another one's root, whose
    owner may remove them at any time. Artifacts that are gone from a run's own root are made anew:
    TFX looks whether they are there.

    A key has the text of a `module_file` in it, and not of what that imports.

    Args:
        root: The directory below which the pipeline keeps its artifacts.
        beside: By node, the digest of what else its outputs depend on.
    """
    from tfx.orchestration.portable import cache_utils

    original = cache_utils.get_cache_context

    def with_root(
        *arguments: Any,
        pipeline_node: "pipeline_pb2.PipelineNode",
        parameters: Mapping[str, object] | None = None,
        **settings: Any,
    ) -> metadata_store_pb2.Context:
        # Artifacts that do not say what their files were are none to go on from.
        keyed = {**(parameters or {}), "pipeline_root": root, CONTENT_DIGESTS: "1"}
        if (digest := (beside or {}).get(pipeline_node.node_info.id)) is not None:
            keyed["beside"] = digest
        # Who asks decides nothing: the same model is judged the same from another command line.
        keyed.pop(PROVENANCE, None)
        return original(*arguments, pipeline_node=pipeline_node, parameters=keyed, **settings)

    with replaced(cache_utils, "get_cache_context", with_root):
        yield


@contextmanager
def fingerprints_of_contents(digest: Callable[[str], str]) -> Iterator[None]:
    """Lets ExampleGen tell data by their contents while the block runs.

    TFX goes by sizes and times of change: other contents of the same size and time are taken for
    the ones that are in the cache, and files that were copied for others.

    Args:
        digest: Returns that of the files on this machine that match a pattern.
    """
    from tfx.utils import io_utils

    original = io_utils.generate_fingerprint

    def fingerprint(split_name: str, file_pattern: str) -> str:
        if not is_local(file_pattern):
            return original(split_name, file_pattern)
        return f"split:{split_name},contents:{digest(file_pattern)}"

    with replaced(io_utils, "generate_fingerprint", fingerprint):
        yield


@contextmanager
def unchanged_while_read(digests: Mapping[str, Callable[[], str]]) -> Iterator[None]:
    """Fails nodes whose inputs were changed since the block began while the block runs.

    A key of the cache is made before what it is of is read. If that is another one by then, its
    result would be served under the key of what was there before.

    Args:
        digests: By node, what returns the digest of what it reads.

    Raises:
        DataError: In the node.
    """
    from tfx.orchestration.portable import launcher

    before = {node: digest() for node, digest in digests.items()}

    class GuardedLauncher(launcher.Launcher):
        def _run_executor(self, execution_info: Any) -> Any:
            node = self._pipeline_node.node_info.id
            result = super()._run_executor(execution_info)
            if node in digests and digests[node]() != before[node]:
                raise DataError(f"what {node} reads was changed during the run; run again")
            return result

    with replaced(launcher, "Launcher", GuardedLauncher):
        yield


@contextmanager
def cache_of_what_was_known() -> Iterator[None]:
    """Keeps verdicts that could not look at the pushed model out of the cache while the block runs.

    TFX takes whatever an execution that ended well has given. An evaluation of which a rule is
    undecided because the destination was away for a minute ended well, too.
    """
    from tfx.orchestration.portable import cache_utils

    original = cache_utils.get_cached_outputs

    def known_outputs(*arguments: Any, **settings: Any) -> "dict[str, list[Artifact]] | None":
        outputs: dict[str, list[Artifact]] | None = original(*arguments, **settings)
        artifacts = (artifact for entries in (outputs or {}).values() for artifact in entries)
        is_unknown = any(
            artifact.get_int_custom_property(REFERENCE_NOT_KNOWN) for artifact in artifacts
        )
        return None if is_unknown else outputs

    with replaced(cache_utils, "get_cached_outputs", known_outputs):
        yield


@dataclass(frozen=True)
class Launch:
    """A node that TFX is about to launch.

    Attributes:
        node: The node's id.
        is_system_node: Whether it is an importer or a resolver, which is never taken from the
            cache.
        connection: The pipeline's store.
        run: Launches it.
    """

    node: str
    is_system_node: bool
    connection: "metadata.Metadata"
    run: "Callable[[], ExecutionInfo | None]"


class LaunchObserver(Protocol):
    """Who is told of launches."""

    def launch(self, launch: Launch) -> "ExecutionInfo | None":
        """Launches a node."""

    def executes(self, node: str) -> None:
        """Is told that the executor of a node is about to run: there is nothing in the cache."""


@contextmanager
def observed_launches(observer: LaunchObserver) -> Iterator[None]:
    """Lets an observer launch the nodes of pipelines while the block runs.

    Both runners launch nodes through `launcher.Launcher`. Executors of TFX's own components neither
    record what they leave nor look at what they are given, so that is done around them.

    Args:
        observer: Is asked for every node.
    """
    from tfx.orchestration.portable import launcher
    from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator

    from tfx_tflite.components import artifact_digests
    from tfx_tflite.components.object_stores import any_place
    from tfx_tflite.pipelines.tfx.local_artifacts import LocalArtifacts

    class ObservedLauncher(launcher.Launcher):
        def launch(self) -> Any:
            return observer.launch(
                Launch(
                    self._pipeline_node.node_info.id,
                    self._system_node_handler is not None,
                    self._mlmd_connection,
                    super().launch,
                )
            )

        def _run_executor(self, execution_info: Any) -> Any:
            node = self._pipeline_node.node_info
            observer.executes(node.id)
            with _kept_placeholders(self._executor_operator), any_place.kept_copies():
                return self._run_with_digests(node.type.name, execution_info)

        def _run_with_digests(self, node_type: str, execution_info: Any) -> Any:
            if artifact_digests.is_own(node_type):
                return super()._run_executor(execution_info)
            with artifact_digests.unchanged(execution_info.input_dict):
                if isinstance(self._executor_operator, BeamExecutorOperator):
                    output = super()._run_executor(execution_info)
                else:
                    with LocalArtifacts.of(execution_info) as local:
                        output = super()._run_executor(execution_info)
                        local.put(output)
            for entries in output.output_artifacts.values():
                for artifact in entries.artifacts:
                    artifact_digests.record_in(artifact)
            return output

    with replaced(launcher, "Launcher", ObservedLauncher):
        yield


@contextmanager
def _kept_placeholders(operator: Any) -> Iterator[None]:
    """Lets what runs an executor on Beam run it again.

    It keeps Beam's arguments as placeholders until it resolves them, and then their values in the
    same place, which a second run cannot resolve.

    Args:
        operator: Of a node; what is not Beam's is left alone.
    """
    placeholders = getattr(operator, "beam_pipeline_args", None)
    try:
        yield
    finally:
        if placeholders is not None:
            operator.beam_pipeline_args = placeholders


@contextmanager
def named_models_of_blessings(keys: Sequence[str]) -> Iterator[None]:
    """Lets TFX's Kubeflow entry point hand out blessings whose models are named by id.

    On the way out of an evaluator TFX replaces ids by names; on the way in it leaves the names.

    Args:
        keys: The custom properties of a blessing that name models.
    """
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils
    from tfx.types.standard_artifacts import ModelBlessing

    parse = kubeflow_v2_entrypoint_utils.parse_raw_artifact_dict

    def parse_with_ids(
        artifacts: Any, name_from_id: MutableMapping[int, str] | None = None
    ) -> "dict[str, list[Artifact]]":
        names = {} if name_from_id is None else name_from_id
        parsed: dict[str, list[Artifact]] = parse(artifacts, names)
        for artifact in (entry for entries in parsed.values() for entry in entries):
            if isinstance(artifact, ModelBlessing):
                _name_models_by_id(artifact, keys, names)
        return parsed

    with replaced(kubeflow_v2_entrypoint_utils, "parse_raw_artifact_dict", parse_with_ids):
        yield


def _name_models_by_id(
    blessing: "Artifact", keys: Sequence[str], name_from_id: MutableMapping[int, str]
) -> None:
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

    for key in keys:
        name = blessing.get_custom_property(key)
        if isinstance(name, str) and name:
            model_id = kubeflow_v2_entrypoint_utils._get_hashed_id(name, name_from_id)
            del blessing.mlmd_artifact.custom_properties[key]
            blessing.set_int_custom_property(key, model_id)


def kubeflow_class_path(schema: "pipeline_spec_pb2.ArtifactTypeSchema") -> str:
    """Returns the path of the class that TFX's Kubeflow entry point takes for an artifact type."""
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_entrypoint_utils

    return str(kubeflow_v2_entrypoint_utils._retrieve_class_path(schema))


def add_kubeflow_types(class_paths: Mapping[str, str]) -> None:
    """Lets TFX's Kubeflow entry point know artifact types, by their titles, from now on."""
    from tfx.orchestration.kubeflow.v2 import compiler_utils

    compiler_utils.TITLE_TO_CLASS_PATH.update(class_paths)


# Listings that PostgreSQL returns in no order, or in that of the last change; TFX takes the order
# for that of the ids.
_LISTINGS = (
    "get_artifacts",
    "get_artifacts_by_context",
    "get_artifacts_by_type",
    "get_artifacts_by_uri",
    "get_contexts",
    "get_contexts_by_artifact",
    "get_contexts_by_execution",
    "get_contexts_by_type",
    "get_executions",
    "get_executions_by_context",
    "get_executions_by_type",
)
_LISTINGS_OF_IDS = ("get_artifacts_by_id", "get_contexts_by_id", "get_executions_by_id")


class TextCode(Protocol):
    """How texts are written in a store, which both functions change in place."""

    def encode(self, message: Message) -> None:
        """Makes the texts of a request fit for the store."""

    def decode(self, message: Message) -> None:
        """Makes the texts of a response what they were."""


@contextmanager
def metadata_server(
    public: _Connection,
    private: _Connection,
    refusal: Callable[[str], str],
    code: TextCode | None,
) -> Iterator[None]:
    """Lets this process use a server of ML Metadata by a connection without its password.

    TFX connects wherever it needs the store, so ML Metadata's class is replaced by one that adds
    the password, and that lists in the order that TFX expects.

    Args:
        public: The connection that TFX is given, without the password.
        private: The connection with it.
        refusal: Makes a message for people of ML Metadata's.
        code: How texts are written; None if as they are.
    """
    client = _ordered_store(ml_metadata.MetadataStore, public, private, refusal, code)
    with replaced(ml_metadata, "MetadataStore", client):
        yield


def _ordered_store(
    original: Any,
    public: _Connection,
    private: _Connection,
    refusal: Callable[[str], str],
    code: TextCode | None,
) -> Any:
    class OrderedStore(original):
        """ML Metadata's client, with the password and with listings in order."""

        def __init__(self, config: _Connection, *arguments: Any, **settings: Any):
            self._is_ours = config == public
            try:
                with no_debug_log() if self._is_ours else nullcontext():
                    super().__init__(private if self._is_ours else config, *arguments, **settings)
            except RuntimeError as error:
                if not self._is_ours:
                    raise
                # A RuntimeError too, as TFX then tries again for some seconds.
                raise RuntimeError(refusal(str(error))) from None
            # ML Metadata keeps it, with the password.
            self._config = config

        def _call(self, name: str, request: Message, response: Message, *arguments: Any) -> None:
            if code is None or not self._is_ours:
                super()._call(name, request, response, *arguments)
                return
            code.encode(request)
            super()._call(name, request, response, *arguments)
            code.decode(response)

    for name in _LISTINGS:
        setattr(OrderedStore, name, _listing(name, getattr(original, name)))
    for name in _LISTINGS_OF_IDS:
        setattr(OrderedStore, name, _listing_of_ids(name, getattr(original, name)))
    return OrderedStore


@contextmanager
def no_debug_log() -> Iterator[None]:
    """Keeps ML Metadata from logging a connection, which it does at level DEBUG."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(min(verbosity, absl.logging.INFO))
    try:
        yield
    finally:
        absl.logging.set_verbosity(verbosity)


class _Numbered(Protocol):
    id: int


_Node = TypeVar("_Node", bound=_Numbered)
_List = Callable[..., list[Any]]


def _listing(name: str, original: _List) -> _List:
    def listed(store: object, *arguments: object, **settings: object) -> list[Any]:
        found = original(store, *arguments, **settings)
        options = [*arguments, *settings.values()]
        asked = any(getattr(option, "order_by", None) is not None for option in options)
        return found if asked else sorted(found, key=lambda node: node.id)

    listed.__name__ = name
    return listed


def _listing_of_ids(name: str, original: _List) -> _List:
    def listed(
        store: object, ids: Iterable[int], *arguments: object, **settings: object
    ) -> list[Any]:
        wanted = list(ids)
        return in_order_of(wanted, original(store, wanted, *arguments, **settings))

    listed.__name__ = name
    return listed


def in_order_of(ids: Sequence[int], nodes: Iterable[_Node]) -> list[_Node]:
    """Returns nodes in the order in which they were asked for, each once.

    Args:
        ids: What was asked for; ids that are not there are left out.
        nodes: What was found, in any order.
    """
    by_id = {node.id: node for node in nodes}
    return [by_id[id_] for id_ in dict.fromkeys(ids) if id_ in by_id]


class JobKeeper(Protocol):
    """Who knows where jobs are sent and waits for them."""

    def name(self, given: str | None) -> str:
        """Returns what the next job is called, if the user gives it this name, or none."""

    def endpoint(self, download: Callable[[], str]) -> str | None:
        """Returns where jobs are sent, if Beam is not to start a job server; None if it is."""

    def wait(self, job: Any, until_it_ends: Callable[[], str]) -> str:
        """Waits for a job, and returns its last state."""


class _LookedAt:
    """A job that may be looked at while somebody waits for it.

    Beam notes the state that it is told in the job, and who waits takes what is noted for the last
    one: an answer that was on its way when the job ended would make it one that failed.

    Args:
        result: Beam's own job, a `portable_runner.PipelineResult`.
    """

    def __init__(self, result: Any):
        self._result = result

    @property
    def state(self) -> str:
        """How it stands, asked of the job server."""
        return str(copy.copy(self._result).state)

    def cancel(self) -> None:
        """Asks the job server to cancel it."""
        self._result.cancel()


@contextmanager
def kept_jobs(keeper: JobKeeper) -> Iterator[None]:
    """Lets somebody else start the job server and wait for jobs while the block runs.

    Beam starts a job server for each pipeline, stops it when the process ends, and takes Ctrl-C's
    handler for that. It waits for a job without end and leaves it running when it is interrupted.
    What options a job server has is known when a job is sent; a value that one of them does not
    take would end the process, and here it is a ConfigError of the job.

    Args:
        keeper: Is asked for the job server, and waits for each job.
    """
    from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions
    from apache_beam.runners.portability import (
        flink_runner,
        job_server,
        portable_runner,
        spark_runner,
    )

    create, wait, encoded = (
        portable_runner.PortableRunner.create_job_service,
        portable_runner.PipelineResult.wait_until_finish,
        portable_runner.JobServiceHandle.get_pipeline_options,
    )

    def checked(handle: Any) -> Any:
        said = io.StringIO()
        try:
            with redirect_stderr(said):
                return encoded(handle)
        except SystemExit as end:
            reason = said.getvalue().rstrip().rpartition("error: ")[2]
            raise ConfigError(f"beam.args: {reason}") from end

    def named(runner: Any, options: PipelineOptions) -> Any:
        job = options.view_as(GoogleCloudOptions)
        job.job_name = keeper.name(job.job_name)
        return create(runner, options)

    def kept(result: Any, duration: int | None = None) -> str:
        return keeper.wait(_LookedAt(result), lambda: str(wait(result, duration)))

    def server_of(
        server: Callable[[PipelineOptions], Any], default: Callable[..., Any]
    ) -> Callable[[Any, PipelineOptions], Any]:
        def default_job_server(runner: Any, options: PipelineOptions) -> Any:
            def download() -> str:
                own = server(options)
                return str(own.local_jar(own.path_to_jar(), own._jar_cache_dir))

            endpoint = keeper.endpoint(download)
            if endpoint is None:
                return default(runner, options)
            return job_server.ExternalJobServer(endpoint, _SERVER_LIMIT)

        return default_job_server

    flink, spark = flink_runner.FlinkRunner, spark_runner.SparkRunner
    of_flink = server_of(flink_runner.FlinkJarJobServer, flink.default_job_server)
    of_spark = server_of(spark_runner.SparkJarJobServer, spark.default_job_server)
    with (
        replaced(portable_runner.PortableRunner, "create_job_service", named),
        replaced(portable_runner.PipelineResult, "wait_until_finish", kept),
        replaced(portable_runner.JobServiceHandle, "get_pipeline_options", checked),
        replaced(flink, "default_job_server", of_flink),
        replaced(spark, "default_job_server", of_spark),
    ):
        yield
