"""What is deferred for a run is not loaded by it, and what runs do use works as without."""

import subprocess
import sys

import pytest

from tfx_tflite.pipelines.tfx.imports import UNUSED_BY_RUNS

RUN = "tfx_tflite.pipelines.runs.run"
# Heavy ones that only a deferred module would import.
UNUSED = ("kubernetes", "keras_tuner", "ipywidgets", "sklearn", "nltk.chunk", "botocore.client")


def after_importing_a_run(*statements: str) -> list[str]:
    """Returns what statements print in a process that has imported what a run needs."""
    program = [
        "import sys",
        "from tfx_tflite.components.deferred_imports import deferred_imports",
        "from tfx_tflite.pipelines.tfx.imports import UNUSED_BY_RUNS",
        "with deferred_imports(UNUSED_BY_RUNS):",
        f"    import {RUN}",
        *statements,
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(program)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_run_loads_nothing_that_it_does_not_use():
    loaded = after_importing_a_run(
        f"print([name for name in {UNUSED} if name in sys.modules])",
        "kinds = {name: type(sys.modules[name]).__name__ for name in sys.modules}",
        f"print(sorted(set({UNUSED_BY_RUNS}) - {{n for n in kinds if kinds[n] == 'module'}}))",
    )
    assert loaded[0] == "[]"
    assert "tfx.components" in loaded[1] and "IPython" in loaded[1]


def test_what_is_deferred_is_there_for_whoever_wants_it():
    """Also a trainer may use any of it: this is what each of them has without being deferred."""
    found = after_importing_a_run(
        "from tfx.components import Trainer, Evaluator",
        "from tfx.components.trainer.component import Trainer as same",
        "import nltk, scipy.stats, IPython, keras, tensorflow_model_analysis as tfma",
        "print(Trainer is same, Evaluator.__name__)",
        "print(nltk.edit_distance('ab', 'b'), round(scipy.stats.norm.cdf(0), 1))",
        "print(IPython.get_ipython(), keras.wrappers.SKLearnClassifier.__name__)",
        "print(callable(tfma.view.render_slicing_metrics))",
        "print('Rouge' in tfma.metrics.metric_types.registered_metrics())",
        "import apache_beam as beam",
        "print(beam.io.ReadFromBigQuery.__name__)",
    )
    assert found == [
        "True Evaluator",
        "1 0.5",
        "None SKLearnClassifier",
        "True",
        "True",
        "ReadFromBigQuery",
    ]


@pytest.mark.parametrize("name", UNUSED_BY_RUNS)
def test_a_name_that_is_deferred_is_one_that_can_be_imported(name: str):
    import importlib.util

    try:
        found = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        pytest.skip(f"{name.partition('.')[0]} is not installed")
    if found is None:
        pytest.skip(f"{name} is not installed")
    assert found.origin is not None
