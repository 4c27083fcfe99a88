"""The section `metadata` of a config: where ML Metadata is kept."""

import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field, model_validator
from typing_extensions import Self

from tfx_tflite.components.settings import LocalPath, Settings, problem
from tfx_tflite.components.uris import without_credentials


def _variable(name: str) -> str:
    # A message of our own: the usual one repeats the value, which may be a password by mistake.
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError("expected the name of an environment variable, not the password itself")
    return name


def _host(host: str) -> str:
    if "@" in host:
        raise ValueError("expected a name or an address, without a user or a password")
    return without_credentials(host)


# ML Metadata puts it into SQL statements as it is.
_DatabaseName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=63)]
_Port = Annotated[int, Field(strict=True, ge=1, le=65535)]


class _ServerConfig(Settings):
    """A database server that keeps ML Metadata; the password is never part of the config."""

    # Where in the config a section of the class is, and which keys it refuses, with the reasons.
    key: ClassVar[str]
    refused: ClassVar[dict[str, str]] = {
        "password": "a password does not belong in a config; put it into an environment variable "
        "or a file, and name that: password_env or password_file"
    }

    database: _DatabaseName
    user: str = Field(min_length=1)
    password_env: Annotated[str, AfterValidator(_variable)] | None = None
    password_file: LocalPath | None = None
    create_database: bool = True

    @model_validator(mode="before")
    @classmethod
    def _nothing_refused(cls, values: object) -> object:
        for name, reason in cls.refused.items():
            if isinstance(values, dict) and name in values:
                raise problem(f"{cls.key}.{name}", reason)
        return values

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

    host: Annotated[str, AfterValidator(_host)] | None = Field(default=None, min_length=1)
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
    refused: ClassVar[dict[str, str]] = {
        **_ServerConfig.refused,
        "ssl": "ML Metadata's PostgreSQL client is built without TLS; reach the server through a "
        "tunnel, or use mysql",
    }

    # A name or address, or the directory of the server's socket.
    host: Annotated[str, AfterValidator(_host)] = Field(min_length=1)
    port: _Port = 5432


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
        """The server; None if the store is a file."""
        return self.mysql or self.postgresql
