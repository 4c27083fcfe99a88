"""The store of ML Metadata: from the config to a connection, without the password leaking.

What TFX is given is a connection without the password: runners log it and write it into the
compiled pipeline. The password is added where ML Metadata connects, in this process only. Importing
this loads neither TensorFlow nor TFX; ML Metadata itself takes a quarter of a second.
"""

import contextlib
import functools
import os
import random
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import ml_metadata
from ml_metadata.proto import metadata_store_pb2

from tfx_tflite.components.errors import ConfigError, MetadataError
from tfx_tflite.components.private_files import make_private_directory, make_private_file
from tfx_tflite.pipelines.config.config import PipelineConfig
from tfx_tflite.pipelines.config.metadata import MySQLConfig, PostgreSQLConfig
from tfx_tflite.pipelines.metadata import postgresql_text
from tfx_tflite.pipelines.tfx.patches import metadata_server, no_debug_log

_ServerConfig = MySQLConfig | PostgreSQLConfig
_CONNECT_SECONDS = 10.0
# Two runs that prepare an empty store at once get into each other's way.
_RACE = re.compile("retry|concurrent|already exists|duplicate key|deadlock", re.IGNORECASE)
_ATTEMPTS = 10
# What ML Metadata says when it does not know why.
_UNEXPLAINED = ("errno: , error: ", "pointer is NULL", "metadata source error: \n")


def connection_config(
    config: PipelineConfig, password: str | None = None
) -> metadata_store_pb2.ConnectionConfig:
    """Returns the connection to a config's store.

    Args:
        config: The config.
        password: That of the server; None leaves it out.
    """
    server = config.metadata.server
    if isinstance(server, MySQLConfig):
        return metadata_store_pb2.ConnectionConfig(mysql=_mysql(server, password))
    if isinstance(server, PostgreSQLConfig):
        return metadata_store_pb2.ConnectionConfig(postgresql=_postgresql(server, password))
    mode = metadata_store_pb2.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return metadata_store_pb2.ConnectionConfig(
        sqlite=metadata_store_pb2.SqliteMetadataSourceConfig(
            filename_uri=config.metadata_path, connection_mode=mode
        )
    )


def _mysql(server: MySQLConfig, password: str | None) -> metadata_store_pb2.MySQLDatabaseConfig:
    ssl = None if server.ssl is None else server.ssl.model_dump(exclude_none=True)
    # What is None is left out.
    return metadata_store_pb2.MySQLDatabaseConfig(
        host=server.host,
        port=server.port if server.socket is None else None,
        socket=server.socket,
        database=server.database,
        user=server.user,
        password=password,
        ssl_options=ssl,
        skip_db_creation=not server.create_database,
    )


def _postgresql(
    server: PostgreSQLConfig, password: str | None
) -> metadata_store_pb2.PostgreSQLDatabaseConfig:
    return metadata_store_pb2.PostgreSQLDatabaseConfig(
        host=_quoted(server.host),
        port=str(server.port),
        user=_quoted(server.user),
        password=None if password is None else _quoted(password),
        dbname=server.database,
        skip_db_creation=not server.create_database,
    )


def _quoted(value: str) -> str:
    """Returns a value of libpq's connection string, which ML Metadata does not quote.

    See https://www.postgresql.org/docs/15/libpq-connect.html#LIBPQ-CONNSTRING.
    """
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def read_password(server: _ServerConfig) -> str | None:
    """Returns the password of a server, or None if the config names none.

    Raises:
        ConfigError: The environment variable is not set, or the file has no password.
    """
    if server.password_env is not None:
        password = os.environ.get(server.password_env)
        if not password:
            raise ConfigError(
                f"{server.key}.password_env: the environment variable {server.password_env} is "
                "not set"
            )
        return password
    if server.password_file is None:
        return None
    return _first_line(f"{server.key}.password_file", server.password_file)


def _first_line(key: str, path: str) -> str:
    try:
        text = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{key}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Not as its cause: the error holds the bytes.
        raise ConfigError(f"{key}: {path} is not a text file in UTF-8") from None
    if not text or "\n" in text or "\0" in text:
        raise ConfigError(f"{key}: expected {path} to hold the password alone, on one line")
    return text


def check_connection(config: PipelineConfig) -> None:
    """Connects to the store once, which also prepares an empty one.

    Raises:
        ConfigError: The password is not where the config says.
        MetadataError: The server cannot be reached or refuses the login, or the file is no store.
    """
    server = config.metadata.server
    if server is None:
        _connect_to_file(config)
    else:
        connection = connection_config(config, read_password(server))
        _check_reachable(server)
        _connect(server, connection)


def _connect_to_file(config: PipelineConfig) -> None:
    try:
        make_private_directory(Path(config.metadata_path).parent)
        make_private_file(Path(config.metadata_path))
        ml_metadata.MetadataStore(connection_config(config))
    except (RuntimeError, OSError) as error:
        key = "root" if config.metadata.sqlite is None else "metadata.sqlite"
        reason = str(error).removeprefix("Error when executing query: ").split(" query:")[0]
        raise MetadataError(
            f"{key}: {config.metadata_path} cannot be used as ML Metadata's store: {reason}"
        ) from error


def _check_reachable(server: _ServerConfig) -> None:
    """Checks that somebody listens, as ML Metadata does not say so and waits for minutes."""
    # To libpq a path is a directory of sockets; to MySQL's client localhost is its socket.
    if server.host is None or server.host == "localhost" or server.host.startswith("/"):
        return
    try:
        with socket.create_connection((server.host, server.port), _CONNECT_SECONDS):
            pass
    except OSError as error:
        raise MetadataError(
            f"{server.key}: no server answers at {_place(server)} ({error.strerror or error}); "
            "is it running, are host and port right?"
        ) from error


def _place(server: _ServerConfig) -> str:
    if server.host is None:
        assert isinstance(server, MySQLConfig)
        return str(server.socket)
    return f"{server.host}:{server.port}"


def _connect(server: _ServerConfig, connection: metadata_store_pb2.ConnectionConfig) -> None:
    for attempt in range(_ATTEMPTS):
        try:
            with no_debug_log():
                ml_metadata.MetadataStore(connection)
            return
        except RuntimeError as error:
            if attempt + 1 < _ATTEMPTS and _RACE.search(str(error)):
                # Not in step with the other run.
                time.sleep(random.uniform(0.2, 1.0))
                continue
            # Not as its cause: nobody knows what a client writes into its messages.
            raise MetadataError(_refusal(server, str(error))) from None


def _refusal(server: _ServerConfig, message: str) -> str:
    place = f"{server.key}: the server at {_place(server)}"
    login = f"user {server.user!r}, database {server.database!r}"
    if any(text in f"{message.strip(' ')}\n" or text in message for text in _UNEXPLAINED):
        source = server.password_env or server.password_file or "none is configured"
        return (
            f"{place} does not let us in ({login}); check user, password ({source}), "
            "database and the user's rights"
        )
    reason = re.split("error: ", message.strip().splitlines()[0], flags=re.IGNORECASE)[-1].strip()
    return f"{place} refuses ({login}): {reason}"


@contextlib.contextmanager
def connected(config: PipelineConfig) -> Iterator[None]:
    """Lets this process use a config's store by `connection_config` while the block runs.

    Args:
        config: The config.

    Raises:
        ConfigError: The password is not where the config says.
        MetadataError: The server cannot be reached or refuses the login, or the file is no store.
    """
    check_connection(config)
    server = config.metadata.server
    if server is None:
        yield
        return
    private = connection_config(config, read_password(server))
    # ML Metadata breaks some texts on their way to PostgreSQL.
    code = postgresql_text if isinstance(server, PostgreSQLConfig) else None
    refusal = functools.partial(_refusal, server)
    with metadata_server(connection_config(config), private, refusal, code):
        yield
