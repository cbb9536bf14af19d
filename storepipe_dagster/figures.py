"""Numbers of each day of a table, for Dagster's UI to plot over time.

Pure: Arrow batches in, numbers by day out. What else is told of a table is in ``asset_metadata``.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

FIGURES = "figures"  # its name in an asset's definition
SUMS, COUNTS = "sums", "counts"
Wanted = Mapping[str, Sequence[str]]


def sums_of(*columns: str) -> dict[str, Wanted]:
    """Metadata that asks for the sum of each of these columns."""
    return {FIGURES: {SUMS: columns}}


def counts_by(column: str) -> dict[str, Wanted]:
    """Metadata that asks for the number of rows of each value of a column."""
    return {FIGURES: {COUNTS: [column]}}


def columns_counted(wanted: Wanted) -> list[str]:
    """The columns that figures need."""
    return [name for names in wanted.values() for name in names]


def by_day(
    batches: Iterable[pa.RecordBatch], day_column: str, days: Sequence[str], wanted: Wanted
) -> dict[str, dict[str, float]]:
    """The figures of each of the days, by name; the sums of a day without rows are 0."""
    sums, counts = wanted.get(SUMS, ()), wanted.get(COUNTS, ())
    found: dict[str, dict[str, Any]] = {
        day: defaultdict(int, dict.fromkeys(sums, 0)) for day in days
    }
    for batch in batches:
        rows = pa.table(batch)
        added = rows.group_by(day_column).aggregate([(name, "sum") for name in sums])
        for row in added.to_pylist():
            for name in sums:
                found[str(row[day_column])][name] += row[f"{name}_sum"] or 0
        for name in counts:
            for row in rows.group_by([day_column, name]).aggregate([([], "count_all")]).to_pylist():
                found[str(row[day_column])][str(row[name])] += row["count_all"]
    return {
        day: {name: _number(value) for name, value in figures.items()}
        for day, figures in found.items()
    }


def _number(value: Any) -> float:
    return float(value) if isinstance(value, Decimal) else value
