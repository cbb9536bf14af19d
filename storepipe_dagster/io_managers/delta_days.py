"""Days of a Delta table: rows held to them, and a long range of them replaced part by part.

Sail holds in memory much of what it joins, groups and sorts by day: 50 M lines took 11 GiB. So each
part of a long range becomes a table of its own, in a folder of the table; then one transaction of
delta-rs takes over the files of all parts, which stay where they are.
"""

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import deltalake
from deltalake.transaction import AddAction, CommitProperties
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.io_managers.lake import Lake, persistent

DAYS_AT_FIRST = 8
GROWTH = 8
ROWS_AT_ONCE = 2_000_000  # some 1.5 GiB of cart lines


def condition(column: str, days: Sequence[str]) -> str:
    """SQL that holds for the rows of a closed range of days."""
    return f"{column} >= '{min(days)}' AND {column} <= '{max(days)}'"


def held_to(days: Sequence[str], rows: DataFrame, column: str) -> DataFrame:
    """The rows; reading one of another day is an error, which names that day."""
    value = F.col(column)
    inside = value.between(F.lit(min(days)).cast("date"), F.lit(max(days)).cast("date"))
    outside = F.concat(
        F.lit(f"A row is outside of the days asked for, {min(days)} to {max(days)}: {column} = "),
        F.coalesce(value.cast("string"), F.lit("null")),
    )
    checked = F.when(inside, value).otherwise(F.raise_error(outside).cast("date"))
    # Each day by one task: one file, whatever the plan before was spread by.
    return rows.withColumn(column, checked).repartition(column)


def replace_in_parts(
    lake: Lake,
    path: str,
    table: deltalake.DeltaTable,
    rows: DataFrame,
    column: str,
    days: Sequence[str],
) -> None:
    """Replace a closed range of days of the table at ``path``, whoever else writes to it."""
    staged = f"{path}/parts-{uuid.uuid4().hex}"
    files: list[AddAction] = []
    try:
        for place, added in _write_parts(lake, staged, rows, column, days):
            folder = place.removeprefix(f"{path}/")
            files += [_add_action(folder, file) for file in added]
            lake.files.rm(f"{place}/_delta_log", recursive=True)
        _commit(table, files, column, days)
    except BaseException:
        with contextlib.suppress(OSError):  # what is left goes with a vacuum
            lake.files.rm(staged, recursive=True)
        raise


def _write_parts(
    lake: Lake, staged: str, rows: DataFrame, column: str, days: Sequence[str]
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Write one part after the other; gives the table of each, and its files as its log has them.

    The first part has few days. The next have as many as hold ``ROWS_AT_ONCE``, judged by the
    largest day so far.
    """
    start, count, largest = 0, DAYS_AT_FIRST, 1
    while start < len(days):
        # Held to the days after the condition: one on what may be an error is tested on all rows.
        part = held_to(days, rows.where(_is_in_part(column, days, start, start + count)), column)
        place = f"{staged}/{days[start]}"
        part.write.format("delta").partitionBy(column).save(lake.spark_path(place))
        log = lake.files.cat_file(f"{place}/_delta_log/{0:020}.json").splitlines()
        files = [entry["add"] for entry in map(json.loads, log) if "add" in entry]
        yield place, files
        start += count
        largest = max([largest, *map(_row_count, files)])
        count = max(1, min(count * GROWTH, ROWS_AT_ONCE // largest))


@persistent
def _commit(
    table: deltalake.DeltaTable, files: Iterable[AddAction], column: str, days: Sequence[str]
) -> None:
    """Replace the days that the newest version has; where another version came first, again.

    delta-rs would commit beside a writer of days that were not there, and keep the rows of both.
    """
    table.update_incremental()
    table.create_write_transaction(
        [*files],
        mode="overwrite",
        schema=table.schema(),
        partition_by=[column],
        partition_filters=[(column, ">=", days[0]), (column, "<=", days[-1])],
        commit_properties=CommitProperties(max_commit_retries=0),
    )


def _is_in_part(column: str, days: Sequence[str], start: int, end: int) -> str:
    """The condition of a part; rows of none of the days are in the first, which refuses them."""
    if start:
        return condition(column, days[start:end])
    return f"{column} IS NULL OR {column} < '{days[end]}' OR {column} > '{days[-1]}'"


def _row_count(file: dict[str, Any]) -> int:
    return int(json.loads(file["stats"])["numRecords"])


def _add_action(folder: str, file: dict[str, Any]) -> AddAction:
    return AddAction(
        path=f"{folder}/{file['path']}",
        size=file["size"],
        partition_values=file["partitionValues"],
        modification_time=file["modificationTime"],
        data_change=True,
        stats=file["stats"],
    )
