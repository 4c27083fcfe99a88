"""The names that Beam, TFMA and Keras know, as they are written down, against what is installed."""

import pytest

from tests.pipelines.config import test_beam_options
from tfx_tflite.components.judgement.metrics import catalog
from tfx_tflite.pipelines.checks import known_names
from tfx_tflite.pipelines.config import beam_arguments

# What was given to Beam itself in the tests of its options, without a mistake.
RIGHT = next(
    mark.args[1]
    for mark in test_beam_options.test_options_of_every_runner_pass.pytestmark
    if mark.name == "parametrize"
)


@pytest.mark.slow
def test_all_that_is_installed_is_written_down():
    """Mend with `python -m tfx_tflite.pipelines.checks.known_names`."""
    for key, names in known_names.installed_names().items():
        assert set(names) <= set(known_names._names()[key]), key


@pytest.mark.parametrize("row", catalog._TABLE, ids=lambda row: row.name)
def test_every_metric_of_the_catalog_is_known(row: catalog.MetricRow):
    assert row.module or known_names.has_metric(row.name)
    assert all(map(known_names.has_metric, row.aliases))


@pytest.mark.parametrize("args", RIGHT, ids=" ".join)
def test_options_that_beam_takes_are_right_without_beam(args: list[str]):
    options, runners = known_names.beam_options(), known_names.beam_runners()
    assert options is not None
    assert list(beam_arguments.problems(args, options, runners)) == []


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (["runner=DirectRunner"], "entry 1 is no option, which Beam would ignore"),
        (["--help"], "--help is for a command line; see docs/beam.md"),
        (["--runner", "FlnkRunner"], "Beam has no runner 'FlnkRunner'; did you mean FlinkRunner?"),
        (["--direct_num_workers", "2", "3"], "entry 3 is no option, which Beam would ignore"),
    ],
)
def test_arguments_that_beam_would_ignore_are_told(args: list[str], problem: str):
    options, runners = known_names.beam_options(), known_names.beam_runners()
    assert options is not None
    [found] = beam_arguments.problems(args, options, runners)
    assert found.startswith(problem)


def test_of_a_version_that_nobody_asked_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch):
    assert not known_names.has_metric("NoSuchMetric")
    monkeypatch.setattr(known_names, "version", lambda package: "99.0")
    assert known_names.has_metric("NoSuchMetric") and known_names.beam_options() is None
