"""What a container runs on Kubeflow: TFX's own entry point, which then knows our artifact types.

Give it to TFX's runner:

    KubeflowV2DagRunnerConfig(
        default_commands=["python", "-m", "tfx_tflite.components.kubeflow_entry_point"]
    )
"""

import sys
from collections.abc import Sequence

from tfx.orchestration.kubeflow.v2 import compiler_utils
from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

from tfx_tflite.components.kubeflow_artifacts import CLASS_PATHS


def main(argv: Sequence[str]) -> None:
    """Runs the executor that the arguments name; see TFX's entry point.

    Args:
        argv: The program's name and its arguments.
    """
    compiler_utils.TITLE_TO_CLASS_PATH.update(CLASS_PATHS)
    kubeflow_v2_run_executor.main(kubeflow_v2_run_executor._parse_flags(list(argv)[1:]))


if __name__ == "__main__":
    main(sys.argv)
