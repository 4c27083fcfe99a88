"""What a container of a compiled pipeline runs: runtime parameters and builtin data put in place.

The rest is `tfx_tflite.pipelines.kubeflow.entry_point`.
"""

import argparse
import functools
import json
import sys
import tempfile
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import JsonValue, ValidationError

from tfx_tflite.components.deferred_imports import deferred_imports, uncollected_imports
from tfx_tflite.components.errors import ConfigError, in_one_line, user_error_in
from tfx_tflite.components.judgement.gate import Gate
from tfx_tflite.components.process_end import run_to_the_end
from tfx_tflite.components.quantization.conversion.early_start import early_converter
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.settings import AUTO
from tfx_tflite.components.settings import PROPERTY
from tfx_tflite.pipelines.cli.outcome import EXIT_REFUSED
from tfx_tflite.pipelines.kubeflow.call import Call, Task, with_uris
from tfx_tflite.pipelines.kubeflow.places import BUILTIN_SCHEME
from tfx_tflite.pipelines.tfx.imports import UNUSED_BY_RUNS

_COUNTS = ("samples", "num_steps")
_QUANTIZER = "tfx_tflite.components.tflite_quantizer.executor.Executor"
# What converts.
_CONVERTING = (_QUANTIZER, "tfx_tflite.components.quantization_tuner.executor.Executor")


def main(argv: Sequence[str]) -> None:
    """Runs what the arguments of a container name, and says what came of it in the last line.

    Args:
        argv: The program's name and its arguments: those of `Task.parse`; from the names of runtime
            parameters to where each goes, in `--parameters`; and in `--when_refused` whether a
            model that is not pushed makes the task of the push fail.

    Raises:
        SystemExit: It does, with the command line's exit code for it.
    """
    # Help is that of the arguments of `Task.parse`, which are all that one gives by hand.
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--parameters", type=json.loads, default={})
    parser.add_argument("--when_refused", choices=("succeed", "fail"), default="succeed")
    known, rest = parser.parse_known_args(list(argv)[1:])
    task = Task.parse(rest)
    values = put_in_place(dict(task.call.inputs.parameter_values), known.parameters)
    if task.executor_class_path == _QUANTIZER:
        check_scheme(task.call.with_parameters(values))
    _write_builtin_data(values)
    if module_file := values.get("module_file"):
        # As where the file is built into a wheel, the modules beside it can be imported.
        sys.path.insert(0, str(Path(str(module_file)).parent))

    task = replace(task, call=task.call.with_parameters(values))
    with early_converter() as early, deferred_imports(UNUSED_BY_RUNS):
        if task.executor_class_path in _CONVERTING:
            # The container is for nothing else: it imports while TFX is imported here.
            early.start()
        with uncollected_imports():
            from tfx_tflite.pipelines.kubeflow import entry_point as kubeflow_entry_point
            from tfx_tflite.pipelines.kubeflow.verdict import verdict_of

        verdict = verdict_of(task, kubeflow_entry_point.run(task))
    if verdict is not None:
        sys.stderr.flush()
        print(verdict.line, flush=True)
        if not verdict.is_good and known.when_refused == "fail":
            sys.exit(EXIT_REFUSED)


def put_in_place(
    values: dict[str, JsonValue], parameters: Mapping[str, Sequence[str | int]]
) -> dict[str, JsonValue]:
    """Moves the values of runtime parameters to where they go, and returns all values.

    Args:
        values: The values of a component's parameters; changed in place.
        parameters: From the name of a runtime parameter to its target: an execution property and,
            where that holds JSON, the keys and indices inside.

    Raises:
        ConfigError: A value is not possible.
    """
    for name, target in parameters.items():
        if name not in values:
            continue
        value, prop, path = values.pop(name), str(target[0]), target[1:]
        if prop == "range_config":
            _set_span(values, _whole(name, value, -1))
        elif path:
            document = json.loads(str(values.get(prop) or "{}"))
            _set_within(document, path, _checked(name, target, value))
            values[prop] = json.dumps(document)
            if "gate" in path:
                _check_gate(name, document["gate"])
        else:
            values[prop] = _checked(name, target, value)
    return values


def _checked(name: str, target: Sequence[str | int], value: JsonValue) -> JsonValue:
    # Numbers travel as doubles, and a count must not have a fraction.
    return _whole(name, value, 1) if target[-1] in _COUNTS else value


def _whole(name: str, value: JsonValue, least: int) -> int:
    if not isinstance(value, int | float) or value != int(value) or value < least:
        raise ConfigError(f"{name}: expected a whole number of at least {least}, received {value}")
    return int(value)


def _check_gate(name: str, gate: JsonValue) -> None:
    try:
        Gate.model_validate(gate)
    except ValidationError as error:
        raise ConfigError(f"{name}: {error.errors()[0]['msg']}") from error


def _set_span(values: dict[str, JsonValue], span: int) -> None:
    # A negative one is the newest, which ExampleGen takes by itself.
    if span >= 0:
        limits = {"start_span_number": span, "end_span_number": span}
        values["range_config"] = json.dumps({"static_range": limits})


def _set_within(node: JsonValue, path: Sequence[str | int], value: JsonValue) -> None:
    *sections, key = path
    for part in sections:
        if isinstance(node, dict):
            node = node.setdefault(str(part), {})
        elif isinstance(node, list):
            node = node[int(part)]
    if isinstance(node, dict):
        node[str(key)] = value


def check_scheme(call: Call) -> None:
    """Checks that TFLiteQuantizer has what a scheme needs that is given with a run.

    Raises:
        ConfigError: The pipeline was compiled for a scheme without calibration, without a search
            for `auto`, or with one for another scheme; or there is no such scheme.
    """
    settings = json.loads(str(call.inputs.parameter_values.get(PROPERTY) or "{}"))
    scheme = settings.get("scheme")
    if scheme is None:
        return
    known = [*(member.value for member in Scheme), AUTO]
    is_searched = "recipe" in call.inputs.artifacts
    # The tuner also gives the recipe of a scheme whose draws it tried.
    is_drawn = is_searched and settings.get("seeds", 1) > 1
    if scheme in known and not is_drawn and is_searched != (scheme == AUTO):
        how = "with" if is_searched else "without"
        raise ConfigError(
            f"quantization_scheme is {scheme!r}, but the pipeline was compiled {how} a search; "
            "set quantization.scheme in the config and compile again"
        )
    if scheme == AUTO:
        return
    if scheme not in known:
        raise ConfigError(f"quantization_scheme is {scheme!r}, expected one of {', '.join(known)}")
    if Scheme(scheme).needs_calibration and "calibration_examples" not in call.inputs.artifacts:
        raise ConfigError(
            f"quantization_scheme {scheme!r} needs calibration, but the pipeline was compiled "
            "without; set quantization.scheme in the config and compile again"
        )


def _write_builtin_data(values: dict[str, JsonValue]) -> None:
    base = str(values.get("input_base", ""))
    if base.startswith(BUILTIN_SCHEME):
        from tfx_tflite.pipelines.runs.builtin_data import write_builtin_data

        directory = Path(tempfile.gettempdir()) / "tfx-tflite"
        values["input_base"] = str(write_builtin_data(base.removeprefix(BUILTIN_SCHEME), directory))


def container(argv: Sequence[str]) -> None:
    """Runs `main`; of what fails, the last line of the container's log is the error.

    Raises:
        SystemExit: It failed, or the model is refused and that was asked to be a failure.
    """
    try:
        main(argv)
    except Exception as failure:
        error = user_error_in(failure)
        if error is None:
            # What nobody foresaw needs more than a line.
            traceback.print_exc()
        sys.exit(f"error: {with_uris(str(error) if error else in_one_line(failure))}")


if __name__ == "__main__":
    run_to_the_end(functools.partial(container, sys.argv))
