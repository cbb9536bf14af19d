"""The relational database: transactions in, streams of Arrow batches out.

What every database here has in common; ``sqlite`` and ``mysql`` are the two there are. Tables and
columns are declared in ``layers.mysql``; this module knows only how to write rows to a table, how
to read one, and whether a table that is already there is the declared one. Each write is recorded
in the ledger that ``loads`` declares, in the same transaction.
"""

import re
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa

from storepipe_dagster.errors import PassingError, UserError
from storepipe_dagster.resources.loads import LOADS, NO_DAY, Load

Row = tuple[Any, ...]
Days = tuple[str, Sequence[str]]
Result = TypeVar("Result")


class DatabaseError(UserError):
    """The database cannot do what is asked of it; the message says why and what to do."""


class DatabaseBusyError(DatabaseError, PassingError):
    """The database is away, or others have what is needed, for longer than we try."""


class NoTableError(DatabaseError):
    """A table is read that is not there."""

    def __init__(self, table: str) -> None:
        super().__init__(
            f"{table} cannot be read from the database: it is not there. "
            "Materialise the assets under mysql/ first."
        )


@dataclass(eq=False, kw_only=True)
class Database(ABC):
    """What the layers ask of a database. Every failure is a ``DatabaseError``."""

    _known: set[str] = field(default_factory=set, init=False, repr=False)

    def upsert(self, table: sa.Table, rows: Sequence[Row], *, capture: str) -> int:
        """Insert rows, or update those whose primary key is there; returns the table's row count.

        Rows that are not given stay: nothing is deleted. Another run may have loaded a newer
        capture than this one meanwhile: then rows that are there keep what they have.
        """

        def work(connection: sa.Connection) -> int:
            before = self._load_of(connection, table) or Load("", 0)
            is_newest = before.capture <= capture
            columns = [c for c in table.columns if c.primary_key is not is_newest]
            execute_many(connection, self._upsert_statement(table, columns), rows)
            count = connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0
            load = Load(max(before.capture, capture), max(before.rows, count))
            self._record(connection, {(table.name, NO_DAY): load})
            return count

        return self._in_transaction([table, LOADS], table.name, work)

    def replace_day(
        self, day: str, column: str, rows: Mapping[sa.Table, Sequence[Row]], *, capture: str
    ) -> dict[sa.Table, int]:
        """Replace one day of several tables in one transaction; returns the rows it now has."""

        def work(connection: sa.Connection) -> dict[sa.Table, int]:
            counts = {}
            for table, new in rows.items():
                of_day = sa.literal_column(column) == day
                connection.execute(sa.delete(table).where(of_day))
                self._insert(connection, table, new)
                count = sa.select(sa.func.count()).select_from(table).where(of_day)
                counts[table] = connection.scalar(count) or 0
            loads = {(table.name, day): Load(capture, count) for table, count in counts.items()}
            self._record(connection, loads)
            return counts

        return self._in_transaction([*rows, LOADS], f"{min(t.name for t in rows)} {day}", work)

    def loads(self, table: str, days: Sequence[str] | None = None) -> dict[str | None, Load]:
        """What was loaded into a table by day, or under ``None`` where it has no days.

        Nothing where nothing ever was, not even the ledger; a look at it makes none.
        """
        query = sa.select(LOADS.c.day, LOADS.c.capture, LOADS.c.row_count)
        query = query.where(LOADS.c.table_name == table)
        if days:
            query = query.where(LOADS.c.day.between(min(days), max(days)))
        return {day or None: Load(capture, rows) for day, capture, rows in self._ledger(query)}

    def loaded_days(self) -> dict[str, set[str | None]]:
        """The days that were loaded into each table: ``{None}`` where a table has no days.

        A table into which nothing was loaded is not named.
        """
        found: dict[str, set[str | None]] = defaultdict(set)
        for table, day in self._ledger(sa.select(LOADS.c.table_name, LOADS.c.day)):
            found[table].add(day or None)
        return dict(found)

    def count(self, table: str) -> int:
        """The rows of a table."""
        query = sa.select(sa.func.count()).select_from(sa.table(table))
        return int(self._rows(table, query)[0][0])

    def count_by_day(self, table: str, days: Days) -> dict[str, int]:
        """The rows of each of some days of a table; days without rows are left out."""
        day: sa.ColumnClause[Any] = sa.column(days[0])
        query = sa.select(day, sa.func.count()).select_from(sa.table(table)).group_by(day)
        return {str(value): rows for value, rows in self._rows(table, of_days(query, days))}

    def read(
        self, table: str, schema: pa.Schema, order_by: Sequence[str], days: Days | None = None
    ) -> pa.RecordBatchReader:
        """Stream the schema's columns of a table, ordered; of some days only if asked for.

        ``order_by`` tells rows apart: no two have the same values there. ``days`` is the date
        column and the days in it. Memory is bounded by one batch.
        """
        return pa.RecordBatchReader.from_batches(
            schema, self._batches(table, schema, order_by, days)
        )

    @abstractmethod
    def _in_transaction(
        self, tables: Sequence[sa.Table], lock: str, work: Callable[[sa.Connection], Result]
    ) -> Result:
        """Do work on tables, created if absent, while nobody else does under the same lock."""

    @abstractmethod
    def _upsert_statement(self, table: sa.Table, columns: Iterable[sa.Column[Any]]) -> sa.Insert:
        """The statement that inserts one row, or updates these columns of it."""

    @abstractmethod
    def _insert(self, connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
        """Insert many rows."""

    @abstractmethod
    def _rows(self, table: str, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        """The few rows of a query about a table; raises ``NoTableError``."""

    @abstractmethod
    def _batches(
        self, table: str, schema: pa.Schema, order_by: Sequence[str], days: Days | None
    ) -> Iterator[pa.RecordBatch]:
        """The rows that ``read`` streams."""

    def _ledger(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        try:
            return self._rows(LOADS.name, query)
        except NoTableError:
            return []

    def _load_of(self, connection: sa.Connection, table: sa.Table) -> Load | None:
        """What was loaded last into a table without days."""
        query = sa.select(LOADS.c.capture, LOADS.c.row_count)
        of_table = query.where(LOADS.c.table_name == table.name, LOADS.c.day == NO_DAY)
        row = connection.execute(of_table).one_or_none()
        return Load(row.capture, row.row_count) if row else None

    def _record(self, connection: sa.Connection, loads: Mapping[tuple[str, str], Load]) -> None:
        """Write to the ledger what was loaded, by table and day."""
        now = datetime.now(timezone.utc).replace(tzinfo=None).isoformat(" ", "microseconds")
        columns = [column for column in LOADS.columns if not column.primary_key]
        rows = [(*key, load.capture, load.rows, now) for key, load in loads.items()]
        execute_many(connection, self._upsert_statement(LOADS, columns), rows)

    def _ensure_tables(self, engine: sa.Engine, tables: Sequence[sa.Table]) -> None:
        """Create what is absent; refuse what is there and differs from its declaration."""
        for table in tables:
            if table.name in self._known:
                continue
            inspector = sa.inspect(engine)
            if not inspector.has_table(table.name):
                with engine.begin() as connection:
                    connection.execute(sa.schema.CreateTable(table, if_not_exists=True))
                inspector = sa.inspect(engine)
            if differing := differences(inspector, table):
                raise DatabaseError(
                    f"The database holds a table {table.name} that is not ours: "
                    f"{'; '.join(differing)}. It was not touched. Use another database, or rename "
                    "that table; if it is of an earlier version of storepipe, alter it to match."
                )
            self._known.add(table.name)


def of_days(query: sa.Select[Any], days: Days | None) -> sa.Select[Any]:
    """Narrow a query to the closed range of some days."""
    if days is None:
        return query
    column, asked = days
    return query.where(sa.column(column).between(min(asked), max(asked)))


def execute_many(connection: sa.Connection, statement: sa.Insert, rows: Sequence[Row]) -> None:
    """Let the driver insert plain tuples: SQLAlchemy's own handling of each value is far slower."""
    if rows:
        connection.exec_driver_sql(str(statement.compile(dialect=connection.dialect)), list(rows))


def differences(inspector: sa.Inspector, table: sa.Table) -> list[str]:
    """In what a table that is there differs from its declaration, in words; nothing if it does not.

    Columns count by name and in the order of the primary key, with type and nullability; of MySQL
    also engine and character set.
    """
    dialect = inspector.dialect
    declared = {c.name: _kind(c.type, bool(c.nullable), dialect) for c in table.columns}
    found = {
        c["name"]: _kind(c["type"], c["nullable"], dialect)
        for c in inspector.get_columns(table.name)
    }
    told = [f"it lacks {name}" for name in declared if name not in found]
    told += [f"it has {name} besides" for name in found if name not in declared]
    told += [
        f"{name} is {found[name]}, not {kind}"
        for name, kind in declared.items()
        if found.get(name, kind) != kind
    ]
    key = [column.name for column in table.primary_key]
    if (primary := inspector.get_pk_constraint(table.name)["constrained_columns"]) != key:
        told.append(f"its primary key is ({', '.join(primary)}), not ({', '.join(key)})")
    options = inspector.get_table_options(table.name)
    for name, known_as in (("engine", "mysql_engine"), ("charset", "mysql_default charset")):
        wanted = table.dialect_options["mysql"].get(name)
        if known_as in options and options[known_as] != wanted:
            told.append(f"its {name} is {options[known_as]}, not {wanted}")
    return told


def _kind(data_type: sa.types.TypeEngine[Any], nullable: bool, dialect: sa.Dialect) -> str:
    text = data_type.compile(dialect)
    text = re.sub(r" COLLATE \S+", "", text)  # how text is sorted is the server's affair
    text = re.sub(r"INT(EGER)?\(\d+\)", r"INT\1", text)  # how wide numbers are shown as well
    return text if nullable else f"{text} NOT NULL"
