"""Making a Delta table what it was at an earlier version, as a new version: nothing is lost."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from deltalake import CommitProperties

from storepipe_dagster.history.changes import days_that_differ
from storepipe_dagster.history.tables import (
    NoSuchVersionError,
    expect_version,
    open_table,
    table_name,
    version_at,
    versions_of,
)
from storepipe_dagster.history.versions import File, Version, files_of
from storepipe_dagster.io_managers.delta_log import RUN
from storepipe_dagster.io_managers.delta_writes import NO_CLEANING, log_files
from storepipe_dagster.io_managers.lake import Key, Lake, persistent


class NothingToRollBackError(NoSuchVersionError):
    """A table already has the files of the version that it is to go back to."""


@dataclass(frozen=True)
class RolledBack:
    """A table that was rolled back: from and to which version, and as which one.

    ``parts`` has the files of each day that changed, none where the version has no rows of it; of a
    table without days, those of ``None``.
    """

    path: str
    before: int
    to: Version
    version: int
    parts: dict[str | None, list[File]]


def version_to(
    key: Key, versions: Sequence[Version], version: int | None, time: datetime | None
) -> Version:
    """The version of a number, or the one that was current at a time; raises for what is none."""
    if version is not None:
        return expect_version(key, versions, version)
    found = version_at(key, versions, time) if time else None
    if found is None:
        first = versions[0].time.isoformat() if versions else "never"
        raise NoSuchVersionError(f"{table_name(key)} was not there at {time}; its first: {first}.")
    return found


@persistent
def roll_back(
    lake: Lake, key: Key, version: int | None, time: datetime | None, run: str
) -> RolledBack:
    """Restore a table, in one commit that names the Dagster run.

    Raises ``NoSuchVersionError``, and then nothing is changed. A write that comes in between makes
    it start again.
    """
    target = version_to(key, versions_of(lake, key), version, time)
    table = open_table(lake, key)
    before, old = table.version(), files_of(table)
    new = files_of(open_table(lake, key, target.number))
    if old.keys() == new.keys():
        raise NothingToRollBackError(
            f"{table_name(key)} is already as it was at version {target.number}."
        )
    table.restore(
        target.number,
        commit_properties=CommitProperties(custom_metadata={RUN: run}),
        post_commithook_properties=NO_CLEANING,
    )
    lake.sync(log_files(lake, lake.path(key), table.version()))
    return RolledBack(
        path=lake.path(key),
        before=before,
        to=target,
        version=table.version(),
        parts={
            day: [file for file in new.values() if file.day == day]
            for day in days_that_differ(old, new) or [None]
        },
    )
