"""The versions of a table as rows for people, and what Dagster's history tells of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import dagster as dg
import pyarrow as pa

from storepipe_dagster.history.versions import Version

DELTA_VERSION = "delta_version"  # as the Delta IO manager tells it
EVENTS_AT_A_TIME = 1000
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
                "run_id": run_of(version, runs),
            }
            for version in reversed(versions)
        ],
        COLUMNS,
    )


def runs_by_version(instance: dg.DagsterInstance, key: dg.AssetKey, most: int) -> dict[int, str]:
    """The runs that tell which version of the table they made; the newest ``most`` versions."""
    found: dict[int, str] = {}
    for record in every_record(instance.fetch_materializations, key):
        if (version := version_told(record)) is not None:
            found.setdefault(version, record.run_id)
        if len(found) >= most:
            break
    return found


def run_of(version: Version, runs: Mapping[int, str]) -> str | None:
    """The run that made a version."""
    return version.run or runs.get(version.number)


def every_record(
    fetch: Callable[..., dg.EventRecordsResult], of: dg.AssetKey | dg.AssetRecordsFilter
) -> Iterator[dg.EventLogRecord]:
    """What the history of an asset tells, the newest first."""
    cursor, more = None, True
    while more:
        page = fetch(of, limit=EVENTS_AT_A_TIME, cursor=cursor)
        yield from page.records
        cursor, more = page.cursor, page.has_more


def version_told(record: dg.EventLogRecord) -> int | None:
    """The version of the table that an event tells of."""
    told = record.asset_materialization or record.asset_observation
    version = told.metadata.get(DELTA_VERSION) if told else None
    return None if version is None else int(str(version.value))


def _shortened(days: Sequence[str]) -> str:
    if len(days) <= MOST_DAYS:
        return ", ".join(days)
    return f"{len(days)} days, {days[0]} to {days[-1]}"
