"""Tests of `storepipe_dagster.standing.existing`."""

import deltalake
import pyarrow as pa
import pytest

from storepipe_dagster.graph import GRAPH
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.layers.mysql import schemas
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster.standing.existing import existing

DAY_1, DAY_2 = "2024-01-01", "2024-01-02"


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def exist(lake, tmp_path):
    """What exists of each asset of which something does, by its name."""

    def found():
        database = SqliteDatabase(path=str(tmp_path / "store.db"))
        everything = existing(GRAPH, lake, database)
        assert set(everything) == GRAPH.materializable_asset_keys
        return {key.to_user_string(): days for key, days in everything.items() if days}

    return found


def write(lake, name, content=b"[]"):
    with lake.write(f"{lake.root}/{name}") as file:
        file.write(content)


def test_of_a_new_home_nothing_exists_and_nothing_is_created(exist, tmp_path):
    assert exist() == {}
    assert [*tmp_path.iterdir()] == []


def test_captures_exist_by_day_if_they_were_accepted(exist, lake):
    write(lake, "raw/products/20240102T010000.000000Z.json")
    write(lake, "raw/users/20240102T010000.000000Z.refused.json")
    write(lake, f"raw/carts/cart_date={DAY_1}/20240102T010000.000000Z.json")
    write(lake, f"raw/carts/cart_date={DAY_2}/20240103T010000.000000Z.rejected.json")

    assert exist() == {"raw/products": {None}, "raw/carts": {DAY_1}}


def test_extracts_and_the_report_exist_once_they_have_their_names(exist, lake):
    write(lake, f"raw/relational/carts/cart_date={DAY_1}/data.parquet")
    write(lake, f"raw/relational/carts/cart_date={DAY_2}/.data.parquet.0123")
    write(lake, "raw/relational/users/data.parquet")
    write(lake, "refined/store_report/index.html")

    assert exist() == {
        "raw/relational/carts": {DAY_1},
        "raw/relational/users": {None},
        "refined/store_report": {None},
    }


def test_delta_tables_exist_by_the_files_in_their_log(exist, lake):
    day = pa.array([DAY_1], pa.string()).cast(pa.date32())
    for name, partition in (("trusted/sales", "sale_date"), ("refined/sales_by_city", None)):
        rows = pa.table({"sale_date": day, "revenue": [1]})
        deltalake.write_deltalake(f"{lake.root}/{name}", rows, partition_by=partition)
    created = f"{lake.root}/refined/sales_by_category"
    deltalake.DeltaTable.create(created, deltalake.Schema.from_arrow(rows.schema))

    assert exist() == {"trusted/sales": {DAY_1}, "refined/sales_by_city": {None}}

    deltalake.DeltaTable(f"{lake.root}/trusted/sales").delete()
    assert set(exist()) == {"refined/sales_by_city"}


def test_tables_of_the_database_exist_as_loaded(exist, tmp_path):
    database = SqliteDatabase(path=str(tmp_path / "store.db"))
    rows = {schemas.CARTS: [], schemas.CART_ITEMS: []}
    database.replace_day(DAY_1, "cart_date", rows, capture="20240102T010000.000000Z.json")

    assert exist() == {"mysql/carts": {DAY_1}, "mysql/cart_items": {DAY_1}}
