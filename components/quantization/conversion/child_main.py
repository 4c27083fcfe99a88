"""The child process of `converter.py`: answers requests until nobody asks any more.

Run as `python -m tfx_tflite.components.quantization.conversion.child_main PIPE PARENT`: PIPE is the
number of an inherited file descriptor and PARENT the process that asks.
"""

import functools
import sys
from multiprocessing.connection import Connection

from tfx_tflite.components.process_end import (
    end_with,
    run_to_the_end,
    stand_in_when_memory_runs_out,
)
from tfx_tflite.components.quantization.conversion import messages
from tfx_tflite.components.quantization.conversion.messages import (
    Answer,
    Done,
    Failed,
    Request,
    Step,
)
from tfx_tflite.components.quantization.conversion.parts_of_tensorflow import imported_in_parts


def main(pipe: int, parent: int) -> None:
    """Imports TensorFlow once, says so, and answers requests until the pipe is closed."""
    end_with(parent)
    stand_in_when_memory_runs_out()
    connection = Connection(pipe)
    try:
        # Only to find out whether it can be; it takes seconds and may fail.
        with imported_in_parts():
            from tfx_tflite.components.quantization.conversion import (  # noqa: F401
                from_ranges,
                stock,
            )
    except Exception as error:
        connection.send(Failed.at(Step.IMPORT, error))
        raise
    connection.send(Done())
    while True:
        try:
            request = connection.recv()
        except EOFError:
            return
        connection.send(_answer(request))


def _answer(request: Request) -> Answer:
    try:
        result = _convert(request)
    except Exception as error:
        return Failed.at(Step.CONVERT, error)
    try:
        (request.directory / messages.RESULT).write_bytes(result)
    except OSError as error:
        return Failed(Step.WRITE, type(error).__name__, error.strerror or str(error))
    return Done()


def _convert(request: Request) -> bytes:
    from tfx_tflite.components.quantization.conversion import from_ranges, stock
    from tfx_tflite.components.quantization.conversion.operator_versions import with_right_versions

    match request:
        case messages.ConvertRequest(directory, saved_model, signature, recipe):
            samples = messages.read_samples(directory)
            result = stock.convert(saved_model, signature, recipe, samples)
        case messages.QuantizeRequest(directory, recipe):
            calibrated = (directory / messages.CALIBRATED).read_bytes()
            result = from_ranges.quantize(calibrated, recipe)
    return with_right_versions(result)


if __name__ == "__main__":
    run_to_the_end(functools.partial(main, int(sys.argv[1]), int(sys.argv[2])))
