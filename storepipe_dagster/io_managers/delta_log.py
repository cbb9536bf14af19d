"""What the log of a Delta table holds: its files, and the days that were materialized.

What has been materialized has a file in the log, a day without rows one without rows; how that is
written is in ``delta_writes``. No Dagster and no Spark here.
"""

import json
from collections import defaultdict
from typing import Any

import deltalake
from deltalake.exceptions import DeltaError

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.lake import Key, Lake

RUN = "dagster_run"  # what our commits call the run that made them
OF_COLUMNS = ("null_count.", "min.", "max.")


class DamagedTableError(UserError):
    """The log of a Delta table cannot be read; the message names the file."""


def is_delta(lake: Lake, path: str) -> bool:
    """Whether a Delta table is at a path."""
    return deltalake.DeltaTable.is_deltatable(path, storage_options=lake.storage_options)


def open_delta(lake: Lake, path: str, version: int | None = None) -> deltalake.DeltaTable | None:
    """The Delta table at a path, at a version or the newest; nothing where there is none.

    Raises ``DamagedTableError`` where its newest commit is cut.
    """
    if not is_delta(lake, path):
        return None
    try:
        return deltalake.DeltaTable(path, version=version, storage_options=lake.storage_options)
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


def days_of_table(lake: Lake, key: Key, column: str | None) -> set[str | None]:
    """The days of a Delta table that were materialized; ``None`` for a table without days."""
    table = open_delta(lake, lake.path(key))
    if table is None or table.metadata().partition_columns != ([column] if column else []):
        return set()
    if column:
        return {*files_by_day(table, column)}
    return {None} if files_of(table) else set()


def files_of(table: deltalake.DeltaTable) -> list[dict[str, Any]]:
    """What the log tells of each file, but for what it tells of its columns."""
    files = table.get_add_actions(flatten=True)
    names = [name for name in files.schema.names if not name.startswith(OF_COLUMNS)]
    columns = [files.column(name).to_pylist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def without_rows(table: deltalake.DeltaTable) -> Any:
    """The columns of a table, as an Arrow table."""
    import pyarrow as pa  # noqa: PLC0415  # slow

    return pa.schema(table.schema().to_arrow()).empty_table()
