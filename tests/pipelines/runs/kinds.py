"""Runs of models of several kinds on the digits, as a user's config has them."""

from pathlib import Path

import yaml

from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import inspect
from tfx_tflite.pipelines.runs.results import RunResult
from tfx_tflite.pipelines.runs.run import run
from tfx_tflite.pipelines.runs.runners import StageObserver, StageResult

ACCURACY = "SparseCategoricalAccuracy"


class KindOfModel:
    """One kind of model, run in a directory of its own.

    Args:
        directory: Where root and destination are.
        data: Where the splits are.
        model: The section `model` of the config; paths in it are absolute.
        sections: Other sections, which are added to the ones here.

    Attributes:
        from_cache: The stages of the last run that were taken from the cache.
    """

    def __init__(self, directory: Path, data: Path, model: dict, **sections: dict):
        self.directory = directory
        self.from_cache: set[str] = set()
        self._config: dict[str, object] = {
            "name": "kind",
            "root": "root",
            "data": {"input_base": str(data)},
            "model": model,
            "calibration": {"samples": 50},
            "evaluation": {"label": "label", "metrics": [ACCURACY]},
            "gate": {"rules": [{"metric": ACCURACY, "max_drop": 0.05}]},
            "push": {"destination": "pushed"},
            **sections,
        }

    @property
    def config(self) -> Path:
        """The file of the config, which is written anew."""
        path = self.directory / "c.yaml"
        path.write_text(yaml.safe_dump(self._config))
        return path

    def run(self, *overrides: str) -> RunResult:
        """Runs it once, in this process."""
        self.from_cache = set()
        observer = StageObserver(started=lambda name: None, ended=self._note)
        return run(inspect(load_config(self.config, overrides)), "local", observer)

    def _note(self, result: StageResult) -> None:
        if result.outcome == "cached":
            self.from_cache.add(result.name)

    @property
    def pushed_file(self) -> Path:
        """The model of the newest version at the destination."""
        newest = max(self.directory.glob("pushed/[0-9]*"), key=lambda path: int(path.name))
        return newest / "model.tflite"
