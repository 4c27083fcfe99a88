"""A run in the place of `tfx-tflite run`: `python -m … ROOT JAVA MASTER [--leaves]`.

It prints where its job server listens and the ending of its jobs' names, and waits. With `--leaves`
one of its jobs is not known to have ended.
"""

import signal
import sys
from pathlib import Path

from tfx_tflite.pipelines.engines.engine import Engine
from tfx_tflite.pipelines.engines.job_server import job_server

if __name__ == "__main__":
    root, java, master, *leaves = sys.argv[1:]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    engine = Engine("flink", master, given_jar=java, java=java)
    log = Path(root) / "run.log"
    with job_server(engine, Path(root), log, lambda line: print(line, flush=True)) as server:
        assert server is not None
        endpoint = server.endpoint(lambda: "")
        if leaves:
            server.begins_a_job()
        print(endpoint, server.token, flush=True)
        sys.stdin.read()
