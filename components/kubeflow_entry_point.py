"""The address that pipelines compiled before this module moved give to their containers.

It is `tfx_tflite.pipelines.kubeflow.entry_point`.
"""

import runpy

if __name__ == "__main__":
    runpy.run_module(
        "tfx_tflite.pipelines.kubeflow.entry_point", run_name="__main__", alter_sys=True
    )
