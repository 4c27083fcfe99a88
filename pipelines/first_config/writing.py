"""Putting a first config together and writing it. Importing this loads TensorFlow."""

import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import pyarrow as pa
from ruamel.yaml import YAML, YAMLError

from tfx_tflite.components.errors import ConfigError, DataError, listed
from tfx_tflite.components.examples.tensors import format_shape
from tfx_tflite.components.models.float_model import read_signatures
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.config.preflight import inspect
from tfx_tflite.pipelines.first_config import task as judging
from tfx_tflite.pipelines.first_config.features import Feature, features_of, first_examples
from tfx_tflite.pipelines.first_config.model import (
    ModelPlace,
    Wiring,
    found_model,
    predicted,
    wiring,
)
from tfx_tflite.pipelines.first_config.places import HASH_BUCKETS, DataPlace
from tfx_tflite.pipelines.first_config.task import Task

FILE_NAME = "config.yaml"
_TEMPLATE = Path(__file__).with_name("config.yaml.j2")
# So many examples are predicted, and so many must be evaluated unless there are fewer.
_PREDICTED = 200
_MIN_EXAMPLES = 100
_PLAIN = re.compile(r"[A-Za-z_.][A-Za-z0-9_./-]*")
# Beyond so many steps up a path is easier to read from the root.
_MOST_STEPS_UP = 2

# Returns which of some choices is taken: question, choices, and the one to take unless asked.
Ask = Callable[[str, Sequence[str], str], str]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What a user says on the command line.

    Attributes:
        model: The path of the model.
        label: The feature that is the label; empty if it is to be found.
        scheme: The scheme; None if it is to be chosen.
    """

    model: str
    label: str = ""
    scheme: Scheme | None = None


def write_config(directory: Path, data: DataPlace, wishes: Wishes, ask: Ask, say: Say) -> Path:
    """Writes a config that runs, and returns where it is.

    Args:
        directory: Where; it is made if it is not there.
        data: The data.
        wishes: What the user says.
        ask: Asks, or takes what is likely.
        say: Is told what was found and decided.

    Raises:
        ConfigError: There is a config already, or it cannot be told what the config should be.
        DataError, ModelError, NotKnownError: Data or model cannot be used, or read.
    """
    target = directory / FILE_NAME
    with found_model(wishes.model) as model:
        _write(target, _decided(directory, model, data, wishes, ask, say))
    return target


def _decided(
    directory: Path, model: ModelPlace, data: DataPlace, wishes: Wishes, ask: Ask, say: Say
) -> str:
    """Returns the text of a config, after telling what it decides."""
    signatures = read_signatures(model.opened)
    say(f"data: {data.data_format} in {data.input_base}")
    for split, files in data.files.items():
        say(f"  {split}: {len(files)} x {data.splits[split]}")
    if data.is_divided:
        say("  divided by a hash of each example: two thirds train, one third eval")
    evaluated = _evaluated(data, ask, say)
    batches = first_examples(evaluated, data.files_of(evaluated), data.data_format)
    features = features_of(batches)
    outputs = [spec.name for signature in signatures.values() for spec in signature.outputs]
    labels = judging.likely_labels(features, outputs, wishes.label)
    wired = wiring(signatures, features, set(labels))
    say(f"model: signature {wired.signature.name!r}, takes {_takes(wired)}")
    if wired.preprocessing is not None:
        say(f"  made of tf.Examples by signature {wired.preprocessing!r}")
    for name, feature in wired.inputs.items():
        say(f"  input {name!r} is fed by feature {feature!r}, the only one of its shape and type")
    task = _task(model, wishes, wired, features, labels, batches, ask)
    say(f"label: {task.label}; {task.kind}")
    if task.vocabulary:
        say(f"  classes in the order of the alphabet: {listed(task.vocabulary)}")
    scheme = wishes.scheme or Scheme(
        ask("scheme", [scheme.value for scheme in Scheme], Scheme.INT8.value)
    )
    say(f"scheme: {scheme.value}")
    examples = sum(batch.num_rows for batch in batches)
    return _text(directory, data, model, wired, task, scheme, evaluated, examples)


def _evaluated(data: DataPlace, ask: Ask, say: Say) -> str:
    others = [split for split in data.splits if split != "train"]
    if len(others) < 2 or data.is_divided:
        return data.evaluated
    evaluated = ask("split to evaluate on", others, data.evaluated)
    say(f"evaluated on: {evaluated}")
    return evaluated


def _task(
    model: ModelPlace,
    wishes: Wishes,
    wired: Wiring,
    features: Mapping[str, Feature],
    labels: Sequence[str],
    batches: Sequence[pa.RecordBatch],
    ask: Ask,
) -> Task:
    """Returns what is judged.

    Raises:
        ConfigError: No feature fits, or several do and none is called like a label.
    """
    batch = next(batch for batch in batches if batch.num_rows).slice(0, _PREDICTED)
    outputs = predicted(model.opened, wired, batch)
    possible = {
        name: feature
        for name, feature in features.items()
        if (name == wishes.label if wishes.label else name not in wired.used)
    }
    inputs = {} if wishes.label else _sizes(wired)
    found: dict[str, Task] = {}
    for task in judging.tasks(possible, outputs, inputs):
        if task.label not in found or task.output == task.label:
            found[task.label] = task
    shapes = listed(f"{name} {format_shape(values.shape)}" for name, values in outputs.items())
    if not found:
        if not (tried := [wishes.label] if wishes.label else list(possible)):
            raise ConfigError(
                f"the data have no label: every feature is an input ({listed(wired.used)}); add "
                "the right answers as a feature of their own"
            )
        raise ConfigError(
            f"no label fits what the model gives for {batch.num_rows} examples ({shapes}); tried: "
            f"{listed(tried)}; name the label by --label, or see docs/config.md#labels for what "
            "fits"
        )
    likely = [name for name in labels if name in found]
    if not likely and len(found) > 1:
        chosen = ask("label", list(found), "")
        if not chosen:
            raise ConfigError(f"name the label by --label; these would fit: {listed(found)}")
        return found[chosen]
    default = likely[0] if likely else next(iter(found))
    return found[ask("label", list(found), default) if len(found) > 1 else default]


def _sizes(wired: Wiring) -> dict[str, int]:
    found = {}
    for spec in wired.signature.inputs:
        size = 1
        for axis in spec.example_shape:
            size *= axis or 0
        found[spec.name] = size
    return found


def _takes(wired: Wiring) -> str:
    return listed(f"{spec.name} {format_shape(spec.shape)}" for spec in wired.signature.inputs)


def _text(
    directory: Path,
    data: DataPlace,
    model: ModelPlace,
    wired: Wiring,
    task: Task,
    scheme: Scheme,
    evaluated: str,
    examples: int,
) -> str:
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=False, keep_trailing_newline=True
    )
    environment.filters["yaml"] = _yaml
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    share = HASH_BUCKETS["eval"] / sum(HASH_BUCKETS.values()) if data.is_divided else 1
    return template.render(
        file=FILE_NAME,
        name=_name(directory),
        data=data,
        input_base=_relative(data.input_base, directory),
        hash_buckets=HASH_BUCKETS,
        model_key=model.key,
        model=_relative(model.path.resolve(), directory),
        wired=wired,
        takes=_yaml(_takes(wired)).strip('"'),
        task=task,
        scheme=scheme.value,
        other_schemes=", ".join(other.value for other in Scheme if other is not scheme),
        evaluated=evaluated,
        has_outputs=len(wired.signature.outputs) > 1,
        min_examples=max(min(_MIN_EXAMPLES, int(examples * share / 2)), 1),
        rule=task.rule,
    )


def _name(directory: Path) -> str:
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", directory.resolve().name).lstrip("_.-")
    return name or "model"


def _relative(path: Path, directory: Path) -> str:
    relative = os.path.relpath(path, directory.resolve())
    return str(path) if relative.startswith("../" * (_MOST_STEPS_UP + 1)) else relative


def _yaml(value: object) -> str:
    """Returns a value in one line of YAML: as plain text if that reads back, otherwise as JSON."""
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        try:
            if YAML(typ="safe").load(value) == value:
                return value
        except YAMLError:
            pass
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_yaml(entry)}" for key, entry in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)


def _write(target: Path, text: str) -> None:
    """Writes a config that was read back, where none is.

    Raises:
        ConfigError: There is one, or what was written is not valid.
        DataError: The directory cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        descriptor, draft = tempfile.mkstemp(".yaml", ".init-", target.parent)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(text)
        try:
            inspect(load_config(Path(draft)))
            # Unlike a rename, it never replaces what is there.
            os.link(draft, target)
            target.chmod(0o644)
        finally:
            Path(draft).unlink()
    except FileExistsError as error:
        raise ConfigError(already_there(target)) from error
    except OSError as error:
        raise DataError(f"cannot write {target}: {error.strerror}") from error


def already_there(target: Path) -> str:
    """Returns what is said of a file that must not be overwritten."""
    return f"{target} is there already, and nothing is overwritten; name another directory"
