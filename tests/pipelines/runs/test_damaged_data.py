"""After which failures a damaged file is looked for, and what is said of that."""

import errno
import gzip
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import Preflight, inspect
from tfx_tflite.pipelines.runs import damaged_data
from tfx_tflite.pipelines.runs.damaged_data import damaged_file, may_be_damage

pytestmark = pytest.mark.slow

IN_PROCESS = ("--runner=FnApiRunner",)
BY_A_JOB_SERVICE = (
    "--runner=PortableRunner",
    "--job_endpoint=embed",
    "--environment_type=LOOPBACK",
)
CONFIG = """\
name: damaged
root: root
data: {input_base: data}
model: {saved_model: model, signature: serving_default}
quantization: {scheme: float32}
evaluation: {label: label, metrics: [BinaryAccuracy]}
gate: {min_examples: 1, rules: [{metric: BinaryAccuracy, max_drop: 1}]}
push: {destination: pushed}
"""


def rows(count: int = 500, **others) -> list[dict]:
    return [{"x": [float(number), 1.0], "label": number % 2, **others} for number in range(count)]


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2 + 3]


def with_another_bit(content: bytes) -> bytes:
    changed = bytearray(content)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def with_another_bit_before_it_was_zipped(content: bytes) -> bytes:
    return gzip.compress(with_another_bit(gzip.decompress(content)))


def something_else(content: bytes) -> bytes:
    return b"a,b\n1,2\n" * 50


def read(file: Path, options: Sequence[str]) -> None:
    """Reads a file as StatisticsGen does."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tfx_bsl.tfxio.tf_example_record import TFExampleRecord

    source = TFExampleRecord([str(file)], telemetry_descriptors=["test"])
    with beam.Pipeline(options=PipelineOptions(list(options))) as pipeline:
        _ = pipeline | source.BeamSource(batch_size=100) | beam.Map(lambda batch: batch.num_rows)


@pytest.mark.parametrize(
    ("name", "damage", "options"),
    [
        ("a.tfrecord", cut, IN_PROCESS),
        ("a.tfrecord", cut, BY_A_JOB_SERVICE),
        ("a.tfrecord", with_another_bit, IN_PROCESS),
        ("a.tfrecord", something_else, IN_PROCESS),
        ("a.gz", cut, IN_PROCESS),
        ("a.gz", with_another_bit, IN_PROCESS),
        ("a.gz", with_another_bit, BY_A_JOB_SERVICE),
        ("a.gz", with_another_bit_before_it_was_zipped, IN_PROCESS),
        ("a.gz", something_else, IN_PROCESS),
    ],
)
def test_what_beam_raises_of_a_damaged_file_is_a_reason_to_look(
    tmp_path: Path, write_records, name: str, damage: Callable, options: Sequence[str]
):
    file = write_records(tmp_path / name, rows(), "GZIP" if name == "a.gz" else "")
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(Exception) as caught:
        read(file, options)
    assert may_be_damage(caught.value)


@pytest.mark.parametrize("options", [IN_PROCESS, BY_A_JOB_SERVICE])
def test_so_is_what_it_raises_of_records_that_are_no_examples_or_of_other_types(
    tmp_path: Path, write_records, options: Sequence[str]
):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(tmp_path / "none")) as writer:
        writer.write(b"\xff\xfe no example")
    write_records(tmp_path / "mixed", [*rows(3), {"x": "text", "label": 1}])
    for name in ("none", "mixed"):
        with pytest.raises(Exception) as caught:
            read(tmp_path / name, options)
        assert may_be_damage(caught.value)


def test_so_is_what_tensorflow_raises_in_a_training(tmp_path: Path, write_records):
    import tensorflow as tf

    file = write_records(tmp_path / "a.tfrecord", rows())
    spec = {"x": tf.io.FixedLenFeature([2], tf.int64)}
    parsed = tf.data.TFRecordDataset(str(file)).map(lambda each: tf.io.parse_example(each, spec))
    with pytest.raises(tf.errors.InvalidArgumentError) as of_another_type:
        list(parsed)
    file.write_bytes(with_another_bit(file.read_bytes()))
    with pytest.raises(tf.errors.DataLossError) as of_a_changed_file:
        list(tf.data.TFRecordDataset(str(file)))
    assert may_be_damage(of_another_type.value) and may_be_damage(of_a_changed_file.value)


@pytest.mark.parametrize("name", ["JSONDecodeError", "UnicodeDecodeError"])
def test_other_files_that_cannot_be_decoded_are_no_reason(name: str):
    assert not may_be_damage(RuntimeError(f"json.decoder.{name}: Expecting value: line 1"))


def test_failures_that_no_data_cause_are_none(tmp_path: Path):
    import apache_beam as beam

    with pytest.raises(OSError) as disk_full, Path("/dev/full").open("wb", buffering=0) as file:
        file.write(b"examples")
    with pytest.raises(Exception) as missing, beam.Pipeline(runner="FnApiRunner") as pipeline:
        _ = (
            pipeline
            | beam.Create([str(tmp_path / "gone")])
            | beam.Map(lambda name: Path(name).read_bytes())
        )
    with pytest.raises(Exception) as no_server:
        read(
            tmp_path,
            ["--runner=PortableRunner", "--job_endpoint=localhost:9", "--job_server_timeout=1"],
        )
    for error in (disk_full.value, missing.value, no_server.value):
        assert not may_be_damage(error), error
    for other in (KeyboardInterrupt(), MemoryError(), EOFError(), SystemExit(1)):
        assert not may_be_damage(other)


@pytest.fixture
def found(tmp_path: Path, write_records, sound_files) -> Preflight:
    for split in ("train", "eval"):
        write_records(tmp_path / "data" / split / "a.tfrecord", rows(40))
    (tmp_path / "model").mkdir()
    sound_files(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG)
    damaged = tmp_path / "data" / "eval" / "a.tfrecord"
    write_records(damaged, rows(40))
    damaged.write_bytes(cut(damaged.read_bytes()))
    return inspect(load_config(tmp_path / "c.yaml"))


def test_the_search_says_how_much_is_read_and_that_it_can_be_skipped(found: Preflight):
    said: list[str] = []
    problem = damaged_file(found, said.append)
    assert problem is not None and "eval/a.tfrecord is not a whole TFRecord file" in problem
    assert said == ["looking for a damaged file among 2 files, 0.0 MB; Ctrl-C skips it"]


def failed_with(error: BaseException) -> Exception:
    from tfx_tflite.pipelines.runs.runners import StageFailed

    failure = StageFailed("StatisticsGen", {})
    failure.__cause__ = error
    return failure


def test_the_file_is_what_is_wrong_if_a_stage_may_have_failed_of_it(found: Preflight):
    from tfx_tflite.pipelines.runs.run import _explained

    error = ValueError("Not a valid TFRecord. Mismatch of data mask: b'0a20'")
    explained = _explained(failed_with(error), found, lambda line: None)
    assert isinstance(explained, DataError) and "eval/a.tfrecord" in str(explained)


def test_ctrl_c_ends_the_search_alone(found: Preflight, monkeypatch):
    from tfx_tflite.pipelines.runs.run import RunFailed, _explained

    def interrupted(found: Preflight) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(damaged_data, "find_corrupt_file", interrupted)
    error = ValueError("Not a valid TFRecord. Mismatch of data mask: b'0a20'")
    explained = _explained(failed_with(error), found, lambda line: None)
    assert isinstance(explained, RunFailed)
    assert str(explained).startswith("StatisticsGen failed: ValueError: Not a valid TFRecord.")


def test_nothing_is_read_again_after_a_failure_that_no_data_cause(found: Preflight):
    from tfx_tflite.pipelines.runs.run import RunFailed, _explained

    said: list[str] = []
    full = OSError(errno.ENOSPC, "No space left on device")
    explained = _explained(failed_with(full), found, said.append)
    assert isinstance(explained, RunFailed) and "No space left on device" in str(explained)
    assert said == []
