"""Tests of `storepipe_dagster.resources.sqlite`: what its disk or another process refuses."""

import sqlite3
from contextlib import closing

import pytest
import sqlalchemy as sa
import tenacity

from storepipe_dagster.errors import PassingError
from storepipe_dagster.resources import sqlite
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster_tests.resources.cart_lines import items, read_items, replace


@pytest.fixture
def database(tmp_path):
    made = sqlite.SqliteDatabase(path=str(tmp_path / "store.db"))
    assert replace(made) == 3
    return made


def test_a_full_disk_is_named_and_the_day_stays_as_it_was(database):
    """SQLite says of a file that may not grow what it says of one on a full disk."""
    before = read_items(database)
    sa.event.listen(
        database.engine, "connect", lambda file, _: file.execute("PRAGMA max_page_count=1")
    )
    with pytest.raises(DatabaseError) as caught:
        replace(database, rows=items(carts=5000))
    told = f"The disk of {database.path} is full. Make room there, then run again."
    assert str(caught.value) == told
    assert not isinstance(caught.value, PassingError)
    assert read_items(database) == before


@pytest.mark.parametrize("work", [replace, read_items])
def test_a_lock_that_is_held_for_long_is_named_and_passes(database, monkeypatch, work):
    monkeypatch.setattr(sqlite, "SECONDS_TO_WAIT", 0)
    monkeypatch.setattr(sqlite._prepare.retry, "stop", tenacity.stop_after_attempt(1))
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        other.execute("CREATE TABLE other (a)")
        with pytest.raises(PassingError, match=f"^{database.path} was locked by another process"):
            work(database)


def test_a_file_in_no_folder_that_can_be_made_is_an_error_of_the_database(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DatabaseError, match=r"^The database refuses: .*exists"):
        replace(sqlite.SqliteDatabase(path=str(tmp_path / "file" / "store.db")))


class File:
    """A file that turns the first two statements away."""

    def __init__(self, text):
        self.text, self.asked = text, []

    def execute(self, statement):
        self.asked.append(statement)
        if len(self.asked) <= 2:
            raise sqlite3.OperationalError(self.text)


def test_a_lock_is_waited_for_when_a_file_is_opened():
    file = File("database is locked")
    sqlite._prepare(file, None)
    assert len(file.asked) == 5


def test_nothing_else_is_waited_for_when_a_file_is_opened():
    file = File("attempt to write a readonly database")
    with pytest.raises(sqlite3.OperationalError, match=file.text):
        sqlite._prepare(file, None)
    assert len(file.asked) == 1
