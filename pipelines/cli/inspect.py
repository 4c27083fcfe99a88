"""`tfx-tflite inspect`: what is in a .tflite file, and what targets make of it."""

import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click
from rich.console import RenderableType

from tfx_tflite.components.errors import ConfigError, ModelError
from tfx_tflite.components.models.target import Accelerator, Target
from tfx_tflite.pipelines.cli.help import examples
from tfx_tflite.pipelines.cli.outcome import errors_in_a_line, stoppable
from tfx_tflite.pipelines.cli.tables import Column, Name, Table
from tfx_tflite.pipelines.cli.text import in_a_line

if TYPE_CHECKING:
    from tfx_tflite.components.models.inspection import Inspection, Port
    from tfx_tflite.components.models.target_facts import (
        Acceleration,
        Arena,
        OperatorFinding,
        TargetFacts,
    )

TARGETS = ("litert", "tflite-micro", *get_args(Accelerator))
# Of float layers and of what an accelerator refuses so many are printed; the JSON has all.
_MOST_LINES = 10
# How files of other kinds begin.
_OTHERS = {
    b"PK\x03\x04": "a zip archive, as .keras files are",
    b"\x89HDF": "an HDF5 file, as Keras' .h5 files are",
}
_CONVERT = "`tfx-tflite init` writes a config that converts it"


@examples(
    "tfx-tflite inspect model.tflite",
    "tfx-tflite inspect model.tflite --target tflite-micro",
    "tfx-tflite inspect model.tflite --target litert --target ethos-u55-128 --json",
)
@click.command(short_help="Say what is in a .tflite file, and what runs it.")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--target",
    "targets",
    type=click.Choice(TARGETS),
    multiple=True,
    metavar="TARGET",
    help="What is to run it: litert (the default), tflite-micro, or an Ethos-U beside it, as "
    "Vela names it: ethos-u55-128. May be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def inspect(model: Path, targets: tuple[str, ...], as_json: bool) -> None:
    """Say what is in MODEL, a .tflite file, and what runs it, without a pipeline.

    Prints signatures, operators, what is quantized and how, and for each target the working
    memory, every operator that the runtime lacks, and what the accelerator does. Any .tflite file
    will do, also one that was made elsewhere: interpreters run in processes of their own.

    Exit codes: 0, whether targets take the model or not; 2 if MODEL is no valid .tflite file, 1 if
    something that a target needs is not installed or fails.
    """
    with stoppable(), errors_in_a_line(as_json):
        content = _read(model)
        found = _inspected(content, str(model), targets or ("litert",))
    with errors_in_a_line():
        _print(found, as_json)
        if found.failures:
            raise ModelError("; ".join(f"{each.target}: {each.reason}" for each in found.failures))


def _inspected(content: bytes, file: str, targets: Iterable[str]) -> "Inspection":
    from tfx_tflite.components.models.inspection import check, inspect

    try:
        check(content, in_a_line(file))
    except ModelError as error:
        raise ConfigError(str(error)) from error
    return inspect(content, file, [_target(name) for name in dict.fromkeys(targets)])


def _target(name: str) -> Target:
    if name == "litert":
        return Target()
    accelerator = None if name == "tflite-micro" else name
    return Target.model_validate({"runtime": "tflite-micro", "accelerator": accelerator})


def _read(model: Path) -> bytes:
    """Returns a file that could be a model.

    Raises:
        ConfigError: It is something else.
    """
    shown = in_a_line(model)
    if model.is_dir():
        raise ConfigError(f"{shown} is a folder, expected a .tflite file{_hint(model)}")
    if model.exists() and not model.is_file():
        raise ConfigError(f"{shown} is no regular file, expected a .tflite file")
    try:
        content = model.read_bytes()
    except OSError as error:
        raise ConfigError(f"{shown}: {error.strerror}, expected a .tflite file") from error
    if not content:
        raise ConfigError(f"{shown} is empty, expected a .tflite file")
    for beginning, kind in _OTHERS.items():
        if content.startswith(beginning):
            raise ConfigError(f"{shown} is {kind}, expected a .tflite file; {_CONVERT}")
    return content


def _hint(folder: Path) -> str:
    """Returns what a folder is probably, and what to do then."""
    if (folder / "saved_model.pb").exists():
        return f"; it is a SavedModel, and {_CONVERT}"
    inside = sorted(folder.glob("*.tflite"))
    return f", such as {in_a_line(inside[0])}" if inside else ""


def _print(found: "Inspection", as_json: bool) -> None:
    from tfx_tflite.pipelines.cli.console import Terminal, print_json

    if as_json:
        print_json(found.to_keys(), sys.stdout)
        return
    terminal = Terminal(sys.stdout)
    terminal.fitted_width()
    for shown in _shown(found):
        terminal.print(shown)


def _shown(found: "Inspection") -> Iterator[RenderableType]:
    """Yields the lines and tables that are printed."""
    parts = found.size_parts
    yield (
        f"{in_a_line(found.file)}: {found.size_bytes:,} bytes (constants {parts.constants:,}, "
        f"graph {parts.graph:,}, metadata {parts.metadata:,})"
    )
    yield f"  {found.digest}"
    yield f"  runs on TensorFlow Lite {found.min_runtime_version or '(not known)'} or later"
    for signature in found.signatures:
        yield ""
        title = "no signature" if signature.name is None else f"signature {signature.name}"
        yield title if found.subgraphs == 1 else f"{title}, of graph {signature.subgraph}"
        yield _ports({"input": signature.inputs, "output": signature.outputs})
    yield ""
    yield _operators(found)
    if found.constants:
        yield ""
        yield _constants(found)
    if found.float_operators:
        yield ""
        yield from _float_operators(found)
    for facts in found.targets:
        yield ""
        yield from _facts(facts)


def _ports(sides: Mapping[str, Iterable["Port"]]) -> Table:
    table = Table(
        [
            Column("side", is_heading=True),
            Column("name", is_heading=True),
            Column("type"),
            Column("shape"),
            Column("scale", "right"),
            Column("zero point", "right"),
        ]
    )
    for side, ports in sides.items():
        for port in ports:
            sizes = ", ".join("?" if size is None else str(size) for size in port.shape)
            table.add_row(
                side,
                Name(port.name),
                port.dtype,
                f"[{sizes}]",
                "-" if port.scale is None else f"{port.scale:.6g}",
                "-" if port.zero_point is None else str(port.zero_point),
            )
    return table


def _operators(found: "Inspection") -> Table:
    table = Table(
        [
            Column("operators", is_heading=True),
            Column("count", "right"),
            Column("versions", "right"),
            Column("computes in"),
        ]
    )
    for kind in found.operators:
        table.add_row(
            Name(kind.name),
            str(kind.count),
            ", ".join(map(str, kind.versions)) or "custom",
            ", ".join(
                dtype if len(kind.computes_in) == 1 else f"{dtype} {count}"
                for dtype, count in kind.computes_in.items()
            ),
        )
    total = sum(kind.count for kind in found.operators)
    graphs = "" if found.subgraphs == 1 else f", graphs: {found.subgraphs}"
    table.note = f"operators: {total}, kinds: {len(found.operators)}{graphs}"
    return table


def _constants(found: "Inspection") -> Table:
    table = Table(
        [
            Column("constants", is_heading=True),
            Column("scales"),
            Column("tensors", "right"),
            Column("bytes", "right"),
        ]
    )
    for each in found.constants:
        table.add_row(each.dtype, each.scales, str(each.tensors), f"{each.size_bytes:,}")
    return table


def _float_operators(found: "Inspection") -> Iterator[str]:
    yield f"operators left in float: {len(found.float_operators)}"
    for each in found.float_operators[:_MOST_LINES]:
        yield f"  {each.name} #{each.operator} {each.layer}".rstrip()
    yield from _more(len(found.float_operators))


def _more(count: int) -> Iterator[str]:
    if count > _MOST_LINES:
        yield f"  … {count - _MOST_LINES} more with --json"


def _facts(facts: "TargetFacts") -> Iterator[str]:
    yield f"on {facts.target}: {'does not run' if facts.unsupported else 'can be run'}"
    yield f"  tried with {facts.runtime}"
    for finding in facts.unsupported:
        yield from _finding(finding)
    if facts.arena is not None:
        yield from _arena(facts.arena)
    elif not facts.unsupported:
        yield "  working memory not known: it cannot be measured with the builtin kernels"
    if facts.acceleration is not None:
        yield from _acceleration(facts.acceleration)


def _finding(finding: "OperatorFinding") -> Iterator[str]:
    layer = f" ({finding.layer})" if finding.layer else ""
    yield f"  {finding.name}{layer}: {finding.reason}" if finding.name else f"  {finding.reason}"
    if finding.advice:
        yield f"    {finding.advice}"


def _arena(arena: "Arena") -> Iterator[str]:
    parts = ""
    if arena.head_bytes is not None and arena.tail_bytes is not None:
        parts = f": head {arena.head_bytes:,}, tail {arena.tail_bytes:,}"
    yield f"  working memory {arena.size_bytes:,} bytes ({arena.source.kind}){parts}"
    if arena.source.caveat:
        yield f"    {arena.source.caveat}"
    if arena.steps:
        largest = max(arena.steps, key=lambda step: step.live_bytes)
        yield (
            f"  most tensors of the main graph live while {largest.name} #{largest.operator} runs: "
            f"{largest.live_bytes:,} bytes"
        )


def _acceleration(found: "Acceleration") -> Iterator[str]:
    source = found.source
    yield (
        f"  {found.accelerated} of {found.operators} operators ({found.share:.0%}) run on "
        f"{found.accelerator} ({source.kind} of {source.tool} {source.version})"
    )
    if source.caveat:
        yield f"    {source.caveat}"
    figures = {
        "milliseconds": None if found.milliseconds is None else f"{found.milliseconds:.4g}",
        "cycles": _whole(found.cycles),
        "bytes of SRAM": _whole(found.sram_bytes),
        "bytes of flash": _whole(found.flash_bytes),
    }
    known = [f"{value} {name}" for name, value in figures.items() if value is not None]
    if known:
        yield f"    {', '.join(known)}"
    for finding in found.refused[:_MOST_LINES]:
        yield from _finding(finding)
    yield from _more(len(found.refused))


def _whole(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"
