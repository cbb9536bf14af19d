"""What the parts of the benchmark share: the figures of runs, their tables, whether results agree.

How a process is watched is in ``watching``.
"""

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from storepipe_dagster_tests.bench.watching import Taken
from storepipe_dagster_tests.end_to_end.commands import Home

OURS = "storepipe"
FIGURES = ("seconds", "CPU s", "peak MiB", "MiB written", "files")
UNKNOWN = math.nan  # what a peer does not have, or nobody measured
DAY = "sale_date"
DIGITS = 9  # of doubles that are compared: two engines add them up in their own orders

Figures = Sequence[float]


@dataclass(frozen=True)
class Measured:
    """What one run took, and the bytes and files it left."""

    taken: Taken
    written: int
    files: int

    @property
    def figures(self) -> Figures:
        """In the order of ``FIGURES``."""
        taken = self.taken
        return (taken.seconds, taken.cpu, taken.peak, self.written / 2**20, self.files)


def written(*folders: Path, since: float = 0) -> tuple[int, int]:
    """The bytes and the number of all files in the folders that were written since a time."""
    files = [file.stat() for folder in folders for file in folder.rglob("*") if file.is_file()]
    sizes = [file.st_size for file in files if file.st_mtime >= since]
    return sum(sizes), len(sizes)


def medians(runs: Sequence[Figures]) -> list[float]:
    """Of each figure the median of the runs."""
    return [statistics.median(values) for values in zip(*runs, strict=True)]


def table(
    rows: Mapping[str, Figures], titles: Sequence[str] = FIGURES, ours: str = OURS
) -> Iterator[str]:
    """The figures as lines, each with its ratio to ours in brackets."""
    width = max(map(len, rows)) + 1
    yield f"  {'':<{width}}" + "".join(f"{title:>20}" for title in titles)
    for name, figures in rows.items():
        cells = [_cell(*pair) for pair in zip(figures, rows[ours], strict=True)]
        yield f"  {name:<{width}}" + "".join(f"{cell:>20}" for cell in cells)


def _cell(figure: float, ours: float) -> str:
    is_comparable = ours > 0 and not math.isnan(figure)
    return f"{shown(figure)} ({figure / ours:.2f}x)" if is_comparable else shown(figure)


def shown(figure: float) -> str:
    """A figure as text: two digits of what is not counted, a dash for what is unknown."""
    if math.isnan(figure):
        return "-"
    return f"{figure:,.0f}" if float(figure).is_integer() else f"{figure:,.2f}"


def growth(
    unit: str,
    sizes: Sequence[float],
    rows: Sequence[Mapping[str, Figures]],
    titles: Sequence[str] = FIGURES,
) -> Iterator[str]:
    """From each size to the next: by how much each figure of each row grew, as lines."""
    for (small, large), (before, after) in zip(pairwise(sizes), pairwise(rows), strict=True):
        yield f"  {large / small:.1f} x the {unit} ({small:,.0f} to {large:,.0f}):"
        for name in (name for name in before if name in after):
            grown = [
                f"{title} x{new / old:.2f}"
                for title, old, new in zip(titles, before[name], after[name], strict=True)
                if old > 0 and not math.isnan(new)
            ]
            yield f"    {name}: {', '.join(grown)}"


def expect_equal_tables(home: Home, names: Sequence[str], folder: Path, peer: str) -> None:
    """Stop if a peer's Parquet files hold other rows than the lake: ``trusted.sales`` and so on.

    The columns are those that both have; ``folder`` has one file or folder per table. Of tables by
    day, sums of the rows' hashes are compared first: only the rows of one day are ever held.
    """
    for name in names:
        path = folder / f"{name.split('.')[1]}.parquet"
        files = path / "**/*.parquet" if path.is_dir() else path
        theirs = f"read_parquet('{files}', hive_partitioning = {path.is_dir()})"
        known = _columns(home, theirs)
        shared = {column: how for column, how in _columns(home, name).items() if column in known}
        columns, rest = ", ".join(f"{how} AS {column}" for column, how in shared.items()), ""
        if DAY in shared:
            hashes = f"sum(hash({', '.join(shared.values())})) AS hashes"
            by_day = f"{shared[DAY]} AS {DAY}, count(*) AS rows, {hashes}"
            differing = _difference(home, by_day, (name, theirs), "GROUP BY ALL")
            if not differing:
                continue
            rest = f"WHERE {DAY} = '{differing[DAY]}'"
        if row := _difference(home, columns, (name, theirs), rest):
            raise SystemExit(f"{name} of {peer} differs; a row that only one has: {row}")


def _difference(
    home: Home, columns: str, tables: tuple[str, str], rest: str = ""
) -> dict[str, Any] | None:
    """A row that only one of two tables has, or has more often."""
    one, other = (f"SELECT {columns} FROM {table} {rest}" for table in tables)
    rows = home.sql(f"({one} EXCEPT ALL {other}) UNION ALL ({other} EXCEPT ALL {one}) LIMIT 1")
    return rows[0] if rows else None


def _columns(home: Home, source: str) -> dict[str, str]:
    """How each column is compared, by its name: engines differ in the width of numbers."""
    described = home.sql(f"SELECT column_name, column_type FROM (DESCRIBE FROM {source})")
    types = {row["column_name"]: row["column_type"] for row in described}
    return {
        name: f"round({name}::DOUBLE, {DIGITS})" if kind == "DOUBLE" else f"{name}::{kind}"
        for name, kind in types.items()
    }
