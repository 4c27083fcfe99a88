"""Database servers of the tests' own: on loopback, in a temporary directory, as no privileged user.

They come from Debian's packages `mariadb-server-core` and `postgresql`; no service need run.
"""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

# Neither server takes orders as root.
UNPRIVILEGED = "nobody"
# With what needs care in libpq's connection strings, in SQL and in YAML.
PASSWORD = "s3cret 'quoted' pa\\ss host=elsewhere"
USER, DATABASE = "tfx", "metadata"


@dataclass
class Server:
    """A server that runs.

    Attributes:
        kind: The key in `metadata`.
        port: Where it listens on 127.0.0.1.
        process: Its process.
    """

    kind: str
    port: int
    process: subprocess.Popen

    def settings(self, password_file: Path, **changes: object) -> str:
        """Returns the `--set` for a config."""
        values = {
            "host": "127.0.0.1",
            "port": self.port,
            "database": DATABASE,
            "user": USER,
            "password_file": password_file,
            **changes,
        }
        inside = ", ".join(f"{key}: {value}" for key, value in values.items())
        return f"metadata={{{self.kind}: {{{inside}}}}}"


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def as_unprivileged() -> dict[str, object]:
    """Returns the arguments of `subprocess` that give up root's rights."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    # Not below pytest's own, which other users cannot enter.
    with tempfile.TemporaryDirectory() as path:
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(path, user.pw_uid, user.pw_gid)
        yield Path(path)


@contextlib.contextmanager
def running(kind: str, command: list[str], port: int, log: Path) -> Iterator[Server]:
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, **as_unprivileged())
        try:
            wait_for(port, process, log)
            yield Server(kind, port, process)
        finally:
            # A server that a test has stopped gets up to be ended.
            process.kill()
            process.wait()


def wait_for(port: int, process: subprocess.Popen, log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError(f"the server does not answer: {log.read_text(errors='replace')[-2000:]}")


def sql_text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@contextlib.contextmanager
def mariadb() -> Iterator[Server]:
    """A MariaDB server, whose user may use one database and nothing else."""
    binary = shutil.which("mariadbd", path=f"{os.environ['PATH']}:/usr/sbin")
    scripts = [
        Path("/usr/share/mysql") / f"mysql_{name}.sql"
        for name in ("system_tables", "performance_tables", "system_tables_data")
    ]
    if binary is None or not all(script.exists() for script in scripts):
        pytest.skip("there is no MariaDB (Debian package mariadb-server-core)")
    with directory() as path:
        data, port = path / "data", free_port()
        subprocess.run(["mkdir", str(data)], check=True, **as_unprivileged())
        common = [binary, "--no-defaults", f"--datadir={data}"]
        tables = "CREATE DATABASE mysql;\nUSE mysql;\nSET @auth_root_socket=NULL;\n" + "\n".join(
            script.read_text(encoding="utf-8") for script in scripts
        )
        subprocess.run(
            [*common, "--bootstrap", "--log-warnings=0"],
            input=tables.encode(),
            check=True,
            capture_output=True,
            **as_unprivileged(),
        )
        accounts = path / "accounts.sql"
        password = sql_text(PASSWORD.replace("\\", "\\\\"))
        accounts.write_text(
            # An anonymous account would be taken before the user from anywhere.
            "DELETE FROM mysql.global_priv WHERE User='';\nFLUSH PRIVILEGES;\n"
            f"CREATE USER '{USER}'@'%' IDENTIFIED BY {password};\n"
            f"GRANT ALL ON {DATABASE}.* TO '{USER}'@'%';\n"
        )
        command = [*common, f"--port={port}", "--bind-address=127.0.0.1"]
        command += [f"--socket={path}/s", f"--pid-file={path}/pid", f"--init-file={accounts}"]
        with running("mysql", command, port, path / "log") as server:
            yield server


@contextlib.contextmanager
def postgresql() -> Iterator[Server]:
    """A PostgreSQL server, whose user owns one database."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not versions:
        pytest.skip("there is no PostgreSQL (Debian package postgresql)")
    binaries = versions[-1].parent
    with directory() as path:
        data, port = path / "data", free_port()
        subprocess.run(
            [binaries / "initdb", "-D", data, "-U", "admin", "--auth=trust", "--no-sync"],
            check=True,
            capture_output=True,
            cwd=path,
            **as_unprivileged(),
        )
        (data / "pg_hba.conf").write_text(
            "local all admin trust\nhost all all 127.0.0.1/32 scram-sha-256\n"
        )
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": path,
            "fsync": "off",
        }
        command = [str(binaries / "postgres"), "-D", str(data), "-p", str(port)]
        command += [part for item in settings.items() for part in ("-c", "{}={}".format(*item))]
        with running("postgresql", command, port, path / "log") as server:
            for statement in (
                f"CREATE USER {USER} PASSWORD {sql_text(PASSWORD)}",
                f"CREATE DATABASE {DATABASE} OWNER {USER}",
            ):
                psql = [binaries / "psql", "-h", path, "-p", str(port), "-U", "admin", "postgres"]
                subprocess.run([*psql, "-qc", statement], check=True, capture_output=True)
            yield server


SERVERS = {"mysql": mariadb, "postgresql": postgresql}
