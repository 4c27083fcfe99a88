import pytest

from tfx_tflite.components.models.environment import without_secrets


@pytest.mark.parametrize(
    "name",
    [
        *("OPENAI_API_KEY", "HF_TOKEN", "GITHUB_TOKEN", "DJANGO_SECRET_KEY", "CLIENT_SECRET"),
        *("DB_PASSWORD", "PGPASSWORD", "MYSQL_PWD", "PGPASSFILE", "MYSQLPASSWORD", "db_password"),
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AZURE_STORAGE_SAS_TOKEN"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CREDENTIALS", "S3_ENDPOINT", "KUBECONFIG"),
        *("SSH_AUTH_SOCK", "NETRC", "VAULT_ADDR", "SIGNING_KEY_PASSPHRASE", "REGISTRY_AUTH_FILE"),
    ],
)
def test_a_secret_is_left_out(name: str):
    assert without_secrets({name: "x", "PATH": "/bin"}) == {"PATH": "/bin"}


def test_a_password_in_a_url_is_left_out_whatever_it_is_called():
    given = {"DATABASE": "postgres://me:pw@host/db", "https_proxy": "http://me:pw@proxy:3128"}
    assert without_secrets(given) == {}


def test_what_sets_up_libraries_stays():
    given = {
        **{"PATH": "/bin", "HOME": "/root", "PWD": "/work", "OLDPWD": "/", "LANG": "C.UTF-8"},
        **{"PYTHONPATH": "a:b", "VIRTUAL_ENV": "/v", "LD_LIBRARY_PATH": "/lib", "TMPDIR": "/tmp"},
        **{"TF_CPP_MIN_LOG_LEVEL": "2", "TF_USE_LEGACY_KERAS": "1", "CUDA_VISIBLE_DEVICES": ""},
        **{"OMP_NUM_THREADS": "1", "KERAS_BACKEND": "tensorflow", "XLA_FLAGS": "--a=b"},
        **{"http_proxy": "http://proxy:3128", "MONKEYS": "2", "COMPASS": "north"},
    }
    assert without_secrets(given) == given
