"""The names that Beam, TFMA and Keras know, written down so that nobody must load them to ask.

`known_names.json` holds what several versions have, together. A name that is not in it is only
called wrong if the installed version is among those that were asked; of another version it cannot
be told. After an upgrade:

    python -m tfx_tflite.pipelines.checks.known_names
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_FILE = Path(__file__).with_name("known_names.json")
_BEAM, _METRICS = "apache-beam", "tensorflow-model-analysis"
# What else the list of metrics depends on.
_BESIDE_METRICS = "keras"
_OPTIONS, _RUNNERS, _CLASSES = "options", "runners", "metrics"


@cache
def _names() -> Mapping[str, Sequence[str]]:
    found: Mapping[str, Sequence[str]] = json.loads(_FILE.read_text(encoding="utf-8"))
    return found


def beam_options() -> Sequence[str] | None:
    """Returns the options that Beam has; None if the installed version was not asked."""
    return _names()[_OPTIONS] if _was_asked(_BEAM) else None


def beam_runners() -> Sequence[str]:
    """Returns the names of Beam's runners."""
    return _names()[_RUNNERS]


def has_metric(class_name: str) -> bool:
    """Returns whether TFMA or Keras has a metric, or if that cannot be told."""
    if class_name in _names()[_CLASSES]:
        return True
    return not (_was_asked(_METRICS) and _was_asked(_BESIDE_METRICS))


def usual_metrics() -> Sequence[str]:
    """Returns the classes of metrics, for hints."""
    return [name for name in _names()[_CLASSES] if name[:1].isupper()]


def _was_asked(package: str) -> bool:
    try:
        return version(package) in _names()[package]
    except PackageNotFoundError:
        return False


def installed_names() -> dict[str, Sequence[str]]:
    """Returns what the installed versions have. This loads them."""
    return {
        _BEAM: [version(_BEAM)],
        _METRICS: [version(_METRICS)],
        _BESIDE_METRICS: [version(_BESIDE_METRICS)],
        **_of_beam(),
        _CLASSES: sorted(_metrics()),
    }


def _of_beam() -> dict[str, Sequence[str]]:
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

    known: list[str] = []
    PipelineOptions([]).get_all_options(
        add_extra_args_fn=lambda parser: known.extend(parser._option_string_actions)
    )
    return {_OPTIONS: sorted(known), _RUNNERS: sorted(StandardOptions.KNOWN_RUNNER_NAMES)}


def _metrics() -> set[str]:
    import keras
    import tensorflow_model_analysis  # noqa: F401  # Registers its metrics.
    from tensorflow_model_analysis.metrics import metric_types

    public = (keras.metrics, keras.losses)
    of_keras = {name for module in public for name in dir(module) if not name.startswith("_")}
    return of_keras | set(metric_types.registered_metrics())


def merged(
    before: Mapping[str, Sequence[str]], now: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Returns the names of two lists together."""
    return {key: _sorted([*before.get(key, ()), *names]) for key, names in now.items()}


def _sorted(names: Iterable[str]) -> list[str]:
    return sorted(set(names))


if __name__ == "__main__":
    _before = json.loads(_FILE.read_text(encoding="utf-8")) if _FILE.exists() else {}
    _FILE.write_text(json.dumps(merged(_before, installed_names()), indent=1) + "\n", "utf-8")
