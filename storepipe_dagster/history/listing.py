"""The versions of a table as rows for people."""

from collections.abc import Sequence

import pyarrow as pa

from storepipe_dagster.history.versions import Version

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


def as_table(versions: Sequence[Version]) -> pa.Table:
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
                "run_id": version.run,
            }
            for version in reversed(versions)
        ],
        COLUMNS,
    )


def _shortened(days: Sequence[str]) -> str:
    if len(days) <= MOST_DAYS:
        return ", ".join(days)
    return f"{len(days)} days, {days[0]} to {days[-1]}"
