"""Keras files that people have: exported, or refused with what to do instead."""

from pathlib import Path

import pytest

from tfx_tflite.components.errors import ModelError
from tfx_tflite.components.models import keras_export
from tfx_tflite.components.models.float_model import read_signatures
from tfx_tflite.components.models.keras_export import export

pytestmark = pytest.mark.slow


def saved(path: Path, *layers) -> Path:
    import keras

    last = [keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential([keras.Input((8, 8, 1)), *layers, *last]).save(path)
    return path


@pytest.mark.parametrize("name", ["augmented.keras", "normalised.h5"])
def test_a_file_is_exported_with_the_default_signature(tmp_path: Path, name: str):
    import keras

    kinds = {"augmented": keras.layers.RandomFlip, "normalised": keras.layers.BatchNormalization}
    file = saved(tmp_path / name, kinds[name.partition(".")[0]]())
    export(file, tmp_path / "made", is_trusted=False, named=name)
    signature = read_signatures(tmp_path / "made")["serving_default"]
    assert [spec.shape for spec in signature.inputs] == [(None, 8, 8, 1)]


@pytest.mark.parametrize("name", ["m.keras", "m.h5"])
def test_code_in_a_file_is_not_run_without_trust(tmp_path: Path, name: str):
    import keras

    layer = keras.layers.Lambda(lambda values: values * 2.0, output_shape=(8, 8, 1))
    file = saved(tmp_path / name, layer)
    with pytest.raises(
        ModelError, match=rf"^{name} holds a layer that is Python code.*model\.trust"
    ):
        export(file, tmp_path / "made", is_trusted=False, named=name)
    assert not (tmp_path / "made").exists()


def test_a_class_of_ones_own_is_named(tmp_path: Path):
    import keras

    @keras.saving.register_keras_serializable(package="mine")
    class Unknown(keras.layers.Layer):
        def call(self, values):
            return values

    file = saved(tmp_path / "m.keras", Unknown())
    with pytest.raises(ModelError, match=r"m\.keras needs the class 'Unknown'.*model\.export"):
        export(file, tmp_path / "made", is_trusted=False, named="m.keras")


def test_an_export_that_takes_too_long_is_ended(tmp_path: Path):
    file = saved(tmp_path / "m.keras")
    with pytest.raises(ModelError, match=r"m\.keras: exporting it took more than 0 s"):
        export(file, tmp_path / "made", is_trusted=False, named="m.keras", time_limit=0.1)


@pytest.mark.parametrize("installed", ["3.5.0", "3.11.2", "3.12.0"])
def test_a_keras_that_does_not_keep_its_promise_opens_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: str
):
    monkeypatch.setattr(keras_export, "version", lambda name: installed)
    (tmp_path / "m.h5").write_bytes(b"not opened")
    with pytest.raises(ModelError, match=rf"m\.h5 is not opened by Keras {installed}.*>=3\.12\.1"):
        export(tmp_path / "m.h5", tmp_path / "made", is_trusted=False, named="m.h5")
