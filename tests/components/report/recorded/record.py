"""Records the reports of real runs, which the page's tests show.

Run it as `python -m tests.components.report.recorded.record`, for one of them with its name. It
takes a minute each. `earlier.json` is the one report that it does not record: of the shipped digits
pipeline, by the release before reports had a provenance.
"""

import sys
import tempfile
from pathlib import Path

from tests.components.quantization_tuner.bed import records
from tests.components.quantization_tuner.bed.cases import CASES
from tests.conftest import CONFIGS, ROOT

DIRECTORY = Path(__file__).parent
CONFIG_OF = {
    "blessed": CONFIGS / "digits.yaml",
    "refused": DIRECTORY / "refused.yaml",
    "targets": DIRECTORY / "targets.yaml",
    "several_outputs": DIRECTORY / "several_outputs.yaml",
    "binary": CONFIGS / "breast_cancer.yaml",
    "regression": CONFIGS / "diabetes.yaml",
    "auto": DIRECTORY / "auto.yaml",
    "draws": DIRECTORY / "draws.yaml",
}
# Of the search's bed, whose examples are written for the run.
_NETS = {"auto": "rescaled_mobile_net", "draws": "regression"}


def record(name: str) -> None:
    """Runs a pipeline and keeps its report: the pushed model's if it was pushed."""
    from tfx_tflite.components.artifact_layout import REPORT_FILE
    from tfx_tflite.pipelines.config.file import load_config
    from tfx_tflite.pipelines.config.preflight import inspect
    from tfx_tflite.pipelines.runs.run import run
    from tfx_tflite.pipelines.runs.runners import StageObserver

    with tempfile.TemporaryDirectory() as directory:
        overrides = (f"root={directory}/runs", f"push.destination={directory}/pushed")
        if name in _NETS:
            records.write(CASES[_NETS[name]], Path(directory) / "examples")
            overrides = (*overrides, f"data.input_base={directory}/examples")
        config = load_config(CONFIG_OF[name].relative_to(ROOT), overrides)
        result = run(inspect(config), "local", StageObserver(print, print))
        report = Path(str(result.page)).with_name(REPORT_FILE).read_text(encoding="utf-8")
    # No path of the machine that recorded it.
    recorded = report.replace(f"{directory}/", "").replace(f"{ROOT}/", "")
    (DIRECTORY / f"{name}.json").write_text(recorded, encoding="utf-8")


if __name__ == "__main__":
    for wanted in sys.argv[1:] or CONFIG_OF:
        record(wanted)
