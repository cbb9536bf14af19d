"""DuckDB over the lake: schemas raw_relational, trusted and refined, one view per table.

Reads only; nothing of the pipeline's data is computed here. Asset checks and ``storepipe sql``
ask their questions through it.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote

import dagster as dg
import deltalake
import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from deltalake.fs import DeltaStorageHandler
from pyarrow.fs import PyFileSystem

from storepipe_dagster.history.tables import (
    NoSuchVersionError,
    UnreadableTableError,
    expect_version,
    folders,
    open_table,
    version_at,
    versions_of,
)
from storepipe_dagster.io_managers.delta_days import files_of
from storepipe_dagster.io_managers.lake import PARQUET_FILE, Lake, persistent

SCHEMAS = {
    "raw_relational": dg.AssetKey(["raw", "relational"]),
    "trusted": dg.AssetKey("trusted"),
    "refined": dg.AssetKey("refined"),
}
EXAMPLES = 10
MEMORY_OF_CHECKS = "1GB"  # what a check groups beyond it goes by way of the disk
OF_OURS = {"breaking", "told"}
NO_TABLE = re.compile(r"Catalog Error: Table with name (.+) does not exist!")


class LakeSql(dg.ConfigurableResource[Any]):
    """SQL on what the lake holds now."""

    lake: dg.ResourceDependency[Lake]

    @contextmanager
    def connect(
        self,
        as_of: datetime | None = None,
        versions: Mapping[dg.AssetKey, int] | None = None,
        *,
        skip_damaged: bool = False,
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with one view per table that exists.

        As of a time, it shows the Delta tables that were there then as they were, and no extracts,
        which have no history; ``versions`` names versions of single tables. Raises
        ``NoSuchVersionError`` for a version that is named and not there. A table that cannot be
        read as of the time has no view, and only a query that needs it raises that error; with
        ``skip_damaged`` also one whose file is damaged, which is an error at once otherwise.
        """
        lost: dict[str, NoSuchVersionError | UnreadableTableError] = {}
        with (
            self.lake.explained(),
            TemporaryDirectory(prefix="storepipe-sql-") as folder,
            duckdb.connect(":memory:") as connection,
        ):
            connection.execute(f"SET temp_directory = {_quoted(folder)}")
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET python_enable_replacements = false")  # no variable is a table
            for schema, key in SCHEMAS.items():
                connection.execute(f"CREATE SCHEMA {schema}")
                for table in folders(self.lake, *key.path):
                    named = dg.AssetKey([*key.path, table])
                    at = (versions or {}).get(named, as_of)
                    try:
                        self._create_view(connection, schema, named, at)
                    except NoSuchVersionError as error:
                        if isinstance(at, int):
                            raise
                        lost[table] = error
                    except UnreadableTableError as error:
                        if not skip_damaged:
                            raise
                        lost[table] = error
            try:
                yield connection
            except duckdb.CatalogException as error:
                found = NO_TABLE.match(str(error))
                if found and found[1].lower() in lost:
                    raise lost[found[1].lower()] from error
                raise

    def _create_view(
        self,
        connection: duckdb.DuckDBPyConnection,
        schema: str,
        key: dg.AssetKey,
        at: datetime | int | None,
    ) -> None:
        """The view of a table, if there is one; raises ``UnreadableTableError``."""
        name = f'{schema}."{key.path[-1]}"'
        try:
            if schema != "raw_relational":
                rows = self._delta(connection, key, at)
            else:
                rows = None if at is not None else self._extracts(connection, key)
            if rows:
                connection.execute(f"CREATE VIEW {name} AS {rows}")
        except (duckdb.Error, pa.ArrowInvalid) as error:
            raise UnreadableTableError(
                f"{schema}.{key.path[-1]} cannot be read: {str(error).splitlines()[0]}. "
                "Make it again: storepipe run --from DATE --to DATE "
                f"--select 'key:\"{key.to_user_string()}\"+'"
            ) from None

    def _extracts(self, connection: duckdb.DuckDBPyConnection, key: dg.AssetKey) -> str | None:
        """The query that a view on a table's extracts stands for; none if there are none."""
        path = self.lake.path(key)
        files = [file for file in self.lake.all_in(path) if file.endswith(f"/{PARQUET_FILE}")]
        if not files:
            return None
        if not self.lake.storage_options:
            return f"FROM read_parquet({_listed(files)}, hive_partitioning = true)"
        folder = PyFileSystem(DeltaStorageHandler(path, self.lake.storage_options))
        inside = [file.removeprefix(f"{path}/") for file in files]
        return _registered(connection, path, ds.dataset(inside, filesystem=folder))

    @persistent
    def _delta(
        self, connection: duckdb.DuckDBPyConnection, key: dg.AssetKey, at: datetime | int | None
    ) -> str | None:
        """The query that a view on a Delta table stands for: at a version, a time, or now."""
        path, options = self.lake.path(key), self.lake.storage_options
        if not deltalake.DeltaTable.is_deltatable(path, storage_options=options):
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
        # Days without rows have a file each, which need not be opened.
        names = [unquote(file["path"]) for file in files_of(table) if file["num_records"] != 0]
        # DuckDB itself reads the files of a folder, and does so quicker than by way of Arrow.
        if options or not names:
            return _registered(connection, path, _dataset(table, names))
        files = [f"{path}/{name}" for name in names]
        columns = ", ".join(f'"{field.name}"' for field in table.schema().fields)
        hive = "true" if table.metadata().partition_columns else "false"
        return f"SELECT {columns} FROM read_parquet({_listed(files)}, hive_partitioning = {hive})"


def _dataset(table: deltalake.DeltaTable, names: Collection[str]) -> ds.Dataset:
    """Some files of a table, by way of Arrow."""
    every = table.to_pyarrow_dataset()
    wanted = {*names}
    fragments = [each for each in every.get_fragments() if unquote(each.path) in wanted]
    return ds.FileSystemDataset(fragments, every.schema, every.format, every.filesystem)


def _registered(connection: duckdb.DuckDBPyConnection, path: str, rows: ds.Dataset) -> str:
    connection.register(f"files of {path}", rows)
    return f'FROM "files of {path}"'


def _listed(files: Sequence[str]) -> str:
    return f"[{', '.join(_quoted(file) for file in files)}]"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def day_bounds(days: Sequence[str]) -> dict[str, date]:
    """Parameters for a condition on the closed range of some days."""
    return {"first": date.fromisoformat(min(days)), "last": date.fromisoformat(max(days))}


def no_rows(
    lake: duckdb.DuckDBPyConnection,
    rule: tuple[dg.AssetKey, str],
    query: str,
    parameters: dict[str, Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Check that a query finds no row that breaks its rule; show some if it does.

    A query's column ``told`` says in words what is wrong with a row.
    Where a table that the rule compares with was never made, the result is a warning; where the
    rule's own was not, the rule is broken. Any other error of the query is raised.
    """
    counted = f"SELECT *, count(*) OVER () AS breaking FROM ({query}) LIMIT {EXAMPLES}"
    lake.execute(f"SET memory_limit = '{MEMORY_OF_CHECKS}'")
    try:
        rows = lake.sql(counted, params=parameters).to_arrow_table().to_pylist()
    except duckdb.CatalogException as error:
        lacking = _never_made(error, query)
        if not lacking:
            raise
        return dg.AssetCheckResult(
            asset_key=rule[0],
            check_name=rule[1],
            passed=False,
            severity=severity if rule[0] in lacking else dg.AssetCheckSeverity.WARN,
            description=f"Not judged, for lack of a table: {str(error).splitlines()[0]}",
        )
    breaking = rows[0].pop("breaking") if rows else 0
    return dg.AssetCheckResult(
        asset_key=rule[0],
        check_name=rule[1],
        passed=not rows,
        severity=severity,
        description=_told(rows, breaking),
        metadata={
            "breaking": breaking,
            "examples": dg.MetadataValue.json(
                [
                    {name: str(value) for name, value in row.items() if name not in OF_OURS}
                    for row in rows
                ]
            ),
        },
    )


def _never_made(error: duckdb.CatalogException, query: str) -> list[dg.AssetKey]:
    """The tables of the lake, as a query names them, that an error says are not there."""
    found = NO_TABLE.match(str(error))
    name = found[1] if found else ""
    return [
        dg.AssetKey([*key.path, name])
        for schema, key in SCHEMAS.items()
        if name and re.search(rf"\b{schema}\.{re.escape(name)}\b", query)
    ]


def _told(rows: Sequence[Mapping[str, Any]], breaking: int) -> str:
    if not rows:
        return "No row breaks the rule."
    if "told" not in rows[0]:
        return "1 row breaks the rule." if breaking == 1 else f"{breaking} rows break the rule."
    more = [f"and {breaking - len(rows)} more"] if breaking > len(rows) else []
    return "; ".join([*(row["told"] for row in rows), *more])
