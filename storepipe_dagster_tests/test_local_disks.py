"""Tests of `storepipe_dagster.local_disks`: errors as the system and SQLite really raise them."""

import errno
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from types import SimpleNamespace

import pytest

from storepipe_dagster import local_disks
from storepipe_dagster.errors import PassingError, UserError
from storepipe_dagster.local_disks import Condition, condition_of, explained, with_remedy

HOLD = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute(f"PRAGMA journal_mode={sys.argv[2]}")
file.execute("CREATE TABLE t (a)")
file.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


def raised(path, *statements, **options):
    """The error of SQLite that one of these statements ends in."""
    with pytest.raises(sqlite3.OperationalError) as caught:  # noqa: PT012, SIM117
        with closing(sqlite3.connect(path, isolation_level=None, timeout=0, **options)) as file:
            for statement in statements:
                file.execute(statement)
    return caught.value


@pytest.fixture
def held(tmp_path):
    """Start a process that holds a SQLite file with this journal; gives its number."""
    processes = []

    def hold(journal):
        command = [sys.executable, "-c", HOLD, str(tmp_path / "held.db"), journal]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen(command, **pipes, text=True)
        processes.append(process)
        assert process.stdout.readline() == "held\n"
        return process.pid

    yield hold
    for process in processes:
        process.communicate()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python 3.10 does not tell the number")
def test_no_room_for_the_index_of_a_log_is_a_full_disk_whatever_is_free_by_now(tmp_path):
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE

    assert explained(error, [tmp_path]).condition is Condition.FULL


# --- what an error says -----------------------------------------------------------------------


@pytest.fixture
def refusals(tmp_path, held):
    held("wal")
    file = tmp_path / "own.db"
    raised(file, "CREATE TABLE t (a)", "no statement")
    filling = (
        "INSERT INTO t WITH RECURSIVE n(a) AS (SELECT 1 UNION ALL SELECT a + 1 FROM n LIMIT 9999)"
    )
    return {
        Condition.LOCKED: raised(tmp_path / "held.db", "BEGIN IMMEDIATE"),
        Condition.READ_ONLY: raised(
            f"{file.as_uri()}?mode=ro", "INSERT INTO t VALUES (1)", uri=True
        ),
        Condition.FULL: raised(file, "PRAGMA max_page_count=2", f"{filling} SELECT a FROM n"),
        Condition.UNUSABLE: raised(tmp_path / "absent" / "a.db", "SELECT 1"),
    }


def test_sqlite_s_errors_are_known_by_number_and_by_text(refusals):
    for condition, error in refusals.items():
        assert condition_of(error) is condition
        # As in Python 3.10, which does not pass on the number.
        assert condition_of(sqlite3.OperationalError(str(error))) is condition
        if hasattr(error, "sqlite_errorcode"):
            assert local_disks.SQLITE_TEXTS[str(error)] == error.sqlite_errorcode & 0xFF


@pytest.mark.parametrize(
    ("error", "condition"),
    [
        (OSError(errno.ENOSPC, "No space"), Condition.FULL),
        (OSError(errno.EDQUOT, "Quota"), Condition.FULL),
        (OSError(errno.EROFS, "Read-only"), Condition.READ_ONLY),
        (OSError("Generic LocalFileSystem error: No space left on device (os error 28)"), "FULL"),
        (RuntimeError("IO Error: Could not write file: Read-only file system"), "READ_ONLY"),
        (OSError(errno.EACCES, "Permission denied"), None),
        (sqlite3.OperationalError("no such table: t"), None),
        (sqlite3.DatabaseError("file is not a database"), None),
        (ValueError("No."), None),
    ],
)
def test_errors_of_the_system_are_known_by_number_and_those_of_engines_by_text(error, condition):
    wanted = Condition[condition] if isinstance(condition, str) else condition
    assert condition_of(error) is wanted


# --- the message ------------------------------------------------------------------------------


def test_the_place_of_the_file_is_named(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "lake" / ".a.json"))
    places = [tmp_path / "other", tmp_path]
    told = "The disk of {} is full. Make room there, then run again."
    assert str(explained(error, places)) == told.format(tmp_path)
    assert str(explained(error, places[:1])) == told.format(tmp_path / "lake")


def test_an_error_that_others_were_made_of_is_found(tmp_path):
    error = RuntimeError("It was not stored.")
    error.__cause__ = sqlite3.OperationalError("database or disk is full")
    assert explained(error, [tmp_path]).condition is Condition.FULL


@pytest.mark.parametrize("error", [UserError("database is locked"), ValueError("No.")])
def test_another_error_is_none_of_a_disk(tmp_path, error):
    assert explained(error, [tmp_path]) is None


def disk_with(monkeypatch, free):
    monkeypatch.setattr(local_disks.shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_an_error_that_tells_too_little_is_looked_for_on_the_disk(tmp_path, monkeypatch):
    error = sqlite3.OperationalError("disk I/O error")
    disk_with(monkeypatch, 4096)
    assert explained(error, [tmp_path / "absent"]).condition is Condition.FULL
    disk_with(monkeypatch, 2**30)
    assert str(explained(error, [tmp_path])) == (
        f"SQLite cannot use its files in {tmp_path}: disk I/O error. Check that disk, and who may "
        "write there, then run again."
    )
    status = SimpleNamespace(f_flag=os.ST_RDONLY)
    monkeypatch.setattr(local_disks.os, "statvfs", lambda _: status)
    assert explained(error, [tmp_path]).condition is Condition.READ_ONLY


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_who_holds_a_locked_file_is_named(tmp_path, held, journal, is_folder):
    process = held(journal)
    error = raised(tmp_path / "held.db", "BEGIN IMMEDIATE")
    found = explained(error, [tmp_path if is_folder else tmp_path / "held.db"])
    assert isinstance(found, PassingError)
    assert str(found) == (
        f"{tmp_path}/held.db was locked by process {process} for longer than storepipe waits. "
        "Wait for it to end, or end it, then run again."
    )


def test_where_the_system_lists_no_locks_no_process_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(local_disks, "LOCKS", tmp_path / "absent")
    found = explained(sqlite3.OperationalError("database is locked"), [tmp_path])
    assert str(found).startswith(f"{tmp_path} was locked by another process for longer")


def test_a_text_gets_the_remedy_first():
    text = "OSError: [Errno 28] No space left on device"
    assert with_remedy(text) == f"A disk is full. Make room there, then run again.\n{text}"
    assert with_remedy("disk I/O error") == "disk I/O error"
