"""What a container of a compiled pipeline runs: runtime parameters and builtin data put in place.

The rest is `tfx_tflite.components.kubeflow_entry_point`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from tfx_tflite.components.errors import ConfigError, user_error_in
from tfx_tflite.components.quantization_evaluator.gate import Gate
from tfx_tflite.components.schemes import Scheme
from tfx_tflite.pipelines.kubeflow import BUILTIN_SCHEME

_INVOCATION = "--json_serialized_invocation_args"
_COUNTS = ("samples", "num_steps")


def main(argv: Sequence[str]) -> None:
    """Runs what the arguments of a container name.

    Args:
        argv: The program's name and its arguments: those of
            `tfx_tflite.components.kubeflow_entry_point` and, in `--parameters`, from the names of
            runtime parameters to where each goes.
    """
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--parameters", type=json.loads, default={})
    parser.add_argument(_INVOCATION, dest="invocation", type=json.loads, required=True)
    known, rest = parser.parse_known_args(list(argv)[1:])
    invocation = known.invocation
    values = invocation.get("inputs", {}).get("parameterValues", {})
    put_in_place(values, known.parameters)
    check_scheme(invocation)
    _write_builtin_data(values)
    if values.get("module_file"):
        # As where the file is built into a wheel, the modules beside it can be imported.
        sys.path.insert(0, str(Path(values["module_file"]).parent))

    from tfx_tflite.components import kubeflow_entry_point

    kubeflow_entry_point.main([argv[0], _INVOCATION, json.dumps(invocation), *rest])


def put_in_place(
    values: dict[str, Any], parameters: Mapping[str, Sequence[str | int]]
) -> dict[str, Any]:
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
            document = json.loads(values.get(prop) or "{}")
            _set_within(document, path, _checked(name, target, value))
            values[prop] = json.dumps(document)
            if prop == "gate":
                _check_gate(name, values[prop])
        else:
            values[prop] = _checked(name, target, value)
    return values


def _checked(name: str, target: Sequence[str | int], value: Any) -> Any:
    # Numbers travel as doubles, and a count must not have a fraction.
    return _whole(name, value, 1) if target[-1] in _COUNTS else value


def _whole(name: str, value: float, least: int) -> int:
    if value != int(value) or value < least:
        raise ConfigError(f"{name}: expected a whole number of at least {least}, received {value}")
    return int(value)


def _check_gate(name: str, gate: str) -> None:
    try:
        Gate.model_validate_json(gate)
    except ValidationError as error:
        raise ConfigError(f"{name}: {error.errors()[0]['msg']}") from error


def _set_span(values: dict[str, Any], span: int) -> None:
    # A negative one is the newest, which ExampleGen takes by itself.
    if span >= 0:
        limits = {"start_span_number": span, "end_span_number": span}
        values["range_config"] = json.dumps({"static_range": limits})


def _set_within(document: Any, path: Sequence[str | int], value: Any) -> None:
    *parents, last = path
    node = document
    for part in parents:
        node = node[part] if isinstance(part, int) else node.setdefault(part, {})
    node[last] = value


def check_scheme(invocation: Mapping[str, Any]) -> None:
    """Checks that a scheme given with a run has the calibration examples that it needs.

    Raises:
        ConfigError: The pipeline was compiled for a scheme without calibration.
    """
    inputs = invocation.get("inputs", {})
    scheme = inputs.get("parameterValues", {}).get("scheme")
    if scheme is None:
        return
    known = [member.value for member in Scheme]
    if scheme not in known:
        raise ConfigError(f"quantization_scheme is {scheme!r}, expected one of {', '.join(known)}")
    if Scheme(scheme).needs_calibration and "calibration_examples" not in inputs.get(
        "artifacts", {}
    ):
        raise ConfigError(
            f"quantization_scheme {scheme!r} needs calibration, but the pipeline was compiled "
            "without; set quantization.scheme in the config and compile again"
        )


def _write_builtin_data(values: dict[str, Any]) -> None:
    base = values.get("input_base", "")
    if base.startswith(BUILTIN_SCHEME):
        from tfx_tflite.pipelines.builtin_data import write_builtin_data

        directory = Path(tempfile.gettempdir()) / "tfx-tflite"
        values["input_base"] = str(write_builtin_data(base.removeprefix(BUILTIN_SCHEME), directory))


def container(argv: Sequence[str]) -> None:
    """Runs `main` and ends the process, with one line for what a user can mend."""
    try:
        main(argv)
    except Exception as failure:
        error = user_error_in(failure)
        if error is None:
            raise
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    container(sys.argv)
