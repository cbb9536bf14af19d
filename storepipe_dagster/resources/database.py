"""The relational database: transactions in, streams of Arrow batches out.

The same code for SQLite and MySQL. Tables and columns are declared in ``layers.mysql``; this module
knows only how to write rows to a table and how to read one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow as pa
import sqlalchemy as sa
from pydantic import PrivateAttr
from sqlalchemy.dialects import mysql, sqlite

from storepipe_dagster.errors import UserError

Row = tuple[Any, ...]
ROWS_PER_BATCH = 64 * 1024


class DatabaseError(UserError):
    """The database does not hold what is expected of it; the message names the table."""


class Database(dg.ConfigurableResource[Any]):
    """A database at a SQLAlchemy URL."""

    url: str
    _known: set[str] = PrivateAttr(default_factory=set)

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine; its folder is made for a SQLite file."""
        url = sa.make_url(self.url)
        if url.get_backend_name() == "sqlite" and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        engine = sa.create_engine(url, hide_parameters=True)
        if url.get_backend_name() == "sqlite":
            sa.event.listen(engine, "connect", _prepare_sqlite)
        return engine

    def upsert(self, table: sa.Table, rows: Sequence[Row]) -> int:
        """Insert rows, or update those whose primary key is there; returns the table's row count.

        Rows that are not given stay: nothing is deleted.
        """
        with self._transaction(table) as connection:
            _execute_many(connection, _upsert(table, connection.dialect), rows)
            return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0

    def replace_day(
        self, day: str, column: str, rows: Mapping[sa.Table, Sequence[Row]]
    ) -> dict[sa.Table, int]:
        """Replace one day of several tables in one transaction; returns the rows it now has."""
        with self._transaction(*rows) as connection:
            counts = {}
            for table, new in rows.items():
                of_day = sa.literal_column(column) == day
                connection.execute(sa.delete(table).where(of_day))
                _execute_many(connection, sa.insert(table), new)
                count = sa.select(sa.func.count()).select_from(table).where(of_day)
                counts[table] = connection.scalar(count) or 0
            return counts

    def count(self, table: str, days: tuple[str, Sequence[str]] | None = None) -> int:
        """The rows of a table, or of some days of it."""
        query = sa.select(sa.func.count()).select_from(sa.table(table))
        with self._reading(_of_days(query, days)) as result:
            return result.scalar() or 0

    def read(
        self,
        table: str,
        schema: pa.Schema,
        order_by: Sequence[str],
        days: tuple[str, Sequence[str]] | None = None,
    ) -> pa.RecordBatchReader:
        """Stream the schema's columns of a table, ordered; of some days only if asked for.

        ``days`` is the date column and the days in it. Memory is bounded by one batch.
        """
        query = sa.select(*(sa.column(name) for name in schema.names)).select_from(sa.table(table))
        query = _of_days(query, days).order_by(*(sa.column(name) for name in order_by))
        return pa.RecordBatchReader.from_batches(schema, self._batches(query, schema))

    def _batches(self, query: sa.Select[Any], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self._reading(query) as result:
            while rows := result.fetchmany(ROWS_PER_BATCH):
                columns = zip(*rows, strict=True)
                yield pa.RecordBatch.from_arrays(
                    [_array(values, field) for values, field in zip(columns, schema, strict=True)],
                    schema=schema,
                )

    @contextmanager
    def _reading(self, query: sa.Select[Any]) -> Iterator[sa.CursorResult[Any]]:
        with self.engine.connect().execution_options(stream_results=True) as connection:
            try:
                result = connection.execute(query)
            except (sa.exc.OperationalError, sa.exc.ProgrammingError) as error:
                raise DatabaseError(
                    f"{query.get_final_froms()[0]} cannot be read from the database: {error.orig}. "
                    "Materialise the assets under mysql/ first."
                ) from None
            yield result

    def _transaction(self, *tables: sa.Table) -> AbstractContextManager[sa.Connection]:
        if absent := [table for table in tables if table.name not in self._known]:
            with self.engine.begin() as connection:
                for table in absent:
                    connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
            self._known.update(table.name for table in absent)
        return self.engine.begin()


def _of_days(query: sa.Select[Any], days: tuple[str, Sequence[str]] | None) -> sa.Select[Any]:
    if days is None:
        return query
    column, asked = days
    return query.where(sa.column(column).between(min(asked), max(asked)))


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    """A column in its declared type; SQLite gives text for money, dates and times."""
    first = next((value for value in values if value is not None), None)
    if not isinstance(first, str) or pa.types.is_string(field.type):
        return pa.array(values, field.type)
    if pa.types.is_timestamp(field.type):
        naive = pa.array(values, pa.string()).cast(pa.timestamp(field.type.unit))
        return naive.cast(field.type)
    return pa.array(values, pa.string()).cast(field.type)


def _upsert(table: sa.Table, dialect: sa.Dialect) -> sa.Insert:
    if dialect.name == "mysql":
        insert = mysql.insert(table)
        return insert.on_duplicate_key_update(
            {c.name: insert.inserted[c.name] for c in table.columns if not c.primary_key}
        )
    insert_or_update = sqlite.insert(table)
    return insert_or_update.on_conflict_do_update(
        index_elements=table.primary_key.columns,
        set_={
            c.name: insert_or_update.excluded[c.name] for c in table.columns if not c.primary_key
        },
    )


def _execute_many(connection: sa.Connection, statement: sa.Insert, rows: Sequence[Row]) -> None:
    """Let the driver insert plain tuples: SQLAlchemy's own handling of each value is far slower."""
    if rows:
        connection.exec_driver_sql(str(statement.compile(dialect=connection.dialect)), list(rows))


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA busy_timeout=60000")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
