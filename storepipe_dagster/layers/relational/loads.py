"""What the loads have recorded, before an extract reads: what was never loaded is not empty."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.lake import PARQUET_FILE, Lake, MissingUpstreamError
from storepipe_dagster.resources.database import Database


class NeverLoadedError(MissingUpstreamError):
    """A table or a day is extracted that was never loaded, or whose load is gone."""

    state = "was never loaded into the database"
    # Without what is upstream: a store may have forgotten what was captured once.
    selection = 'key:"{}"'


class LostRowsError(UserError):
    """A table whose rows are never deleted has fewer of them than before."""

    def __init__(self, table: str, rows: int, before: int, where: str) -> None:
        super().__init__(
            f"mysql/{table} has {rows} rows, fewer than the {before} {where}: rows were deleted, "
            "or the database came back from a backup. The extract was not replaced. Load the "
            "captures again: storepipe run --from DATE --to DATE "
            f"--select 'key:\"mysql/{table}\"+'"
        )


def expect_loaded_days(database: Database, table: str, days: Sequence[str]) -> None:
    """Raise ``NeverLoadedError`` for days that were never loaded."""
    loads = database.loads(table, days)
    if missing := [day for day in days if day not in loads]:
        raise NeverLoadedError(dg.AssetKey(["mysql", table]), missing)


def expect_no_lost_rows(database: Database, lake: Lake, table: str) -> None:
    """Raise ``NeverLoadedError``, or ``LostRowsError`` if an extract would lose rows."""
    load = database.loads(table).get(None)
    if load is None:
        raise NeverLoadedError(dg.AssetKey(["mysql", table]))
    rows = database.count(table)
    if rows < load.rows:
        raise LostRowsError(table, rows, load.rows, "that its loads have left")
    extracted = _extracted_rows(lake, table)
    if rows < extracted:
        raise LostRowsError(table, rows, extracted, f"in raw/relational/{table}")


def _extracted_rows(lake: Lake, table: str) -> int:
    """The rows of the extract that is there."""
    path = lake.path(dg.AssetKey(["raw", "relational", table]), PARQUET_FILE)
    with lake.explained():
        if not lake.files.exists(path):
            return 0
        with lake.files.open(path, "rb") as file:
            try:
                return int(pq.read_metadata(file).num_rows)
            except pa.ArrowInvalid:
                return 0  # a damaged file is to be replaced
