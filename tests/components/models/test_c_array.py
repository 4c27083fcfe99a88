"""A model and its golden samples as C source: what compilers make of it is what it is of."""

import keyword
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.docs.native import needed_program
from tfx_tflite.components.models import c_array
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.models.golden_samples import GoldenSamples
from tfx_tflite.components.versions import Kernels, Runtime

NETS = Path(__file__).parent / "micro"
PROGRAMS = Path(__file__).parent / "c_programs"
STRICT = ("-Wall", "-Wextra", "-Werror", "-pedantic")
LANGUAGES = {"C": ("gcc", "-x", "c", "-std=c11"), "C++": ("g++", "-std=c++17")}
# Where releases of TensorFlow Lite Micro have its names.
NAMESPACES = ["tflite", "tflite::micro"]


def recorded(net: str, samples: int = 8, batch_size: int = 1) -> tuple[bytes, GoldenSamples]:
    """Returns a net, and what TensorFlow Lite Micro gave for it when it was recorded."""
    found = dict(np.load(NETS / f"{net}.npz"))
    content = found["model"].tobytes()
    [signature] = read_graph(content).signatures
    [[name], [output]] = signature.inputs, signature.outputs
    golden = GoldenSamples(
        {name: found["inputs"][:samples]},
        {output: found["outputs"][:samples]},
        batch_size,
        Runtime(package="tflite-micro", version="1", kernels=Kernels.MICRO),
    )
    return content, golden


def write(directory: Path, net: str, name: str, golden: GoldenSamples | None = None) -> bytes:
    """Writes all sources of a net into a directory, and returns the net."""
    content, of_net = recorded(net)
    sources = {
        **c_array.model_sources(content, name),
        **c_array.golden_sources(content, golden or of_net, 3088, name),
    }
    for file, text in sources.items():
        (directory / file).write_text(text, encoding="utf-8")
    return content


def compiled(directory: Path, language: str, *sources: Path) -> bytes:
    """Compiles a program without a warning, runs it and returns what it prints."""
    command = LANGUAGES[language]
    needed_program(command[0])
    program = directory / "program"
    files = [str(source) for source in sources]
    subprocess.run([*command, *STRICT, f"-I{directory}", *files, "-o", str(program)], check=True)
    return subprocess.run([str(program)], check=True, capture_output=True).stdout


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_array_holds_the_model_aligned_to_16_bytes(tmp_path: Path, language: str):
    content = write(tmp_path, "dense", "dense")
    found = compiled(tmp_path, language, PROGRAMS / "print_model.cc", tmp_path / "model.cc")
    assert found == content


@pytest.mark.parametrize("size", [1, 15, 16, 17, 255])
def test_each_byte_of_a_model_of_any_size_is_listed(size: int):
    values = np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)
    listed = c_array.model_sources(values.tobytes(), "x")["model.cc"]
    inside = listed[listed.index("{") + 1 : listed.index("}")]
    assert [int(text, 16) for text in inside.split(",") if text.strip()] == values.tolist()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_golden_samples_are_those_that_were_recorded(tmp_path: Path, language: str):
    write(tmp_path, "dense", "dense")
    _, golden = recorded("dense")
    found = compiled(tmp_path, language, PROGRAMS / "print_golden.cc", tmp_path / "golden.cc")
    expected = b""
    for name, values in [*golden.inputs.items(), *golden.outputs.items()]:
        expected += f"{name} 0 {values[0].nbytes}\n".encode() + values.tobytes()
    assert found == expected


@pytest.mark.parametrize("namespace", NAMESPACES)
@pytest.mark.parametrize("net", ["dense", "deep_residual", "depthwise", "hard_swish"])
def test_the_program_is_valid_with_either_place_of_the_names(
    tmp_path: Path, net: str, namespace: str
):
    needed_program("g++")
    write(tmp_path, net, "net")
    places = [f"-I{tmp_path}", f"-I{PROGRAMS / 'micro_api'}", f"-DMICRO_NAMESPACE={namespace}"]
    program = str(tmp_path / "golden_test.cc")
    subprocess.run(
        [*LANGUAGES["C++"], *STRICT, "-fsyntax-only", *places, program],
        check=True,
    )


def test_the_program_registers_the_operators_of_the_model_alone():
    content, golden = recorded("depthwise")
    program = c_array.golden_sources(content, golden, 3088, "net")["golden_test.cc"]
    kinds = {operator.name for operator in read_graph(content).operators}
    assert kinds == {
        "ADD",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "RESHAPE",
        "SOFTMAX",
    }
    calls = {"AddAdd", "AddConv2D", "AddDepthwiseConv2D", "AddFullyConnected"}
    calls |= {"AddReshape", "AddSoftmax"}
    registered = [line for line in program.splitlines() if "resolver.Add" in line]
    assert {line.split(".")[1].split("(")[0] for line in registered} == calls
    assert "MicroMutableOpResolver<6>" in program


@pytest.mark.parametrize(
    ("operator", "is_custom", "call"),
    [
        ("L2_NORMALIZATION", False, "AddL2Normalization"),
        ("MAX_POOL_2D", False, "AddMaxPool2D"),
        ("PADV2", False, "AddPadV2"),
        ("SELECT_V2", False, "AddSelectV2"),
        ("SPACE_TO_BATCH_ND", False, "AddSpaceToBatchNd"),
        ("SVDF", False, "AddSvdf"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", False, "AddUnidirectionalSequenceLSTM"),
        ("CIRCULAR_BUFFER", True, "AddCircularBuffer"),
        ("SignalRfft", True, "AddRfft"),
        ("ethos-u", True, "AddEthosU"),
    ],
)
def test_an_operator_is_registered_by_the_method_of_micros_resolver(
    operator: str, is_custom: bool, call: str
):
    assert c_array._resolver_call(operator, is_custom) == call


def test_a_custom_operator_that_micro_does_not_know_is_named():
    with pytest.raises(ValueError, match=r"^TensorFlow Lite Micro has no custom operator 'Mine'$"):
        c_array._resolver_call("Mine", True)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("digits", "digits"),
        ("digits-v2.1", "digits_v2_1"),
        ("__x__y__", "x_y"),
        ("2fast", "model_2fast"),
        ("Ziffern für alle", "Ziffern_f_r_alle"),
        ("", "model"),
        ("...", "model"),
    ],
)
def test_a_name_becomes_an_identifier(name: str, expected: str):
    assert c_array.identifier(name) == expected


@pytest.mark.parametrize("name", ["class", "int", "2", "a--b", *keyword.kwlist[:3]])
def test_identifiers_of_any_name_compile(tmp_path: Path, name: str):
    needed_program("g++")
    write(tmp_path, "dense", name)
    subprocess.run(
        ["g++", "-std=c++17", *STRICT, "-fsyntax-only", "model.cc", "golden.cc"],
        check=True,
        cwd=tmp_path,
    )


def test_a_tensors_name_may_be_anything(tmp_path: Path):
    assert c_array._literal('a"\\??/\nä') == r'"a\"\\\077\077/\012\303\244"'.replace(
        r"\"", r"\042"
    ).replace(r"\\", r"\134")


def test_the_arena_is_a_quarter_more_in_whole_kib():
    assert c_array.arena_with_margin(3088) == 4096
    assert c_array.arena_with_margin(4096) == 5120
    assert c_array.arena_with_margin(4097) == 6144


def test_samples_that_are_run_together_are_compared_one_by_one():
    content, golden = recorded("dense", samples=8, batch_size=4)
    sources = c_array.golden_sources(content, golden, 3088, "net")
    assert "net_golden_runs = 2," in sources["golden.h"]
    assert '{"' in sources["golden.cc"] and ", 0, 128, input_0}" in sources["golden.cc"]


def test_the_same_model_gives_the_same_bytes():
    content, golden = recorded("dense")
    assert c_array.model_sources(content, "a") == c_array.model_sources(bytes(content), "a")
    first = c_array.golden_sources(content, golden, 3088, "a")
    assert first == c_array.golden_sources(content, recorded("dense")[1], 3088, "a")


def test_ten_megabytes_are_written_in_seconds():
    content = np.random.default_rng(0).integers(0, 256, 10_000_000, dtype=np.uint8).tobytes()
    start = time.process_time()
    listed = c_array.model_sources(content, "big")["model.cc"]
    assert time.process_time() - start < 5
    assert listed.count("0x") == 10_000_000
