"""The map of the house: which modules may import which. `docs/architecture.md` draws it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From the roof to the ground. Rooms on one floor stand side by side: they do not import each other.
FLOORS = (
    ("pipelines",),
    (
        "components.artifact_digests",
        "components.artifact_files",
        "components.calibration_inputs",
        "components.calibration_sampler",
        "components.example_artifacts",
        "components.example_records",
        "components.example_tables",
        "components.input_files",
        "components.pusher",
        "components.quantization_evaluator",
        "components.quantization_tuner",
        "components.record_example_gen",
        "components.rolling_example_gen",
        "components.sampled_statistics_gen",
        "components.table_example_gen",
        "components.tflite_quantizer",
    ),
    ("components.report",),
    ("components.judgement", "components.quantization"),
    ("components.models",),
    ("components.destinations", "components.examples"),
    (
        "components.artifact_layout",
        "components.characters",
        "components.deferred_imports",
        "components.digests",
        "components.documents",
        "components.errors",
        "components.presence",
        "components.locks",
        "components.message_classes",
        "components.object_stores",
        "components.private_files",
        "components.process_end",
        "components.progress",
        "components.releases",
        "components.setting_hints",
        "components.settings",
        "components.uris",
        "components.verdict",
        "components.versions",
    ),
)
FLOOR = {room: height for height, floor in enumerate(reversed(FLOORS)) for room in floor}
# Only the lazy index of the components looks up, and the old address of a moved program.
DOORS = {"components", "components.kubeflow_entry_point"}
# Rooms that their neighbours may enter: the ground, and how executors read artifacts.
SHARED = {
    "components.artifact_digests",
    "components.artifact_files",
    "components.calibration_inputs",
    "components.example_artifacts",
    "components.example_records",
    "components.example_tables",
    "components.input_files",
    *FLOORS[-1],
}
ORCHESTRATION = {"tfx", "ml_metadata", "kfp"}
# Artifact types that Kubeflow's pages show are classes of TFX.
PARTS_OF_TFX = {"components.report.kubeflow_artifacts"}


def module_of(file: Path) -> str:
    """Returns a file's module below `tfx_tflite`."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_of(file): file
    for folder in ("components", "pipelines")
    for file in sorted((ROOT / folder).rglob("*.py"))
}


def imports_of(file: Path) -> Iterator[str]:
    """Yields the modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                inner = f"{node.module}.{name.name}"
                is_module = inner.removeprefix("tfx_tflite.") in MODULES
                yield inner if is_module else node.module


def room_of(module: str) -> str:
    """Returns the room that a module is in."""
    rooms = [room for room in FLOOR if module == room or module.startswith(f"{room}.")]
    assert len(rooms) == 1, f"{module} is on no floor of the map"
    return rooms[0]


def own_imports(module: str) -> Iterator[str]:
    """Yields the modules of this project that a module imports."""
    for imported in imports_of(MODULES[module]):
        if imported.startswith("tfx_tflite."):
            yield imported.removeprefix("tfx_tflite.")


DOMAIN = sorted(
    module
    for module in MODULES.keys() - DOORS - PARTS_OF_TFX
    if FLOOR[room_of(module)] <= FLOOR["components.report"]
)


@pytest.mark.parametrize("module", sorted(MODULES.keys() - DOORS))
def test_a_module_imports_only_from_floors_below(module: str):
    room = room_of(module)
    wrong = {
        imported
        for imported in own_imports(module)
        if imported not in DOORS | SHARED
        and room_of(imported) != room
        and FLOOR[room_of(imported)] >= FLOOR[room]
    }
    assert not wrong


@pytest.mark.parametrize("module", DOMAIN)
def test_the_domain_knows_neither_tfx_nor_ml_metadata(module: str):
    packages = {imported.partition(".")[0] for imported in imports_of(MODULES[module])}
    assert not packages & ORCHESTRATION


@pytest.mark.parametrize("module", sorted(MODULES.keys() - DOORS))
def test_only_judgement_and_what_stands_on_it_know_tfma(module: str):
    imported = {name.partition(".")[0] for name in imports_of(MODULES[module])}
    if "tensorflow_model_analysis" in imported:
        assert FLOOR[room_of(module)] >= FLOOR["components.judgement"]
        assert not module.startswith("components.quantization.")


def test_the_architectures_page_names_what_is_there():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = {name.removeprefix("components/") for name in re.findall(r"`([\w/]+(?:\.py|/))`", page)}
    above = ("", "components", "components/quantization")
    missing = {name for name in named if not any((ROOT / top / name).exists() for top in above)}
    assert len(named) > 30 and not missing
