"""The rows that differ between two versions of a Delta table.

Only files that one of the versions has and the other has not are read: rows in common files are
the same. Equal rows in different files, as compaction or a repeated run leaves them, cancel out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import dagster as dg
import deltalake
import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from storepipe_dagster.history.tables import expect_version, open_table, versions_of
from storepipe_dagster.history.versions import File, files_of
from storepipe_dagster.io_managers.lake import Lake, persistent

CHANGE = "change"
ADDED, REMOVED, CHANGED_FROM, CHANGED_TO = "added", "removed", "changed from", "changed to"

# A row is known by its key; rows that share one are paired in the order of their values.
DIFFERENCES = """
    CREATE TABLE differences AS
    WITH old AS (
        SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {columns}) AS "of the key"
        FROM (FROM before EXCEPT ALL FROM after)
    ), new AS (
        SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {columns}) AS "of the key"
        FROM (FROM after EXCEPT ALL FROM before)
    )
    SELECT CASE WHEN {found} THEN 'changed from' ELSE 'removed' END AS change, one.*
    FROM old AS one LEFT JOIN new AS other ON {same}
    UNION ALL
    SELECT CASE WHEN {found} THEN 'changed to' ELSE 'added' END AS change, one.*
    FROM new AS one LEFT JOIN old AS other ON {same}
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
    key: dg.AssetKey,
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
            connection.register("old_rows", _rows_in(tables[0], old.keys() - new.keys()))
            connection.register("new_rows", _rows_in(tables[1], new.keys() - old.keys()))
            counts, rows = _compared(connection, row_key, most_rows)
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


def _rows_in(table: deltalake.DeltaTable, files: set[str]) -> ds.Dataset:
    everything = table.to_pyarrow_dataset()
    return ds.FileSystemDataset(
        [fragment for fragment in everything.get_fragments() if fragment.path in files],
        everything.schema,
        everything.format,
        everything.filesystem,
    )


def _compared(
    connection: duckdb.DuckDBPyConnection, row_key: Sequence[str], most_rows: int | None
) -> tuple[dict[str, int], pa.Table]:
    # Both sides get the columns of both: one that a version lacks is null there.
    empty = "SELECT * FROM new_rows LIMIT 0"
    connection.execute(
        f"CREATE VIEW after AS ({empty}) UNION ALL BY NAME (SELECT * FROM old_rows LIMIT 0) "
        "UNION ALL BY NAME FROM new_rows"
    )
    connection.execute(f"CREATE VIEW before AS ({empty}) UNION ALL BY NAME FROM old_rows")
    columns = [name for name, *_ in connection.execute("DESCRIBE after").fetchall()]
    named = [_quoted(name) for name in (row_key or columns)]
    counted = [*named, '"of the key"']
    connection.execute(
        DIFFERENCES.format(
            key=", ".join(named),
            columns=", ".join(map(_quoted, columns)),
            found='other."of the key" IS NOT NULL',
            same=" AND ".join(f"one.{name} IS NOT DISTINCT FROM other.{name}" for name in counted),
        )
    )
    counted_rows = connection.execute("SELECT change, count(*) FROM differences GROUP BY 1")
    counts: dict[str, int] = dict(counted_rows.fetchall())
    limit = "" if most_rows is None else f"LIMIT {most_rows:d}"
    shown = connection.execute(
        'SELECT * EXCLUDE "of the key" FROM differences '
        f'ORDER BY {", ".join(named)}, "of the key", change {limit}'
    )
    return counts, shown.to_arrow_table()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
