"""QuantizationTuner by its executor, and TFLiteQuantizer with what it found."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.components.quantization_tuner.bed.cases import CASES, LABEL
from tests.components.quantization_tuner.bed.data import Array
from tfx_tflite.components.errors import ConfigError, ConversionError, DataError
from tfx_tflite.components.models.flatbuffer import read_graph
from tfx_tflite.components.quantization.draws import DrawsReport
from tfx_tflite.components.quantization.recipe import EQUALIZE, Recipe
from tfx_tflite.components.quantization.schemes import Scheme
from tfx_tflite.components.quantization.tuning import TuningReport

if TYPE_CHECKING:
    from tfx.types import Artifact

    from tests.components.quantization_tuner.artifacts import Artifacts

pytestmark = pytest.mark.slow

NET = CASES["rescaled_residual"]


@pytest.fixture(scope="module", autouse=True)
def _quantizes_here() -> Iterator[None]:
    from tests.components.quantization.workshops import InThisProcess
    from tfx_tflite.components.quantization_tuner import search
    from tfx_tflite.components.tflite_quantizer import executor

    with pytest.MonkeyPatch.context() as patch:
        for module in (search, executor):
            patch.setattr(module, "Converter", lambda *_: InThisProcess())
        yield


def features(split: str) -> Mapping[str, Array]:
    found = getattr(NET.splits(), split)
    return {**found.inputs, LABEL: found.labels}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> "Artifacts":
    """The net, rows to tune and to judge on, and calibration examples."""
    from tests.components.quantization_tuner.artifacts import examples, float_model

    directory = tmp_path_factory.mktemp("inputs")
    splits = {"train": [features("tuning")], "eval": [features("eval")]}
    return {
        "examples": [examples(directory / "examples", **splits)],
        "calibration_examples": [
            examples(directory / "sample", calibration=[NET.calibration.inputs])
        ],
        "model": [float_model(directory / "model", NET.float_tflite)],
    }


@pytest.fixture(scope="module")
def recipe(inputs, tmp_path_factory: pytest.TempPathFactory) -> "Artifact":
    from tests.components.quantization_tuner.artifacts import tuned

    directory = tmp_path_factory.mktemp("tuner") / "recipe" / "7"
    return tuned(inputs, directory, search={"tuning_samples": 400})


def tuning_of(recipe: "Artifact") -> TuningReport:
    return TuningReport.parse((Path(recipe.uri) / "tuning.json").read_bytes(), "tuning.json")


def model_of(directory: Path) -> bytes:
    return (directory / "Format-Serving" / "tflite").read_bytes()


def test_writes_recipe_models_ranges_and_what_was_tried(recipe):
    found = {path.name for path in Path(recipe.uri).iterdir()}
    assert found >= {
        "recipe.json",
        "tuning.json",
        "quantized.tflite",
        "float32.tflite",
        "ranges.json",
    }
    report = tuning_of(recipe)
    assert report.outcome == "rescued" and report.examples == 400 and report.split == "train"
    assert report.evaluations == len(report.tried) and report.choice.is_sure
    assert recipe.get_string_custom_property("model_digest") == report.choice.digest
    assert recipe.get_string_custom_property("scheme") == "int8"


def test_keeps_finished_evaluations_beside_its_outputs(recipe):
    kept = Path(recipe.uri).parents[1] / ".kept"
    assert len(list((kept / "tried").rglob("*.json"))) == tuning_of(recipe).evaluations
    [last] = (kept / "last").iterdir()
    assert last.read_text() == (Path(recipe.uri) / "recipe.json").read_text()


def test_another_run_confirms_the_recipe_with_one_evaluation(inputs, recipe):
    from tests.components.quantization_tuner.artifacts import tuned

    other = Path(recipe.uri).with_name("8")
    again = tuned(inputs, other, search={"tuning_samples": 400, "budget": {"evaluations": 39}})
    report = tuning_of(again)
    assert report.outcome == "confirmed" and report.evaluations == 1
    files = [Path(each.uri) / "quantized.tflite" for each in (recipe, again)]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_search_with_other_examples_begins_anew(inputs, recipe):
    from tests.components.quantization_tuner.artifacts import tuned

    other = tuned(inputs, Path(recipe.uri).with_name("9"), search={"tuning_samples": 300})
    report = tuning_of(other)
    assert report.outcome == "rescued" and report.examples == 300


def test_the_quantizer_ships_the_very_bytes_that_were_tried(
    inputs, recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tests.components.quantization_tuner.artifacts import quantized
    from tfx_tflite.components.quantization.conversion.backends import Workshop

    # It makes none.
    monkeypatch.setattr(Workshop, "make", None)
    made = quantized({**inputs, "recipe": [recipe]}, tmp_path / "model", scheme="auto")
    assert model_of(made) == (Path(recipe.uri) / "quantized.tflite").read_bytes()
    document = json.loads((made / "quantization.json").read_text())
    assert document["scheme"] == "int8" and EQUALIZE in json.dumps(document["recipe"])


@pytest.mark.parametrize("changed", ["model", "calibration_examples"])
def test_the_quantizer_makes_them_anew_of_another_model_or_sample(
    inputs, recipe, tmp_path: Path, changed: str
):
    from tests.components.quantization_tuner.artifacts import examples, float_model, quantized

    others = {
        # The same net before it was damaged has the same structure.
        "model": lambda: float_model(tmp_path / "float", CASES["residual"].float_tflite),
        "calibration_examples": lambda: examples(
            tmp_path / "sample", calibration=[NET.calibration.part(0, 50).inputs]
        ),
    }
    other = others[changed]()
    if changed == "calibration_examples":
        other.set_string_custom_property("sample_digest", "sha256:another")
    given = {**inputs, "recipe": [recipe], changed: [other]}
    made = quantized(given, tmp_path / "made", scheme="auto")
    found = Recipe.parse((Path(recipe.uri) / "recipe.json").read_bytes(), "recipe.json")
    by_hand = {**inputs, changed: [other]}
    again = quantized(by_hand, tmp_path / "by_hand", given_recipe=found)
    assert model_of(made) == model_of(again)
    assert model_of(made) != (Path(recipe.uri) / "quantized.tflite").read_bytes()


def test_a_recipe_by_hand_gives_the_bytes_that_the_search_gave(inputs, recipe, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import quantized

    found = Recipe.parse((Path(recipe.uri) / "recipe.json").read_bytes(), "recipe.json")
    made = quantized(inputs, tmp_path / "made", given_recipe=found)
    assert model_of(made) == (Path(recipe.uri) / "quantized.tflite").read_bytes()


def test_layers_are_kept_in_float_by_hand(inputs, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import quantized

    wish = Recipe(Scheme.INT8_FLOAT_IO, float_layers=("FULLY_CONNECTED:0",))
    made = quantized(inputs, tmp_path / "made", given_recipe=wish)
    types = {
        operator.name: operator.outputs[0].type
        for operator in read_graph(model_of(made)).main.operators
    }
    assert types["FULLY_CONNECTED"] == "FLOAT32" and types["CONV_2D"] == "INT8"


def test_a_recipe_by_hand_of_another_model_is_refused(inputs, recipe, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import float_model, quantized

    found = Recipe.parse((Path(recipe.uri) / "recipe.json").read_bytes(), "recipe.json")
    other = float_model(tmp_path / "float", CASES["convolution"].float_tflite)
    with pytest.raises(ConversionError, match="is of a model of structure sha256:"):
        quantized({**inputs, "model": [other]}, tmp_path / "made", given_recipe=found)


def test_the_same_file_in_both_splits_is_an_error_that_names_both(inputs, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import examples, tuned

    both = examples(tmp_path / "both", train=[features("eval")], eval=[features("eval")])
    with pytest.raises(DataError) as error:
        tuned({**inputs, "examples": [both]}, tmp_path / "tuner" / "recipe" / "1")
    for split in ("train", "eval"):
        assert f"Split-{split}/data_tfrecord-00000-of-00001 of split '{split}'" in str(error.value)


def test_a_tuning_split_without_examples_is_an_error(inputs, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import examples, tuned

    empty = examples(tmp_path / "empty", train=[], eval=[features("eval")])
    with pytest.raises(DataError, match="split 'train' holds no examples; nothing to tune on"):
        tuned({**inputs, "examples": [empty]}, tmp_path / "tuner" / "recipe" / "1")


def test_a_tuning_split_that_is_not_there_is_an_error(inputs, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import tuned

    with pytest.raises(DataError, match="'test'"):
        search = {"tuning_split": "test"}
        tuned(inputs, tmp_path / "tuner" / "recipe" / "1", search=search)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> "Artifact":
    """Three draws as CalibrationSampler gives them."""
    from tests.components.quantization_tuner.artifacts import drawn, examples

    directory = tmp_path_factory.mktemp("draws")
    whole = examples(directory / "examples", train=[NET.calibration.inputs])
    return drawn(whole, directory / "sample", samples=40, seeds=3)


@pytest.fixture(scope="module")
def tuned_draws(inputs, drawn, tmp_path_factory: pytest.TempPathFactory) -> "Artifact":
    from tests.components.quantization_tuner.artifacts import tuned

    directory = tmp_path_factory.mktemp("tuner") / "recipe" / "1"
    given = {**inputs, "calibration_examples": [drawn]}
    return tuned(given, directory, scheme="int8", seeds=3, search={"tuning_samples": 400})


def test_draws_of_a_scheme_are_tried_without_a_search(tuned_draws, drawn):
    directory = Path(tuned_draws.uri)
    assert not (directory / "tuning.json").exists()
    assert not list(directory.glob("ranges-*.json"))
    report = DrawsReport.parse((directory / "draws.json").read_bytes(), "draws.json")
    recipe = Recipe.parse((directory / "recipe.json").read_bytes(), "recipe.json")
    assert recipe == Recipe(Scheme.INT8, draw=report.chosen)
    assert (report.split, report.examples, report.size) == ("train", 400, 40)
    digests = json.loads(drawn.get_string_custom_property("sample_draws"))
    assert tuned_draws.get_string_custom_property("sample_digest") == digests[report.chosen]
    chosen = report.draws[report.chosen].digest
    assert tuned_draws.get_string_custom_property("model_digest") == chosen


def test_the_quantizer_ships_the_draw_that_was_taken(
    inputs, drawn, tuned_draws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tests.components.quantization_tuner.artifacts import quantized
    from tfx_tflite.components.quantization.conversion.backends import Workshop

    # It makes none.
    monkeypatch.setattr(Workshop, "make", None)
    given = {**inputs, "calibration_examples": [drawn], "recipe": [tuned_draws]}
    made = quantized(given, tmp_path / "model", scheme="int8", seeds=3)
    assert model_of(made) == (Path(tuned_draws.uri) / "quantized.tflite").read_bytes()
    document = json.loads((made / "quantization.json").read_text())
    chosen = document["draws"]["chosen"]
    digests = json.loads(drawn.get_string_custom_property("sample_draws"))
    assert document["calibration_sample"]["digest"] == digests[chosen]
    assert document["recipe"]["draw"] == chosen and document["tuning"] is None


def test_each_draw_is_the_bytes_that_its_examples_give_as_the_calibration_split(
    inputs, drawn, tuned_draws, tmp_path: Path
):
    from tests.components.quantization_tuner.artifacts import draw_alone, quantized
    from tfx_tflite.components.digests import bytes_digest

    report = DrawsReport.parse((Path(tuned_draws.uri) / "draws.json").read_bytes(), "draws.json")
    for draw in range(3):
        alone = draw_alone(drawn, draw, tmp_path / f"draw{draw}")
        made = quantized({**inputs, "calibration_examples": [alone]}, tmp_path / f"model{draw}")
        assert bytes_digest(model_of(made)) == report.draws[draw].digest


def test_a_draw_is_taken_by_hand(inputs, drawn, tuned_draws, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import quantized

    recipe = Recipe.parse((Path(tuned_draws.uri) / "recipe.json").read_bytes(), "recipe.json")
    given = {**inputs, "calibration_examples": [drawn]}
    made = quantized(given, tmp_path / "made", given_recipe=recipe)
    assert model_of(made) == (Path(tuned_draws.uri) / "quantized.tflite").read_bytes()


def test_a_draw_that_there_is_not_is_an_error(inputs, drawn, tmp_path: Path):
    from tests.components.quantization_tuner.artifacts import quantized

    given = {**inputs, "calibration_examples": [drawn]}
    expected = r"draw 3 of the calibration examples, .*seeds: 3 makes draws 0 to 2; set .*seeds: 4"
    with pytest.raises(ConfigError, match=expected):
        quantized(given, tmp_path / "made", given_recipe=Recipe(Scheme.INT8, draw=3))
