"""The versions of a Delta table, replayed from its transaction log.

delta-rs tells what did each commit, but neither the rows nor the days that it touched, nor whether
the files of a version are still there. The log's own actions do.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import deltalake

from storepipe_dagster.io_managers import delta_log
from storepipe_dagster.io_managers.lake import Lake

LOG = "_delta_log"
COMMIT, CHECKPOINT = ".json", ".checkpoint"
NO_DAY = "__HIVE_DEFAULT_PARTITION__"
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class File:
    """A data file of a table: its rows, and the day that it is of, if any."""

    rows: int
    size: int
    day: str | None


@dataclass(frozen=True)
class Version:
    """A version: what made it, what that added and removed, and whether it can still be read.

    Rows that a write replaced by equal ones count on both sides: the log knows files, not rows.
    ``changes`` tells the difference. What the first version in a shortened log removed is unknown.
    """

    number: int
    time: datetime
    operation: str
    rows_added: int
    rows_removed: int | None
    days: tuple[str, ...]
    rows: int
    missing_files: int
    run: str | None


def read_versions(lake: Lake, path: str) -> list[Version]:
    """The versions of the Delta table at a path that the log still tells of, oldest first.

    It costs one read per commit, and a listing.
    """
    found = lake.all_in(path)
    present = {file.removeprefix(f"{path}/") for file in found}
    commits = {number: file for file in found if (number := _number(file, COMMIT)) is not None}
    checkpoints = [number for file in found if (number := _number(file, CHECKPOINT)) is not None]
    first = first_loadable(commits, checkpoints)
    if first is None:
        return []
    wanted = [number for number in sorted(commits) if number >= first]
    texts = _contents(lake, [commits[number] for number in wanted])
    base = files_of(_opened(lake, path, first)) if first else {}
    return replay(base, dict(zip(wanted, texts, strict=True)), present)


def first_loadable(commits: Iterable[int], checkpoints: Iterable[int]) -> int | None:
    """The oldest version that can be put together: 0, or the oldest with all that follows it."""
    numbers = set(commits)
    if not numbers:
        return None
    oldest = max(numbers)
    while oldest - 1 in numbers:
        oldest -= 1
    if oldest == 0:
        return 0
    return min((number for number in checkpoints if number >= oldest - 1), default=None)


def replay(
    base: Mapping[str, File], commits: Mapping[int, str], present: Iterable[str]
) -> list[Version]:
    """The versions that commits make, oldest first; ``base`` is what the first one left.

    ``present`` are the files that are still there.
    """
    there, state, versions = set(present), dict(base), list[Version]()
    time = EPOCH
    for number, text in commits.items():
        actions = [json.loads(line) for line in text.splitlines() if line.strip()]
        added, removed = _files(actions, "add"), _files(actions, "remove")
        shortened = number == min(commits) and bool(base)
        known = {path: state.get(path, file) for path, file in removed.items()}
        state = {path: file for path, file in state.items() if path not in removed} | added
        infos = [action["commitInfo"] for action in actions if "commitInfo" in action]
        info: Mapping[str, Any] = infos[0] if infos else {}
        # Clocks of several machines differ a little: a later version is never earlier.
        time = max(time, EPOCH + timedelta(milliseconds=info.get("timestamp", 0)))
        changing = _changing(actions)
        versions.append(
            Version(
                number=number,
                time=time,
                operation=info.get("operation", "unknown"),
                rows_added=sum(file.rows for path, file in added.items() if path in changing),
                rows_removed=None
                if shortened
                else sum(file.rows for path, file in known.items() if path in changing),
                days=tuple(
                    sorted(
                        {
                            file.day
                            for path, file in (added | known).items()
                            if file.day and path in changing
                        }
                    )
                ),
                rows=sum(file.rows for file in state.values()),
                missing_files=len(state.keys() - there),
                run=info.get(delta_log.RUN),
            )
        )
    return versions


def newest_at(versions: Sequence[Version], time: datetime) -> Version | None:
    """The version that was the current one at a time; none before the first."""
    return next((version for version in reversed(versions) if version.time <= time), None)


def files_of(table: deltalake.DeltaTable) -> dict[str, File]:
    """The data files of a table's version, by path in the table."""
    names = table.metadata().partition_columns
    column = f"partition.{names[0]}" if names else None
    return {
        unquote(action["path"]): File(
            action["num_records"] or 0,
            action["size_bytes"],
            str(action[column]) if column and action[column] is not None else None,
        )
        for action in delta_log.files_of(table)
    }


def _opened(lake: Lake, path: str, version: int) -> deltalake.DeltaTable:
    return deltalake.DeltaTable(path, version=version, storage_options=lake.storage_options)


def _contents(lake: Lake, files: Sequence[str]) -> list[str]:
    if not files:
        return []
    found: Mapping[str, bytes] = lake.files.cat(list(files))
    # Their names may come back without the protocol; in Azure they are asked for all at once.
    texts = {name.rpartition("/")[2]: content.decode() for name, content in found.items()}
    return [texts[file.rpartition("/")[2]] for file in files]


def _number(file: str, suffix: str) -> int | None:
    """The version that a file of the log is about, if it is of that kind."""
    folder, _, name = file.rpartition("/")
    number, dot, rest = name.partition(".")
    if not folder.endswith(f"/{LOG}") or not number.isdigit():
        return None
    of_kind = dot + rest == suffix if suffix == COMMIT else (dot + rest).startswith(suffix)
    return int(number) if of_kind else None


def _files(actions: Sequence[Mapping[str, Any]], kind: str) -> dict[str, File]:
    found = {}
    for action in actions:
        if file := action.get(kind):
            rows = json.loads(file.get("stats") or "{}").get("numRecords", 0)
            day = next(iter((file.get("partitionValues") or {}).values()), None)
            day = None if day == NO_DAY else day
            found[unquote(file["path"])] = File(rows, file.get("size") or 0, day)
    return found


def _changing(actions: Sequence[Mapping[str, Any]]) -> set[str]:
    """The files with which a commit changes rows; compaction only moves them."""
    return {
        unquote(file["path"])
        for action in actions
        for kind in ("add", "remove")
        if (file := action.get(kind)) and file.get("dataChange", True)
    }
