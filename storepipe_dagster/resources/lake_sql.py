"""DuckDB over the lake: schemas raw_relational, trusted and refined, one view per table.

Reads only; nothing of the pipeline's data is computed here. Asset checks and ``storepipe sql``
ask their questions through it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

import dagster as dg
import deltalake
import duckdb
import pyarrow as pa

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.lake import PARQUET_FILE, Lake

SCHEMAS = {
    "raw_relational": dg.AssetKey(["raw", "relational"]),
    "trusted": dg.AssetKey("trusted"),
    "refined": dg.AssetKey("refined"),
}
EXAMPLES = 10
DELETION_VECTORS = "deletionVectors"


class UnreadableTableError(UserError):
    """A table uses a Delta feature that its data files alone do not show."""


class LakeSql(dg.ConfigurableResource[Any]):
    """SQL on what the lake holds now."""

    lake: dg.ResourceDependency[Lake]

    @contextmanager
    def connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB connection with one view per table that exists."""
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            if self.lake.storage_options:
                connection.register_filesystem(self.lake.files)
            for schema, key in SCHEMAS.items():
                connection.execute(f"CREATE SCHEMA {schema}")
                for table in self._tables(key):
                    rows = self._rows(connection, schema, dg.AssetKey([*key.path, table]))
                    if rows:
                        connection.execute(f'CREATE VIEW {schema}."{table}" AS {rows}')
            yield connection

    def _tables(self, key: dg.AssetKey) -> list[str]:
        folder = self.lake.path(key)
        if not self.lake.files.exists(folder):
            return []
        return sorted(path.rsplit("/", 1)[-1] for path in self.lake.files.ls(folder, detail=False))

    def _rows(
        self, connection: duckdb.DuckDBPyConnection, schema: str, key: dg.AssetKey
    ) -> str | None:
        """The query that a table's view stands for; none if there is no table."""
        path = self.lake.path(key)
        if schema != "raw_relational":
            options = self.lake.storage_options
            if not deltalake.DeltaTable.is_deltatable(path, storage_options=options):
                return None
            table = deltalake.DeltaTable(path, storage_options=options)
            return _delta(connection, "_".join(key.path), table)
        for pattern in (f"{path}/{PARQUET_FILE}", f"{path}/*/{PARQUET_FILE}"):
            if self.lake.files.glob(pattern):
                return f"FROM read_parquet({_quoted(pattern)}, hive_partitioning = true)"
        return None


def _delta(connection: duckdb.DuckDBPyConnection, name: str, table: deltalake.DeltaTable) -> str:
    """The data files of a Delta table's newest version; without files, its columns without rows."""
    if DELETION_VECTORS in (table.protocol().reader_features or ()):
        raise UnreadableTableError(
            f"{table.table_uri} uses deletion vectors, which DuckDB would not see here. "
            "Rewrite it without: ALTER TABLE ... SET TBLPROPERTIES "
            "(delta.enableDeletionVectors=false), then REORG TABLE ... APPLY (PURGE)."
        )
    schema = pa.schema(table.schema().to_arrow())
    files = [file.removeprefix("file://") for file in table.file_uris()]
    if not files:
        connection.register(f"no_{name}", schema.empty_table())
        return f"FROM no_{name}"
    columns = ", ".join(f'"{column}"' for column in schema.names)
    listed = ", ".join(_quoted(file) for file in files)
    hive = "true" if table.metadata().partition_columns else "false"
    return f"SELECT {columns} FROM read_parquet([{listed}], hive_partitioning = {hive})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def day_bounds(days: list[str]) -> dict[str, date]:
    """Parameters for a condition on the closed range of some days."""
    return {"first": date.fromisoformat(min(days)), "last": date.fromisoformat(max(days))}


def no_rows(
    lake: duckdb.DuckDBPyConnection,
    rule: tuple[dg.AssetKey, str],
    query: str,
    parameters: dict[str, Any] | None = None,
) -> dg.AssetCheckResult:
    """Check that a query finds no row that breaks its rule; show some if it does.

    Where a table that the rule compares with was never made, the result is a warning.
    """
    counted = f"SELECT *, count(*) OVER () AS breaking FROM ({query}) LIMIT {EXAMPLES}"
    try:
        rows = lake.sql(counted, params=parameters).to_arrow_table().to_pylist()
    except duckdb.CatalogException as error:
        return dg.AssetCheckResult(
            asset_key=rule[0],
            check_name=rule[1],
            passed=False,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Not judged, for lack of a table: {str(error).splitlines()[0]}",
        )
    breaking = rows[0].pop("breaking") if rows else 0
    return dg.AssetCheckResult(
        asset_key=rule[0],
        check_name=rule[1],
        passed=not rows,
        description=f"{breaking} rows break the rule." if rows else None,
        metadata={
            "breaking": breaking,
            "examples": dg.MetadataValue.json(
                [
                    {name: str(value) for name, value in row.items() if name != "breaking"}
                    for row in rows
                ]
            ),
        },
    )
