"""A private MariaDB or MySQL server, and databases of a test's own on it."""

import contextlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pymysql

from storepipe_dagster_tests.servers.certificates import Certificate
from storepipe_dagster_tests.servers.install import program
from storepipe_dagster_tests.servers.process import Server

if TYPE_CHECKING:
    from storepipe_dagster.resources.mysql import MySqlDatabase

ALL = "ALL"
# What the pipeline's own user needs, and no more.
LEAST = "SELECT, INSERT, UPDATE, DELETE, CREATE"


@dataclass(frozen=True)
class Database:
    """A database, and the one user who may use it."""

    host: str
    port: int
    user: str
    database: str
    password: str = field(repr=False)

    def environment(self, *, port: int | None = None) -> dict[str, str]:
        """The settings of the `azure` deployment; `port` leads through a proxy."""
        return {
            "MYSQL_HOST": self.host,
            "MYSQL_PORT": str(port or self.port),
            "MYSQL_USER": self.user,
            "MYSQL_PASSWORD": self.password,
            "MYSQL_DATABASE": self.database,
        }

    def resource(self, **changed: object) -> "MySqlDatabase":
        """What the pipeline's assets get, with some of its fields changed."""
        # A server needs none of the pipeline, which takes seconds to load.
        from storepipe_dagster.resources.mysql import MySqlDatabase  # noqa: PLC0415

        fields = ("host", "port", "user", "password", "database")
        return MySqlDatabase(**{name: getattr(self, name) for name in fields} | changed)


class MariaDb(Server):
    """A MariaDB server with its own defaults, which also takes LOAD DATA LOCAL and TLS."""

    name = "mariadb"
    server_program = "mariadbd"
    identified = "IDENTIFIED BY"

    def __init__(self, certificate: Certificate | None = None, *options: str) -> None:
        self.program = program(self.server_program)
        super().__init__()
        self.certificate = certificate
        self.options = options
        self.data = self.folder / "data"
        self.socket = self.folder / "server.sock"
        self.root_password = secrets.token_urlsafe()

    def prepare(self) -> None:
        init = self.folder / "init.sql"
        init.touch(mode=0o600)
        init.write_text(f"ALTER USER 'root'@'localhost' IDENTIFIED BY '{self.root_password}';\n")
        self.copy_prepared(self.program, self.make_data, self.data)

    def make_data(self, folder: Path) -> None:
        self.run(
            program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={folder}",
            "--auth-root-authentication-method=normal",
            "--skip-name-resolve",
            "--skip-test-db",
            *as_root(),
        )

    def command(self) -> Sequence[str | Path]:
        files = self.certificate
        tls = (
            [
                f"--ssl-ca={files.authority}",
                f"--ssl-cert={files.certificate}",
                f"--ssl-key={files.key}",
            ]
            if files
            else []
        )
        return [
            self.program,
            "--no-defaults",
            f"--datadir={self.data}",
            f"--socket={self.socket}",
            f"--init-file={self.folder / 'init.sql'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--local-infile=ON",
            "--skip-name-resolve",
            *as_root(),
            *tls,
            *self.options,
        ]

    def answers(self) -> bool:
        with contextlib.suppress(pymysql.OperationalError):
            return self.execute("SELECT 1") == ((1,),)
        return False

    def execute(self, sql: str, values: Sequence[object] | None = None) -> tuple[tuple, ...]:
        """Run one statement as the administrator; gives its rows."""
        with self.asking() as ask:
            return ask(sql, values)

    @contextlib.contextmanager
    def asking(self) -> Iterator[Callable[..., tuple[tuple, ...]]]:
        """What `execute` does, on one connection."""
        with self._administrator() as connection, connection.cursor() as cursor:

            def ask(sql: str, values: Sequence[object] | None = None) -> tuple[tuple, ...]:
                cursor.execute(sql, values)
                return cursor.fetchall()

            yield ask

    def create_database(
        self,
        name: str | None = None,
        user: str | None = None,
        grants: str = ALL,
        *,
        require_tls: bool = False,
    ) -> Database:
        """Make an empty database with a user of its own, who has these rights on it."""
        database = Database(
            host="127.0.0.1",
            port=self.port,
            user=user or f"user_{secrets.token_hex(6)}",
            database=name or f"store_{secrets.token_hex(6)}",
            password=f"{secrets.token_urlsafe()} @:/?#%'\"\\",  # must survive every URL and shell
        )
        who = [database.user, "%"]
        tls = "REQUIRE SSL" if require_tls else ""
        with self.asking() as ask:
            ask(f"CREATE DATABASE `{database.database}`")
            ask(f"CREATE USER %s@%s {self.identified} %s {tls}", [*who, database.password])
            ask(f"GRANT {grants} ON `{database.database}`.* TO %s@%s", who)
        return database

    @contextlib.contextmanager
    def _administrator(self) -> Iterator[pymysql.Connection]:
        with pymysql.connect(
            unix_socket=str(self.socket),
            user="root",
            password=self.root_password,
            autocommit=True,
            ssl_disabled=True,  # else it reads all authorities of this machine each time
        ) as connection:
            yield connection


def as_root() -> list[str]:
    """Both servers refuse to run as root unless told so."""
    return ["--user=root"] if os.geteuid() == 0 else []
