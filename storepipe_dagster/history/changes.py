"""The rows that differ between two versions of a Delta table.

Only files that one of the versions has and the other has not are read: rows in common files are
the same. Equal rows in different files, as compaction or a repeated run leaves them, cancel out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import deltalake
import duckdb
import pyarrow as pa

from storepipe_dagster.history.tables import expect_version, open_table, versions_of
from storepipe_dagster.history.versions import File, files_of
from storepipe_dagster.io_managers.copies import copies
from storepipe_dagster.io_managers.delta_log import without_rows
from storepipe_dagster.io_managers.lake import Key, Lake, persistent

ADDED, REMOVED, CHANGED_TO = "added", "removed", "changed to"
ROWS_AT_A_TIME = 500_000
SIDES = ("old_rows", "new_rows")

# How many times more often a row is in the files of the one version than in those of the other.
SURPLUS = """
    INSERT INTO surplus BY NAME
    SELECT {columns}, sum("times more") AS "times more" FROM (
        FROM (SELECT *, 1 AS "times more" FROM new_rows)
        UNION ALL BY NAME FROM (SELECT *, -1 AS "times more" FROM old_rows)
    ) GROUP BY {columns} HAVING sum("times more") <> 0
"""
# A row is known by its key; rows that share one are paired in the order of their values.
DIFFERENCES = """
    CREATE TABLE differences AS
    WITH each AS (
        SELECT {columns}, "times more" > 0 AS "is new"
        FROM surplus, range(abs("times more")::BIGINT)
    ), numbered AS (
        SELECT *, row_number() OVER (
            PARTITION BY "is new", {key} ORDER BY {columns}
        ) AS "of the key"
        FROM each
    ), paired AS (
        SELECT *, count(*) OVER (PARTITION BY {key}, "of the key") = 2 AS "is changed"
        FROM numbered
    )
    SELECT CASE
        WHEN "is changed" THEN if("is new", 'changed to', 'changed from')
        ELSE if("is new", 'added', 'removed')
    END AS change, {columns}, "of the key"
    FROM paired
"""


@dataclass(frozen=True)
class Changes:
    """How many rows were added, removed and changed from one version to another, and which.

    ``rows`` has the columns of the table after ``change``, which is ``added``, ``removed``,
    ``changed from`` or ``changed to``, ordered by the key. ``days`` are those of the files that
    differ.
    """

    before: int
    after: int
    added: int
    removed: int
    changed: int
    days: tuple[str, ...]
    rows: pa.Table


@persistent
def changes(
    lake: Lake,
    key: Key,
    before: int,
    after: int,
    row_key: Sequence[str],
    most_rows: int | None = None,
) -> Changes:
    """The difference between two versions of a table; all of it is counted, ``most_rows`` shown.

    ``row_key`` names the columns that tell one row from another; without them a changed row is one
    removed and one added. Raises ``NoSuchVersionError``.
    """
    with lake.explained():
        versions = versions_of(lake, key)
        tables = [
            open_table(lake, key, expect_version(key, versions, number).number)
            for number in (before, after)
        ]
        old, new = (files_of(table) for table in tables)
        with duckdb.connect(":memory:") as connection:
            connection.execute("SET TimeZone = 'UTC'")
            columns = _make_surplus(connection, *tables)
            for files in batches(old, new):
                with copies() as made:
                    for name, table, side in zip(SIDES, tables, (old, new), strict=True):
                        sizes = {path: side[path].size for path in files & side.keys()}
                        connection.register(name, lake.rows_of(table, sizes, made))
                    connection.execute(SURPLUS.format(columns=columns))
            counts, rows = _differences(connection, columns, row_key, most_rows)
    return Changes(
        before,
        after,
        added=counts.get(ADDED, 0),
        removed=counts.get(REMOVED, 0),
        changed=counts.get(CHANGED_TO, 0),
        days=days_that_differ(old, new),
        rows=rows,
    )


def days_that_differ(old: dict[str, File], new: dict[str, File]) -> tuple[str, ...]:
    """The days of the files that are in one version and not in the other."""
    differing = {path: (old | new)[path] for path in old.keys() ^ new.keys()}
    return tuple(sorted({file.day for file in differing.values() if file.day is not None}))


def batches(old: Mapping[str, File], new: Mapping[str, File]) -> Iterator[set[str]]:
    """The files that are in one version and not in the other, some whole days at a time.

    Equal rows are of the same day, so memory is bounded by the largest day.
    """
    by_day: dict[str, list[str]] = defaultdict(list)
    for path in old.keys() ^ new.keys():
        by_day[(new.get(path) or old[path]).day or ""].append(path)
    batch, rows = set[str](), 0
    for _, paths in sorted(by_day.items()):
        batch |= {*paths}
        rows += sum((new.get(path) or old[path]).rows for path in paths)
        if rows >= ROWS_AT_A_TIME:
            yield batch
            batch, rows = set(), 0
    if batch:
        yield batch


def _make_surplus(
    connection: duckdb.DuckDBPyConnection, old: deltalake.DeltaTable, new: deltalake.DeltaTable
) -> str:
    """The table of what is more on one side; the columns of both, null where a side lacks one."""
    for name, table in zip(SIDES, (old, new), strict=True):
        connection.register(name, without_rows(table))
    connection.execute("CREATE VIEW all_rows AS FROM new_rows UNION ALL BY NAME FROM old_rows")
    names = [name for name, *_ in connection.execute("DESCRIBE all_rows").fetchall()]
    connection.execute('CREATE TABLE surplus AS SELECT *, 0::HUGEINT AS "times more" FROM all_rows')
    return ", ".join(map(_quoted, names))


def _differences(
    connection: duckdb.DuckDBPyConnection,
    columns: str,
    row_key: Sequence[str],
    most_rows: int | None,
) -> tuple[dict[str, int], pa.Table]:
    key = ", ".join(map(_quoted, row_key)) or columns
    connection.execute(DIFFERENCES.format(key=key, columns=columns))
    counted = connection.execute("SELECT change, count(*) FROM differences GROUP BY 1")
    counts: dict[str, int] = dict(counted.fetchall())
    limit = "" if most_rows is None else f"LIMIT {most_rows:d}"
    shown = connection.execute(
        f'SELECT change, {columns} FROM differences ORDER BY {key}, "of the key", change {limit}'
    )
    return counts, shown.to_arrow_table()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
