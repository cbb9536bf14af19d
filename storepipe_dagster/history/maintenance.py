"""Keeping Delta tables in order: compaction, checkpoints, retention and vacuum.

All of it is safe beside writers: compaction and properties are commits that conflict with others
and are tried again, and no file that a kept version needs is deleted. What is kept: the current
version whatever its age, and every version that was the current one within the retention. Captures
are never touched.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

import deltalake
from deltalake import CommitProperties

from storepipe_dagster.history.tables import open_table, versions_of
from storepipe_dagster.history.versions import File, Version, files_of, newest_at
from storepipe_dagster.io_managers.delta_log import RUN
from storepipe_dagster.io_managers.delta_writes import NO_CLEANING, log_files
from storepipe_dagster.io_managers.lake import Key, Lake, persistent

SMALL_FILE = 16 * 2**20
FILE_SIZE = 128 * 2**20
RESTORE = "RESTORE"
# What ``Lake.write`` has not finished, and delta-rs in a folder; so old a one was left by a killed
# write.
UNFINISHED = re.compile(r"\.[^/]+\.[0-9a-f]{32}|[^/]+#\d+")
UNFINISHED_FOR = timedelta(days=1)


@dataclass(frozen=True)
class Upkeep:
    """What is asked for: days to keep, and how many small files make compaction worth it."""

    keep_days: int
    small_files: int
    run: str


@dataclass(frozen=True)
class Kept:
    """What was done to a table."""

    version: int
    files_before: int
    files: int
    files_compacted: int
    files_vacuumed: int
    oldest_version: int


def maintain(lake: Lake, key: Key, upkeep: Upkeep) -> Kept:
    """Compact a table where it pays, drop what is older than the retention, shorten its log."""
    before = _set_retention(lake, key, upkeep)
    compacted = compact(lake, key, upkeep)
    vacuumed = vacuum(lake, key, upkeep)
    table, versions = _shorten_log(lake, key)
    return Kept(
        version=table.version(),
        files_before=before,
        files=len(files_of(table)),
        files_compacted=compacted,
        files_vacuumed=len(vacuumed),
        oldest_version=versions[0].number,
    )


@persistent
def _set_retention(lake: Lake, key: Key, upkeep: Upkeep) -> int:
    """Tell the table how long to keep what; give the number of its files.

    Otherwise a checkpoint forgets, after a week, when a file was removed, and vacuum would go by
    the day on which it was written. The log is kept twice as long: to put a version together takes
    a checkpoint that is older.
    """
    table = open_table(lake, key)
    wanted = {
        "delta.deletedFileRetentionDuration": f"interval {upkeep.keep_days} days",
        "delta.logRetentionDuration": f"interval {2 * upkeep.keep_days} days",
    }
    has = table.metadata().configuration
    if any(has.get(name) != value for name, value in wanted.items()):
        table.alter.set_table_properties(
            wanted, commit_properties=_by(upkeep), post_commithook_properties=NO_CLEANING
        )
    return len(files_of(table))


@persistent
def compact(lake: Lake, key: Key, upkeep: Upkeep) -> int:
    """Join the small files of each partition that has many; give how many were joined."""
    table = open_table(lake, key)
    files = files_of(table)
    days = worth_compacting(files, upkeep.small_files)
    if not days:
        return 0
    column = next(iter(table.metadata().partition_columns), None)
    named = [day for day in days if day is not None]
    done = table.optimize.compact(
        partition_filters=[(column, "in", named)] if column and named else None,
        target_size=FILE_SIZE,
        commit_properties=_by(upkeep),
        post_commithook_properties=NO_CLEANING,
    )
    table = open_table(lake, key)
    lake.sync(f"{lake.path(key)}/{path}" for path in files_of(table).keys() - files.keys())
    lake.sync(log_files(lake, lake.path(key), table.version()))
    return int(done["numFilesRemoved"])


def worth_compacting(files: Mapping[str, File], small_files: int) -> list[str | None]:
    """The days, or ``None`` for a table without, that have so many small files."""
    small = Counter(file.day for file in files.values() if file.size < SMALL_FILE)
    return sorted((day for day, count in small.items() if count >= small_files), key=str)


@persistent
def vacuum(lake: Lake, key: Key, upkeep: Upkeep) -> list[str]:
    """Delete the files that no version of the retention needs, and orphans as old as that."""
    versions = versions_of(lake, key)
    since = datetime.now(timezone.utc) - timedelta(days=upkeep.keep_days)
    return open_table(lake, key).vacuum(
        retention_hours=upkeep.keep_days * 24,
        dry_run=False,
        enforce_retention_duration=False,  # the property above may be older than the configuration
        full=True,
        keep_versions=versions_to_keep(versions, since),
        commit_properties=_by(upkeep),
        post_commithook_properties=NO_CLEANING,
    )


def versions_to_keep(versions: Sequence[Version], since: datetime) -> list[int]:
    """The versions whose files are not to be deleted, however old they are.

    The one that was current when the retention began, and those that were restored since: all
    other files that a later version needs are younger than the retention.
    """
    first = newest_at(versions, since) or versions[0]
    restored = [
        version.number
        for version in versions
        if version.operation == RESTORE and version.number > first.number
    ]
    newest = versions[-1].number
    return sorted({first.number, *restored, newest})


@persistent
def _shorten_log(lake: Lake, key: Key) -> tuple[deltalake.DeltaTable, list[Version]]:
    table = open_table(lake, key)
    table.create_checkpoint()
    lake.sync(log_files(lake, lake.path(key), table.version()))  # before what it stands for goes
    table.cleanup_metadata()
    return table, versions_of(lake, key)


def remove_unfinished(lake: Lake, zones: Sequence[str], now: datetime) -> list[str]:
    """Delete what killed writes have left half done, a day later; give the names."""
    found = [file for zone in zones for file in lake.all_in(f"{lake.root}/{zone}")]
    left = [file for file in found if UNFINISHED.fullmatch(file.rpartition("/")[2])]
    old = [file for file in left if now - _written_at(lake, file) > UNFINISHED_FOR]
    for file in old:
        lake.files.rm_file(file)
    return old


def _written_at(lake: Lake, file: str) -> datetime:
    time: datetime = lake.files.modified(file)
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def _by(upkeep: Upkeep) -> CommitProperties:
    return CommitProperties(custom_metadata={RUN: upkeep.run})
