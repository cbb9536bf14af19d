"""The versions of a table as rows for people, each with the Dagster run that made it."""

from collections.abc import Mapping, Sequence

import dagster as dg
import pyarrow as pa

from storepipe_dagster.history.versions import Version

DELTA_VERSION = "delta_version"  # as the Delta IO manager tells it
EVENTS_AT_A_TIME = 1000
CREATED = "CREATE TABLE"
MOST_DAYS = 3
COLUMNS = pa.schema(
    [
        ("version", pa.int64()),
        ("time", pa.timestamp("ms", "UTC")),
        ("operation", pa.string()),
        ("rows_added", pa.int64()),
        ("rows_removed", pa.int64()),
        ("rows", pa.int64()),
        ("days", pa.string()),
        ("readable", pa.bool_()),
        ("run_id", pa.string()),
    ]
)


def as_table(versions: Sequence[Version], runs: Mapping[int, str]) -> pa.Table:
    """The versions, the newest first."""
    return pa.Table.from_pylist(
        [
            {
                "version": version.number,
                "time": version.time,
                "operation": version.operation,
                "rows_added": version.rows_added,
                "rows_removed": version.rows_removed,
                "rows": version.rows,
                "days": _shortened(version.days),
                "readable": not version.missing_files,
                "run_id": version.run or runs.get(_written(version)),
            }
            for version in reversed(versions)
        ],
        COLUMNS,
    )


def runs_by_version(instance: dg.DagsterInstance, key: dg.AssetKey, most: int) -> dict[int, str]:
    """The runs that tell which version of the table they made; the newest ``most`` versions."""
    found: dict[int, str] = {}
    cursor, more = None, True
    while more and len(found) < most:
        page = instance.fetch_materializations(key, limit=EVENTS_AT_A_TIME, cursor=cursor)
        for record in page.records:
            told = record.asset_materialization
            version = told.metadata.get(DELTA_VERSION) if told else None
            if version is not None:
                found.setdefault(int(str(version.value)), record.run_id)
        cursor, more = page.cursor, page.has_more
    return found


def _written(version: Version) -> int:
    """The version that the run told of: a table is made empty before it is first written."""
    return version.number + 1 if version.operation == CREATED else version.number


def _shortened(days: Sequence[str]) -> str:
    if len(days) <= MOST_DAYS:
        return ", ".join(days)
    return f"{len(days)} days, {days[0]} to {days[-1]}"
