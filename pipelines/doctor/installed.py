"""Which versions are installed, and what each feature lacks. Nothing is imported to find out."""

import platform
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

from tfx_tflite.pipelines.config.beam import FLINK_LOCAL
from tfx_tflite.pipelines.doctor.document import Feature
from tfx_tflite.pipelines.engines.engine import Engine, why_java_will_not_do

PACKAGES = (
    *("tfx-tflite", "tfx", "tensorflow", "keras", "apache-beam", "tensorflow-model-analysis"),
    *("tfx-bsl", "ml-metadata", "protobuf", "numpy", "pyarrow", "ai-edge-litert", "obstore", "kfp"),
    *("tflite-micro", "ethos-u-vela"),
)
_BEAMS_OWN = "Beam fetches its own when a run needs it"
# The releases of TFX that this package is tested with.
GENERATIONS = ("1.16", "1.21")


@dataclass(frozen=True)
class _Needs:
    """What a feature needs.

    Attributes:
        name: The feature.
        modules: Modules that are imported, and the packages that they come in.
        programs: Programs that are started, and what they come with.
    """

    name: str
    modules: Sequence[tuple[str, str]] = ()
    programs: Sequence[tuple[str, str]] = ()

    def feature(self) -> Feature:
        """Returns whether it is here."""
        lacks = tuple(self._lacks())
        return Feature(name=self.name, is_here=not lacks, lacks=lacks)

    def _lacks(self) -> Iterator[str]:
        for module, package in self.modules:
            if not is_importable(module):
                yield f"the Python package {package}: pip install {package}"
        for program, origin in self.programs:
            if shutil.which(program) is None:
                yield f"the program {program}, which comes with {origin}"


_FEATURES = (
    _Needs("Kubeflow Pipelines", [("kfp", "'kfp>=2.5,<3'")]),
    _Needs("object stores (s3://, gs://, az://)", [("obstore", "obstore")]),
    _Needs("signed pushes", [("cryptography", "cryptography")]),
    _Needs("ML Metadata in a database", [("ml_metadata", "ml-metadata")]),
    _Needs("builtin data sets", [("sklearn", "scikit-learn")]),
    _Needs("data in Parquet", [("pyarrow", "pyarrow")]),
    _Needs("the plain runtime of TensorFlow Lite", [("ai_edge_litert", "ai-edge-litert")]),
    _Needs("targets of TensorFlow Lite Micro", [("tflite_micro", "tflite-micro")]),
    _Needs("targets with an Ethos-U", [("ethosu.vela", "ethos-u-vela")]),
    _Needs("schedules by tfx-tflite itself", [("cronsim", "cronsim"), ("tzlocal", "tzlocal")]),
    _Needs("schedules by cron", programs=[("crontab", "cron")]),
    _Needs("schedules by systemd", programs=[("systemctl", "systemd")]),
    _Needs("schedules by Airflow", [("airflow", "apache-airflow")]),
)


# Inside the job server, which is all that this machine needs for a cluster, too.
_ENGINES = (Engine("flink", FLINK_LOCAL), Engine("spark", "local[1]"))


def features() -> tuple[Feature, ...]:
    """Returns what can be done here, and what that which cannot lacks."""
    return (*(needs.feature() for needs in _FEATURES), *map(_feature_of, _ENGINES))


def _feature_of(engine: Engine) -> Feature:
    lacks = [problem] if (problem := why_java_will_not_do(engine.java)) is not None else []
    if engine.jar() is None:
        lacks.append(f"its job server: `make engines` in a checkout, or {_BEAMS_OWN}")
    return Feature(name=f"Beam on {engine.title}", is_here=not lacks, lacks=tuple(lacks))


def versions() -> dict[str, str | None]:
    """Returns the versions of Python and of packages; None of those that are not installed."""
    return {
        "python": platform.python_version(),
        "libc": " ".join(filter(None, platform.libc_ver())) or None,
        **{package: _version(package) for package in PACKAGES},
    }


def generation() -> str | None:
    """Returns the release of TFX without its last number; None if TFX is not installed."""
    found = re.match(r"\d+\.\d+", _version("tfx") or "")
    return found and found[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def is_importable(module: str) -> bool:
    """Returns whether there is a module, without importing it."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False
