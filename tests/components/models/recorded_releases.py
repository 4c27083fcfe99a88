"""From which release on TensorFlow Lite has each version of an operator, as TensorFlow itself says.

`python -m tests.components.models.recorded_releases` prints
components/models/operator_releases.json, recorded from the TensorFlow that is installed. Record it
with the newest TensorFlow that this package runs on: older ones do not know the newest versions.

TensorFlow's converter writes the least release into every model, by a function in C++ that Python
has no name for. It is called here for every operator and version.
"""

import ctypes
import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

# std::string tflite::FindMinimumRuntimeVersionForOp(tflite::BuiltinOperator, int)
_FUNCTION = "_ZN6tflite30FindMinimumRuntimeVersionForOpB5cxx11ENS_15BuiltinOperatorEi"
# No operator has as many versions.
_VERSIONS = range(1, 40)


class _Text(ctypes.Structure):
    """A std::string of libstdc++: where its characters are, how many, and room for short ones."""

    _fields_ = [
        ("characters", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("short", ctypes.c_char * 16),
    ]


class Releases:
    """What the installed TensorFlow says."""

    def __init__(self) -> None:
        found = find_spec("tensorflow")
        assert found is not None and found.origin is not None
        folder = Path(found.origin).parent
        ctypes.CDLL(str(folder / "libtensorflow_framework.so.2"), ctypes.RTLD_GLOBAL)
        self._function = ctypes.CDLL(str(folder / "libtensorflow_cc.so.2"))[_FUNCTION]
        self._function.restype = None
        self._function.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]

    def of(self, operator: int, operator_version: int) -> str | None:
        """Returns the first release with a version of an operator; None if it is not known."""
        text = _Text()
        self._function(ctypes.byref(text), operator, operator_version)
        return ctypes.string_at(text.characters, text.length).decode() or None

    def by_version(self, operator: int) -> list[str | None]:
        """Returns the releases of an operator's versions from 1 on; None for one not known."""
        found = [self.of(operator, number) for number in _VERSIONS]
        while found and found[-1] is None:
            found.pop()
        return found


def recorded() -> dict[str, object]:
    """Returns what components/models/operator_releases.json holds."""
    from tensorflow.lite.tools import flatbuffer_utils

    numbers = vars(flatbuffer_utils.schema_fb.BuiltinOperator)
    operators = {name: number for name, number in numbers.items() if not name.startswith("_")}
    releases = Releases()
    found = {name: releases.by_version(number) for name, number in sorted(operators.items())}
    return {
        "tensorflow": version("tensorflow"),
        "operators": {name: versions for name, versions in found.items() if versions},
    }


if __name__ == "__main__":
    print(json.dumps(recorded(), indent=1))
