"""Steps of Keras, counted while it trains."""

import sys
from pathlib import Path

import numpy as np
import pytest

from tfx_tflite.components.progress import TRAINED, VARIABLE, Step
from tfx_tflite.pipelines.cli.running_stage import Counts
from tfx_tflite.pipelines.tfx import training_steps
from tfx_tflite.pipelines.tfx.training_steps import _Steps, told_training_steps


@pytest.fixture
def counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Counts:
    path = tmp_path / "progress"
    path.touch()
    monkeypatch.setenv(VARIABLE, str(path))
    return Counts(path)


@pytest.fixture(params=["keras", "tf_keras"])
def keras(request: pytest.FixtureRequest):
    """Both generations that a trainer may use."""
    return pytest.importorskip(request.param)


def fit(keras, steps: int, epochs: int, **settings: object) -> None:
    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse", **settings)
    data = np.zeros((steps * 4, 2), np.float32), np.zeros((steps * 4, 1), np.float32)
    model.fit(*data, batch_size=4, epochs=epochs, verbose=0, validation_data=data)


def test_every_step_of_every_epoch_is_counted_and_no_other(keras, counts: Counts):
    with told_training_steps():
        fit(keras, steps=6, epochs=3)
    counts.poll()
    assert (counts.what, counts.done, counts.total) == (TRAINED, 18, 18)


def test_steps_that_are_done_at_once_are_counted_each(keras, counts: Counts):
    with told_training_steps():
        fit(keras, steps=10, epochs=2, steps_per_execution=4)
    counts.poll()
    assert (counts.done, counts.total) == (20, 20)


def test_a_second_fit_is_counted_by_itself(keras, counts: Counts):
    with told_training_steps():
        fit(keras, steps=6, epochs=1)
        fit(keras, steps=2, epochs=1)
    counts.poll()
    assert (counts.done, counts.total) == (2, 2)


def test_keras_is_as_it_was_afterwards(keras, counts: Counts):
    names = [name for name in training_steps._MODULES if name in sys.modules]
    before = [dict(vars(sys.modules[name].CallbackList)) for name in names]
    with told_training_steps():
        assert [dict(vars(sys.modules[name].CallbackList)) for name in names] != before
    assert [dict(vars(sys.modules[name].CallbackList)) for name in names] == before


def test_a_keras_that_nobody_imported_is_not_imported(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training_steps, "_MODULES", ("no.such.keras",))
    with told_training_steps():
        assert "no" not in sys.modules


def test_short_steps_are_told_together(counts: Counts, tmp_path: Path):
    now = iter(n / 100 for n in range(10_000))
    steps = _Steps(clock=lambda: next(now))
    steps.begin({"steps": None, "epochs": 1})
    for step in range(100):
        steps.end(step)
    lines = (tmp_path / "progress").read_bytes().splitlines()
    told = [step for line in lines if (step := Step.parse(line)) is not None]
    assert told[0] == Step(TRAINED, is_first=True) and 5 <= len(told) <= 15
    assert sum(step.more for step in told) >= 90


@pytest.mark.parametrize("batch", [np.int64(0), np.float32(0), None])
def test_a_loop_of_ones_own_is_not_disturbed(keras, counts: Counts, batch: object):
    with told_training_steps():
        callbacks = keras.callbacks.CallbackList([])
        callbacks.on_train_begin()
        for _ in range(3):
            callbacks.on_train_batch_end(batch)
    counts.poll()
    assert counts.what == TRAINED


def test_steps_that_are_numbers_of_numpy_are_told(keras, counts: Counts):
    with told_training_steps():
        callbacks = keras.callbacks.CallbackList([], steps=np.int64(3), epochs=1)
        callbacks.on_train_begin()
        for step in np.arange(3):
            callbacks.on_train_batch_end(step)
    counts.poll()
    assert (counts.done, counts.total) == (3, 3)
