"""The section `metadata` of a config: where ML Metadata is kept."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.settings import LocalPath, Settings, problem


def _variable(name: str) -> str:
    # A message of our own: the usual one repeats the value, which may be a password by mistake.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of an environment variable, not the password itself")
    return name


# ML Metadata puts it into SQL statements as it is.
_DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
_Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


def _without(values: object, key: str, text: str) -> object:
    """Returns a section's values, after checking that they do not have a key that is refused."""
    if isinstance(values, dict) and key.rpartition(".")[2] in values:
        raise problem(key, text)
    return values


class _ServerConfig(Settings):
    """A database server that keeps ML Metadata; the password is never part of the config."""

    # Where in the config a section of the class is.
    key: ClassVar[str]

    database: _DatabaseName
    user: str = Field(min_length=1)
    password_env: Annotated[str, AfterValidator(_variable)] | None = None
    password_file: LocalPath | None = None
    create_database: bool = True

    @model_validator(mode="before")
    @classmethod
    def _no_password(cls, values: object) -> object:
        return _without(
            values,
            f"{cls.key}.password",
            "a password does not belong in a config; put it into an environment variable or a "
            "file, and name that: password_env or password_file",
        )

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.password_env is not None and self.password_file is not None:
            raise problem(f"{self.key}.password_env", "give password_env or password_file")
        return self


class MySQLTLSConfig(Settings):
    """How the connection to a MySQL server is encrypted: the options of MySQL's own client."""

    key: LocalPath | None = None
    cert: LocalPath | None = None
    ca: LocalPath | None = None
    capath: LocalPath | None = None
    cipher: str | None = None
    verify_server_cert: bool = True


class MySQLConfig(_ServerConfig):
    """A MySQL or MariaDB server."""

    key: ClassVar[str] = "metadata.mysql"

    host: str | None = Field(default=None, min_length=1)
    port: _Port = 3306
    socket: LocalPath | None = None
    ssl: MySQLTLSConfig | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.host is None) == (self.socket is None):
            raise problem(f"{self.key}.host", "give exactly one of host and socket")
        return self


class PostgreSQLConfig(_ServerConfig):
    """A PostgreSQL server."""

    key: ClassVar[str] = "metadata.postgresql"

    # A name or address, or the directory of the server's socket.
    host: str = Field(min_length=1)
    port: _Port = 5432

    @model_validator(mode="before")
    @classmethod
    def _no_tls(cls, values: object) -> object:
        return _without(
            values,
            f"{cls.key}.ssl",
            "ML Metadata's PostgreSQL client is built without TLS; reach the server through a "
            "tunnel, or use mysql",
        )


class MetadataConfig(Settings):
    """Where ML Metadata is kept: a file, or a server that several machines share."""

    sqlite: LocalPath | None = None
    mysql: MySQLConfig | None = None
    postgresql: PostgreSQLConfig | None = None

    @model_validator(mode="after")
    def _one_store(self) -> Self:
        if sum(store is not None for store in (self.sqlite, self.mysql, self.postgresql)) > 1:
            raise problem("metadata", "give at most one of sqlite, mysql and postgresql")
        return self

    @property
    def server(self) -> MySQLConfig | PostgreSQLConfig | None:
        """The server; None where the store is a file."""
        return self.mysql or self.postgresql
