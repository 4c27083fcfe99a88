"""Whatever happens in the converter's process, the process that asked lives on and says why."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.components.quantization import zoo
from tests.components.quantization.conversion import parent_of_converter
from tests.components.quantization.conversion.stand_in import command
from tfx_tflite.components.errors import ConversionError
from tfx_tflite.components.quantization.conversion import early_start, messages
from tfx_tflite.components.quantization.conversion.converter import Converter
from tfx_tflite.components.quantization.conversion.limits import Limits
from tfx_tflite.components.quantization.conversion.log import last_complaint
from tfx_tflite.components.quantization.recipe import Recipe
from tfx_tflite.components.quantization.schemes import Scheme

pytestmark = pytest.mark.usefixtures("converters_by_command")

INT8 = Recipe(Scheme.INT8)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Replaces what the child process does for a request by a function of `stand_in.py`."""

    def replace(behaviour: str) -> None:
        monkeypatch.setattr(early_start, "COMMAND", command(behaviour))

    return replace


@pytest.fixture
def working_directory(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def failure(directory: Path, limits: Limits = Limits(time=60)) -> str:  # noqa: B008
    """Returns how a request fails, and checks that nothing is left of it."""
    with Converter(directory, limits) as converter, pytest.raises(ConversionError) as caught:
        converter.quantize(b"model", INT8)
    assert list(directory.iterdir()) == []
    message = str(caught.value)
    assert str(directory) not in message and len(message.splitlines()) <= 2
    return message


@pytest.mark.parametrize(
    ("behaviour", "expected"),
    [
        ("abort", "crashed (SIGABRT) while quantizing the calibrated model to int8: no mes"),
        ("read_at_null", "crashed (SIGSEGV) while quantizing"),
        ("exit_3", "crashed (exit code 3) while quantizing"),
        ("kill_itself", "was killed (SIGKILL) while quantizing"),
        ("raise_an_error", "ValueError: at …/x.py"),
        ("ask_for_too_much", "memory ran out while quantizing"),
        (
            "abort_with_a_message",
            "to int8: Conv2D at net/conv/Conv2D: bad; LLVM ERROR: Failed. Replace that layer",
        ),
    ],
)
def test_every_end_of_the_child_is_an_error(
    stand_in, working_directory: Path, behaviour: str, expected: str
):
    stand_in(behaviour)
    assert expected in failure(working_directory)


@pytest.mark.parametrize("behaviour", ["sleep", "loop"])
def test_a_hang_is_stopped(stand_in, working_directory: Path, behaviour: str):
    stand_in(behaviour)
    began = time.monotonic()
    message = failure(working_directory, Limits(time=1.5))
    assert "stopped after 1.5 s while quantizing the calibrated model" in message
    assert "quantization.time_limit" in message
    assert time.monotonic() - began < 20


def test_memory_past_the_limit_is_stopped(stand_in, working_directory: Path):
    stand_in("take_memory")
    message = failure(working_directory, Limits(time=60, memory=300 << 20))
    assert "stopped at 300 MB of memory while quantizing" in message
    assert "quantization.memory_limit" in message


def test_memory_that_is_only_reserved_does_not_count(stand_in, working_directory: Path):
    stand_in("reserve_memory")
    with Converter(working_directory, Limits(time=60, memory=300 << 20)) as converter:
        assert converter.quantize(b"model", INT8) == b"fine"


def test_one_child_answers_until_it_crashes_and_then_another(stand_in, working_directory: Path):
    stand_in("abort_at_int16")
    with Converter(working_directory) as converter:
        first, second = (converter.quantize(b"", INT8) for _ in range(2))
        with pytest.raises(ConversionError, match="SIGABRT"):
            converter.quantize(b"", Recipe(Scheme.INT16X8))
        third = converter.quantize(b"", INT8)
    assert first == second != third
    for process in (first, third):
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)


def test_a_message_is_of_the_request_that_failed(stand_in, working_directory: Path):
    stand_in("exit_at_int16")
    with Converter(working_directory) as converter:
        converter.quantize(b"", INT8)
        with pytest.raises(ConversionError, match="it left no message"):
            converter.quantize(b"", Recipe(Scheme.INT16X8))


def test_the_child_has_no_credentials(
    stand_in, working_directory: Path, monkeypatch: pytest.MonkeyPatch
):
    stand_in("environment")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open sesame")
    monkeypatch.setenv("HF_TOKEN", "open sesame")
    monkeypatch.setenv("TF_CPP_MAX_VLOG_LEVEL", "0")
    with Converter(working_directory) as converter:
        found = converter.quantize(b"model", INT8)
    assert b"open sesame" not in found and b"HF_TOKEN" not in found
    assert b"TF_CPP_MAX_VLOG_LEVEL=0" in found


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("path", ["result.tflite", "calibrated.tflite"])
def test_a_full_disk_is_named(
    stand_in, working_directory: Path, monkeypatch: pytest.MonkeyPatch, path: str
):
    stand_in("fill_the_disk" if path.startswith("result") else "pid")
    if path.startswith("calibrated"):
        monkeypatch.setattr(messages, "CALIBRATED", "/dev/full")
    assert "cannot be used: No space left on device; free some space" in failure(working_directory)


def test_a_working_directory_that_is_gone_is_named(tmp_path: Path):
    with (
        Converter(tmp_path / "gone") as converter,
        pytest.raises(ConversionError, match="cannot be used: No such file or directory"),
    ):
        converter.quantize(b"", INT8)


def test_a_converter_that_cannot_be_started_is_named(
    working_directory: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(early_start, "COMMAND", ("/nowhere/python",))
    assert "process cannot be started: No such file" in failure(working_directory)


def test_a_tensorflow_that_does_not_import_is_named(
    tmp_path: Path, working_directory: Path, monkeypatch: pytest.MonkeyPatch
):
    package = tmp_path / "broken" / "tensorflow"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('libcudart.so: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    message = failure(working_directory)
    assert "TensorFlow cannot be imported: ImportError: libcudart.so: cannot open" in message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_signal_to_the_parent_leaves_an_orphan(stand_in, working_directory: Path, number: int):
    stand_in("loop")
    parent = subprocess.Popen(
        [sys.executable, parent_of_converter.__file__, str(working_directory), "loop"],
        stderr=subprocess.DEVNULL,
    )
    log = working_directory / "converter.log"
    try:
        child = eventually(lambda: log.exists() and log.read_text().partition("pid ")[2].strip())
        parent.send_signal(number)
        assert parent.wait(timeout=120) == -number
        assert eventually(lambda: has_ended(child))
    finally:
        parent.kill()
    if number == signal.SIGINT:
        assert list(working_directory.iterdir()) == []


def eventually(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + 120
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def has_ended(process: object) -> bool:
    """Whether a process has ended, even if nothing has collected its exit code."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return True
    return status.rpartition(")")[2].split()[0] == "Z"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        ("", ""),
        ("I 2024 all is well\n", ""),
        (
            'loc(callsite(fused["MatMul:", "net/a/MatMul@f"] at "/x/y.py":3:1)): error: no\nLLVM'
            " ERROR: x",
            "MatMul at net/a/MatMul: no; LLVM ERROR: x",
        ),
        (
            "/home/me/x.py:16:1: error: 'tfl.conv_2d' op has no kernel",
            "conv_2d: 'tfl.conv_2d' op has no kernel",
        ),
        ("terminate called after\n  what():  std::bad_alloc", "what():  std::bad_alloc"),
        (
            "F0000 00:00 1 a.cc:3] Check failed: x == y",
            "F0000 00:00 1 a.cc:3] Check failed: x == y",
        ),
        (
            "E0000 00:00:1 7 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: no\n"
            "Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n"
            '  File "/a/b/c.py", line 3 in calibrate',
            "no message, in calibrate of c.py",
        ),
        (
            "Fatal Python error: Aborted\n\nThread 0x1 (most recent call first):\n"
            '  File "/a/b/c.py", line 3 in calibrate',
            "no message, in calibrate of c.py",
        ),
    ],
)
def test_reads_the_last_complaint_of_a_log(log: str, expected: str):
    assert str(last_complaint(log)) == expected


@pytest.fixture(scope="module")
def real_converter(tmp_path_factory: pytest.TempPathFactory):
    with Converter(tmp_path_factory.mktemp("converter"), Limits(time=300)) as converter:
        yield converter


@pytest.mark.slow
def test_a_model_that_crashes_the_stock_calibrator_is_an_error_and_the_next_one_converts(
    real_converter: Converter, zoo_saved_model, zoo_samples
):
    """A Keras LSTM that is not unrolled is a segmentation fault in TensorFlow 2.16 and 2.21."""
    path = zoo_saved_model("lstm")
    with pytest.raises(ConversionError, match=r"crashed \(SIGSEGV\) .*_feed_tensors of calibrator"):
        real_converter.convert(path, "serving_tensors", INT8, zoo_samples("lstm"))
    assert real_converter.float32(path, "serving_tensors")


@pytest.mark.slow
@pytest.mark.skipif(zoo.CONVERTS_FUSED_LSTM_TO_FLOAT16, reason="this TensorFlow converts it")
def test_a_conversion_that_never_ends_and_takes_all_memory_is_stopped(
    zoo_saved_model, working_directory: Path
):
    """TensorFlow 2.16 takes 200 MB more a second for a fused LSTM in float16, until killed."""
    pytest.importorskip("tf_keras", reason="Keras 2 (tf_keras) is not installed")
    float16 = Recipe(Scheme.FLOAT16)
    with (
        Converter(working_directory, Limits(time=120, memory=1 << 30)) as converter,
        pytest.raises(ConversionError, match="stopped at 1024 MB of memory while converting"),
    ):
        converter.convert(zoo_saved_model("fused_lstm"), "serving_tensors", float16)


@pytest.mark.slow
def test_both_routes_give_models_that_keep_the_promise(
    real_converter: Converter, calibrate_zoo, zoo_saved_model, zoo_samples
):
    from tfx_tflite.components.quantization.audit import audit

    stock = real_converter.convert(
        zoo_saved_model("dense_heads"), "serving_tensors", INT8, zoo_samples("dense_heads")
    )
    ours = real_converter.quantize(calibrate_zoo("dense_heads"), INT8)
    for content in (stock, ours):
        assert audit.audit(content, INT8) == []
    assert np.isclose(len(stock), len(ours), rtol=0.1)


# Last of those that share a child, which it ends.
@pytest.mark.slow
def test_a_calibrated_model_that_is_none_is_an_error(real_converter: Converter):
    for content in (b"no model", b"\x18\x00\x00\x00TFL3" + b"\xff" * 64):
        with pytest.raises(ConversionError, match="while quantizing the calibrated model to int8"):
            real_converter.quantize(content, INT8)
