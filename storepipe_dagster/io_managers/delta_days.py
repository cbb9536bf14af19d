"""Days of a Delta table: rows by day, held to their days, and a range replaced part by part.

Sail holds in memory much of what it joins, groups and sorts by day: 50 M lines took 11 GiB. So each
part of a long range becomes a table of its own, in a folder of the table; then one transaction of
delta-rs takes over the files of all parts, which stay where they are.
"""

import contextlib
import json
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import deltalake
import pyarrow as pa
from deltalake.transaction import AddAction, CommitProperties
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.io_managers.lake import Lake, persistent

BYTES_AT_ONCE = 48 * 2**20  # as Parquet: some five million cart lines, which take 2 GiB
MOST_TASKS = 32
OF_COLUMNS = ("null_count.", "min.", "max.")
DAY_IN_PATH = re.compile(r"=(\d{4}-\d\d-\d\d)/[^/]+$")


@dataclass(frozen=True)
class DailyRows:
    """A table by day, read or computed when its days are asked for, and only those.

    ``of`` gives the rows of a closed range of days.
    """

    of: Callable[[Sequence[str]], DataFrame]


def condition(column: str, days: Sequence[str]) -> str:
    """SQL that holds for the rows of a closed range of days."""
    return f"{column} >= '{min(days)}' AND {column} <= '{max(days)}'"


def files_by_day(table: deltalake.DeltaTable, column: str) -> dict[str, list[dict[str, Any]]]:
    """What the log tells of the files of each day that has some."""
    named = f"partition.{column}"
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in files_of(table):
        found[str(file[named])].append(file)
    return found


def files_of(table: deltalake.DeltaTable) -> list[dict[str, Any]]:
    """What the log tells of each file, but for what it tells of its columns."""
    files = pa.table(table.get_add_actions(flatten=True))
    named = [name for name in files.column_names if not name.startswith(OF_COLUMNS)]
    rows: list[dict[str, Any]] = files.select(named).to_pylist()
    return rows


def held_to(days: Sequence[str], rows: DataFrame, column: str) -> DataFrame:
    """The rows; reading one of another day is an error, which names that day."""
    value = F.col(column)
    inside = value.between(F.lit(min(days)).cast("date"), F.lit(max(days)).cast("date"))
    outside = F.concat(
        F.lit(f"A row is outside of the days asked for, {min(days)} to {max(days)}: {column} = "),
        F.coalesce(value.cast("string"), F.lit("null")),
    )
    checked = F.when(inside, value).otherwise(F.raise_error(outside).cast("date"))
    return by_day(rows.withColumn(column, checked), column, days)


def by_day(rows: DataFrame, column: str, days: Sequence[str]) -> DataFrame:
    """The rows, each day with one task: one file, whatever the plan before was spread by."""
    # Not told how many tasks, Sail left one of two cores idle for a third of the time.
    return rows.repartition(min(len(days), MOST_TASKS), column)


def sizes_upstream(lake: Lake, upstream: Iterable[dg.AssetKey]) -> Mapping[str, int]:
    """The bytes that are kept of each day of some assets."""
    sizes: Counter[str] = Counter()
    for key in upstream:
        for path, file in lake.files.find(lake.path(key), detail=True).items():
            if found := DAY_IN_PATH.search(path):
                sizes[found[1]] += file["size"]
    return sizes


def parts_of(days: Sequence[str], sizes: Mapping[str, int]) -> list[Sequence[str]]:
    """Days that are computed together: as many as read ``BYTES_AT_ONCE`` of what is upstream."""
    parts, start, size = [], 0, 0
    for number, day in enumerate(days):
        if number > start and size + sizes.get(day, 0) > BYTES_AT_ONCE:
            parts.append(days[start:number])
            start, size = number, 0
        size += sizes.get(day, 0)
    return [*parts, days[start:]]


def replace_in_parts(
    lake: Lake,
    path: str,
    table: deltalake.DeltaTable,
    column: str,
    parts: Iterable[tuple[Sequence[str], DataFrame]],
    of_day: Callable[[str], Mapping[str, str]] = lambda _: {},
) -> None:
    """Replace days, of which there are parts, in one commit, whoever else writes.

    ``of_day`` gives what the table is partitioned by besides.
    """
    staged = f"{path}/parts-{uuid.uuid4().hex}"
    days: list[str] = []
    files: list[AddAction] = []
    try:
        for part, rows in parts:
            place = f"{staged}/{part[0]}"
            rows.write.format("delta").partitionBy(column).save(lake.spark_path(place))
            files += _added_files(lake, place, path, column, of_day)
            lake.files.rm(f"{place}/_delta_log", recursive=True)
            days += part
    except BaseException:
        with contextlib.suppress(OSError):  # what is left goes with a vacuum
            lake.files.rm(staged, recursive=True)
        raise
    # From here on nothing is removed: a commit may have landed whose answer was lost.
    _commit(table, files, column, days)


def _added_files(
    lake: Lake, place: str, path: str, column: str, of_day: Callable[[str], Mapping[str, str]]
) -> list[AddAction]:
    """The files of a new table at ``place``, as the log of the table at ``path`` takes them."""
    log = lake.files.cat_file(f"{place}/_delta_log/{0:020}.json").splitlines()
    return [
        AddAction(
            path=f"{place.removeprefix(f'{path}/')}/{file['path']}",
            size=file["size"],
            partition_values=file["partitionValues"] | of_day(file["partitionValues"][column]),
            modification_time=file["modificationTime"],
            data_change=True,
            stats=file.get("stats", "{}"),
        )
        for file in (entry["add"] for entry in map(json.loads, log) if "add" in entry)
    ]


@persistent
def _commit(
    table: deltalake.DeltaTable, files: Sequence[AddAction], column: str, days: Sequence[str]
) -> None:
    """Replace the days that the newest version has; where another version came first, again.

    delta-rs would commit beside a writer of days that were not there, and keep the rows of both.
    """
    table.update_incremental()
    if {file.path for file in files} & {file["path"] for file in files_of(table)}:
        return  # the try before has landed, and only its answer was lost
    table.create_write_transaction(
        [*files],
        mode="overwrite",
        schema=table.schema(),
        partition_by=table.metadata().partition_columns,
        partition_filters=[(column, "in", days)],
        commit_properties=CommitProperties(max_commit_retries=0),
    )
