"""A process that has a run's temporary folder, says which, and waits to be killed."""

import tempfile
import time
from pathlib import Path

from tfx_tflite.pipelines.runs.temporary_folder import temporary_folder

if __name__ == "__main__":
    with temporary_folder():
        Path(tempfile.gettempdir(), "file").write_text("left")
        print(tempfile.gettempdir(), flush=True)
        time.sleep(60)
