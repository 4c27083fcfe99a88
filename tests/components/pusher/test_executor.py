"""The pusher's executor on real TFX artifacts; each refusal is a trap of TFX's own Pusher."""

import json
from pathlib import Path

import pytest

from tfx_tflite.components.digests import file_digest
from tfx_tflite.components.errors import PushError


@pytest.fixture
def make(tmp_path: Path):
    """Makes a model artifact and a blessing of it."""
    from tfx.types import standard_artifacts

    def artifacts(identity: int = 1, content: bytes = b"model", blessed: int = 1):
        model = standard_artifacts.Model()
        model.uri, model.id = str(tmp_path / f"model{identity}"), identity
        tflite = Path(model.uri) / "Format-Serving" / "tflite"
        tflite.parent.mkdir(parents=True)
        tflite.write_bytes(content)
        blessing = standard_artifacts.ModelBlessing()
        blessing.uri = str(tmp_path / f"blessing{identity}")
        Path(blessing.uri).mkdir()
        (Path(blessing.uri) / "report.json").write_text(json.dumps({"scheme": "int8"}))
        blessing.set_int_custom_property("blessed", blessed)
        blessing.set_int_custom_property("current_model_id", identity)
        blessing.set_string_custom_property("model_digest", file_digest(tflite))
        return model, blessing

    return artifacts


def push(tmp_path: Path, model, blessing=None):
    from google.protobuf import json_format
    from tfx.proto import pusher_pb2
    from tfx.types import standard_artifacts

    from tfx_tflite.components.pusher.executor import Executor

    pushed = standard_artifacts.PushedModel()
    pushed.uri = str(tmp_path / "pushed_model")
    filesystem = pusher_pb2.PushDestination.Filesystem(base_directory=str(tmp_path / "to"))
    inputs = {"model": [model], **({"model_blessing": [blessing]} if blessing else {})}
    Executor().Do(
        inputs,
        {"pushed_model": [pushed]},
        {
            "push_destination": json_format.MessageToJson(
                pusher_pb2.PushDestination(filesystem=filesystem)
            )
        },
    )
    return pushed


def test_pushes_a_blessed_model_and_records_where(make, tmp_path: Path):
    pushed = push(tmp_path, *make())
    assert pushed.get_int_custom_property("pushed") == 1
    path = Path(pushed.get_string_custom_property("pushed_destination"))
    assert path.name == pushed.get_string_custom_property("pushed_version")
    assert (path / "model.tflite").read_bytes() == b"model"
    assert (Path(pushed.uri) / "model.tflite").read_bytes() == b"model"


def test_does_not_push_a_refused_model(make, tmp_path: Path):
    pushed = push(tmp_path, *make(blessed=0))
    assert pushed.get_int_custom_property("pushed") == 0
    assert not (tmp_path / "to").exists()


def test_refuses_to_push_without_a_blessing(make, tmp_path: Path):
    model, _ = make()
    with pytest.raises(PushError, match="no model_blessing"):
        push(tmp_path, model)
    assert not (tmp_path / "to").exists()


def test_refuses_to_push_when_the_blessing_names_another_model(make, tmp_path: Path):
    model, _ = make(1)
    _, blessing_of_another = make(2)
    with pytest.raises(PushError, match="of model artifact 2, but artifact 1 is to be pushed"):
        push(tmp_path, model, blessing_of_another)
    assert not (tmp_path / "to").exists()


def test_refuses_to_push_bytes_that_changed_since_the_blessing(make, tmp_path: Path):
    model, blessing = make()
    (Path(model.uri) / "Format-Serving" / "tflite").write_bytes(b"modem")
    with pytest.raises(PushError, match="changed since it was blessed"):
        push(tmp_path, model, blessing)
    assert not (tmp_path / "to").exists()


def test_refuses_a_blessing_that_does_not_say_which_bytes_it_is_of(make, tmp_path: Path):
    from tfx.types import standard_artifacts

    model, _ = make()
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(tmp_path)
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("current_model_id", model.id)
    with pytest.raises(PushError, match="must come from QuantizationEvaluator"):
        push(tmp_path, model, blessing)


@pytest.mark.parametrize("name", ["float_model_digest", "sample_digest"])
def test_refuses_a_blessing_that_rests_on_another_model_or_sample(make, tmp_path: Path, name: str):
    model, blessing = make()
    model.set_string_custom_property(name, "sha256:one")
    blessing.set_string_custom_property(name, "sha256:another")
    with pytest.raises(PushError, match=f"{name} of the model is sha256:one"):
        push(tmp_path, model, blessing)
