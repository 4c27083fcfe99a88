"""Runtime parameters on their way from Kubeflow's pages to execution properties."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tfx_tflite.components.errors import ConfigError
from tfx_tflite.pipelines.kubeflow import task as kubeflow_task
from tfx_tflite.pipelines.kubeflow.call import Call
from tfx_tflite.pipelines.kubeflow.task import check_scheme, put_in_place

MARGIN = ["settings", "gate", "rules", 0, "max_drop"]


def test_a_parameter_can_be_a_whole_property():
    values = {"module_file": "a.py", "file": "b.py"}
    assert put_in_place(values, {"file": ["module_file"]}) == {"module_file": "b.py"}


def test_a_parameter_can_be_inside_a_property_that_holds_json():
    first, second = ({"metric": "AUC", "max_drop": bound} for bound in (0.2, 0.1))
    gate = {"min_examples": 9, "rules": [first, second]}
    values = {"settings": json.dumps({"gate": gate}), "margin": 0.5}
    found = put_in_place(values, {"margin": ["settings", "gate", "rules", 1, "max_drop"]})
    assert set(found) == {"settings"}
    judged = json.loads(found["settings"])["gate"]
    assert judged == {**gate, "rules": [first, {**second, "max_drop": 0.5}]}


def test_a_count_that_travelled_as_a_double_is_a_count_again():
    values = {"train_args": '{"num_steps": 300}', "steps": 500.0}
    found = put_in_place(values, {"steps": ["train_args", "num_steps"]})
    assert found == {"train_args": '{"num_steps": 500}'}


@pytest.mark.parametrize(
    ("name", "value", "target", "expected"),
    [
        (
            "calibration_samples",
            0.0,
            ["settings", "samples"],
            "a whole number of at least 1, received 0.0",
        ),
        ("model_trainer_train_steps", 1.5, ["train_args", "num_steps"], "at least 1, received 1.5"),
        ("data_span", -2.0, ["range_config", "span"], "at least -1, received -2.0"),
        (
            "gate_rules_0_max_drop",
            -1.0,
            ["settings", "gate", "rules", 0, "max_drop"],
            "greater than or equal",
        ),
    ],
)
def test_a_value_that_is_not_possible_is_refused_by_name(name, value, target, expected):
    gate = {"rules": [{"metric": "AUC", "max_drop": 0.1}]}
    values = {name: value, "settings": json.dumps({"gate": gate})}
    with pytest.raises(ConfigError, match=f"^{name}: .*{expected}"):
        put_in_place(values, {name: target})


def test_what_a_user_can_mend_is_one_line_in_the_containers_log():
    call = {"inputs": {"parameterValues": {"calibration_samples": 0}}}
    command = [sys.executable, "-m", "tfx_tflite.pipelines.kubeflow.task"]
    command += ["--json_serialized_invocation_args", json.dumps(call)]
    command += ["--parameters", json.dumps({"calibration_samples": ["settings", "samples"]})]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        "error: calibration_samples: expected a whole number of at least 1, received 0\n"
    )


def test_what_nobody_foresaw_is_a_line_after_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    def fail(argv: list[str]) -> None:
        raise RuntimeError("the first line\nand more")

    monkeypatch.setattr(kubeflow_task, "main", fail)
    with pytest.raises(SystemExit) as end:
        kubeflow_task.container([])
    assert end.value.code == "error: RuntimeError: the first line"
    assert capsys.readouterr().err.startswith("Traceback")


def test_a_margin_of_1_stays_a_number_with_a_fraction():
    text = '{"gate": {"rules": [{"metric": "AUC", "max_drop": 0.1}]}}'
    found = put_in_place({"settings": text, "margin": 1.0}, {"margin": MARGIN})
    assert found == {"settings": text.replace("0.1", "1.0")}


def test_a_span_becomes_a_range_of_that_span_alone():
    found = put_in_place({"data_span": 12.0}, {"data_span": ["range_config", "span"]})
    limits = {"start_span_number": 12, "end_span_number": 12}
    assert json.loads(found["range_config"]) == {"static_range": limits}


def test_a_span_that_is_not_given_leaves_the_newest_to_example_gen():
    assert put_in_place({"data_span": -1.0}, {"data_span": ["range_config", "span"]}) == {}


def test_a_span_range_is_what_tfx_reads():
    from google.protobuf import json_format
    from tfx.proto import range_config_pb2

    found = put_in_place({"data_span": 3.0}, {"data_span": ["range_config", "span"]})
    message = json_format.Parse(found["range_config"], range_config_pb2.RangeConfig())
    assert message.static_range.start_span_number == message.static_range.end_span_number == 3


def test_a_parameter_that_a_back_end_leaves_out_changes_nothing():
    values = {"settings": '{"scheme": "int8"}'}
    target = ["settings", "scheme"]
    assert put_in_place(dict(values), {"quantization_scheme": target}) == values


def invocation(scheme: str, seeds: int = 1, **artifacts: object) -> Call:
    values = {"settings": json.dumps({"scheme": scheme, "seeds": seeds})}
    inputs = {"parameterValues": values, "artifacts": artifacts}
    return Call.model_validate({"inputs": inputs})


def test_a_scheme_that_needs_calibration_is_refused_where_there_is_none():
    with pytest.raises(ConfigError, match="'int8' needs calibration, but the pipeline was compil"):
        check_scheme(invocation("int8"))
    check_scheme(invocation("int8", calibration_examples={}))
    check_scheme(invocation("float16"))


def test_what_a_search_finds_goes_with_auto_alone():
    found = {"calibration_examples": {}, "recipe": {}}
    check_scheme(invocation("auto", **found))
    with pytest.raises(ConfigError, match="is 'int8', but the pipeline was compiled with a search"):
        check_scheme(invocation("int8", **found))
    with pytest.raises(ConfigError, match="is 'auto', but the pipeline was compiled without a sea"):
        check_scheme(invocation("auto", calibration_examples={}))


def test_draws_of_a_scheme_give_a_recipe_without_a_search():
    check_scheme(invocation("int8", seeds=3, calibration_examples={}, recipe={}))
    check_scheme(invocation("auto", seeds=3, calibration_examples={}, recipe={}))
    # A recipe by hand takes one of the draws; float16 none.
    check_scheme(invocation("int8", seeds=3, calibration_examples={}))
    check_scheme(invocation("float16", seeds=3))
    with pytest.raises(ConfigError, match="is 'auto', but the pipeline was compiled without a sea"):
        check_scheme(invocation("auto", seeds=3, calibration_examples={}))


def test_a_scheme_that_is_not_known_is_refused():
    with pytest.raises(ConfigError, match="quantization_scheme is 'int7', expected one of float32"):
        check_scheme(invocation("int7"))


@pytest.mark.slow
def test_modules_beside_a_module_file_can_be_imported(tmp_path: Path):
    """As where TFX builds a wheel of the module file's directory."""
    (tmp_path / "beside.py").write_text("VALUE = 41\n")
    (tmp_path / "trainer.py").write_text(
        "from pathlib import Path\n"
        "from beside import VALUE\n"
        "def run_fn(fn_args):\n"
        "    Path(fn_args.serving_model_dir).mkdir(parents=True)\n"
        "    (Path(fn_args.serving_model_dir) / 'steps').write_text(str(fn_args.train_steps))\n"
    )
    artifact = {"type": {"schemaTitle": "tfx.Examples"}, "uri": str(tmp_path / "examples")}
    artifact["metadata"] = {"split_names": '["train", "eval"]'}
    outputs = {
        key: {"artifacts": [{"type": {"schemaTitle": f"tfx.{title}"}, "uri": f"{tmp_path}/{key}"}]}
        for key, title in (("model", "Model"), ("model_run", "ModelRun"))
    }
    call = {
        "inputs": {
            "artifacts": {"examples": {"artifacts": [artifact]}},
            "parameterValues": {
                "module_file": str(tmp_path / "trainer.py"),
                "train_args": '{"num_steps": 1}',
                "eval_args": '{"num_steps": 1}',
                "steps": 7.0,
            },
        },
        "outputs": {"artifacts": outputs, "outputFile": str(tmp_path / "out" / "output.json")},
    }
    command = [sys.executable, "-m", "tfx_tflite.pipelines.kubeflow.task"]
    command += ["--executor_class_path", "tfx.components.trainer.executor.GenericExecutor"]
    command += ["--json_serialized_invocation_args", json.dumps(call)]
    command += ["--json_serialized_inputs_spec_args", "{}"]
    command += ["--parameters", json.dumps({"steps": ["train_args", "num_steps"]})]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "model" / "Format-Serving" / "steps").read_text() == "7"
