"""Days of a Delta table: which it has, rows by day, rows held to their days, and ranges in parts.

What has been materialized has a file in the log, a day without rows one without rows; how that is
written is in ``delta_writes``.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.open_files import limit

BYTES_AT_ONCE = 48 * 2**20  # as Parquet: some five million cart lines, which take 2 GiB
MOST_TASKS = 32
# Sail keeps a file open for each day that it writes, and those that it reads for the day.
FILES_OF_A_DAY, OTHER_FILES = 4, 128
OF_COLUMNS = ("null_count.", "min.", "max.")
DAY_IN_PATH = re.compile(r"=(\d{4}-\d\d-\d\d)/[^/]+$")


class DamagedTableError(UserError):
    """The log of a Delta table cannot be read; the message names the file."""


@dataclass(frozen=True)
class DailyRows:
    """A table by day, read or computed when its days are asked for, and only those.

    ``of`` gives the rows of a closed range of days.
    """

    of: Callable[[Sequence[str]], DataFrame]


def condition(column: str, days: Sequence[str]) -> str:
    """SQL that holds for the rows of a closed range of days."""
    return f"{column} >= '{min(days)}' AND {column} <= '{max(days)}'"


def open_delta(lake: Lake, path: str, version: int | None = None) -> deltalake.DeltaTable | None:
    """The Delta table at a path, at a version or the newest; nothing where there is none.

    Raises ``DamagedTableError`` where its newest commit is cut.
    """
    options = lake.storage_options
    if not deltalake.DeltaTable.is_deltatable(path, storage_options=options):
        return None
    try:
        return deltalake.DeltaTable(path, version=version, storage_options=options)
    except DeltaError:
        _expect_whole_commit(lake, path)
        raise


def _expect_whole_commit(lake: Lake, path: str) -> None:
    newest = max(file for file in lake.all_in(f"{path}/_delta_log") if file.endswith(".json"))
    try:
        for line in lake.files.cat_file(newest).splitlines():
            json.loads(line)
    except ValueError:
        raise DamagedTableError(
            f"{newest}, the newest commit of the table, is cut or damaged. Bring it back from a "
            "backup; or remove it, so that the version before is the current one, and make what "
            "it wrote again: storepipe status tells which days."
        ) from None


def files_by_day(table: deltalake.DeltaTable, column: str) -> dict[str, list[dict[str, Any]]]:
    """What the log tells of the files of each day that has some."""
    named = f"partition.{column}"
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for file in files_of(table):
        found[str(file[named])].append(file)
    return found


def days_of_table(lake: Lake, key: dg.AssetKey, column: str | None) -> set[str | None]:
    """The days of a Delta table that were materialized; ``None`` for a table without days."""
    table = open_delta(lake, lake.path(key))
    if table is None or table.metadata().partition_columns != ([column] if column else []):
        return set()
    if column:
        return {*files_by_day(table, column)}
    return {None} if files_of(table) else set()


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
        for path, size in lake.sizes_in(lake.path(key)).items():
            if found := DAY_IN_PATH.search(path):
                sizes[found[1]] += size
    return sizes


def parts_of(days: Sequence[str], sizes: Mapping[str, int]) -> list[Sequence[str]]:
    """Days that are computed together.

    As many as read ``BYTES_AT_ONCE`` of what is upstream, and have files that may be open at once.
    """
    files = limit()
    most = len(days) if files is None else max(1, (files - OTHER_FILES) // FILES_OF_A_DAY)
    parts, start, size = [], 0, 0
    for number, day in enumerate(days):
        is_full = size + sizes.get(day, 0) > BYTES_AT_ONCE or number - start >= most
        if number > start and is_full:
            parts.append(days[start:number])
            start, size = number, 0
        size += sizes.get(day, 0)
    return [*parts, days[start:]]
