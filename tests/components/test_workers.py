"""What crosses to Beam's workers: picklable, light to load, and the same on another machine."""

import base64
import bz2
import subprocess
import sys
from pathlib import Path

import pytest
from apache_beam.internal import pickler
from apache_beam.utils import shared

from tests.conftest import ROOT
from tfx_tflite.components.examples import copy_records, record_sample, sample_file, sampling
from tfx_tflite.components.judgement.comparison import CompareOutputs
from tfx_tflite.components.judgement.metrics.batched_metrics import batched_metric
from tfx_tflite.components.judgement.metrics.configured import ConfiguredMetric
from tfx_tflite.components.judgement.metrics.decisions import Decision
from tfx_tflite.components.quantization.ranges import ranges

PLAN = sampling.SamplePlan(samples=10, stratify_by="label")
SOURCE = ranges.RangeSource("float.tflite", "saved_model", "serving_tensors")
METRICS = [
    batched_metric(ConfiguredMetric(name, name, config), (10,))
    for name, config in (
        ("SparseCategoricalAccuracy", {}),
        ("SparseTopKCategoricalAccuracy", {"k": 2}),
        ("SparseCategoricalCrossentropy", {"from_logits": True}),
    )
]


def of_the_readers() -> list[object]:
    from tfx_tflite.components.examples import lowest_digests
    from tfx_tflite.components.examples.splits import SplitFiles, _read_file, with_position

    source = SplitFiles("train", ("a.gz",), None, "CalibrationSampler")
    of_lowest = [lowest_digests._records_of, lowest_digests.LowestDigests(8), lowest_digests._write]
    return [_read_file, with_position, source, *of_lowest]


def of_the_evaluator() -> list[object]:
    import numpy as np

    from tfx_tflite.components.examples.tensors import InputSpec
    from tfx_tflite.components.judgement import compare_models, metric_plan, prediction
    from tfx_tflite.components.judgement.metrics.labels import LabelCheck
    from tfx_tflite.components.judgement.metrics.targets import JudgedOutput, Target
    from tfx_tflite.components.models.float_model import Signature

    output = InputSpec("probabilities", (None, 10), np.dtype(np.float32))
    judged = JudgedOutput(None, output, Target(label="label", vocabulary=("a", "b")))
    check = LabelCheck(judged, (ConfiguredMetric("accuracy", "SparseCategoricalAccuracy", {}),))
    signature = Signature("serving_tensors", (), (output,))
    pair = prediction.ModelPair("saved_model", signature, None, "model.tflite")
    return [
        prediction._PredictDoFn(pair, [check], shared.Shared()),
        compare_models._chosen,
        compare_models._compared_batches,
        compare_models._metrics_by_slice,
        compare_models._write_comparison,
        metric_plan.OutputPlan(judged, tuple(METRICS), check, Decision(), ()),
    ]


CROSSING = {
    "the copying of records": (
        lambda: [
            copy_records.Shard("Split-train/a.gz", "train", ("a",)),
            copy_records._Copy("data", "artifact"),
            copy_records._describe,
        ],
        ["tfx", "tensorflow", "tensorflow_model_analysis"],
    ),
    "the sample of records": (
        lambda: [
            record_sample._draw_of_file,
            record_sample._Merge(10),
            record_sample._write,
        ],
        ["tfx", "tensorflow", "tensorflow_model_analysis"],
    ),
    "the sampler": (
        lambda: [
            sampling.strata_and_records,
            sampling.SampleCalibrationExamples(PLAN),
            sample_file.write_sample,
        ],
        ["tfx", "tensorflow", "tensorflow_model_analysis"],
    ),
    "the quantizer": (
        lambda: [
            ranges._ObserveDoFn(SOURCE, shared.Shared()),
            ranges.CombineExtremes(),
            ranges.CombineExtremesOfFiles(),
            ranges.Extremes.ranges,
            ranges._ranges_of_draws,
            ranges.write,
            ranges.write_all,
        ],
        ["tfx", "tensorflow", "tensorflow_model_analysis"],
    ),
    "the comparison": (
        lambda: [CompareOutputs(METRICS, [(), ("label",)], Decision())],
        ["tfx", "tensorflow", "tensorflow_model_analysis"],
    ),
    # Decoding examples is TFXIO's work, which loads TensorFlow.
    "the readers": (of_the_readers, ["tfx", "tensorflow_model_analysis"]),
    # The evaluation runs in TFMA.
    "the evaluator": (of_the_evaluator, ["tfx"]),
}


# These load TensorFlow or TFMA here, too.
HEAVY = ("the readers", "the evaluator")


@pytest.fixture(
    params=[
        pytest.param(name, marks=[pytest.mark.slow] if name in HEAVY else []) for name in CROSSING
    ],
    scope="module",
)
def crossing(request: pytest.FixtureRequest) -> tuple[bytes, list[str]]:
    make, unwanted = CROSSING[request.param]
    return pickler.dumps(make()), unwanted


def test_a_worker_loads_it_without_what_it_does_not_need(crossing, tmp_path: Path):
    pickled, unwanted = crossing
    (tmp_path / "pickled").write_bytes(pickled)
    script = (
        "import pathlib, sys\n"
        "from apache_beam.internal import pickler\n"
        "found = pickler.loads(pathlib.Path('pickled').read_bytes())\n"
        "assert found\n"
        f"print([name for name in {unwanted!r} if name in sys.modules])\n"
    )
    # Elsewhere than in the checkout, as a worker is.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_it_holds_no_path_of_this_machine(crossing):
    pickled, _ = crossing
    raw = bz2.decompress(base64.b64decode(pickled))
    assert str(ROOT).encode() not in raw
    assert sys.prefix.encode() not in raw
