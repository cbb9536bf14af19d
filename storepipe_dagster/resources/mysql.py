"""The database of a shop: MySQL 8 or MariaDB, through SQLAlchemy and PyMySQL.

Rows go in by LOAD DATA LOCAL where the server lets it, and come out by one query whose packets are
read as they are; how is in ``mysql_bulk``. What its errors mean is in ``mysql_errors``.
"""

import hashlib
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import dagster as dg
import pyarrow as pa
import pymysql  # type: ignore[import-untyped]
import sqlalchemy as sa
import tenacity
from sqlalchemy.dialects import mysql

from storepipe_dagster.resources.database import (
    Database,
    DatabaseBusyError,
    DatabaseError,
    Days,
    NoTableError,
    Result,
    Row,
    execute_many,
    of_days,
)
from storepipe_dagster.resources.mysql_bulk import BulkConnection, load, read
from storepipe_dagster.resources.mysql_errors import (
    CLEAR_PASSWORD,
    explain,
    is_missing_table,
    is_passing,
)
from storepipe_dagster.resources.mysql_packets import MalformedRowsError

SECONDS_TO_TRY, LONGEST_WAIT = 40, 16
STEP_TRIES, SECONDS_TO_RESTART = 8, 5  # as long
SECONDS_TO_CONNECT = 10
SECONDS_TO_ANSWER = 600
SECONDS_TO_LOCK = 300
SECONDS_TO_FORGET = 900
SECONDS_IN_POOL = 60  # the networks of clouds drop connections that are idle for minutes
# The server's own settings may let values be cut or escapes be read differently.
SESSION = (
    "SET SESSION time_zone = '+00:00', "
    "sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    # Rows wait in the server while those before them are written to the lake.
    f"net_write_timeout = {SECONDS_TO_ANSWER}, "
    # What a client that vanished had locked is free again after that, not after eight hours.
    f"wait_timeout = {SECONDS_TO_FORGET}"
)


class ClearPassword:
    """Gives the password as it is, which only a server that is verified by TLS may ask for."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def authenticate(self, _request: Any) -> Any:
        """Answer the server; raises ``OperationalError`` for one that could be anybody."""
        connection = self._connection
        if not (connection._secure and connection.ctx.verify_mode is ssl.CERT_REQUIRED):  # noqa: SLF001
            raise pymysql.OperationalError(CLEAR_PASSWORD, "a password in clear")
        connection.write_packet(connection.password + b"\0")
        return connection._read_packet()  # noqa: SLF001


def connect_arguments(
    host: str, port: int, user: str, password: str, database: str, ssl_ca: str | None
) -> dict[str, Any]:
    """How PyMySQL connects: with TLS where the server offers it, verified where there is a CA."""
    arguments: dict[str, Any] = {
        "host": host,
        "port": port,
        "user": user,
        "password": password.encode(),
        "database": database,
        "charset": "utf8mb4",
        "init_command": SESSION,
        "connect_timeout": SECONDS_TO_CONNECT,
        "read_timeout": SECONDS_TO_CONNECT,
        "write_timeout": SECONDS_TO_CONNECT,
        "program_name": "storepipe",
        "auth_plugin_map": {b"mysql_clear_password": ClearPassword, b"dialog": ClearPassword},
    }
    if ssl_ca:
        arguments |= {"ssl_ca": ssl_ca, "ssl_verify_cert": True, "ssl_verify_identity": True}
    return arguments


@dataclass(eq=False, kw_only=True)
class MySqlDatabase(Database):
    """A database on a MySQL or MariaDB server."""

    host: str
    port: int = 3306
    user: str
    password: str = field(repr=False)
    database: str
    ssl_ca: str | None = None

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine; nobody is called yet."""
        arguments = connect_arguments(
            self.host, self.port, self.user, self.password, self.database, self.ssl_ca
        )
        return sa.create_engine(
            "mysql+pymysql://",
            creator=lambda: BulkConnection(SECONDS_TO_ANSWER, **arguments, local_infile=True),
            pool_recycle=SECONDS_IN_POOL,
            paramstyle="format",  # rows are plain tuples
            hide_parameters=True,
            # Writers of neighbouring days would lock the gap between their days otherwise.
            isolation_level="READ COMMITTED",
        )

    def _in_transaction(
        self, tables: Sequence[sa.Table], lock: str, work: Callable[[sa.Connection], Result]
    ) -> Result:
        """Try a transaction as a whole until it succeeds, or fails for good."""

        def transaction() -> Result:
            self._ensure_tables(self.engine, tables)
            with (
                self.engine.connect() as connection,
                self._locked(connection, lock),
                connection.begin(),
            ):
                return work(connection)

        with self._told(tables[0].name):
            return self._tried(transaction)

    def _upsert_statement(self, table: sa.Table, columns: Iterable[sa.Column[Any]]) -> sa.Insert:
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update(
            {column.name: insert.inserted[column.name] for column in columns}
        )

    def _insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
        """Insert by LOAD DATA LOCAL, or by INSERT where the server does not let us or balks.

        INSERT tells what is wrong with a row, which LOAD DATA LOCAL does not.
        """
        if connection.scalar(sa.text("SELECT @@local_infile")):
            savepoint = connection.begin_nested()
            if load(connection, table, rows):
                savepoint.commit()
                return
            savepoint.rollback()
        execute_many(connection, sa.insert(table), rows)

    def _rows(self, table: str, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        def work() -> Sequence[sa.Row[Any]]:
            with self.engine.connect() as connection:
                return connection.execute(query).all()

        with self._told(table):
            return self._tried(work)

    def _batches(
        self, table: str, schema: pa.Schema, order_by: Sequence[str], days: Days | None
    ) -> Iterator[pa.RecordBatch]:
        """Read by one query, which sees one state of the table.

        What a lost connection has read is of a state that no other sees, so the whole step has to
        start again.
        """
        columns = sa.select(*(sa.column(name) for name in schema.names))
        query = of_days(columns.select_from(sa.table(table)), days)
        query = query.order_by(*(sa.column(name) for name in order_by))
        with self._told(table):
            try:
                with self._read_connection() as connection:
                    yield from read(connection, query, schema)
            except (MalformedRowsError, pa.ArrowInvalid):
                raise DatabaseError(
                    f"A row of {table} is too big to be read, or holds something else than "
                    f"{', '.join(f'{field.name} {field.type}' for field in schema)}. "
                    "Look at the rows of that table."
                ) from None
            except (sa.exc.DBAPIError, pymysql.MySQLError) as error:
                if not is_passing(error):
                    raise
                raise dg.RetryRequested(STEP_TRIES, SECONDS_TO_RESTART) from self._error(error)

    @contextmanager
    def _read_connection(self) -> Iterator[sa.Connection]:
        """A connection that is given up if it was not read to the end."""
        with self.engine.connect() as connection:
            try:
                yield connection
            except BaseException:
                connection.invalidate()
                raise

    @contextmanager
    def _locked(self, connection: sa.Connection, name: str) -> Iterator[None]:
        """Hold one of the server's named locks, which go with the connection."""
        lock = "storepipe " + hashlib.sha256(f"{self.database} {name}".encode()).hexdigest()[:40]
        if not connection.scalar(sa.func.get_lock(lock, SECONDS_TO_LOCK)):
            raise DatabaseBusyError(
                f"Another run has been loading {name} for {SECONDS_TO_LOCK} s. "
                "Wait for it to end, or end it, and run again. "
                f"The server forgets a run that was lost after {SECONDS_TO_FORGET // 60} minutes."
            )
        connection.commit()
        try:
            yield
        finally:
            if not connection.invalidated:
                connection.scalar(sa.func.release_lock(lock))
                connection.commit()

    def _tried(self, work: Callable[[], Result]) -> Result:
        """Do it again when what went wrong passes: a deadlock, a lost connection, a restart."""
        return tenacity.Retrying(
            retry=tenacity.retry_if_exception(is_passing),
            stop=tenacity.stop_after_delay(SECONDS_TO_TRY),
            wait=tenacity.wait_exponential_jitter(multiplier=0.2, max=LONGEST_WAIT, jitter=0.2),
            before_sleep=self._tell,
            reraise=True,
        )(work)

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0
        if error:
            dg.get_dagster_logger().warning(f"{self._error(error)} Trying again in {wait:.1f} s.")

    @contextmanager
    def _told(self, table: str) -> Iterator[None]:
        """Turn what the driver and the network say into a ``DatabaseError``."""
        try:
            yield
        except (sa.exc.DBAPIError, pymysql.MySQLError, OSError, RuntimeError) as error:
            if not is_missing_table(error):
                raise self._error(error) from None
            raise NoTableError(table) from None

    def _error(self, error: BaseException) -> DatabaseError:
        kind = DatabaseBusyError if is_passing(error) else DatabaseError
        return kind(explain(error, self.host, self.port, self.user, self.database))
