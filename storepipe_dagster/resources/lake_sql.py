"""DuckDB over the lake: schemas raw_relational, trusted and refined, one view per table.

Reads only; nothing of the pipeline's data is computed here. Asset checks and ``storepipe sql``
ask their questions through it. No Dagster here: what checks make of the answers is in
``rule_checks``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote

import duckdb

from storepipe_dagster.errors import UserError
from storepipe_dagster.history.tables import (
    NoSuchVersionError,
    UnreadableTableError,
    expect_version,
    folders,
    open_table,
    version_at,
    versions_of,
)
from storepipe_dagster.io_managers.copies import Copies, copies
from storepipe_dagster.io_managers.delta_log import files_of, is_delta, without_rows
from storepipe_dagster.io_managers.lake import PARQUET_FILE, Lake, TableKey, persistent

SCHEMAS = {
    "raw_relational": TableKey(("raw", "relational")),
    "trusted": TableKey(("trusted",)),
    "refined": TableKey(("refined",)),
}
# What reads, and what a PIVOT makes for itself in memory.
READING = {duckdb.StatementType.SELECT, duckdb.StatementType.CREATE, duckdb.StatementType.EXPLAIN}
WRITES_FILES = re.compile(r"\b(copy|export)\b", re.IGNORECASE)
NO_TABLE = re.compile(r"Catalog Error: Table with name (.+) does not exist!")
PARAMETER = re.compile(r"\$[a-z_]\w*")
TABLE = re.compile(rf"\b({'|'.join(SCHEMAS)})\.\"?(\w+)", re.IGNORECASE)
ALIAS = re.compile(r' AS ("[^"]*"|\w+)$')  # which DuckDB gives together with the name
# Functions and statements that look at all tables, or at one that is not named with its schema.
OF_THE_CATALOG = re.compile(
    r"\b(duckdb_\w+|information_schema|pragma\w*|show|describe|use)\b", re.IGNORECASE
)
Table = tuple[str, str]  # schema and name


class NotReadingError(UserError):
    """A query does more than to read tables of the lake."""


@dataclass(frozen=True)
class LakeSql:
    """SQL on what the lake holds now."""

    lake: Lake

    @contextmanager
    def connect(
        self,
        as_of: datetime | None = None,
        versions: Mapping[TableKey, int] | None = None,
        *,
        queries: Sequence[str] | None = None,
        skip_damaged: bool = False,
        sealed: bool = False,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with one view per table that exists, or that ``queries`` name.

        As of a time, it shows the Delta tables that were there then as they were, and no extracts,
        which have no history; ``versions`` names versions of single tables. Raises
        ``NoSuchVersionError`` for a version that is named and not there. A table that cannot be
        read as of the time has no view, and only a query that needs it raises that error; with
        ``skip_damaged`` also one whose file is damaged, which is an error at once otherwise.
        A connection that is ``sealed`` reads files in the folders of the tables, and no others.
        """
        lost: dict[str, NoSuchVersionError | UnreadableTableError] = {}
        at_versions = {tuple(key.path): number for key, number in (versions or {}).items()}
        with (
            self.lake.explained(),
            copies() as made,
            duckdb.connect(":memory:") as connection,
            _parser(connection, sealed=sealed) as parser,
        ):
            connection.execute(f"SET temp_directory = {_quoted(made.folder)}")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET python_enable_replacements = false")  # no variable is a table
            for schema in SCHEMAS:
                connection.execute(f"CREATE SCHEMA {schema}")
            for schema, table in self._tables(parser, queries):
                path = (*SCHEMAS[schema].path, table)
                at = at_versions.get(path, as_of)
                try:
                    self._create_view(connection, made, schema, TableKey(path), at)
                except NoSuchVersionError as error:
                    if isinstance(at, int):
                        raise
                    lost[table] = error
                except UnreadableTableError as error:
                    if not skip_damaged:
                        raise
                    lost[table] = error
            if sealed:
                self._seal(connection)
            try:
                yield connection
            except duckdb.CatalogException as error:
                found = NO_TABLE.match(str(error))
                if found and found[1].lower() in lost:
                    raise lost[found[1].lower()] from error
                raise

    def _seal(self, connection: duckdb.DuckDBPyConnection) -> None:
        tables = ", ".join(_quoted(self.lake.path(key)) for key in SCHEMAS.values())
        connection.execute(f"SET allowed_directories = [{tables}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")

    def _tables(
        self, parser: duckdb.DuckDBPyConnection, queries: Sequence[str] | None
    ) -> list[Table]:
        """The tables that the queries name; all where that is not known, or one is not there."""
        named = None if queries is None else named_tables(parser, queries)
        of = SCHEMAS if named is None else {schema for schema, _ in named}
        there = [
            (schema, table)
            for schema, key in SCHEMAS.items()
            if schema in of
            for table in folders(self.lake, *key.path)
        ]
        if named is None:
            return there
        wanted = [(schema, table) for schema, table in there if (schema, table.lower()) in named]
        return wanted if len(wanted) == len(named) else self._tables(parser, None)

    def _create_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        made: Copies,
        schema: str,
        key: TableKey,
        at: datetime | int | None,
    ) -> None:
        """The view of a table, if there is one; raises ``UnreadableTableError``."""
        try:
            if schema != "raw_relational":
                rows = self._delta(connection, made, key, at)
            else:
                rows = None if at is not None else self._extracts(connection, made, key)
            if rows:
                connection.execute(f'CREATE VIEW {schema}."{key.path[-1]}" AS {rows}')
        except (duckdb.Error, ValueError) as error:
            raise UnreadableTableError(
                f"{schema}.{key.path[-1]} cannot be read: {str(error).splitlines()[0]}. "
                "Make it again: storepipe run --from DATE --to DATE "
                f"--select 'key:\"{'/'.join(key.path)}\"+'"
            ) from None

    def _extracts(
        self, connection: duckdb.DuckDBPyConnection, made: Copies, key: TableKey
    ) -> str | None:
        """The query that a view on a table's extracts stands for; none if there are none."""
        path = self.lake.path(key)
        files = {
            file: size
            for file, size in self.lake.sizes_in(path).items()
            if file.endswith(f"/{PARQUET_FILE}")
        }
        return self.lake.parquet_in_sql(connection, path, files, made) if files else None

    @persistent
    def _delta(
        self,
        connection: duckdb.DuckDBPyConnection,
        made: Copies,
        key: TableKey,
        at: datetime | int | None,
    ) -> str | None:
        """The query that a view on a Delta table stands for: at a version, a time, or now."""
        if not is_delta(self.lake, self.lake.path(key)):
            return None
        version = at if isinstance(at, int) else None
        if at is not None:
            versions = versions_of(self.lake, key)
            if isinstance(at, int):
                expect_version(key, versions, at)
            elif (then := version_at(key, versions, at)) is None:
                return None
            else:
                version = then.number
        table = open_table(self.lake, key, version)
        files = files_of(table)
        # Days without rows have a file each, which need not be opened.
        with_rows = [file for file in files if file["num_records"] != 0]
        sizes = {unquote(file["path"]): file["size_bytes"] for file in with_rows or files}
        if not sizes:
            name = f"no files of {table.table_uri}"
            connection.register(name, without_rows(table))
            return f'FROM "{name}"'
        return self.lake.delta_in_sql(connection, table, sizes, made)


def expect_reading(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Raise ``NotReadingError`` for a query that could write files, or load code; or is empty."""
    statements = connection.extract_statements(query)
    if not statements:
        raise NotReadingError("The query is empty. Example: FROM refined.sales_by_day")
    for statement in statements:
        explains = statement.type == duckdb.StatementType.EXPLAIN  # and may do what it explains
        if statement.type not in READING or (explains and WRITES_FILES.search(query)):
            raise NotReadingError(
                f"{statement.type.name} is refused: `storepipe sql` reads tables of the lake and "
                "does nothing else. In your own shell, --unsafe lets it do all that DuckDB can."
            )


def named_tables(parser: duckdb.DuckDBPyConnection, queries: Sequence[str]) -> set[Table] | None:
    """The tables of the lake that some queries name, in small letters; nothing if that is unknown.

    It is where a query looks at the catalog, names a table without its schema, or cannot be read.
    """
    found: set[Table] = set()
    for query in queries:
        if OF_THE_CATALOG.search(query):
            return None
        try:
            names = [
                tuple(part.strip('"').lower() for part in ALIAS.sub("", name).split(".")[-2:])
                for statement in parser.extract_statements(PARAMETER.sub("NULL", query))
                for name in parser.get_table_names(statement.query, qualified=True)
            ]
        except duckdb.BinderException:  # of JOIN ... USING, for lack of the tables
            names = [(table[1].lower(), table[2].lower()) for table in TABLE.finditer(query)]
        except duckdb.Error:
            return None
        found |= {(name[0], name[-1]) for name in names}
    return found if {schema for schema, _ in found} <= {*SCHEMAS} else None


def _parser(connection: duckdb.DuckDBPyConnection, *, sealed: bool) -> duckdb.DuckDBPyConnection:
    """What looks for the names in a query: it opens its files, and makes the folder of EXPORT."""
    if not sealed:
        return connection.cursor()
    return duckdb.connect(":memory:", config={"enable_external_access": False})


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
