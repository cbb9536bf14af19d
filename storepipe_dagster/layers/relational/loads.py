"""What the loads have recorded, before an extract reads: what was never loaded is not empty."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.capture_files import accepted_paths
from storepipe_dagster.io_managers.lake import (
    PARQUET_FILE,
    Lake,
    MissingUpstreamError,
    shortened,
)
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


class OldLoadError(UserError):
    """A newer capture than the loaded one is in the lake: its load failed, or was taken back."""

    def __init__(self, table: str, days: Sequence[str]) -> None:
        name = f"mysql/{table}"
        when = f" of {shortened(days)}" if days else ""
        span = f"--from {days[0]} --to {days[-1]}" if days else "--from DATE --to DATE"
        super().__init__(
            f"{name} does not have the newest capture{when}: it was captured and not loaded, or "
            "the database came back from a backup. The extract was not replaced. Load it: "
            f"storepipe run {span} --select 'key:\"{name}\"+'"
        )


def expect_loaded_days(database: Database, lake: Lake, table: str, days: Sequence[str]) -> None:
    """Raise ``NeverLoadedError`` or ``OldLoadError`` for days that lack their newest capture."""
    loads = database.loads(table, days)
    if missing := [day for day in days if day not in loads]:
        raise NeverLoadedError(dg.AssetKey(["mysql", table]), missing)
    newest = _newest_captures(lake, "carts", "cart_date", days)
    if old := [day for day in days if loads[day].capture < newest.get(day, "")]:
        raise OldLoadError(table, old)


def expect_no_lost_rows(database: Database, lake: Lake, table: str) -> None:
    """Raise ``NeverLoadedError``, ``OldLoadError``, or ``LostRowsError`` if rows would be lost."""
    load = database.loads(table).get(None)
    if load is None:
        raise NeverLoadedError(dg.AssetKey(["mysql", table]))
    if load.capture < _newest_captures(lake, table, None, [None]).get(None, ""):
        raise OldLoadError(table, [])
    rows = database.count(table)
    if rows < load.rows:
        raise LostRowsError(table, rows, load.rows, "that its loads have left")
    extracted = _extracted_rows(lake, table)
    if rows < extracted:
        raise LostRowsError(table, rows, extracted, f"in raw/relational/{table}")


def _newest_captures(
    lake: Lake, table: str, column: str | None, days: Sequence[str | None]
) -> dict[str | None, str]:
    """The name of the newest capture of each day, if the lake has any."""
    with lake.explained():
        accepted = accepted_paths(lake, dg.AssetKey(["raw", table]), column, days)
    return {day: paths[0].rpartition("/")[2] for day, paths in accepted.items() if paths}


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
