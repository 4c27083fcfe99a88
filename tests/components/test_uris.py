import pytest

from tfx_tflite.components.uris import holds_credentials, without_credentials

SECRETS = (
    "s3://user:pw@bucket/models",
    "s3://user@bucket/models",
    "gs://user:pw@bucket",
    "https://user:pw@example.com/x",
    "https://token@example.com/x",
    "s3://user:p/w@bucket/models",
    "s3://user:p@w@bucket",
    "S3://USER:PW@bucket",
    "abfss://user:pw@account.dfs.core.windows.net/x",
    "az://container/x?sv=2020&sig=abc",
    "https://bucket.s3.amazonaws.com/x?X-Amz-Signature=abc",
    "https://bucket/x?X-Goog-Credential=abc",
    "https://bucket/x?a=b&access_token=abc",
    "https://bucket/x?AWSAccessKeyId=abc",
    "see s3://user:pw@bucket/models there",
)
NO_SECRETS = (
    "s3://bucket/models",
    "gs://bucket/a@b/c",
    "s3://bucket/mail@2024:05",
    "http://127.0.0.1:9000/x",
    "http://[::1]:9000/x@y",
    "abfss://container@account.dfs.core.windows.net/x",
    "/home/me/a@b:c",
    "relative/user:pw@x",
    "s3://bucket/x?versionId=3",
    "",
)


@pytest.mark.parametrize("uri", SECRETS)
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str):
    assert holds_credentials(uri)
    with pytest.raises(ValueError, match="holds a user, a password or a key") as error:
        without_credentials(uri)
    assert "pw" not in str(error.value) and "abc" not in str(error.value)


@pytest.mark.parametrize("uri", NO_SECRETS)
def test_other_places_are_taken_as_they_are(uri: str):
    assert without_credentials(uri) == uri
