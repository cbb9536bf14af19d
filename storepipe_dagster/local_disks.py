"""A disk of this machine that is full or read-only, or a SQLite file that another process holds.

Whichever library was writing, the number of the operating system or of SQLite names the condition;
where an engine passes on texts only, the texts of these numbers do. What could not be told by a
number, such as SQLite's "disk I/O error", is looked for on the disks themselves.
"""

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path

from storepipe_dagster.errors import PassingError, UserError


class Condition(Enum):
    """What keeps files from being written, and what to do about it."""

    FULL = "The disk of {place} is full. Make room there, then run again."
    READ_ONLY = (
        "{place} is read-only. Allow writing there, or set STOREPIPE_HOME to another folder, then "
        "run again."
    )
    LOCKED = (
        "{place} was locked by {holder} for longer than storepipe waits. Wait for it to end, or "
        "end it, then run again."
    )
    UNUSABLE = (
        "SQLite cannot use its files in {place}: {error}. Check that disk, and who may write "
        "there, then run again."
    )


OF_SYSTEM = {
    errno.ENOSPC: Condition.FULL,
    errno.EDQUOT: Condition.FULL,
    errno.EROFS: Condition.READ_ONLY,
}
OF_SQLITE = {
    5: Condition.LOCKED,  # SQLITE_BUSY
    6: Condition.LOCKED,
    8: Condition.READ_ONLY,
    4874: Condition.FULL,  # SQLITE_IOERR_SHMSIZE: no room for the index of a log
    10: Condition.UNUSABLE,  # SQLITE_IOERR, of which older Pythons do not tell more
    13: Condition.FULL,
    14: Condition.UNUSABLE,  # SQLITE_CANTOPEN, which a read-only disk is
}
# SQLite's texts of these results, for Python 3.10, which does not pass on the numbers.
SQLITE_TEXTS = {
    "database is locked": 5,
    "database table is locked": 6,
    "attempt to write a readonly database": 8,
    "disk I/O error": 10,
    "database or disk is full": 13,
    "unable to open database file": 14,
}
# What the engines and Dagster's event log repeat of an error.
SIGNS = {os.strerror(number): condition for number, condition in OF_SYSTEM.items()} | {
    text: OF_SQLITE[number] for text, number in SQLITE_TEXTS.items()
}
REMEDIES = {
    Condition.FULL: "A disk is full. Make room there, then run again.",
    Condition.READ_ONLY: "A folder is read-only. Allow writing there, then run again.",
    Condition.LOCKED: "Another process held a lock for too long. Let it end, then run again.",
}
LEAST_BYTES = 4 * 2**20  # less is full: SQLite needs some, and a run gives its reserve back
LOCKS = Path("/proc/locks")


class DiskError(UserError):
    """Files of this machine cannot be written, or not be read; the message names the remedy."""

    def __init__(self, condition: Condition, message: str) -> None:
        super().__init__(message)
        self.condition = condition


class FileLockedError(DiskError, PassingError):
    """Another process holds a SQLite file."""


def explained(error: BaseException, places: Sequence[Path]) -> DiskError | None:
    """The error to show for one of a disk; nothing for any other error.

    ``places`` are the folders, or files, that may have been written to.
    """
    if isinstance(error, UserError):
        return None
    # Innermost first: what others have made of an error has no number.
    links = [*_chain(error)][::-1]
    found = next(((link, c) for link in links if (c := condition_of(link))), None)
    if found is None:
        return None
    link, condition = found
    if condition is Condition.UNUSABLE:
        condition = _seen_on(places) or condition
    file, holder = _locked(places) if condition is Condition.LOCKED else (None, None)
    message = condition.value.format(
        place=file or _place(link, condition, places),
        holder=holder or "another process",
        error=link,
    )
    kind = FileLockedError if condition is Condition.LOCKED else DiskError
    return kind(condition, message)


def condition_of(error: BaseException) -> Condition | None:
    """What an error says of a disk: by its number, or by the text of one that it repeats."""
    if isinstance(error, sqlite3.Error):
        number = getattr(error, "sqlite_errorcode", None)  # Python 3.10 has none
        if number is None:
            number = SQLITE_TEXTS.get(str(error), 0)
        return OF_SQLITE.get(number) or OF_SQLITE.get(number & 0xFF)
    if isinstance(error, OSError) and error.errno in OF_SYSTEM:
        return OF_SYSTEM[error.errno]
    return _condition_in(str(error))


def with_remedy(message: str) -> str:
    """The message of an error, after what to do where it is about a disk."""
    condition = _condition_in(message)
    return f"{REMEDIES[condition]}\n{message}" if condition in REMEDIES else message


def temporary_folder() -> Path:
    """Where engines put what they have no memory for; Python's own way would write there."""
    return Path(tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp")  # noqa: S108


def _condition_in(message: str) -> Condition | None:
    return next((condition for sign, condition in SIGNS.items() if sign in message), None)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made of, outermost first."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _place(error: BaseException, condition: Condition, places: Sequence[Path]) -> Path:
    """The place of the file that the error names, else that which looks like it, else the first."""
    if isinstance(error, OSError) and isinstance(error.filename, str):
        above = Path(error.filename).parents
        return next((place for place in places if place in above), above[0])
    return next((place for place in places if _seen_on([place]) is condition), places[0])


def _seen_on(places: Sequence[Path]) -> Condition | None:
    """Whether the disk of one of these places is full or read-only."""
    for place in places:
        folder = next(path for path in (place, *place.parents) if path.exists())
        if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
            return Condition.READ_ONLY
        if shutil.disk_usage(folder).free < LEAST_BYTES:
            return Condition.FULL
    return None


def _locked(places: Sequence[Path]) -> tuple[Path | None, str | None]:
    """The SQLite file in these places that another process holds, and that process; if known."""
    holders = _holders()
    for place in places:
        for file in [place] if place.is_file() else place.rglob("*.db"):
            # Who writes by way of a log has the lock on the index of that.
            for path in (file, file.with_name(f"{file.name}-shm")):
                if path.exists() and (process := holders.get(path.stat().st_ino)):
                    return file, f"process {process}"
    return None, None


def _holders() -> dict[int, int]:
    """By inode, the process that has a lock for writing; none where the system lists no locks."""
    found: dict[int, int] = {}
    for line in LOCKS.read_text().splitlines() if LOCKS.exists() else []:
        # 1: POSIX  ADVISORY  WRITE 4711 00:1f:42 120 120; one that waits has an arrow first
        words = line.split()
        if words[1] == "POSIX" and words[3] == "WRITE" and int(words[4]) != os.getpid():
            found[int(words[5].rpartition(":")[2])] = int(words[4])
    return found
