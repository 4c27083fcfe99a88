"""A model that crashes an interpreter ends in one line and not in the end of the process."""

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.components.models import hostile
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.locks import is_locked, locked, only_one
from tfx_tflite.components.models import object_tree
from tfx_tflite.components.models.first_run import check_first_run, check_target_run
from tfx_tflite.components.models.flatbuffer import Graph
from tfx_tflite.components.models.process_copy import in_a_copy
from tfx_tflite.components.models.runtime import open_model, run_on_zeros
from tfx_tflite.components.models.soundness import problems
from tfx_tflite.components.models.tflite_model import TFLiteModel
from tfx_tflite.components.versions import Kernels


def zeros(content: bytes) -> dict[str, np.ndarray]:
    """Returns an example for a model; none for one that cannot be read."""
    if next(problems(content), None):
        return {}
    [signature] = Graph(content).signatures
    return {name: np.zeros(tensor.shape, np.float32) for name, tensor in signature.inputs.items()}


def use(content: bytes) -> None:
    """Does with a file what an evaluation does."""
    inputs = zeros(content)
    check_first_run(content, "quantized_model/7/tflite", inputs)
    TFLiteModel(content).predict(inputs)


@pytest.mark.parametrize("net", hostile.NETS)
def test_a_real_model_is_sound_and_runs(net: str):
    check_first_run(hostile.net(net), net, hostile.real_inputs(net))


@pytest.mark.parametrize(
    ("make", "reason"),
    [pytest.param(make, reason, id=report) for report, make, reason in hostile.REPORTS],
)
def test_a_reported_attack_ends_in_one_line(make: Callable[[], bytes], reason: str):
    with pytest.raises(ModelError, match=reason) as raised:
        use(make())
    assert "\n" not in str(raised.value)


def test_a_sound_model_that_other_kernels_die_of_is_said_to_be_none_for_the_target():
    content = hostile.split_in_no_parts()
    crash = in_a_copy(lambda: run_on_zeros(open_model(content), {}), time_limit=60)
    if not crash.killed_by:
        pytest.skip("this runtime survives the model")
    with pytest.raises(ModelError) as raised:
        check_target_run(content, "model.tflite", zeros(content), Kernels.XNNPACK)
    assert str(raised.value) == (
        "model.tflite cannot be judged on the target: running it with the xnnpack kernels ends the "
        f"process ({crash.killed_by}); change the model, or leave that target out"
    )


def test_the_line_of_a_crash_names_the_file_the_signal_and_what_to_do():
    content = hostile.split_in_no_parts()
    crash = in_a_copy(lambda: run_on_zeros(open_model(content), {}), time_limit=60)
    if not crash.killed_by:
        pytest.skip("this runtime survives the model")
    with pytest.raises(ModelError) as raised:
        check_first_run(content, "quantized_model/7/tflite", zeros(content))
    assert str(raised.value) == (
        "quantized_model/7/tflite crashes TensorFlow Lite's interpreter (SIGSEGV); it was damaged "
        "or made to do harm, make it anew"
    )


def test_a_loop_without_an_end_is_ended():
    content = hostile.while_without_an_end()
    start = time.monotonic()
    with pytest.raises(ModelError, match="F was run on 1 examples for 1 s without an end"):
        check_first_run(content, "F", {"x": np.ones([1], bool)}, time_limit=1.0)
    assert time.monotonic() - start < 10


def test_what_the_runtime_refuses_in_words_is_told_by_who_uses_it():
    content = hostile.gather_before_the_beginning()
    check_first_run(content, "F", zeros(content))
    with pytest.raises(ModelError, match=r"gather index out of bounds|only_positive"):
        TFLiteModel(content).predict(zeros(content))


def test_bytes_that_are_no_model_are_told():
    for content in (b"", b"\0", b"PK\x03\x04 a zip", bytes(1000)):
        with pytest.raises(ModelError, match=r"F is not a valid .* does not begin as one"):
            check_first_run(content, "F", {})


def test_a_model_without_graphs_is_told():
    tree = object_tree.model_tree()
    tree.subgraphs = []
    assert list(problems(object_tree.pack(tree))) == ["it has no subgraph"]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def children_of(process: int) -> str:
    return Path(f"/proc/{process}/task/{process}/children").read_text()


class TestCopy:
    """What is done in a copy of the process."""

    def test_ends_well(self):
        assert in_a_copy(lambda: None, time_limit=10).well

    @pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGBUS"])
    def test_dies_alone(self, name: str):
        ended = in_a_copy(lambda: os.kill(os.getpid(), signal.Signals[name]), time_limit=10)
        assert ended.killed_by == name
        assert not ended.well

    def test_may_use_all_cores_for_as_long_as_it_may_take(self):
        def look() -> None:
            assert resource.getrlimit(resource.RLIMIT_CPU)[0] >= 10 * (os.cpu_count() or 1)

        assert in_a_copy(look, time_limit=10).well

    @pytest.mark.skipif(sys.platform != "linux", reason="only Linux's kernel does it")
    def test_ends_with_the_original_and_keeps_nobody_waiting_for_its_locks(self, tmp_path: Path):
        """It kept the lock of a run that was killed for as long as it slept."""
        original = os.fork()
        if original == 0:
            with only_one(tmp_path / "run.lock", "run"):
                in_a_copy(lambda: time.sleep(60), time_limit=60)
            os._exit(0)
        while not (is_locked(tmp_path / "run.lock") and children_of(original)):
            time.sleep(0.01)
        os.kill(original, signal.SIGKILL)
        os.waitpid(original, 0)
        with locked(tmp_path / "run.lock", patience=5):
            pass

    def test_leaves_nothing_behind(self):
        before = open_files(), {*children_of(os.getpid()).split()}
        for _ in range(3):
            in_a_copy(lambda: os.abort(), time_limit=10)
        assert open_files() == before[0]
        assert {*children_of(os.getpid()).split()} <= before[1]

    def test_says_what_went_wrong(self):
        def fail() -> None:
            raise ModelError("it is no model")

        assert in_a_copy(fail, time_limit=10).problem == "it is no model"

    def test_says_so_if_it_went_wrong_without_a_word(self):
        def fail() -> None:
            raise MemoryError

        assert in_a_copy(fail, time_limit=10).problem == "MemoryError"

    def test_prints_nothing(self, capfd):
        in_a_copy(lambda: os.write(2, b"noise"), time_limit=10)
        assert capfd.readouterr().err == ""

    def test_is_ended_after_its_time(self):
        ended = in_a_copy(lambda: time.sleep(30), time_limit=0.05)
        assert not ended.in_time
        assert not ended.well
