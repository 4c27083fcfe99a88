"""Checks of the places that a config names: whether files are there, and can be read or written."""

import re
from collections.abc import Iterator
from pathlib import Path

from tfx_tflite.components.errors import ConfigError, ModelError, NotKnownError
from tfx_tflite.components.models import effects
from tfx_tflite.components.object_stores.places import SCHEMES
from tfx_tflite.components.uris import is_local
from tfx_tflite.pipelines.checks import files
from tfx_tflite.pipelines.checks.mistake import Mistake, did_you_mean
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.recipe import given_recipe
from tfx_tflite.pipelines.config.vocabulary import read_vocabulary

_KEY = "model.saved_model"
# File systems beside object stores that TensorFlow or Beam may have.
_OTHER_SCHEMES = ("file", "hdfs", "viewfs", "har", "abfs", "abfss", "wasb", "wasbs")
# A URI that lacks a slash, which has become a path.
_TORN_URI = re.compile(r"/(?P<scheme>s3|gs|az|abfs|hdfs):/(?P<rest>.*)")
# How files begin that Keras writes: .keras is a zip archive, .h5 is HDF5.
_ARCHIVE, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
# What people have in place of a SavedModel, and how they get one.
_OTHER_FILES = {
    ".keras": "a Keras file; give it as model.keras",
    ".h5": "a Keras file in HDF5; give it as model.keras",
    ".tflite": "a TensorFlow Lite file; give it as model.tflite",
    ".onnx": "an ONNX file, expected the directory of a SavedModel",
    ".pb": "a file, expected the directory that it is in",
}


def trainer_is_there(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there is the trainer's module."""
    if config.model.trainer is not None:
        yield from files.is_file("model.trainer.module_file", config.model.trainer.module_file)


def saved_model_is_there(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there is a SavedModel, which does nothing but compute."""
    path = config.model.saved_model
    if path is None:
        return
    found = list(_other_file(Path(path)) or files.is_file(_KEY, f"{path}/saved_model.pb"))
    yield from found
    if found:
        return
    try:
        effects.check(path, config.model.trust)
    except ModelError as error:
        yield Mistake(_KEY, str(error))


def _other_file(path: Path) -> list[Mistake]:
    """Returns what is there in place of a SavedModel; nothing if it may be one."""
    if path.suffix.lower() in _OTHER_FILES and not path.is_dir():
        what = _OTHER_FILES[path.suffix.lower()]
        return [Mistake(_KEY, f"{path} is {what}" if path.exists() else f"there is no file {path}")]
    below = sorted(path.glob("*/saved_model.pb")) if not (path / "saved_model.pb").exists() else []
    if not below:
        return []
    return [
        Mistake(
            _KEY, f"{path} holds a SavedModel in {below[-1].parent.name}/; name {below[-1].parent}"
        )
    ]


def model_file_is_there(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there is the Keras file or the TensorFlow Lite file."""
    for key, path in (("model.keras", config.model.keras), ("model.tflite", config.model.tflite)):
        if path is not None:
            yield from files.is_file(key, path)


def keras_file_is_one(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that a Keras file is an archive or HDF5, as Keras writes them."""
    path = config.model.keras
    if path is None or not Path(path).is_file():
        # That there is none is another check's to say.
        return
    try:
        with Path(path).open("rb") as file:
            begin = file.read(len(_HDF5))
    except OSError:
        return
    if not begin.startswith((_ARCHIVE, _HDF5)):
        yield Mistake("model.keras", f"{path} is no file that Keras' model.save has written")


def schema_is_there(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there is the schema."""
    if config.data.schema_file is not None:
        yield from files.is_file("data.schema", config.data.schema_file)


def vocabularies_are_there(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there are the files with vocabularies."""
    for path in config.evaluation.vocabulary_files().values():
        try:
            read_vocabulary(path)
        except (ConfigError, NotKnownError) as error:
            yield files.keyed(error)


def recipe_is_one(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that the file of a recipe is there and holds one, whose draw there will be."""
    try:
        recipe = given_recipe(config.quantization.recipe)
    except (ConfigError, NotKnownError) as error:
        yield files.keyed(error)
        return
    seeds = config.calibration.seeds
    if recipe is None or not recipe.scheme.needs_calibration:
        return
    if (recipe.draw or 0) >= seeds:
        yield Mistake(
            "quantization.recipe",
            f"takes draw {recipe.draw} of the calibration examples, and calibration.seeds: {seeds} "
            f"makes no more than {seeds}, from 0; set calibration.seeds: {(recipe.draw or 0) + 1}",
        )
    elif recipe.draw is None and seeds > 1:
        yield Mistake(
            "calibration.seeds",
            f"is {seeds}, and quantization.recipe says no draw, so that the first is taken and the "
            "others are for nothing; add draw to the recipe, or leave seeds out",
        )


def draws_are_taken(config: PipelineConfig) -> Iterator[Mistake]:
    """Warns if there are to be several draws of calibration examples that nobody takes."""
    scheme = config.quantization.plain_recipe.scheme
    is_given = config.quantization.recipe is not None
    if config.calibration.seeds > 1 and not is_given and not scheme.needs_calibration:
        yield Mistake(
            "calibration.seeds",
            f"is {config.calibration.seeds} to no effect: scheme {scheme.value} takes no "
            "calibration examples",
            is_warning=True,
        )


def destination_is_writable(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there can be pushed to a destination on this machine."""
    if is_local(config.push.destination):
        yield from files.is_writable("push.destination", config.push.destination)


def keys_can_be_used(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that the keys of signatures are there, and belong together."""
    from tfx_tflite.components.destinations.trust import Trust
    from tfx_tflite.pipelines.config.trust import trust_settings

    signing, verify = config.push.signing_key, config.push.verify_key
    if verify is not None and signing is None:
        yield Mistake(
            "push.verify_key",
            "nothing can be pushed to a signed destination without push.signing_key; give both",
        )
        return
    try:
        Trust.of(trust_settings(config))
    except ConfigError as error:
        is_of_signing = verify is None or (signing is not None and signing in str(error))
        yield Mistake("push.signing_key" if is_of_signing else "push.verify_key", str(error))


def password_is_there(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there is the file with the password of ML Metadata's server."""
    server = config.metadata.server
    if server is not None and server.password_file is not None:
        yield from files.is_file(f"{server.key}.password_file", server.password_file)


def root_is_writable(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that runs can write."""
    yield from files.is_writable("root", config.root)
    if config.artifacts is not None and is_local(config.artifacts):
        yield from files.is_writable("artifacts", config.artifacts)


def file_systems_are_known(config: PipelineConfig) -> Iterator[Mistake]:
    """Checks that there are the file systems of URIs, and no URI was taken for a path."""
    places = {
        "data.input_base": config.data.input_base,
        "push.destination": config.push.destination,
        "model.saved_model": config.model.saved_model,
        "root": config.root,
        "artifacts": config.artifacts,
    }
    for key, place in places.items():
        if place is None:
            continue
        if is_local(place):
            if torn := _TORN_URI.search(place):
                yield Mistake(key, f"write {torn['scheme']}://{torn['rest']}, with two slashes")
            continue
        known = SCHEMES if key == "push.destination" else (*SCHEMES, *_OTHER_SCHEMES)
        scheme = place.partition("://")[0]
        if scheme not in (*known, "file"):
            hint = did_you_mean(scheme, [*known, "file"])
            yield Mistake(key, f"there is no file system for {scheme}://; {hint}")


# In the order in which mistakes are told.
PLACES = (
    file_systems_are_known,
    trainer_is_there,
    saved_model_is_there,
    model_file_is_there,
    keras_file_is_one,
    schema_is_there,
    recipe_is_one,
    draws_are_taken,
    vocabularies_are_there,
    destination_is_writable,
    keys_can_be_used,
    password_is_there,
    root_is_writable,
)
