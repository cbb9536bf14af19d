"""Writes to Delta tables: data files first, then one commit that takes them over.

Sail (pysail 0.7) ignores dynamic partition overwrite, lets ``replaceWhere`` take rows outside of
its condition, and holds in memory much of what it joins and groups: 50 M lines took 11 GiB. So
Spark writes each chunk of days as a table of its own in a folder of the table. Its files move to
their partitions where a rename costs nothing, else they stay there; then one transaction of
delta-rs replaces the days by them.

A table is created together with its first rows, and a day without rows is kept as a file without
rows. So whatever was materialized has a file, and what has none never was.
"""

import contextlib
import io
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import (
    AddAction,
    CommitProperties,
    PostCommitHookProperties,
    create_table_with_add_actions,
)
from pyspark.sql import DataFrame

from storepipe_dagster.io_managers.delta_log import RUN, files_of, open_delta
from storepipe_dagster.io_managers.lake import Lake, persistent

WITHOUT_ROWS = "no-rows"
# The log is cleaned by maintenance alone, which knows how long versions are kept.
NO_CLEANING = PostCommitHookProperties(cleanup_expired_logs=False)
LOG = "_delta_log"
Chunk = tuple[Sequence[str], DataFrame]


@dataclass(frozen=True)
class Target:
    """The table that is written to: its place, its columns, and what it is partitioned by.

    The first partition column is the day, if there are any. ``of_day`` gives the others. ``run``
    is the Dagster run that writes, for the commit to name.
    """

    lake: Lake
    path: str
    schema: deltalake.Schema
    partition_by: Sequence[str] = ()
    of_day: Callable[[str], Mapping[str, str]] = lambda _: {}
    run: str | None = None

    @property
    def commit_properties(self) -> CommitProperties:
        """One try, as a retry of delta-rs would not look again; and the run."""
        named = {RUN: self.run} if self.run else None
        return CommitProperties(max_commit_retries=0, custom_metadata=named)


def replace(target: Target, chunks: Iterable[Chunk], removed: Sequence[str] = ()) -> None:
    """Replace the days of the chunks, or the whole table, in one commit, whoever else writes.

    ``removed`` are days that are to have no file any more. A table without days has one chunk,
    without days.
    """
    lake, staged = target.lake, f"{target.path}/parts-{uuid.uuid4().hex}"
    days: list[str] = []
    files: list[AddAction] = []
    try:
        for chunk, rows in chunks:
            place = f"{staged}/{chunk[0] if chunk else 'all'}"
            rows.write.format("delta").partitionBy(*target.partition_by[:1]).save(
                lake.spark_path(place)
            )
            files += _added_files(target, place)
            lake.files.rm(f"{place}/{LOG}", recursive=True)
            days += chunk
        files += _files_without_rows(target, days, files)
        lake.sync(f"{target.path}/{file.path}" for file in files)
        _remove_empty(lake, staged)
    except BaseException:
        # What is left nevertheless is removed by a vacuum.
        for path in (staged, *(f"{target.path}/{file.path}" for file in files)):
            with contextlib.suppress(OSError):
                lake.files.rm(path, recursive=True)
        raise
    # From here on nothing is removed: a commit may have landed whose answer was lost.
    version = _commit(target, files, [*days, *removed])
    lake.sync(log_files(lake, target.path, version))


def _remove_empty(lake: Lake, staged: str) -> None:
    """Remove the folders of chunks whose files have all been moved to their partitions."""
    if not lake.all_in(staged) and lake.files.exists(staged):
        lake.files.rm(staged, recursive=True)


def log_files(lake: Lake, path: str, version: int) -> Iterator[str]:
    """The files of a table's log that came with a version: the commit, maybe a checkpoint."""
    for file in lake.all_in(f"{path}/{LOG}"):
        name = file.rpartition("/")[2]
        if name.startswith(f"{version:020}.") or name == "_last_checkpoint":
            yield file


def _added_files(target: Target, place: str) -> list[AddAction]:
    """The files of a new table at ``place``, as the log of the target takes them."""
    lake, added = target.lake, []
    for line in lake.files.cat_file(f"{place}/{LOG}/{0:020}.json").splitlines():
        if not (file := json.loads(line).get("add")):
            continue
        path = lake.settle(f"{place}/{file['path']}", f"{target.path}/{file['path']}")
        added.append(
            AddAction(
                path=path.removeprefix(f"{target.path}/"),
                size=file["size"],
                partition_values=_partition(target, file["partitionValues"]),
                modification_time=file["modificationTime"],
                data_change=True,
                stats=file.get("stats", "{}"),
            )
        )
    return added


def _files_without_rows(
    target: Target, days: Sequence[str], files: Sequence[AddAction]
) -> list[AddAction]:
    """A file for each day that has none, or for the table."""
    name = f"{WITHOUT_ROWS}-{uuid.uuid4().hex}.parquet"
    without: dict[str, dict[str, str | None]] = {}
    if target.partition_by:
        column = target.partition_by[0]
        with_rows = {file.partition_values[column] for file in files}
        for day in days:
            if day not in with_rows:
                without[f"{target.path}/{column}={day}/{name}"] = {column: day}
    elif not files:
        without[f"{target.path}/{name}"] = {}
    content = _content_without_rows(target)
    with target.lake.batch() as batch:
        for path in without:
            with batch.write(path) as file:
                file.write(content)
    return [
        AddAction(
            path=path.removeprefix(f"{target.path}/"),
            size=len(content),
            partition_values=_partition(target, day),
            modification_time=int(time.time() * 1000),
            data_change=True,
            stats=json.dumps({"numRecords": 0}),
        )
        for path, day in without.items()
    ]


def _content_without_rows(target: Target) -> bytes:
    columns = [field for field in pa.schema(target.schema) if field.name not in target.partition_by]
    file = io.BytesIO()
    pq.write_table(pa.schema(columns).empty_table(), file)
    return file.getvalue()


def _partition(target: Target, day: Mapping[str, str | None]) -> dict[str, str | None]:
    """The partition values of a file: its day, and what the target has besides."""
    values = dict(day)
    for value in day.values():
        values |= target.of_day(str(value))
    return values


@persistent
def _commit(target: Target, files: Sequence[AddAction], days: Sequence[str]) -> int:
    """Replace the days that the newest version has; where another version came first, again.

    delta-rs would commit beside a writer of days that were not there, and keep the rows of both.
    """
    options = target.lake.storage_options
    table = open_delta(target.lake, target.path)
    if table is None:
        try:
            create_table_with_add_actions(
                target.path,
                target.schema,
                [*files],
                mode="error",
                partition_by=[*target.partition_by],
                storage_options=options,
                commit_properties=target.commit_properties,
                post_commithook_properties=NO_CLEANING,
            )
        except DeltaError as error:
            if deltalake.DeltaTable.is_deltatable(target.path, storage_options=options):
                raise CommitFailedError(f"Concurrent creation of {target.path}") from error
            raise
        return 0
    version = table.version()
    if {file.path for file in files} & {file["path"] for file in files_of(table)}:
        return version  # the try before has landed, and only its answer was lost
    table.create_write_transaction(
        [*files],
        mode="overwrite",
        schema=target.schema,
        partition_by=[*target.partition_by],
        partition_filters=[(target.partition_by[0], "in", [*days])]
        if target.partition_by
        else None,
        commit_properties=target.commit_properties,
        post_commithook_properties=NO_CLEANING,
    )
    return version + 1
