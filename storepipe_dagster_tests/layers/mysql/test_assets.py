"""Tests of `storepipe_dagster.layers.mysql.assets`: literal captures in, tables and checks out."""

import json

import dagster as dg
import pytest
import sqlalchemy as sa

from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.layers.mysql import assets, schemas
from storepipe_dagster.layers.raw.assets import raw_carts, raw_products, raw_users
from storepipe_dagster.resources.loads import LOADS, Load
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster_tests.servers.mariadb import LEAST

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

DAY_1, DAY_2, DAY_3 = "2020-01-01", "2020-01-02", "2020-01-03"
STAMPS = [f"202002{number:02}T120000.000000Z" for number in range(1, 10)]
FILES = [f"{stamp}.json" for stamp in STAMPS]


@pytest.fixture(params=["sqlite", "mariadb"])
def database(request, tmp_path):
    if request.param == "sqlite":
        return SqliteDatabase(path=str(tmp_path / "store.db"))
    return request.getfixturevalue("mariadb").create_database(grants=LEAST).resource()


@pytest.fixture
def on_sqlite(tmp_path):
    return SqliteDatabase(path=str(tmp_path / "store.db"))


@pytest.fixture
def capture(tmp_path):
    """Puts a capture of a table into the lake, of a day if one is named."""

    def write(table, number, *records, day=None):
        folder = tmp_path / "lake/raw" / table / (f"cart_date={day}" if day else "")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILES[number]).write_text(json.dumps(records))

    return write


@pytest.fixture
def load(tmp_path):
    """Runs the load of a table; gives what its check found."""

    def run(table, database, *days):
        lake = Lake(root=str(tmp_path / "lake"))
        spark = InProcessSpark(lake=lake)
        tags = {}
        if days:
            tags = {
                "dagster/asset_partition_range_start": days[0],
                "dagster/asset_partition_range_end": days[-1],
            }
        loads = [assets.mysql_products, assets.mysql_users, assets.mysql_carts]
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(
                [raw_products, raw_users, raw_carts, *loads],
                selection=dg.AssetSelection.assets(
                    *([["mysql", "carts"], ["mysql", "cart_items"]] if days else [["mysql", table]])
                ),
                resources={
                    "lake": lake,
                    "capture_files": CaptureFilesIOManager(lake=lake, pyspark=spark),
                    "database": database,
                    "store_api": None,
                },
                tags=tags,
                instance=instance,
                raise_on_error=False,
            )
        return {
            evaluation.asset_key.path[-1]: (evaluation.passed, evaluation.description)
            for evaluation in result.get_asset_check_evaluations()
        }[table]

    return run


def product(number, title="Hat"):
    return {"id": number, "title": title, "category": "clothing", "price": 1.5}


def cart(number=1, day=DAY_1, lines=((7, 2),), **more):
    products = [{"productId": product, "quantity": quantity} for product, quantity in lines]
    return {"id": number, "userId": 5, "date": f"{day}T10:00:00Z", "products": products, **more}


def titles(database):
    with database.engine.connect() as connection:
        query = sa.select(schemas.PRODUCTS.c.product_id, schemas.PRODUCTS.c.product_title)
        return dict(map(tuple, connection.execute(query)))


def delete(database, table, *conditions):
    with database.engine.begin() as connection:
        connection.execute(sa.delete(table).where(*conditions))


# --- products and users ---------------------------------------------------------------------


def test_the_first_load_takes_every_capture_and_the_newest_record_of_each_id(
    database, capture, load
):
    capture("products", 0, product(1, "Old"), product(2, "Delisted"))
    capture("products", 1, product(1, "New"), product(3, "Listed"))
    told = load("products", database)
    assert told == (True, "3 rows captured, 3 in the table.")
    assert titles(database) == {1: "New", 2: "Delisted", 3: "Listed"}
    assert database.loads("products") == {None: Load(FILES[1], 3)}


def test_a_product_listed_only_between_two_loads_is_loaded(database, capture, load):
    capture("products", 0, product(1))
    load("products", database)
    capture("products", 1, product(1), product(21))
    capture("products", 2, product(1, "New"))
    assert load("products", database) == (True, "2 rows captured, 2 in the table.")
    assert titles(database) == {1: "New", 21: "Hat"}
    assert database.loads("products") == {None: Load(FILES[2], 2)}


def test_a_user_listed_only_between_two_loads_is_loaded(database, capture, load):
    capture("users", 0, {"id": 1})
    load("users", database)
    capture("users", 1, {"id": 1}, {"id": 11})
    capture("users", 2, {"id": 1})
    assert load("users", database) == (True, "2 rows captured, 2 in the table.")
    assert database.loads("users") == {None: Load(FILES[2], 2)}


def test_captures_that_were_loaded_are_not_read_again(on_sqlite, capture, load, tmp_path):
    for number in (0, 1):
        capture("products", number, product(1))
        load("products", on_sqlite)
    for name in FILES[:2]:
        (tmp_path / "lake/raw/products" / name).write_text("damaged")
    capture("products", 2, product(1))
    assert load("products", on_sqlite) == (True, "1 rows captured, 1 in the table.")


def test_the_newest_capture_is_loaded_again_if_there_is_no_newer_one(on_sqlite, capture, load):
    capture("products", 0, product(1, "Hat"))
    load("products", on_sqlite)
    capture("products", 0, product(1, "Cap"))
    load("products", on_sqlite)
    assert titles(on_sqlite) == {1: "Cap"}


def test_a_capture_whose_file_is_gone_is_not_replaced_by_an_older_one(
    on_sqlite, capture, load, tmp_path
):
    capture("products", 0, product(21, "Old"))
    capture("products", 1, product(21, "New"))
    load("products", on_sqlite)
    (tmp_path / "lake/raw/products" / FILES[1]).unlink()
    capture("products", 2, product(1))
    load("products", on_sqlite)
    assert titles(on_sqlite) == {1: "Hat", 21: "New"}


def test_rows_that_were_deleted_are_loaded_again_from_all_captures(database, capture, load):
    capture("products", 0, product(1), product(21))
    capture("products", 1, product(1), product(22))
    load("products", database)
    delete(database, schemas.PRODUCTS, schemas.PRODUCTS.c.product_id > 20)
    capture("products", 2, product(1))
    assert load("products", database) == (True, "3 rows captured, 3 in the table.")
    assert titles(database) == {1: "Hat", 21: "Hat", 22: "Hat"}


def test_a_table_that_was_dropped_is_loaded_again_from_all_captures(on_sqlite, capture, load):
    capture("products", 0, product(21))
    capture("products", 1, product(1))
    load("products", on_sqlite)
    schemas.PRODUCTS.drop(on_sqlite.engine)
    on_sqlite._known.clear()  # as in another process
    assert load("products", on_sqlite) == (True, "2 rows captured, 2 in the table.")


def test_a_table_of_an_earlier_version_without_a_ledger_is_loaded_from_all_captures(
    on_sqlite, capture, load
):
    capture("products", 0, product(21))
    capture("products", 1, product(1))
    load("products", on_sqlite)
    LOADS.drop(on_sqlite.engine)
    on_sqlite._known.clear()
    delete(on_sqlite, schemas.PRODUCTS, schemas.PRODUCTS.c.product_id == 21)
    assert load("products", on_sqlite) == (True, "2 rows captured, 2 in the table.")


def test_rows_that_no_capture_has_any_more_fail_the_check_until_they_are_given_up(
    on_sqlite, capture, load, tmp_path
):
    capture("products", 0, product(1), product(21))
    load("products", on_sqlite)
    (tmp_path / "lake/raw/products" / FILES[0]).unlink()
    capture("products", 1, product(1))
    delete(on_sqlite, schemas.PRODUCTS, schemas.PRODUCTS.c.product_id == 21)
    for _ in range(2):  # the first does not make the second pass
        passed, told = load("products", on_sqlite)
        assert not passed
        assert told.startswith("1 rows captured, 1 in the table. There were 2. Restore them")
    delete(on_sqlite, LOADS, LOADS.c.table_name == "products")  # as the message says
    assert load("products", on_sqlite) == (True, "1 rows captured, 1 in the table.")


def test_a_load_that_leaves_a_product_out_fails_the_check(on_sqlite, capture, load, monkeypatch):
    rows_of = assets.product_rows
    monkeypatch.setattr(assets, "product_rows", lambda records: rows_of(records)[:-1])
    capture("products", 0, *map(product, range(1, 4)))
    assert load("products", on_sqlite) == (
        False,
        "3 rows captured, 2 in the table. Missing ids: 3.",
    )


def test_as_many_rows_of_other_ids_do_not_pass_for_the_captured_ones(
    on_sqlite, capture, load, monkeypatch
):
    on_sqlite.upsert(schemas.PRODUCTS, [(9, "Hat", "x", *[None] * 5)], capture=FILES[0])
    rows_of = assets.product_rows
    monkeypatch.setattr(assets, "product_rows", lambda records: rows_of(records)[1:])
    capture("products", 1, product(1), product(2))
    assert load("products", on_sqlite) == (
        False,
        "2 rows captured, 2 in the table. Missing ids: 1.",
    )


# --- days of carts --------------------------------------------------------------------------


def test_days_of_carts_are_loaded_counted_and_recorded(database, capture, load):
    capture("carts", 0, cart(1), cart(2, lines=[(7, 1), (8, 1)]), day=DAY_1)
    capture("carts", 0, day=DAY_2)
    assert load("carts", database, DAY_1, DAY_2) == (True, "2 rows captured, 2 in the table.")
    assert database.loads("carts") == {DAY_1: Load(FILES[0], 2), DAY_2: Load(FILES[0], 0)}
    assert database.loads("cart_items") == {DAY_1: Load(FILES[0], 3), DAY_2: Load(FILES[0], 0)}


def test_a_cart_that_comes_again_counts_once_and_one_with_other_content_counts(
    database, capture, load
):
    same, other = cart(1), cart(1, lines=[(8, 1), (9, 1)])
    capture("carts", 0, same, same, other, day=DAY_1)
    assert load("cart_items", database, DAY_1) == (True, "3 rows captured, 3 in the table.")
    assert database.loads("carts") == {DAY_1: Load(FILES[0], 2)}


def test_a_load_that_loses_a_line_of_a_day_fails_the_check_and_names_the_day(
    database, capture, load, monkeypatch
):
    made = assets.cart_rows

    def lossy(records):
        carts, items = made(records)
        return carts, [item for item in items if item[:2] != (DAY_2, 2)]

    monkeypatch.setattr(assets, "cart_rows", lossy)
    for day in (DAY_1, DAY_2, DAY_3):
        capture("carts", 0, cart(1, day), cart(2, day), day=day)
    assert load("cart_items", database, DAY_1, DAY_3) == (
        False,
        "6 rows captured, 5 in the table. Differing days: 2020-01-02 (2 captured, 1 in the table).",
    )


def test_a_line_lost_on_one_day_is_not_made_up_for_by_one_too_many_on_another(
    on_sqlite, capture, load, monkeypatch
):
    made = assets.cart_rows

    def lossy(records):
        carts, items = made(records)
        return (carts[:-1] if carts[0][0] == DAY_1 else [*carts, (DAY_2, 9, *carts[0][2:])]), items

    monkeypatch.setattr(assets, "cart_rows", lossy)
    for day in (DAY_1, DAY_2):
        capture("carts", 0, cart(1, day), cart(2, day), day=day)
    passed, told = load("carts", on_sqlite, DAY_1, DAY_2)
    assert not passed
    assert told == (
        "4 rows captured, 4 in the table. Differing days: 2020-01-01 (2 captured, 1 in the table), "
        "2020-01-02 (2 captured, 3 in the table)."
    )
