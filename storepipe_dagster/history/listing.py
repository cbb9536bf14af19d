"""The versions of a table as rows for people."""

from collections.abc import Sequence
from typing import Any

from storepipe_dagster.history.versions import Version

MOST_DAYS = 3
COLUMNS = {
    "version": "BIGINT",
    "time": "TIMESTAMPTZ",
    "operation": "VARCHAR",
    "rows_added": "BIGINT",
    "rows_removed": "BIGINT",
    "rows": "BIGINT",
    "days": "VARCHAR",
    "readable": "BOOLEAN",
    "run_id": "VARCHAR",
}


def as_rows(versions: Sequence[Version]) -> list[tuple[Any, ...]]:
    """The versions, the newest first, with ``COLUMNS``."""
    return [
        (
            version.number,
            version.time,
            version.operation,
            version.rows_added,
            version.rows_removed,
            version.rows,
            _shortened(version.days),
            not version.missing_files,
            version.run,
        )
        for version in reversed(versions)
    ]


def _shortened(days: Sequence[str]) -> str:
    if len(days) <= MOST_DAYS:
        return ", ".join(days)
    return f"{len(days)} days, {days[0]} to {days[-1]}"
