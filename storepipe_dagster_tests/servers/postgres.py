"""A private PostgreSQL server, and databases of a test's own on it, for Dagster's instance."""

import contextlib
import os
import secrets
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from storepipe_dagster_tests.servers.install import program
from storepipe_dagster_tests.servers.process import Server

ADMINISTRATOR = "administrator"
ACCOUNT = "postgres"  # of Debian's package


@dataclass(frozen=True)
class PostgresDatabase:
    """A database, and the one user who owns it."""

    port: int
    user: str
    database: str
    password: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """What production's dagster.yaml asks for."""
        return {
            "DAGSTER_POSTGRES_HOST": "127.0.0.1",
            "DAGSTER_POSTGRES_PORT": str(self.port),
            "DAGSTER_POSTGRES_USER": self.user,
            "DAGSTER_POSTGRES_PASSWORD": self.password,
            "DAGSTER_POSTGRES_DB": self.database,
        }

    def ask(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:
        """The rows of one query."""
        return _execute(self.port, self.user, self.password, self.database, sql, values)


class Postgres(Server):
    """A PostgreSQL server with its own defaults, where everybody needs a password."""

    name = "postgres"

    def __init__(self) -> None:
        self.program = program("postgres")
        super().__init__()
        self.data = self.folder / "data"
        self.password = secrets.token_urlsafe()

    def prepare(self) -> None:
        word = self.folder / "password"
        word.touch(mode=0o600)
        word.write_text(self.password)
        if os.geteuid() == 0:
            for path in (self.folder, self.temporary, word):
                shutil.chown(path, ACCOUNT, ACCOUNT)
        self.run(
            *_not_as_root(),
            self.program.with_name("initdb"),
            f"--pgdata={self.data}",
            f"--username={ADMINISTRATOR}",
            f"--pwfile={word}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        )

    def command(self) -> Sequence[str | Path]:
        return [
            *_not_as_root(),
            self.program,
            "-D",
            self.data,
            "-p",
            str(self.port),
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            f"unix_socket_directories={self.folder}",
        ]

    def answers(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            return self.execute("SELECT 1") == [(1,)]
        return False

    def stop(self) -> None:
        """Ask it to end: SIGTERM would let it wait for its clients."""
        self._end(signal.SIGINT)

    def execute(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:
        """Run one statement as the administrator; gives its rows."""
        return _execute(self.port, ADMINISTRATOR, self.password, "postgres", sql, values)

    def create_database(self) -> PostgresDatabase:
        """Make an empty database with a user of its own, who owns it."""
        database = PostgresDatabase(
            port=self.port,
            user=f"user_{secrets.token_hex(6)}",
            database=f"dagster_{secrets.token_hex(6)}",
            password=f"{secrets.token_urlsafe()} @:/?#%'\"\\",  # must survive every URL and shell
        )
        self.execute(f"CREATE ROLE {database.user} LOGIN PASSWORD %s", [database.password])
        self.execute(f"CREATE DATABASE {database.database} OWNER {database.user}")
        return database


def _not_as_root() -> list[str]:
    """PostgreSQL refuses to run as root. A new user forgets the signal of `Server.start`."""
    if os.geteuid() != 0:
        return []
    user = [f"--reuid={ACCOUNT}", f"--regid={ACCOUNT}", "--init-groups"]
    return ["setpriv", *user, "--pdeathsig", "KILL", "--"]


def _execute(port, user, password, database, sql, values) -> list[tuple]:
    connection = psycopg2.connect(
        host="127.0.0.1", port=port, user=user, password=password, dbname=database
    )
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []
