"""The same data in each format give the same figures; other contents are one clear line."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_tflite.components.errors import DataError
from tfx_tflite.pipelines.runs.results import RunResult

pytestmark = pytest.mark.slow

CONFIG = """\
name: formats
root: root
data: {{input_base: data, format: {format}}}
model: {{saved_model: {model}, signature: serving_tensors}}
calibration: {{samples: 100, strategy: stratified, stratify_by: label}}
quantization: {{scheme: int8}}
evaluation:
  label: label
  metrics: [SparseCategoricalAccuracy, SparseCategoricalCrossentropy]
  slices: [[label]]
gate:
  rules:
    - {{metric: SparseCategoricalAccuracy, max_drop: 0.05}}
    - {{metric: SparseCategoricalCrossentropy, max_drop: 1, slices: each}}
push: {{destination: pushed}}
"""

Columns = Mapping[str, np.ndarray]


def write_npz(file: Path, columns: Columns) -> None:
    np.savez_compressed(file, **columns)


def write_parquet(file: Path, columns: Columns) -> None:
    table = {
        name: pa.array(list(values.reshape(len(values), -1)) if values.ndim > 1 else values)
        for name, values in columns.items()
    }
    pq.write_table(pa.table(table), file)


WRITERS: Mapping[str, Callable[[Path, Columns], None]] = {
    "npz": write_npz,
    "parquet": write_parquet,
}


@pytest.fixture
def split(tmp_path: Path):
    """Writes a split in a format, in several files; the first one's columns may be changed."""

    def write(name: str, data_format: str, columns: Columns, files: int = 1) -> list[Path]:
        directory = tmp_path / "data" / name
        directory.mkdir(parents=True, exist_ok=True)
        parts = np.array_split(np.arange(len(next(iter(columns.values())))), files)
        paths = [directory / f"part-{number}.{data_format}" for number in range(files)]
        for path, rows in zip(paths, parts, strict=True):
            WRITERS[data_format](path, {key: values[rows] for key, values in columns.items()})
        return paths

    return write


@pytest.fixture
def run(tmp_path: Path, digits_model: Path):
    """Runs the config on data of a format."""
    return lambda data_format, *overrides: run_once(tmp_path, digits_model, data_format, overrides)


def run_once(directory: Path, model: Path, data_format: str, overrides=()) -> RunResult:
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run
    from tfx_tflite.pipelines.runs.runners import StageObserver

    path = directory / "c.yaml"
    path.write_text(CONFIG.format(format=data_format, model=model))
    found = inspect(load_config(path, overrides))
    return run(found, "local", StageObserver(lambda name: None, lambda stage: None))


@pytest.fixture(scope="module")
def of_records(tmp_path_factory: pytest.TempPathFactory, digits_data: Path, digits_model: Path):
    """What comes of the digits as TFRecords."""
    directory = tmp_path_factory.mktemp("records")
    (directory / "data").symlink_to(digits_data)
    return run_once(directory, digits_model, "tfrecord")


@pytest.mark.parametrize("data_format", ["npz", "parquet"])
def test_the_same_data_give_the_same_figures_as_tfrecords(
    split, run, digits_arrays, of_records: RunResult, data_format: str
):
    for name, (images, labels) in digits_arrays.items():
        split(name, data_format, {"image": images, "label": labels}, files=3)
    result = run(data_format)
    assert result.status == "pushed" and len(result.rules) > 5
    assert result.rules == of_records.rules
    assert result.size_bytes == of_records.size_bytes
    assert result.examples == of_records.examples
    assert list(Path(result.pushed_to).rglob("*.tflite"))


@pytest.mark.parametrize("data_format", ["npz", "parquet"])
def test_labels_may_be_texts_of_a_vocabulary(
    split, run, digits_arrays, of_records: RunResult, data_format: str
):
    names = np.array([f"digit {number}" for number in range(10)])
    for name, (images, labels) in digits_arrays.items():
        split(name, data_format, {"image": images, "label": names[labels]})
    vocabulary = f"evaluation.vocabulary=[{', '.join(map(repr, names.tolist()))}]"
    result = run(data_format, vocabulary, "calibration.strategy=random")
    assert result.rules[0].float_value == of_records.rules[0].float_value


@pytest.mark.parametrize("data_format", ["npz", "parquet"])
def test_files_that_are_not_of_the_format_are_one_line_that_names_them(
    split, run, tmp_path: Path, digits_arrays, data_format: str
):
    images, labels = digits_arrays["eval"]
    split("train", data_format, {"image": images, "label": labels})
    [path] = split("eval", data_format, {"image": images, "label": labels})
    path.write_text("image,label\n1,2\n")
    with pytest.raises(DataError, match=path.name) as raised:
        run(data_format)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "pushed").exists()


def test_a_split_without_examples_is_named(split, run, digits_arrays):
    images, labels = digits_arrays["eval"]
    split("train", "npz", {"image": images, "label": labels})
    split("eval", "npz", {"image": images[:0], "label": labels[:0]})
    with pytest.raises(DataError, match="split 'eval' holds no examples"):
        run("npz")


def test_images_of_uint8_feed_a_model_of_floats_as_they_are(split, run, digits_arrays):
    for name, (images, labels) in digits_arrays.items():
        split(name, "npz", {"image": (images * 16).astype(np.uint8), "label": labels})
    assert run("npz", "quantization.scheme=float32").rules[0].float_value > 0.5


def test_an_array_that_the_model_needs_is_named_if_it_is_not_there(split, run, digits_arrays):
    images, labels = digits_arrays["eval"]
    for name in ("train", "eval"):
        split(name, "npz", {"picture": images[:, :4], "label": labels})
    with pytest.raises(DataError, match="'image'"):
        run("npz")


@pytest.mark.parametrize("data_format", ["npz", "parquet"])
def test_spans_of_tables_are_rolled_and_nothing_new_is_noticed(
    split, run, tmp_path: Path, digits_model: Path, digits_arrays, data_format: str
):
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.new_data import RunInputs

    images, labels = digits_arrays["eval"]
    for span in (1, 2):
        for name in ("train", "eval"):
            split(f"{span}/{name}", data_format, {"image": images, "label": labels})
    overrides = (
        "data.splits={train: '{SPAN}/train/*', eval: '{SPAN}/eval/*'}",
        "data.spans=2",
    )
    result = run(data_format, *overrides)
    assert result.examples == len(labels)
    found = inspect(load_config(tmp_path / "c.yaml", overrides))
    inputs = RunInputs.of(found)
    assert [span.number for span in inputs.spans] == [2, 1]
    inputs.remember(tmp_path / "root", result)
    assert RunInputs.of(found).nothing_new(found.config).status == "nothing_new"
    split("2/train", data_format, {"image": images[:50], "label": labels[:50]})
    assert RunInputs.of(inspect(found.config)).nothing_new(found.config) is None
