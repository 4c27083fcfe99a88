"""The pipeline on rolling data, for real: which examples are trained on, and which evaluated."""

from pathlib import Path

import numpy as np
import pytest

from tests.pipelines.runs.test_bad_input import CONFIG

pytestmark = [pytest.mark.slow, pytest.mark.generations]

SPLITS = (
    "input_base: data\n"
    "  spans: 2\n"
    "  splits: {{train: 'span-{{SPAN}}/v{{VERSION}}/train/*',"
    " eval: 'span-{{SPAN}}/v{{VERSION}}/eval/*'}}"
)


@pytest.fixture
def deliver(tmp_path: Path, write_records):
    """Writes a span whose examples have its number and version as their label."""

    def write(span: int, version: int, count: int) -> None:
        image = np.linspace(0, 1, 64, dtype=np.float32)
        examples = [{"image": image, "label": span + version}] * count
        for split in ("train", "eval"):
            write_records(tmp_path / f"data/span-{span}/v{version}/{split}/a.tfrecord", examples)

    return write


@pytest.fixture
def run(tmp_path: Path, digits_model: Path):
    """Runs the pipeline; returns its stages, and how many examples each label has by split."""
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run as run_once
    from tfx_tflite.pipelines.runs.runners import StageObserver

    def once() -> tuple[dict, dict[str, dict[int, int]]]:
        path = tmp_path / "c.yaml"
        path.write_text(CONFIG.replace("input_base: data", SPLITS).format(model=digits_model))
        stages = []
        run_once(
            inspect(load_config(path)), "local", StageObserver(lambda name: None, stages.append)
        )
        return {stage.name: stage for stage in stages}, _labels(tmp_path)

    return once


def _labels(root: Path) -> dict[str, dict[int, int]]:
    """Returns how often each label is in the splits of the newest `Examples` artifact."""
    import tensorflow as tf

    artifacts = (root / "root/artifacts/ImportExampleGen/examples").iterdir()
    newest = max(artifacts, key=lambda path: int(path.name))
    counts: dict[str, dict[int, int]] = {}
    for split in ("train", "eval"):
        files = [str(path) for path in (newest / f"Split-{split}").iterdir()]
        found = counts.setdefault(split, {})
        for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            label = features["label"].int64_list.value[0]
            found[label] = found.get(label, 0) + 1
    return counts


def test_trains_on_the_newest_spans_and_evaluates_on_the_newest(deliver, run):
    deliver(1, 0, 30)
    _, first = run()
    assert first == {"train": {1: 30}, "eval": {1: 30}}
    deliver(4, 0, 20)
    _, later = run()
    assert later == {"train": {4: 20, 1: 30}, "eval": {4: 20}}
    # Late, and delivered again.
    deliver(3, 0, 25)
    deliver(3, 3, 10)
    _, late = run()
    assert late == {"train": {4: 20, 6: 10}, "eval": {4: 20}}
    stages, _ = run()
    assert stages["ImportExampleGen"].outcome == "cached"
