"""The database of a laptop: one SQLite file."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
import tenacity
from sqlalchemy.dialects import sqlite

from storepipe_dagster import local_disks
from storepipe_dagster.errors import PassingError
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

ROWS_PER_BATCH = 64 * 1024
SECONDS_TO_WAIT = 60


@dataclass(eq=False, kw_only=True)
class SqliteDatabase(Database):
    """A SQLite file, made with its folder when first written to."""

    path: str

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine; the file's folder is made."""
        Path(self.path).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(
            f"sqlite:///{self.path}",
            hide_parameters=True,
            # The last connection to close writes SQLite's log back: one file is the whole database.
            poolclass=sa.NullPool,
        )
        sa.event.listen(engine, "connect", _prepare)
        return engine

    def _in_transaction(
        self, tables: Sequence[sa.Table], _lock: str, work: Callable[[sa.Connection], Result]
    ) -> Result:
        """SQLite itself lets one writer at a time into the file; the others wait."""
        with self._explained():
            self._ensure_tables(self.engine, tables)
            with self.engine.begin() as connection:
                # Python's driver would begin at the first change, behind what is read before it.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
                return work(connection)

    def _upsert_statement(self, table: sa.Table, columns: Iterable[sa.Column[Any]]) -> sa.Insert:
        insert = sqlite.insert(table)
        return insert.on_conflict_do_update(
            index_elements=table.primary_key.columns,
            set_={column.name: insert.excluded[column.name] for column in columns},
        )

    def _insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
        execute_many(connection, sa.insert(table), rows)

    def _rows(self, table: str, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        with self._reading(table, query) as result:
            return result.all()

    def _batches(
        self, table: str, schema: pa.Schema, order_by: Sequence[str], days: Days | None
    ) -> Iterator[pa.RecordBatch]:
        query = sa.select(*(sa.column(name) for name in schema.names)).select_from(sa.table(table))
        query = of_days(query, days).order_by(*(sa.column(name) for name in order_by))
        with self._reading(table, query) as result:
            while rows := result.fetchmany(ROWS_PER_BATCH):
                columns = zip(*rows, strict=True)
                yield pa.RecordBatch.from_arrays(
                    [_array(values, field) for values, field in zip(columns, schema, strict=True)],
                    schema=schema,
                )

    @contextmanager
    def _reading(self, table: str, query: sa.Select[Any]) -> Iterator[sa.CursorResult[Any]]:
        if not Path(self.path).exists():
            raise NoTableError(table)  # to connect would make a file
        with (
            self._explained(),
            self.engine.connect().execution_options(stream_results=True) as connection,
        ):
            try:
                result = connection.execute(query)
            except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
                if local_disks.explained(error, [Path(self.path)]):
                    raise
                if not sa.inspect(connection).has_table(table):
                    raise NoTableError(table) from None
                raise DatabaseError(
                    f"{table} cannot be read from the database: {error.orig}. "
                    "Materialise the assets under mysql/ first."
                ) from None
            yield result

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors into what is the matter with the disk, or else SQLite's own words.

        These show no values.
        """
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error, OSError) as error:
            problem = local_disks.explained(error, [Path(self.path)])
            if problem is None:
                raise DatabaseError(
                    f"The database refuses: {getattr(error, 'orig', error)}."
                ) from None
            kind = DatabaseBusyError if isinstance(problem, PassingError) else DatabaseError
            raise kind(str(problem)) from None


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """A column in its declared type; SQLite gives text for money, dates and times."""
    first = next((value for value in values if value is not None), None)
    if not isinstance(first, str) or pa.types.is_string(field.type):
        return pa.array(values, field.type)
    if pa.types.is_timestamp(field.type):
        naive = pa.array(values, pa.string()).cast(pa.timestamp(field.type.unit))
        return naive.cast(field.type)
    return pa.array(values, pa.string()).cast(field.type)


def _is_locked(error: BaseException) -> bool:
    return local_disks.condition_of(error) is local_disks.Condition.LOCKED


# Of several processes that switch a new file to WAL at once, SQLite turns some away unwaited.
@tenacity.retry(
    retry=tenacity.retry_if_exception(_is_locked),
    stop=tenacity.stop_after_delay(SECONDS_TO_WAIT),
    wait=tenacity.wait_random(0, 0.1),
    reraise=True,
)
def _prepare(connection: Any, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={SECONDS_TO_WAIT * 1000}")
    connection.execute("PRAGMA journal_mode=WAL")
    # What was committed stays, whatever happens to the power: the lake goes on from it.
    connection.execute("PRAGMA synchronous=FULL")
