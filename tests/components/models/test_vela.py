"""What Vela says of a model is understood, and what it leaves is the model."""

import re
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from tests.components.models.accelerated import FILE
from tests.conftest import ROOT
from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import vela
from tfx_tflite.components.models.flatbuffer import Graph, Operator
from tfx_tflite.components.models.target import Accelerator
from tfx_tflite.components.models.target_facts import Acceleration, OperatorFinding
from tfx_tflite.components.models.vela import Compiled, accelerate

MICRO = Path(__file__).parent / "micro"
INT8_NETS = ["deep_residual", "dense", "depthwise", "hard_swish"]
ACCELERATORS = get_args(Accelerator)
U55, U65, U85 = "ethos-u55-128", "ethos-u65-256", "ethos-u85-256"
VELA = [sys.executable, "-m", "ethosu.vela"]


@cache
def net(name: str) -> bytes:
    if name in INT8_NETS:
        return np.load(MICRO / f"{name}.npz")["model"].tobytes()
    return np.load(FILE)[name].tobytes()


@cache
def compiled(name: str, accelerator: str = U55) -> Compiled:
    return accelerate(net(name), accelerator)


def acceleration(name: str, accelerator: str = U55) -> Acceleration:
    return compiled(name, accelerator).acceleration


def run_vela(directory: Path, name: str, accelerator: str, *options: str) -> str:
    """Returns what Vela prints when it is run by itself."""
    (directory / "net.tflite").write_bytes(net(name))
    command = [*VELA, "--accelerator-config", accelerator, *options, "net.tflite"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=True).stdout


def on_the_accelerator(content: bytes) -> list[Operator]:
    return [operator for operator in Graph(content).operators if operator.name == "ethos-u"]


def test_the_accelerators_are_those_of_the_installed_vela():
    text = subprocess.run([*VELA, "--help"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"--accelerator-config {([^}]*)}", text)
    assert found is not None
    assert tuple(re.sub(r"\s", "", found[1]).split(",")) == ACCELERATORS


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", ACCELERATORS)
def test_every_accelerator_runs_an_int8_net_whole(accelerator: str):
    found = acceleration("dense", accelerator)
    assert found.accelerator == accelerator
    assert (found.operators, found.accelerated, found.share) == (7, 7, 1.0)
    assert found.refused == ()


@pytest.mark.slow
@pytest.mark.parametrize("accelerator", [U55, U65, U85])
def test_time_and_memory_are_those_that_vela_prints(tmp_path: Path, accelerator: str):
    printed = run_vela(tmp_path, "depthwise", accelerator, "--verbose-cycle-estimate")
    found = acceleration("depthwise", accelerator)
    cycles = re.search(r"Total cycles +(\d+) cycles/batch", printed)
    time = re.search(r"Batch Inference time +([\d.]+) ms, +([\d.]+) inferences/s", printed)
    clock = re.search(r"Accelerator clock +(\d+) MHz", printed)
    assert cycles and time and clock
    assert found.cycles == int(cycles[1])
    assert found.clock_hz == int(clock[1]) * 1e6
    assert found.milliseconds == pytest.approx(float(time[1]), abs=0.005)
    assert 1000 / found.milliseconds == pytest.approx(float(time[2]), abs=0.005)
    memories = dict(re.findall(r"Total (.+) used +([\d.]+) KiB", printed))
    for label, size in [
        ("SRAM", found.sram_bytes),
        ("Off-chip Flash", found.flash_bytes),
        ("DRAM", found.dram_bytes),
    ]:
        assert size is not None
        assert size / 1024 == pytest.approx(float(memories.get(label, 0)), abs=0.005)


@pytest.mark.parametrize("accelerator", [U55, U65, U85])
def test_memory_is_that_of_the_compiled_models_tensors(accelerator: str):
    """Commands, stored values, memory for tensors, fast memory: so an `ethos-u` is given them."""
    result = compiled("depthwise", accelerator)
    [operator] = on_the_accelerator(result.content)
    _, stored, scratch, fast = (tensor.shape[0] for tensor in operator.inputs[:4])
    found = result.acceleration
    assert found.sram_bytes == fast
    if accelerator == U55:
        assert (found.flash_bytes, found.dram_bytes) == (stored, 0)
    else:
        assert (found.flash_bytes, found.dram_bytes) == (0, stored + scratch)
    assert found.size_bytes == len(result.content)


def test_milliseconds_are_cycles_at_the_clock():
    found = acceleration("depthwise")
    assert (found.cycles, found.clock_hz) == (126521, 500e6)
    assert found.milliseconds == pytest.approx(0.253042)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["int8", "int8_float_io", "float16", "sine", "wide_stride", "gathered", "free_batch"]
)
def test_what_is_left_to_the_processor_is_what_vela_counts(tmp_path: Path, name: str):
    """It takes operators of the accelerator apart, but not those that it leaves alone."""
    found = acceleration(name)
    printed = re.search(r"CPU operators = (\d+)", run_vela(tmp_path, name, U55))
    assert printed is not None
    assert len(found.refused) == int(printed[1])
    assert found.accelerated == found.operators - len(found.refused)
    assert found.operators == len(Graph(net(name)).operators)


@pytest.mark.parametrize("name", sorted({*INT8_NETS, *np.load(FILE).files} - {"wide"}))
def test_a_compiled_model_has_the_inputs_and_outputs_of_the_model(name: str):
    before, after = Graph(net(name)), Graph(compiled(name).content)
    for was, now in [
        (before.main.inputs, after.main.inputs),
        (before.main.outputs, after.main.outputs),
    ]:
        assert [(each.name, each.shape, each.type) for each in was] == [
            (each.name, each.shape, each.type) for each in now
        ]
    [was], [now] = before.signatures, after.signatures
    assert (was.name, set(was.inputs), set(was.outputs)) == (
        now.name,
        set(now.inputs),
        set(now.outputs),
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["depthwise", "hard_swish", "sine"])
def test_a_model_compiled_twice_is_the_same_to_the_byte(name: str):
    assert accelerate(net(name), U55).content == compiled(name).content


def test_a_figure_says_where_it_comes_from():
    source = acceleration("int8").source
    assert (source.tool, source.version, source.kind) == (
        "ethos-u-vela",
        version("ethos-u-vela"),
        "estimate",
    )
    assert source.machine is None
    assert source.caveat == (
        "for Vela's default system configuration and memory mode (Ethos_U55_High_End_Embedded, "
        "Shared_Sram)"
    )


def test_a_time_without_the_operators_that_are_left_says_so():
    caveat = acceleration("int8_float_io").source.caveat
    assert caveat.endswith("; operators left on the processor do not count in the milliseconds")


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic_range", "resized"])
def test_without_an_operator_on_the_accelerator_no_time_is_known(name: str):
    found = acceleration(name)
    assert (found.share, found.milliseconds, found.cycles) == (0.0, None, None)
    assert "no estimate of the time" in found.source.caveat
    assert on_the_accelerator(compiled(name).content) == []


def test_a_free_axis_is_told():
    """Of a kind with tflite-micro issue 197, whose operators Vela 5 computes when it compiles."""
    found = acceleration("free_batch")
    assert found.share == 1.0
    assert found.source.caveat.endswith(
        "; input 'x' has a free axis, for which Vela takes 1 (quantization.batch_size: 1)"
    )


def test_a_free_axis_that_is_no_batch_is_refused():
    found = acceleration("free_length")
    assert found.share == 0.0
    assert {each.reason.partition(" on tensor ")[0] for each in found.refused} == {
        "Dynamic non-batch dimension at axis 1",
        "Dynamic non-batch dimension at axis 2",
    }
    assert {each.advice for each in found.refused} == {
        "give the signature a shape with one free axis at most, the first"
    }
    assert "free axis" not in found.source.caveat


def test_time_of_a_batch_is_of_the_whole_batch():
    assert acceleration("batch_of_4").milliseconds > 2 * acceleration("int8").milliseconds


@pytest.mark.parametrize(
    ("name", "share"),
    [("recurrent", 1.0), ("channels_first", 1.0), ("two_outputs", 1.0), ("int16", 1.0)],
)
def test_nets_that_an_ethos_u55_runs_whole(name: str, share: float):
    assert acceleration(name).share == share


def test_the_operator_that_breaks_velas_own_list_is_compiled():
    """Vela 5.2 fails on it if it is asked to name the operators of the processor."""
    assert acceleration("largest").share == 1.0


def test_memory_beyond_any_chip_is_told_as_it_is():
    assert acceleration("huge").sram_bytes > 40 * 2**20


def only_refusal(name: str, accelerator: str = U55) -> OperatorFinding:
    [found] = acceleration(name, accelerator).refused
    return found


@pytest.mark.parametrize(
    ("name", "kind", "reason", "advice"),
    [
        ("resized", "RESIZE_BILINEAR", "HW scale-factor is not equal", "2, 4 or 8"),
        ("wide_stride", "CONV_2D", "Unsupported kernel stride: 5, 7; ", "strides of 1 to 3"),
        ("upsampled", "TRANSPOSE_CONV", "stride out of range: (3,3); ", "a stride of 1 or 2"),
        ("large_window", "AVERAGE_POOL_2D", "kernel width: 9 out of range; ", "smaller window"),
        ("gathered", "GATHER", "Unsupported opType", "--supported-ops-report"),
        ("best_two", "TOPK_V2", "Unsupported opType", "--supported-ops-report"),
    ],
)
def test_an_operator_that_is_left_has_velas_reason_and_advice(
    name: str, kind: str, reason: str, advice: str
):
    found = only_refusal(name)
    assert found.name == kind
    assert found.reason.startswith(reason)
    assert advice in found.advice
    graph = Graph(net(name))
    assert found.operator is not None
    assert graph.operators[found.operator].name == kind
    assert found.layer == graph.operators[found.operator].outputs[0].short_name


def test_reasons_are_those_of_the_accelerator():
    assert only_refusal("gathered", U85).reason == (
        "axis: 2 != batch_dims: 0; axis must be equal to batch_dims"
    )
    assert only_refusal("gathered", U85).advice == ""
    assert acceleration("upsampled", U85).share == 1.0


@pytest.mark.parametrize("name", ["float32", "float16", "dynamic_range"])
def test_a_model_in_floating_point_is_to_be_quantized(name: str):
    found = acceleration(name)
    assert len(found.refused) == found.operators
    assert {each.advice for each in found.refused} == {
        "quantize weights and activations (quantization.scheme: int8)"
    }
    assert "unsupported DataType Float32" in found.refused[-1].reason


@pytest.mark.parametrize(
    ("name", "setting"), [("int8_float_io", "scheme: int8"), ("int16x8", "io_type: int16")]
)
def test_inputs_and_outputs_in_floating_point_are_to_be_integers(name: str, setting: str):
    found = acceleration(name)
    assert [each.name for each in found.refused] == ["QUANTIZE", "DEQUANTIZE"]
    assert (found.accelerated, found.operators) == (4, 6)
    assert {each.advice for each in found.refused} == {
        f"make inputs and outputs integers as well (quantization.{setting})"
    }


@pytest.mark.parametrize(("name", "kind"), [("sine", "SIN"), ("volume", "CONV_3D")])
def test_a_layer_in_floating_point_within_an_int8_model_is_named(name: str, kind: str):
    before, layer, after = acceleration(name).refused
    assert (before.name, layer.name, after.name) == ("DEQUANTIZE", kind, "QUANTIZE")
    assert layer.advice == "TensorFlow Lite has no int8 kernel for this layer; use another one"
    assert before.advice == after.advice == "goes when the layer in floating point beside it goes"


def test_operators_of_a_loop_are_counted_and_have_no_place_in_the_main_graph():
    found = acceleration("loop")
    assert [(each.operator, each.name) for each in found.refused] == [
        (0, "DEQUANTIZE"),
        (1, "WHILE"),
        (2, "QUANTIZE"),
        (None, "LESS"),
        (None, "QUANTIZE"),
        (None, "ADD"),
        (None, "DEQUANTIZE"),
    ]
    assert (found.operators, found.accelerated) == (8, 1)
    assert found.refused[1].advice.startswith("unroll the loop")
    # A number has no axes either, and no batch size would give it some.
    [added] = [each for each in found.refused if each.name == "ADD"]
    assert (added.reason, added.advice) == (
        "Operation has shapeless tensor; Tensors must have constant shape",
        "",
    )


def test_a_model_that_vela_cannot_compile_is_an_error_in_its_words():
    with pytest.raises(ModelError) as caught:
        accelerate(net("wide"), U55)
    assert str(caught.value).splitlines() == [
        f"Vela {version('ethos-u-vela')} for ethos-u55-128 failed: RuntimeError: Non-passthrough "
        "operation (FullyConnected) could not run on NPU",
        "Change the model, try another version of ethos-u-vela, or leave the accelerator out",
    ]


def test_an_accelerator_that_there_is_none_of_is_velas_error():
    with pytest.raises(ModelError, match="failed: vela: error: argument --accelerator-config"):
        accelerate(net("int8"), "ethos-u55-129")


def test_a_compiled_model_is_not_compiled_again():
    with pytest.raises(ModelError, match="is compiled for an Ethos-U already"):
        accelerate(compiled("sine").content, U55)


@pytest.mark.parametrize("content", [b"", b"no model", net("int8")[:-100], net("int8")[:9]])
def test_bytes_that_are_no_model_never_reach_vela(content: bytes):
    """Vela itself compiles a file whose last weights are cut off."""
    with pytest.raises(ModelError, match="the bytes are not a valid TensorFlow Lite model: "):
        accelerate(content, U55, command=["no-such-program"])


def test_a_missing_package_is_one_line_that_installs_it(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(vela, "version", missing)
    with pytest.raises(ModelError) as caught:
        accelerate(net("int8"), U55)
    assert str(caught.value) == (
        "an accelerator needs Arm's compiler Vela: pip install ethos-u-vela"
    )


def test_vela_is_not_imported():
    accelerate(net("int8"), U55)
    assert not [name for name in sys.modules if name.startswith("ethosu")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sine", "free_batch", "wide_stride", "gathered"])
def test_the_warnings_of_old_versions_are_understood(name: str):
    """Vela 5 still has the compiler of Vela 4; it leaves signatures out."""
    result = accelerate(net(name), U55, command=[*VELA, "--debug-force-legacy-core"])
    assert Graph(result.content).signatures == ()
    refused = result.acceleration.refused
    assert {
        "sine": ["DEQUANTIZE", "SIN", "QUANTIZE"],
        "free_batch": ["STRIDED_SLICE", "PACK", "RESHAPE"],
        "wide_stride": ["CONV_2D"],
        "gathered": ["GATHER"],
    }[name] == [each.name for each in refused]
    assert all(each.reason != "Vela does not say why" for each in refused)
    if name == "free_batch":
        assert {each.advice for each in refused} == {
            "build the batch size in (quantization.batch_size: 1)"
        }


def test_the_page_about_targets_has_every_accelerator_and_what_to_change():
    page = (ROOT / "docs" / "targets.md").read_text(encoding="utf-8").replace("`", "")
    nets = ["float32", "int8_float_io", "sine", "resized", "wide_stride", "upsampled", "gathered"]
    said = {each.advice for name in nets for each in acceleration(name).refused}
    said.remove("goes when the layer in floating point beside it goes")
    assert [text for text in (*ACCELERATORS, *said) if text.replace("`", "") not in page] == []
