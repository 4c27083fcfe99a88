import pytest

from tfx_tflite.components.object_stores.places import Place, scheme_of


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("s3://bucket", Place("s3://bucket", "")),
        ("s3://bucket/", Place("s3://bucket", "")),
        ("gs://bucket/a/b/", Place("gs://bucket", "a/b")),
        ("az://bucket//a/./b", Place("az://bucket", "a/b")),
        ("s3://bucket/a/../../b", Place("s3://bucket", "b")),
    ],
)
def test_a_place_is_a_bucket_and_a_name_in_it(uri: str, place: Place):
    assert Place.of(uri) == place and Place.of(place.uri) == place


@pytest.mark.parametrize("uri", ["s3://", "s3:///folder"])
def test_a_uri_without_a_bucket_is_no_place(uri: str):
    with pytest.raises(ValueError, match="names no bucket; write s3://BUCKET/FOLDER"):
        Place.of(uri)


def test_a_path_has_no_scheme():
    assert scheme_of("/tmp/x") == "" and scheme_of("s3://b/x") == "s3"
