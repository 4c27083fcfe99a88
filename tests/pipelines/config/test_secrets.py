"""What looks like a secret is told by its key alone, and what does not is not told at all."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.conftest import CONFIGS
from tests.pipelines.kubeflow.test_server import compiled
from tfx_tflite.pipelines.cli.main import main
from tfx_tflite.pipelines.config.file import load_config, without_secret
from tfx_tflite.pipelines.config.secrets import is_secret

DIGITS = CONFIGS / "digits.yaml"
SECRETS = [
    ("db_password", "hunter2"),
    ("dbPassword", "hunter2"),
    ("DB-PASSWD", "hunter2"),
    ("--s3_secret_access_key", "abc"),
    ("accessToken", "abc"),
    ("api-key", "abc"),
    ("apikey", "abc"),
    ("OPENAI_API_KEY", "abc"),
    ("x", "AKIAIOSFODNN7EXAMPLE"),
    ("x", "https://me:hunter2@example.com/data"),
    ("x", "postgresql://me:hunter2@db/x"),
    ("x", "-----BEGIN RSA PRIVATE KEY-----"),
    ("x", "ghp_" + "a" * 36),
    ("x", "AIza" + "b" * 35),
    ("x", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc"),
    ("x", "DefaultEndpointsProtocol=https;AccountKey=" + "c" * 40),
    ("x", "Authorization: Bearer abcdefgh"),
]
PLAIN = [
    ("max_tokens", "128"),
    ("tokenizer", "wordpiece"),
    ("learning_rate", "0.1"),
    ("password_file", "/run/secrets/db"),
    ("password", ""),
    ("secret_name", "db"),
    ("compass", "north"),
    ("passes", "3"),
    ("keys", "a,b"),
    ("x", "https://example.com/a:b@c"),
    ("x", "s3://bucket/data"),
    ("--runner", "FnApiRunner"),
    ("--temp_location", "gs://bucket/tmp"),
]


@pytest.mark.parametrize(("name", "value"), SECRETS)
def test_a_secret_is_known_by_its_name_or_its_form(name: str, value: str):
    assert is_secret(name, value)


@pytest.mark.parametrize(("name", "value"), PLAIN)
def test_what_is_no_secret_is_not_taken_for_one(name: str, value: str):
    assert not is_secret(name, value)


@pytest.fixture
def compile_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Compiles digits with some settings; without TFX."""
    monkeypatch.setattr("tfx_tflite.pipelines.kubeflow.compile.compile_logged", compiled)

    def run(*overrides: str, options: tuple[str, ...] = ()):
        settings = [part for override in overrides for part in ("--set", override)]
        output = ["--output", str(tmp_path / "pipeline.yaml")]
        return CliRunner().invoke(main, ["compile", str(DIGITS), *output, *settings, *options])

    return run


ATTACKS = {
    "model.trainer.custom_config={db: {password: hunter2}}": (
        "model.trainer.custom_config.db.password"
    ),
    "model.trainer.custom_config={hosts: [{url: 'https://me:hunter2@h'}]}": (
        "model.trainer.custom_config.hosts.0.url"
    ),
    "beam.args=['--s3_secret_access_key=hunter2']": "beam.args: --s3_secret_access_key",
    "beam.args=['--s3_session_token', hunter2]": "beam.args: --s3_session_token",
    "beam.args=['--job_endpoint=https://me:hunter2@h']": "beam.args: --job_endpoint",
}


@pytest.mark.parametrize(("override", "key"), ATTACKS.items())
def test_compile_warns_of_a_secret_without_repeating_it(compile_with, override: str, key: str):
    result = compile_with(override)
    assert result.exit_code == 0, result.output
    [line] = result.stderr.splitlines()
    assert line.startswith(f"warning: {key} looks like a secret")
    assert "hunter2" not in result.output


def test_compile_has_its_warnings_in_its_json(compile_with):
    [attack, *_] = ATTACKS
    result = compile_with(attack, options=("--json",))
    document = json.loads(result.stdout.splitlines()[-1])
    [warning] = document["warnings"]
    assert warning.startswith(ATTACKS[attack]) and "hunter2" not in warning
    assert json.loads(compile_with(options=("--json",)).stdout)["warnings"] == []


@pytest.mark.parametrize("override", ATTACKS)
def test_a_secret_on_the_command_line_is_not_in_the_report(override: str):
    provenance = load_config(DIGITS, (override,)).provenance
    assert provenance is not None
    assert provenance.overrides == (f"{override.partition('=')[0]}=…",)
    assert without_secret("name=digits") == "name=digits"
