"""Tests of `storepipe_dagster.resources.sqlite` alone; what all databases do: `test_database`."""

import sqlalchemy as sa

from storepipe_dagster.layers.mysql.schemas import PRODUCTS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import sqlite
from storepipe_dagster.resources.sqlite import SqliteDatabase


def test_reading_fetches_no_more_than_the_batches_asked_for(tmp_path, monkeypatch):
    database = SqliteDatabase(path=str(tmp_path / "store.db"))
    fetched = []
    fetch = sa.CursorResult.fetchmany

    def watched(self, size):
        fetched.append(size)
        return fetch(self, size)

    monkeypatch.setattr(sqlite, "ROWS_PER_BATCH", 2)
    database.upsert(PRODUCTS, [(number, "Hat", "clothing", *[None] * 5) for number in range(100)])
    monkeypatch.setattr(sa.CursorResult, "fetchmany", watched)
    reader = database.read("products", schemas.PRODUCTS, ["product_id"])
    reader.read_next_batch()
    assert fetched == [2]
