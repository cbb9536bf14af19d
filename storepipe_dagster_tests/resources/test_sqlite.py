"""Tests of `storepipe_dagster.resources.sqlite` alone; what all databases do: `test_database`."""

import sqlite3
from contextlib import closing

import dagster as dg
import pytest
import sqlalchemy as sa
import tenacity

from storepipe_dagster.errors import PassingError
from storepipe_dagster.layers.mysql.schemas import PRODUCTS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import sqlite
from storepipe_dagster.resources.database import DatabaseError, NoTableError
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster_tests.resources.cart_lines import (
    CAPTURE,
    DAY,
    NEXT_DAY,
    items,
    read_items,
    replace,
)


def test_reading_fetches_no_more_than_the_batches_asked_for(tmp_path, monkeypatch):
    database = SqliteDatabase(path=str(tmp_path / "store.db"))
    fetched = []
    fetch = sa.CursorResult.fetchmany

    def watched(self, size):
        fetched.append(size)
        return fetch(self, size)

    monkeypatch.setattr(sqlite, "ROWS_PER_BATCH", 2)
    database.upsert(
        PRODUCTS,
        [(number, "Hat", "clothing", *[None] * 5) for number in range(100)],
        capture=CAPTURE,
    )
    monkeypatch.setattr(sa.CursorResult, "fetchmany", watched)
    reader = database.read("products", schemas.PRODUCTS, ["product_id"])
    reader.read_next_batch()
    assert fetched == [2]


def test_reading_makes_no_file(tmp_path):
    database = SqliteDatabase(path=str(tmp_path / "home" / "store.db"))
    with pytest.raises(NoTableError, match=r"^products cannot be read .* it is not there"):
        database.read("products", schemas.PRODUCTS, ["product_id"]).read_all()
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_told_and_not_taken_for_one_without_loads(tmp_path):
    path = tmp_path / "store.db"
    path.write_text("no database" * 100)
    with pytest.raises(DatabaseError, match=r"^The database refuses: file is not a database\."):
        SqliteDatabase(path=str(path)).loaded_days()


def test_a_backup_takes_the_ledger_back_with_the_rows(tmp_path):
    path, backup = tmp_path / "store.db", tmp_path / "backup"
    database = SqliteDatabase(path=str(path))
    replace(database, DAY)
    database.engine.dispose()  # the last connection writes everything into the one file
    backup.write_bytes(path.read_bytes())
    replace(database, NEXT_DAY)
    assert database.loaded_days() == {"cart_items": {DAY, NEXT_DAY}}
    database.engine.dispose()
    path.write_bytes(backup.read_bytes())
    assert SqliteDatabase(path=str(path)).loaded_days() == {"cart_items": {DAY}}


def test_after_a_run_the_file_alone_is_the_whole_database(tmp_path):
    path = tmp_path / "store.db"

    @dg.op
    def load(database: dg.ResourceParam[SqliteDatabase]) -> None:
        replace(database)

    @dg.job(resource_defs={"database": SqliteDatabase(path=str(path))})
    def run():
        load()

    with dg.DagsterInstance.ephemeral() as instance:
        assert run.execute_in_process(instance=instance).success

    assert [file.name for file in tmp_path.iterdir()] == ["store.db"]
    assert SqliteDatabase(path=str(path)).loaded_days() == {"cart_items": {DAY}}


# --- what its disk or another process refuses ----------------------------------------------------


@pytest.fixture
def database(tmp_path):
    made = SqliteDatabase(path=str(tmp_path / "store.db"))
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
        replace(SqliteDatabase(path=str(tmp_path / "file" / "store.db")))


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
