"""What an artifact's files were when it was made, on this machine and elsewhere (`ram://`)."""

import json
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_tflite.components.errors import ArtifactError, ModelError, NotKnownError

pytestmark = pytest.mark.slow

FILES = {"Split-eval/a.gz": "one", "Split-eval/b.gz": "two", "sample.json": "{}"}


@pytest.fixture(params=["local", "remote"])
def artifact(request: pytest.FixtureRequest, tmp_path: Path):
    """An artifact that has recorded what its files are."""
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests

    made = standard_artifacts.Examples()
    remote = f"ram://artifacts-{uuid.uuid4().hex}/examples/7"
    made.uri = remote if request.param == "remote" else str(tmp_path / "examples" / "7")
    for name, content in FILES.items():
        put(made.uri, name, content)
    artifact_digests.record({"examples": [made]})
    return made


def put(uri: str, name: str, content: str) -> None:
    from tfx.dsl.io import fileio

    path = f"{uri}/{name}"
    fileio.makedirs(path.rpartition("/")[0])
    if fileio.exists(path):
        fileio.remove(path)
    with fileio.open(path, "w") as file:
        file.write(content)


def remove(uri: str, name: str) -> None:
    from tfx.dsl.io import fileio

    fileio.remove(f"{uri}/{name}")


def check(artifact) -> None:
    from tfx_tflite.components import artifact_digests

    artifact_digests.check("examples", artifact)


def test_an_artifact_that_is_as_it_was_made_passes(artifact):
    check(artifact)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda uri: put(uri, "Split-eval/b.gz", "tw"), "b.gz changed since it was made: sha256:"),
        (lambda uri: put(uri, "sample.json", "[]"), "sample.json changed since it was made"),
        (lambda uri: put(uri, "Split-eval/b.gz", "one"), "b.gz changed since it was made"),
        (lambda uri: put(uri, "Split-eval/c.gz", "more"), "c.gz was not there when the artifact"),
        (lambda uri: put(uri, "Split-train/a.gz", ""), "a.gz was not there when the artifact"),
        (lambda uri: remove(uri, "Split-eval/a.gz"), "a.gz is gone since it was made"),
    ],
    ids=["cut", "changed", "the bytes of another file", "added", "added empty", "removed"],
)
def test_another_byte_file_or_name_is_an_error_that_names_it(
    artifact, change: Callable[[str], None], expected: str
):
    change(artifact.uri)
    with pytest.raises(ArtifactError) as caught:
        check(artifact)
    message = str(caught.value)
    assert message.startswith(f"input 'examples': {artifact.uri}/") and expected in message
    assert f"remove {artifact.uri} to have all of it made anew" in message
    assert len(message.splitlines()) == 1


def test_an_artifact_that_is_gone_is_an_error(artifact):
    from tfx.dsl.io import fileio

    fileio.rmtree(artifact.uri)
    with pytest.raises(ArtifactError, match=r"Split-eval/a.gz is gone since it was made"):
        check(artifact)


def test_two_files_that_swap_their_places_are_an_error(artifact):
    put(artifact.uri, "Split-eval/a.gz", FILES["Split-eval/b.gz"])
    put(artifact.uri, "Split-eval/b.gz", FILES["Split-eval/a.gz"])
    with pytest.raises(ArtifactError, match=r"a.gz changed since it was made"):
        check(artifact)


def test_an_artifact_of_somebody_who_records_nothing_is_not_judged(artifact):
    from tfx_tflite.components.artifact_layout import CONTENT_DIGESTS

    artifact.set_string_custom_property(CONTENT_DIGESTS, "")
    put(artifact.uri, "sample.json", "[]")
    check(artifact)


@pytest.mark.parametrize("recorded", ['{"sample.json": "sha2', "[1, 2]", '{"sample.json": 7}'])
def test_digests_that_are_damaged_are_an_error_and_not_taken_for_none(artifact, recorded: str):
    artifact.set_string_custom_property("content_digests", recorded)

    with pytest.raises(ArtifactError, match=r"digests of .* in ML Metadata are damaged.* remove"):
        check(artifact)


@pytest.mark.parametrize(
    ("folders", "shards", "recorded"),
    [(2, 3, {"f0/0": None}), (2, 100, {"f0/": None, "f1/": None}), (40, 2, {"./": None})],
)
def test_many_files_are_recorded_by_folder_in_a_text_that_every_store_takes(
    tmp_path: Path, folders: int, shards: int, recorded: dict
):
    """PostgreSQL keeps an index of the values of properties, and 2,704 bytes are its limit."""
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests
    from tfx_tflite.components.artifact_layout import CONTENT_DIGESTS

    made = standard_artifacts.Examples()
    made.uri = str(tmp_path)
    for folder in range(folders):
        for shard in range(shards):
            put(made.uri, f"f{folder}/{shard}", f"{folder} {shard}")
    artifact_digests.record({"examples": [made]})
    text = made.get_string_custom_property(CONTENT_DIGESTS)
    assert len(text) <= 2000 and recorded.keys() <= json.loads(text).keys()
    check(made)
    for change in (lambda: put(made.uri, "f1/1", "x"), lambda: remove(made.uri, "f1/1")):
        change()
        with pytest.raises(ArtifactError, match="since it was made"):
            check(made)


def test_an_artifact_that_is_one_file_has_the_digest_of_it(tmp_path: Path):
    from tfx_tflite.components.report.kubeflow_artifacts import ReportPage

    page = ReportPage()
    page.uri = str(tmp_path / "page")
    page.write("<p>")
    from tfx_tflite.components import artifact_digests

    artifact_digests.record({"page": [page]})
    check(page)
    (tmp_path / "page").write_text("<b>")
    with pytest.raises(ArtifactError, match=f"{tmp_path}/page changed since it was made"):
        check(page)


def test_what_is_written_to_while_it_is_read_is_an_error_though_it_was_right_before(
    tmp_path: Path,
):
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests

    model = standard_artifacts.Model()
    model.uri = str(tmp_path)
    put(model.uri, "saved_model.pb", "a model")
    artifact_digests.record({"model": [model]})
    with (
        pytest.raises(ArtifactError, match=r"saved_model.pb was written to while it was read"),
        artifact_digests.unchanged({"model": [model]}),
    ):
        put(model.uri, "saved_model.pb", "another")
        # Read, and put back.
        put(model.uri, "saved_model.pb", "a model")


def test_a_link_in_an_artifact_that_leads_out_of_it_is_refused(tmp_path: Path):
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "model")
    put(model.uri, "saved_model.pb", "a model")
    artifact_digests.record({"model": [model]})
    (tmp_path / "other").write_text("a model")
    (tmp_path / "model" / "saved_model.pb").unlink()
    (tmp_path / "model" / "saved_model.pb").symlink_to(tmp_path / "other")
    with pytest.raises(ModelError, match=r"is a link to .*/other, outside"):
        check(model)


def test_imported_files_that_nobody_recorded_may_be_links(tmp_path: Path):
    """As DVC and other caches of data have them."""
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests

    (tmp_path / "cached").write_text("records")
    (tmp_path / "data" / "Split-eval").mkdir(parents=True)
    (tmp_path / "data" / "Split-eval" / "a.gz").symlink_to(tmp_path / "cached")
    examples = standard_artifacts.Examples()
    examples.uri = str(tmp_path / "data")
    with artifact_digests.unchanged({"examples": [examples]}):
        pass


def test_a_file_that_cannot_be_read_is_not_taken_for_one_that_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests

    model = standard_artifacts.Model()
    model.uri = str(tmp_path)
    put(model.uri, "saved_model.pb", "a model")
    artifact_digests.record({"model": [model]})

    def denied(path: str) -> str:
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(artifact_digests, "file_digest", denied)
    with pytest.raises(NotKnownError, match=r"cannot read .*saved_model.pb: .*Permission denied"):
        check(model)


def test_an_artifact_in_a_folder_that_is_denied_is_not_taken_for_one_that_is_gone(
    tmp_path: Path, as_a_user
):
    from tfx.types import standard_artifacts

    from tfx_tflite.components import artifact_digests

    model = standard_artifacts.Model()
    model.uri = str(tmp_path / "denied" / "model")
    put(model.uri, "saved_model.pb", "a model")
    artifact_digests.record({"model": [model]})
    (tmp_path / "denied").chmod(0)
    with pytest.raises(NotKnownError, match=r"cannot read .*/model: Permission denied"):
        check(model)


def test_what_an_executor_writes_to_begins_empty(tmp_path: Path):
    """Where ML Metadata is an older one, TFX numbers as before, over folders that are there."""
    from tfx.types import standard_artifacts

    from tfx_tflite.components.artifact_digests import on_known_bytes

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kept").touch()
    blessing = standard_artifacts.ModelBlessing()
    blessing.uri = str(tmp_path / "blessing" / "7")
    put(blessing.uri, "BLESSED", "")
    put(blessing.uri, "shipped/schema.pbtxt", "")
    (Path(blessing.uri) / "link").symlink_to(tmp_path / "mine")

    class Refusing:
        @on_known_bytes
        def Do(self, input_dict, output_dict, exec_properties):
            put(output_dict["blessing"][0].uri, "NOT_BLESSED", "")

    Refusing().Do({}, {"blessing": [blessing]}, {})
    assert [path.name for path in Path(blessing.uri).iterdir()] == ["NOT_BLESSED"]
    assert (tmp_path / "mine" / "kept").exists()
