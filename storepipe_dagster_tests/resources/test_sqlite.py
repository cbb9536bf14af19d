"""Tests of `storepipe_dagster.resources.sqlite` alone; what all databases do: `test_database`."""

import dagster as dg
import pytest
import sqlalchemy as sa

from storepipe_dagster.layers.mysql.schemas import PRODUCTS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import sqlite
from storepipe_dagster.resources.database import DatabaseError, NoTableError
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster_tests.resources.cart_lines import CAPTURE, DAY, NEXT_DAY, replace


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
