"""Days of a Delta table while it is written: rows by day, held to their days, ranges in parts."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.io_managers.lake import Key, Lake
from storepipe_dagster.open_files import limit

BYTES_AT_ONCE = 48 * 2**20  # as Parquet: some five million cart lines, which take 2 GiB
MOST_TASKS = 32
# Sail keeps a file open for each day that it writes, and those that it reads for the day.
FILES_OF_A_DAY, OTHER_FILES = 4, 128
DAY_IN_PATH = re.compile(r"=(\d{4}-\d\d-\d\d)/[^/]+$")


@dataclass(frozen=True)
class DailyRows:
    """A table by day, read or computed when its days are asked for, and only those.

    ``of`` gives the rows of a closed range of days.
    """

    of: Callable[[Sequence[str]], DataFrame]

    def map(self, transform: Callable[[DataFrame], DataFrame]) -> "DailyRows":
        """The table that a transform makes of this one, day by day."""
        return DailyRows(lambda days: transform(self.of(days)))


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
    return by_day(rows.withColumn(column, checked), column, days)


def by_day(rows: DataFrame, column: str, days: Sequence[str]) -> DataFrame:
    """The rows, each day with one task: one file, whatever the plan before was spread by."""
    # Not told how many tasks, Sail left one of two cores idle for a third of the time.
    return rows.repartition(min(len(days), MOST_TASKS), column)


def sizes_upstream(lake: Lake, upstream: Iterable[Key]) -> Mapping[str, int]:
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
