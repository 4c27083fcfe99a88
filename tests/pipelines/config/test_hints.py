"""What is said of values that are nearly right: one line, with what to write instead."""

import re
from pathlib import Path

import pytest

from tests.pipelines.config.test_config import MINIMAL
from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.config.file import load_config


def said_of(folder: Path, text: str) -> str:
    """Returns what is said of a config, without its path."""
    (folder / "c.yaml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(folder / "c.yaml")
    return str(caught.value).removeprefix(f"{folder}/c.yaml")


@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("0.01", "1%", ":12: gate.rules.0.max_drop: expected a valid number, .*; write 0.01"),
        ("max_drop: 0.01", "min_value: 95%", ":12: gate.rules.0.min_value: .*; write 0.95"),
        ("max_drop", "min_vlaue", ":12: gate.rules.0.min_vlaue: unknown key; did you mean 'min_v"),
        (
            "max_drop: 0.01",
            "min_value: 95",
            ":12: gate.rules.0.min_value: AUC is at most 1.*0.95",
        ),
        (
            "metric: AUC, max_drop: 0.01",
            "max_arena_bytes: 16k",
            ":12: gate.rules.0.max_arena_bytes: .*, received '16k'; write bytes, 16384 for 16 KiB$",
        ),
        (
            "metric: AUC, max_drop: 0.01",
            "max_size_bytes: 1 MB",
            ":12: gate.rules.0.max_size_bytes: .*'1 MB'; write bytes, 1048576 for 1 MiB$",
        ),
        (
            "metric: AUC, max_drop: 0.01",
            "max_arena_bytes: much",
            ":12: gate.rules.0.max_arena_bytes: expected a valid integer, received 'much'$",
        ),
        (
            "metric: AUC, max_drop: 0.01",
            "min_agreement: 99",
            ":12: gate.rules.0.min_agreement: .* equal to 1, received 99; write 0.99 for 99 %$",
        ),
        (
            "metric: AUC, max_drop: 0.01",
            "min_agreement: 1000",
            ":12: gate.rules.0.min_agreement: expected less than or equal to 1, received 1000$",
        ),
        ("max_drop: 0.01", "max_value: 0.9", ":12: gate.rules.0.max_value: .*; write min_value, o"),
        (
            "max_drop: 0.01",
            "min_value: 0.9, against: pushed",
            ":12: gate.rules.0: min_value .* no other model; leave against out",
        ),
        ("0.01", "'0.01'", ":12: gate.rules.0.max_drop: .*; write it without quotes"),
        ("0.01", "0,01", ":12: gate.rules.0: the comma before 1 begins a new key; write numbers w"),
        (
            "metric: AUC, max_drop: 0.01",
            "max_arena_bytes: 16,384",
            ":12: gate.rules.0: the comma before 384 .* without commas, such as 0.01 or 16384$",
        ),
        (
            "name: mine",
            "name: my digits!",
            r":1: name: expected text of the form .*, received 'my digits!'; write my-digits$",
        ),
        ("name: mine", "name: '!'", r":1: name: expected text of the form .*, received '!'$"),
        ("max_drop", "max_dorp", ":12: gate.rules.0.max_dorp: unknown key; did you mean 'max_dr"),
        ("name: mine", "name: 007", ":1: name: .*received 7; put it in quotes, or YAML takes it f"),
        ("name: mine", "name: 2026-01-01", ":1: name: .*received 2026-01-01; put it in quotes, or"),
        ("name: mine", "name: true", ":1: name: .*; put it in quotes, or YAML takes it for true"),
        ("[AUC]", "AUC", ":9: evaluation.metrics: expected a list, received 'AUC'; write .AUC."),
        ("  label: label", "  lable: label", ":8: evaluation.lable: unknown key; did you mean 'la"),
        ("push:", "psuh:", ":13: psuh: unknown key; did you mean 'push'?"),
        ("destination", "destinatoin", ":14: push.destinatoin: unknown key; did you mean 'destin"),
        (
            "  input_base",
            "\tinput_base",
            ":4: not YAML: .*; indent with spaces, YAML takes no tabs",
        ),
        ("root: runs", "root: a\nroot: b", ":3: not YAML: found duplicate key .*; keep one of the"),
        ("root: runs", "root:runs", ":3: not YAML: .*; a key is followed by a colon and a space"),
        ("name: mine", "name:mine", ":2: not YAML: .*, write a space after the colon of a key"),
        (
            "name: mine\nroot: runs\n",
            "name:mine\nroot:runs  # here\n",
            ":3: not YAML: .*; a key is followed by a colon and a space",
        ),
        ("root: runs", "root: a: b", ":2: not YAML: .*; quote text with a colon in it"),
        ("    - {metric", "    {metric", ":11: gate.rules: expected a list, .*; begin each entry"),
        ("evaluation:\n", "evaluation:\n- ", ":9: not YAML: .*; indent the keys of one section"),
    ],
)
def test_a_value_that_is_nearly_right_is_one_line_with_a_hint(
    tmp_path: Path, right: str, wrong: str, said: str
):
    assert right in MINIMAL
    line = said_of(tmp_path, MINIMAL.replace(right, wrong, 1))
    assert len(line.splitlines()) == 1
    assert re.match(said, line)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ("quantization: {scheme: Int8}", "received 'Int8'; did you mean 'int8'?"),
        ("quantization: {scheme: int8-float-io}", "; did you mean 'int8_float_io'?"),
        ("target: {accelerator: ethos-u55}", "received 'ethos-u55'; did you mean 'ethos-u55-64'?"),
        ("target: {accelerator: Ethos_U55_128}", "; did you mean 'ethos-u55-128'?"),
        (
            "target: tflite-micro",
            "received 'tflite-micro'; its keys are runtime, kernels, accelerator",
        ),
        (
            "target: {}\ntargets: [{}]",
            "is given together with targets; keep one of them, the list for several",
        ),
        ("calibration: {strategy: Random}", "; did you mean 'random'?"),
        ("calibration:\n  samples: 1,000", "received '1,000'; write 1000"),
        ("calibration:\n  samples: 2e2", "received 200.0; write 200"),
        ("calibration:\n  samples: '200'", "received '200'; write it without quotes"),
        ("calibration:", "calibration: is empty; give it keys, or leave it out"),
        ("calibration: {samples: many}", "received 'many'"),
        ("calibration: {split: }", "received None; give it a value, or leave the key out"),
    ],
)
def test_so_is_a_section_that_is_nearly_right(tmp_path: Path, section: str, said: str):
    line = said_of(tmp_path, f"{MINIMAL}{section}\n")
    assert len(line.splitlines()) == 1 and line.endswith(said)
