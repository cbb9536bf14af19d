"""Tests of `storepipe_dagster.history.changes`."""

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from storepipe_dagster.history.changes import batches, changes
from storepipe_dagster.history.tables import NoSuchVersionError
from storepipe_dagster.history.versions import File
from storepipe_dagster.row_keys import ROW_KEYS
from storepipe_dagster_tests.history.conftest import PRODUCTS, SALES
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)

KEY = ("sale_date", "cart_id")


def counts(found):
    return found.added, found.removed, found.changed


def rows(found):
    return [tuple(map(str, row.values())) for row in found.rows.to_pylist()]


@on_both
def test_rows_are_added_removed_or_changed_by_their_key(tables, lake):
    before = tables.sell("2020-01-01", (1, "1.10"), (2, "2.20"), (3, "3.30"))
    after = tables.sell("2020-01-01", (1, "1.10"), (2, "9.90"), (4, "4.40"))
    found = changes(lake, SALES, before, after, KEY)
    assert counts(found) == (1, 1, 1)
    assert rows(found) == [
        ("changed from", "2020-01-01", "2", "2.20"),
        ("changed to", "2020-01-01", "2", "9.90"),
        ("removed", "2020-01-01", "3", "3.30"),
        ("added", "2020-01-01", "4", "4.40"),
    ]
    assert found.rows.column_names == ["change", "sale_date", "cart_id", "revenue"]
    assert found.days == ("2020-01-01",)


def test_backwards_it_is_the_other_way_round(tables, lake):
    before = tables.sell("2020-01-01", (1, "1.10"))
    after = tables.sell("2020-01-01", (1, "1.10"), (2, "2.20"))
    assert counts(changes(lake, SALES, after, before, KEY)) == (0, 1, 0)


def test_a_run_that_is_repeated_changes_nothing(tables, lake):
    before = tables.sell("2020-01-01", (1, "1.10"), (2, "2.20"))
    after = tables.sell("2020-01-01", (2, "2.20"), (1, "1.10"))
    found = changes(lake, SALES, before, after, KEY)
    assert counts(found) == (0, 0, 0)
    assert found.rows.num_rows == 0
    assert found.days == ("2020-01-01",)


def test_a_version_does_not_differ_from_itself(tables, lake):
    version = tables.sell("2020-01-01", (1, "1.10"))
    found = changes(lake, SALES, version, version, KEY)
    assert (counts(found), found.days) == ((0, 0, 0), ())


def test_only_files_that_differ_are_read(tables, lake):
    tables.sell("2020-01-01", (1, "1.10"))
    before = tables.sell("2020-01-02", (2, "2.20"))
    after = tables.sell("2020-01-02", (2, "9.90"))
    (file,) = (f for f in lake.all_in(lake.path(SALES)) if "sale_date=2020-01-01" in f)
    with lake.write(file) as broken:
        broken.write(b"no Parquet: who reads it fails")
    assert counts(changes(lake, SALES, before, after, KEY)) == (0, 0, 1)


def test_a_table_without_days_and_without_rows_is_compared(tables, lake):
    after = tables.rank((1, "Shirt"), (2, None))
    found = changes(lake, PRODUCTS, 0, after, ("product_id",))
    assert (counts(found), found.days) == ((2, 0, 0), ())
    assert rows(found) == [("added", "1", "Shirt"), ("added", "2", "None")]


def test_a_null_is_a_value_like_any_other(tables, lake):
    before = tables.rank((1, None), (2, None), (None, "Hat"))
    after = tables.rank((1, None), (2, "Shirt"), (None, "Cap"))
    found = changes(lake, PRODUCTS, before, after, ("product_id",))
    assert counts(found) == (0, 0, 2)


@only_in_a_folder
def test_rows_that_share_a_key_are_compared_as_a_bag(tables, lake):
    before = tables.rank((1, "Shirt"), (1, "Shirt"), (1, "Hat"))
    after = tables.rank((1, "Shirt"), (1, "Cap"))
    found = changes(lake, PRODUCTS, before, after, ("product_id",))
    assert counts(found) == (0, 1, 1)


@only_in_a_folder
def test_without_a_key_a_changed_row_is_removed_and_added(tables, lake):
    before = tables.rank((1, "Shirt"))
    after = tables.rank((1, "Hat"))
    assert counts(changes(lake, PRODUCTS, before, after, ())) == (1, 1, 0)


@only_in_a_folder
def test_a_column_that_came_later_was_null_before(tables, lake):
    before = tables.rank((1, "Shirt"))
    wider = pa.table({"product_id": [1], "product_title": ["Shirt"], "units": [5]})
    write_deltalake(lake.path(PRODUCTS), wider, mode="overwrite", schema_mode="overwrite")
    found = changes(lake, PRODUCTS, before, before + 1, ("product_id",))
    assert rows(found) == [
        ("changed from", "1", "Shirt", "None"),
        ("changed to", "1", "Shirt", "5"),
    ]


@only_in_a_folder
def test_all_rows_are_counted_and_some_shown(tables, lake):
    after = tables.rank(*((number, "Shirt") for number in range(20)))
    found = changes(lake, PRODUCTS, 0, after, ("product_id",), most_rows=2)
    assert (found.added, found.rows.num_rows) == (20, 2)


def test_whole_days_are_compared_until_there_are_many_rows():
    old = {
        "same": File(9, 1, "2020-01-01"),
        "a": File(300_000, 1, "2020-01-01"),
        "c": File(1, 1, "2020-01-03"),
    }
    new = {
        "same": File(9, 1, "2020-01-01"),
        "b": File(300_000, 1, "2020-01-01"),
        "d": File(1, 1, "2020-01-02"),
    }
    assert list(batches(old, new)) == [{"a", "b"}, {"c", "d"}]
    assert list(batches(new, new)) == []


@only_in_a_folder
def test_a_row_that_moves_to_another_day_is_changed_where_the_key_has_no_day(
    tables, lake, monkeypatch
):
    monkeypatch.setattr("storepipe_dagster.history.changes.ROWS_AT_A_TIME", 1)
    before = tables.sell("2020-01-01", (1, "1.10"), (2, "2.20"))
    tables.sell("2020-01-01", (2, "2.20"))
    after = tables.sell("2020-01-02", (1, "1.10"))
    assert rows(changes(lake, SALES, before, after, ("cart_id",))) == [
        ("changed from", "2020-01-01", "1", "1.10"),
        ("changed to", "2020-01-02", "1", "1.10"),
    ]


@only_in_a_folder
def test_a_version_that_is_gone_is_refused(tables, lake):
    tables.rank((1, "Shirt"))
    tables.rank((1, "Hat"))
    tables.lose(PRODUCTS, 1)
    with pytest.raises(NoSuchVersionError, match="cannot be read at version 1"):
        changes(lake, PRODUCTS, 1, 2, ())


def test_every_table_of_the_pipeline_has_a_key_of_its_own_columns():
    from storepipe_dagster.definitions import defs  # noqa: PLC0415  # slow

    graph = defs.resolve_asset_graph()
    delta = {
        ".".join(node.key.path): {
            column.name for column in node.metadata["dagster/column_schema"].columns
        }
        for node in map(graph.get, graph.materializable_asset_keys)
        if "deltalake" in node.kinds
    }
    assert ROW_KEYS.keys() == delta.keys()
    assert [name for name, columns in delta.items() if not {*ROW_KEYS[name]} <= columns] == []
