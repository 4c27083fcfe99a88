"""What several tests share; heavy imports are inside the fixtures, for the sake of light tests."""

import gc
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from multiprocessing.util import Finalize
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / "configs"
# As it was before libraries set variables of their own: TensorFlow Transform has all that comes
# after it use Keras 2.
ENVIRONMENT = dict(os.environ)
# The environment's variable that names the session's temporary folder.
_TEMPORARY = "TFX_TFLITE_TESTS_TEMPORARY"
# Multiprocessing's own clean-up when a process ends has -100 and higher.
_AFTER_ALL_ELSE = -1000
# Seconds from which on one wants to know what a session does with its time.
_LONG = 600

# The files that take longest, in this order: begun last, one of them would keep one worker busy
# while the others have nothing to do.
LONGEST = (
    "pipelines/engines/test_cluster.py",
    "pipelines/runs/test_artifacts_elsewhere.py",
    "pipelines/runs/test_nothing_left.py",
    "pipelines/kubeflow/test_run.py",
    "pipelines/runs/test_shipped_configs.py",
    "pipelines/runs/test_bad_input.py",
    "components/quantization_evaluator/test_executor.py",
    "components/tflite_quantizer/test_executor.py",
    "pipelines/runs/test_portable_runner.py",
    "pipelines/metadata/test_servers.py",
    "docs/test_tutorial.py",
    "examples/test_existing_pipeline.py",
    "components/quantization/audit/test_audit.py",
    "pipelines/runs/test_retraining.py",
    "pipelines/runs/test_swapped_bytes.py",
    "components/quantization_evaluator/test_matrix.py",
    "pipelines/runs/test_rolling_pipeline.py",
    "components/destinations/stores/test_faults.py",
    "components/destinations/stores/test_identities.py",
    "test_image.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the tests that take longest first."""
    rank = {str(ROOT / "tests" / name): place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(str(item.path), len(rank)))


def pytest_configure() -> None:
    """Sets what holds for the whole process."""
    # The garbage collector looks less often: tests import much, in the middle of their work.
    gc.set_threshold(50_000, 20, 20)
    # Who starts pytest in the background has it ignore Ctrl-C, and with it the programs that tests
    # start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Libraries and killed programs leave files in the temporary folder: they go with the session.
    # The processes that xdist starts have the same folder.
    if _TEMPORARY not in os.environ:
        above, folder = tempfile.gettempdir(), tempfile.mkdtemp(prefix="tests-")
        # As the folder above: some tests, and servers that do not run as root, are another user.
        Path(folder).chmod(0o1777)
        for variables in (os.environ, ENVIRONMENT):
            variables.update({_TEMPORARY: folder, "TMPDIR": folder})
        # Pytest's own folders stay where one looks for them.
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", above)
        tempfile.tempdir = None
        # At the very end, after multiprocessing has removed its own folders.
        last = {"ignore_errors": True}
        Finalize(None, shutil.rmtree, (folder,), last, exitpriority=_AFTER_ALL_ELSE)


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Has failures said as they happen: a session that is ended before its end sums up nothing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        session.config.pluginmanager.register(_Failures(reporter))


class _Failures:
    def __init__(self, reporter: pytest.TerminalReporter):
        self._reporter = reporter

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._reporter.write_line(f"\n{report.nodeid} failed:\n{report.longreprtext[-2000:]}")


@pytest.fixture(scope="session", autouse=True)
def _forked_children() -> Iterator[None]:
    """Spares conversions and pushes the import of TensorFlow; see `forked.py`.

    A few tests do not pay for a fork server, and each test run has both kinds.
    """
    from tests.forked import forked_children

    with forked_children(by_command=2):
        yield


@pytest.fixture(scope="session", autouse=True)
def _options_parsed_once() -> Iterator[None]:
    """Spares pipelines of Beam that no run makes what runs spare them, too.

    A session that has not loaded Beam when it begins does not load it for this.
    """
    if "apache_beam" not in sys.modules:
        yield
        return
    from tfx_tflite.pipelines.tfx import patches

    with patches.options_parsed_once():
        yield


@pytest.fixture(scope="module")
def converters_by_command() -> Iterator[None]:
    """Has each process of the converter started by its command, as outside of tests."""
    from tests.forked import STARTED_BY_COMMAND
    from tfx_tflite.components.quantization.conversion.child_process import ChildProcess

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ChildProcess, "_started", STARTED_BY_COMMAND)
        yield


@pytest.fixture(scope="session")
def digits_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled digits as TFRecords: 1,348 examples to train with, 449 to evaluate on."""
    from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data

    return write_builtin_data("digits", tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def digits_arrays(digits_data: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images, shape (n, 8, 8, 1), and labels, shape (n,), by split."""
    import tensorflow as tf

    def load(split: str) -> tuple[np.ndarray, np.ndarray]:
        spec = {
            "image": tf.io.FixedLenFeature([8, 8, 1], tf.float32),
            "label": tf.io.FixedLenFeature([], tf.int64),
        }
        records = list(
            tf.data.TFRecordDataset(str(digits_data / split / "data.tfrecord")).as_numpy_iterator()
        )
        parsed = tf.io.parse_example(records, spec)
        return parsed["image"].numpy(), parsed["label"].numpy()

    return {split: load(split) for split in ("train", "eval")}


@pytest.fixture(scope="session")
def digits_trainer():
    sys.path.insert(0, str(CONFIGS))
    try:
        import digits_trainer
    finally:
        sys.path.remove(str(CONFIGS))
    return digits_trainer


@pytest.fixture(scope="session")
def keras_digits(digits_arrays, digits_trainer):
    """The shipped net, trained for a few seconds."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(1)
    model = digits_trainer.build_model()
    images, labels = digits_arrays["train"]
    model.fit(images, labels, batch_size=64, epochs=5, verbose=0)
    return model


@pytest.fixture(scope="session")
def digits_model(keras_digits, digits_trainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The net as a SavedModel, written by `tf.saved_model.save`."""
    path = tmp_path_factory.mktemp("model") / "digits"
    digits_trainer.export(keras_digits, str(path))
    return path


@pytest.fixture(scope="session")
def digits_flatbuffer(digits_model: Path) -> bytes:
    """The net as a float TFLite model."""
    import tensorflow as tf

    model = tf.saved_model.load(str(digits_model))
    function = model.signatures["serving_tensors"]
    return tf.lite.TFLiteConverter.from_concrete_functions([function], model).convert()


@pytest.fixture(scope="session")
def write_records_to(write_records) -> Callable[..., Path]:
    """As `write_records`, gzipped as in an artifact."""
    return lambda path, examples: write_records(path, examples, "GZIP")


@pytest.fixture(scope="session")
def write_records() -> Callable[..., Path]:
    """Writes tf.Examples (mappings of feature to values) to a TFRecord file."""
    import tensorflow as tf

    def feature(values: object) -> tf.train.Feature:
        array = np.atleast_1d(np.asarray(values))
        if array.dtype.kind in "iu":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=array.ravel()))
        if array.dtype.kind == "f":
            return tf.train.Feature(float_list=tf.train.FloatList(value=array.ravel()))
        return tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[str(value).encode() for value in array.ravel()])
        )

    def write(path: Path, examples: Iterable[Mapping[str, object]], compression: str = "") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tf.io.TFRecordWriter(str(path), compression) as writer:
            for example in examples:
                features = {name: feature(values) for name, values in example.items()}
                message = tf.train.Example(features=tf.train.Features(feature=features))
                writer.write(message.SerializeToString(deterministic=True))
        return path

    return write


@pytest.fixture(scope="session")
def sound_files(tmp_path_factory: pytest.TempPathFactory, write_records) -> Callable[[Path], None]:
    """Puts a model, records and a trainer that `validate` finds nothing wrong with over others.

    The model is that of `model/`, the records those of every file below `data/`, and the trainer
    `trainer.py`, here or in `code/`, as far as they are there.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, name="x")])
    def serving_default(x):
        return {"y": tf.sigmoid(tf.reduce_sum(x, 1, keepdims=True))}

    model = tmp_path_factory.mktemp("sound") / "model"
    tf.saved_model.save(tf.Module(), str(model), {"serving_default": serving_default})

    def put(folder: Path) -> None:
        if (folder / "model").exists():
            shutil.copytree(model, folder / "model", dirs_exist_ok=True)
        for file in (folder / "data").rglob("*"):
            if file.is_file():
                write_records(file, [{"x": [0.5, 1.0], "label": label} for label in (0, 1)])
        for trainer in (folder / "trainer.py", folder / "code" / "trainer.py"):
            if trainer.exists():
                trainer.write_text("import layers\n\n\ndef run_fn(fn_args):\n    layers\n")

    return put


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An S3 server on this machine with a bucket `models`; yields how to reach it."""
    import boto3

    from tests.pipelines.metadata.servers import free_port, wait_for

    port, log = free_port(), tmp_path_factory.mktemp("s3") / "log"
    endpoint = f"http://127.0.0.1:{port}"
    with log.open("wb") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=stream,
            stderr=stream,
        )
    try:
        wait_for(port, server, log)
        credentials = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        ).create_bucket(Bucket="models")
        yield {
            **credentials,
            "AWS_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "S3_ENDPOINT": endpoint,
            "S3_USE_HTTPS": "0",
            "S3_VERIFY_SSL": "0",
        }
    finally:
        server.kill()
        server.wait()


@pytest.fixture
def as_a_user(tmp_path: Path) -> Iterator[None]:
    """Runs as a user whom permissions bind, if that can be."""
    if os.geteuid() != 0:
        yield
        return
    for path in (*tmp_path.parents, tmp_path):
        if path.stat().st_uid == 0 and path.stat().st_mode & 0o055 != 0o055:
            path.chmod(path.stat().st_mode | 0o055)
    for path in (tmp_path, *tmp_path.rglob("*")):
        os.chown(path, 1000, 1000)
    os.seteuid(1000)
    try:
        yield
    finally:
        os.seteuid(0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints what tests want to be seen of them, and of a long session which files it went to."""
    seconds: Counter[str] = Counter()
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.partition("::")[0]] += report.duration
    if seconds.total() > _LONG:
        terminalreporter.section("files that took longest")
        for file, taken in seconds.most_common(60):
            terminalreporter.write_line(f"{taken:6.0f} s  {file}")
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "summary":
                terminalreporter.write_line(f"{report.nodeid}: {value}")
