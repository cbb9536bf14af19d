"""Delta tables by name, as they are or as of a version or a time.

A version is offered only if all of its files are there: its data is whole, or the error names what
there is instead.
"""

import re
from collections.abc import Sequence
from datetime import datetime, time, timezone

import deltalake

from storepipe_dagster.errors import UserError
from storepipe_dagster.history.versions import Version, newest_at, read_versions
from storepipe_dagster.io_managers.delta_log import is_delta, open_delta
from storepipe_dagster.io_managers.lake import (
    Key,
    Lake,
    MissingUpstreamError,
    TableKey,
    persistent,
)
from storepipe_dagster.times import utc_time

ZONES = ("trusted", "refined")
DELETION_VECTORS = "deletionVectors"
MOST_SHOWN = 8
DATE = re.compile("[0-9-]+")
NUMBER = re.compile("[0-9]{1,18}")


class UnreadableTableError(UserError):
    """A table uses a Delta feature that its data files alone do not show."""


class NoSuchTableError(UserError):
    """A name is not that of a Delta table in the lake."""


class NoSuchVersionError(UserError):
    """A table has no such version, or its files are not all there any more."""


class TimeError(UserError):
    """A text is neither a time nor a date."""


def table_name(key: Key) -> str:
    """How a table is called in SQL, such as ``trusted.sales``."""
    return ".".join(key.path)


def find_table(lake: Lake, name: str) -> TableKey:
    """The key of the Delta table of that name; raises ``NoSuchTableError``."""
    key = TableKey(tuple(name.replace("/", ".").split(".")))
    tables = delta_tables(lake)
    if key not in tables:
        known = ", ".join(table_name(table) for table in tables)
        there = f"they are: {known}" if known else "there are none yet: make demo, or storepipe run"
        raise NoSuchTableError(f"{name} is not a Delta table of the lake {lake.address}; {there}.")
    return key


def named_version(lake: Lake, text: str) -> tuple[TableKey, int]:
    """A table and its version, from a text such as ``trusted.sales=3``."""
    name, equals, number = text.partition("=")
    if not equals or not NUMBER.fullmatch(number):
        raise NoSuchVersionError(f"{text!r} names no version. Example: trusted.sales=3")
    return find_table(lake, name), int(number)


@persistent
def delta_tables(lake: Lake) -> list[TableKey]:
    """The keys of the lake's Delta tables."""
    found = [TableKey((zone, name)) for zone in ZONES for name in folders(lake, zone)]
    return [key for key in found if is_delta(lake, lake.path(key))]


def folders(lake: Lake, *parts: str) -> list[str]:
    """The names of the folders in a zone, or in a folder of it; none if it is not there."""
    try:
        found = lake.files.ls(lake.path(TableKey(parts)), detail=False)
    except FileNotFoundError:
        return []
    return sorted(path.rstrip("/").rsplit("/", 1)[-1] for path in found)


def open_table(lake: Lake, key: Key, version: int | None = None) -> deltalake.DeltaTable:
    """A Delta table at a version, or the newest; raises ``UnreadableTableError``."""
    table = open_delta(lake, lake.path(key), version)
    if table is None:
        raise MissingUpstreamError(key)
    if DELETION_VECTORS in (table.protocol().reader_features or ()):
        raise UnreadableTableError(
            f"{table.table_uri} uses deletion vectors, which DuckDB would not see here. "
            "Rewrite it without: ALTER TABLE ... SET TBLPROPERTIES "
            "(delta.enableDeletionVectors=false), then REORG TABLE ... APPLY (PURGE)."
        )
    return table


def versions_of(lake: Lake, key: Key) -> list[Version]:
    """The versions of a table, oldest first."""
    return read_versions(lake, lake.path(key))


def expect_version(key: Key, versions: Sequence[Version], number: int) -> Version:
    """The version of that number, if it is whole; raises ``NoSuchVersionError``."""
    name = table_name(key)
    version = next((version for version in versions if version.number == number), None)
    whole = [version.number for version in versions if not version.missing_files]
    if version is None:
        is_past = bool(versions) and number < versions[0].number
        raise NoSuchVersionError(
            f"{name} has no version {number}{' any more' * is_past}; it has {_ranges(whole)}. "
            f"See: storepipe history {name}"
        )
    if version.missing_files:
        raise NoSuchVersionError(
            f"{name} cannot be read at version {number}: {version.missing_files} of its files "
            f"were vacuumed. Versions that are whole: {_ranges(whole)}."
        )
    return version


def version_at(key: Key, versions: Sequence[Version], moment: datetime) -> Version | None:
    """The version that was the current one at a time, if it is whole; none before the first.

    Raises ``NoSuchVersionError`` where the log does not go back to that time.
    """
    version = newest_at(versions, moment)
    if version is not None:
        return expect_version(key, versions, version.number)
    if versions and versions[0].number > 0:
        raise NoSuchVersionError(
            f"{table_name(key)} cannot be read as of {moment.isoformat()}: its history begins "
            f"with version {versions[0].number} at {versions[0].time.isoformat()}."
        )
    return None


def moment_of(text: str) -> datetime:
    """An ISO 8601 time, UTC unless it tells otherwise; a date alone is the end of that day (UTC).

    Raises ``TimeError``.
    """
    try:
        moment = utc_time(text)
        # A date alone has nothing but its digits.
        return datetime.combine(moment, time.max, timezone.utc) if DATE.fullmatch(text) else moment
    except ValueError:
        raise TimeError(
            f"{text!r} is neither a date nor a time. Examples: 2020-01-31, 2020-01-31T12:30:00Z, "
            "2020-01-31T12:30:00+02:00."
        ) from None


def _ranges(numbers: Sequence[int]) -> str:
    """Numbers in short: ``0-3, 7``."""
    spans: list[tuple[int, int]] = []
    for number in sorted(numbers):
        if spans and spans[-1][1] == number - 1:
            spans[-1] = (spans[-1][0], number)
        else:
            spans.append((number, number))
    shown = [f"{first}-{last}" if last > first else f"{first}" for first, last in spans]
    if len(shown) > MOST_SHOWN:
        shown = ["…", *shown[-MOST_SHOWN:]]
    return ", ".join(shown) or "none"
