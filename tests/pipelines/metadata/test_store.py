"""From the config to a connection; what needs a server is in `test_metadata_servers`."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.conftest import CONFIGS
from tfx_tflite.components.errors import ConfigError, MetadataError
from tfx_tflite.pipelines.config.file import load_config
from tfx_tflite.pipelines.metadata.store import (
    check_connection,
    connection_config,
    read_password,
)
from tfx_tflite.pipelines.tfx.patches import in_order_of

MYSQL = "metadata={mysql: {host: db, database: team, user: me, password_env: DB_PASSWORD}}"
POSTGRESQL = "metadata={postgresql: {host: db, database: team, user: it's me}}"


def load(*overrides: str):
    return load_config(CONFIGS / "digits.yaml", overrides)


def problem(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(*overrides)
    return str(caught.value)


def test_without_metadata_the_store_is_a_file_below_the_root(tmp_path: Path):
    config = load(f"root={tmp_path}/root")
    assert connection_config(config).sqlite.filename_uri == f"{tmp_path}/root/metadata.sqlite"
    check_connection(config)
    assert (tmp_path / "root" / "metadata.sqlite").is_file()
    # What data and models there were is nobody else's business.
    assert (tmp_path / "root" / "metadata.sqlite").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "root").stat().st_mode & 0o777 == 0o700


def test_a_file_that_is_no_store_is_one_line(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("no store\n" * 200)
    with pytest.raises(MetadataError) as caught:
        check_connection(load(f"metadata.sqlite={tmp_path}/notes.txt"))
    assert str(caught.value) == (
        f"metadata.sqlite: {tmp_path}/notes.txt cannot be used as ML Metadata's store: "
        "file is not a database"
    )


def test_mysql_gets_what_the_config_says_and_no_password(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    ssl = "metadata.mysql.ssl={ca: ca.pem, cipher: AES256-SHA}"
    found = connection_config(load(MYSQL, ssl)).mysql
    assert (found.host, found.port, found.database, found.user) == ("db", 3306, "team", "me")
    assert found.ssl_options.ca == str(CONFIGS / "ca.pem")
    assert found.ssl_options.cipher == "AES256-SHA" and found.ssl_options.verify_server_cert
    assert not found.password


def test_postgresql_gets_texts_that_are_quoted_for_libpq():
    found = connection_config(load(POSTGRESQL)).postgresql
    assert (found.host, found.port, found.dbname) == ("'db'", "5432", "team")
    assert found.user == r"'it\'s me'"


@pytest.mark.parametrize("server", ["mysql", "postgresql"])
def test_a_password_in_the_config_is_refused_without_repeating_it(server: str):
    found = problem(f"metadata={{{server}: {{host: db, database: d, user: u, password: s3cret}}}}")
    assert f"metadata.{server}.password: a password does not belong in a config" in found
    assert "password_env or password_file" in found
    assert "s3cret" not in found and len(found.splitlines()) == 1


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([MYSQL, "metadata.sqlite=x"], "metadata: give at most one of sqlite, mysql"),
        ([MYSQL, "metadata.mysql.password_file=x"], "give password_env or password_file"),
        ([MYSQL, "metadata.mysql.socket=x"], "give exactly one of host and socket"),
        ([MYSQL, "metadata.mysql.host=null"], "give exactly one of host and socket"),
        ([MYSQL, "metadata.mysql.port=0"], "metadata.mysql.port: "),
        ([MYSQL, "metadata.mysql.database='a; DROP TABLE x'"], "metadata.mysql.database: "),
        ([POSTGRESQL, "metadata.postgresql.ssl={sslmode: require}"], "built without TLS"),
        ([POSTGRESQL, "metadata.postgresql.dbname=x"], "metadata.postgresql.dbname: unknown key"),
    ],
)
def test_what_a_server_cannot_be(overrides: list[str], expected: str):
    assert expected in problem(*overrides)


def test_a_password_in_place_of_a_variables_name_is_not_repeated():
    found = problem(MYSQL, "metadata.mysql.password_env=my s3cret!")
    assert "expected the name of an environment variable" in found and "s3cret" not in found


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", "s3cret\r\n"])
def test_a_password_file_holds_one_line(tmp_path: Path, text: str):
    (tmp_path / "p").write_bytes(text.encode())
    config = load(POSTGRESQL, f"metadata.postgresql.password_file={tmp_path}/p")
    assert read_password(config.metadata.postgresql) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"user\ns3cret\n", b"s3cret\xff"])
def test_a_file_that_holds_no_password_is_named_and_not_shown(tmp_path: Path, content: bytes):
    (tmp_path / "p").write_bytes(content)
    config = load(POSTGRESQL, f"metadata.postgresql.password_file={tmp_path}/p")
    with pytest.raises(ConfigError) as caught:
        read_password(config.metadata.postgresql)
    assert "metadata.postgresql.password_file: " in str(caught.value)
    assert f"{tmp_path}/p" in str(caught.value) and "s3cret" not in str(caught.value)


def test_a_host_that_does_not_exist_is_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DB_PASSWORD", "s3cret")
    with pytest.raises(MetadataError) as caught:
        check_connection(load(MYSQL, "metadata.mysql.host=nowhere.invalid"))
    found = str(caught.value)
    assert found.startswith("metadata.mysql: no server answers at nowhere.invalid:3306 (")
    assert len(found.splitlines()) == 1


def test_nodes_come_in_the_order_in_which_they_were_asked_for():
    nodes = [SimpleNamespace(id=number) for number in (1, 2, 3)]
    assert [node.id for node in in_order_of([3, 9, 1, 3], nodes)] == [3, 1]
