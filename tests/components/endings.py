"""Programs that end: `python -m tests.components.endings NAME [plainly]`.

Each is ended as every process of this package is or, `plainly`, by the interpreter.
"""

import atexit
import ctypes
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tfx_tflite.components.process_end import run_to_the_end


def aborts_when_taken_down() -> None:
    """Loads a library with a destructor that aborts, as TensorFlow's plugin for S3 had one."""
    libc = ctypes.CDLL(None)
    libc.__cxa_atexit(ctypes.cast(libc.abort, ctypes.c_void_p), None, None)


def registers_handlers() -> None:
    """Registers handlers of which one fails."""
    atexit.register(print, "first registered")
    atexit.register(lambda: 1 / 0)
    atexit.register(print, "last registered")


def leaves_threads() -> None:
    """Leaves threads at work."""
    threading.Thread(target=lambda: (time.sleep(0.3), print("a thread"))).start()
    ThreadPoolExecutor().submit(lambda: (time.sleep(0.6), print("a pool")))


def prints_without_flushing() -> None:
    """Prints through Python and through C, both of which buffer for a pipe."""
    sys.stdout.write("of python\n")
    ctypes.CDLL(None).printf(b"of c\n")


def prints() -> None:
    """Prints a little."""
    print("text")


def exits_with_3() -> None:
    """Asks for an exit code."""
    sys.exit(3)


def exits_with_text() -> None:
    """Asks for an error."""
    sys.exit("error: no model")


def raises() -> None:
    """Fails."""
    raise ValueError("no model")


def is_interrupted() -> None:
    """Is stopped by Ctrl-C."""
    raise KeyboardInterrupt


def traces_a_function() -> None:
    """Has TensorFlow's autograph write files, and prints what kinds of them there are."""
    import tempfile

    import tensorflow as tf

    @tf.function
    def double(x):
        return x + x if tf.reduce_sum(x) > 0 else x

    double(tf.ones([2]))
    for kind in ("__autograph_generated_file*.py", "__pycache__/__autograph_generated_file*.pyc"):
        if list(Path(tempfile.gettempdir()).glob(kind)):
            print(kind)


def starts_a_job_server() -> None:
    """Has Beam start a job server, as it does for Flink and Spark, and prints where it is."""
    from apache_beam.runners.portability import job_server

    from tests.pipelines.metadata.servers import free_port

    port = free_port()

    class PythonJobServer(job_server.SubprocessJobServer):
        def subprocess_cmd_and_endpoint(self):
            module = "apache_beam.runners.portability.local_job_service_main"
            return [sys.executable, "-m", module, "-p", str(port)], f"localhost:{port}"

    job_server.StopOnExitJobServer(PythonJobServer()).start()
    print(port)


if __name__ == "__main__":
    program = globals()[sys.argv[1]]
    if sys.argv[2:] == ["plainly"]:
        program()
    else:
        run_to_the_end(program)
