"""Tests of `storepipe_dagster.layers.relational.loads`, and of the extracts that go by it."""

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from storepipe_dagster.io_managers.lake import Lake, MissingUpstreamError
from storepipe_dagster.io_managers.parquet import ParquetIOManager
from storepipe_dagster.layers.mysql import schemas as mysql
from storepipe_dagster.layers.relational import assets
from storepipe_dagster.layers.relational.loads import (
    LostRowsError,
    NeverLoadedError,
    OldLoadError,
)
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster_tests.resources.cart_lines import CAPTURE
from storepipe_dagster_tests.servers.mariadb import LEAST

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

DAY_1, DAY_2, DAY_3 = "2020-01-01", "2020-01-02", "2020-01-03"
PRODUCTS, CARTS = "raw/relational/products", "raw/relational/carts"


@pytest.fixture(params=["sqlite", "mariadb"])
def another(request, tmp_path):
    """Makes one more resource, as another process has it, for the one database of the test."""
    if request.param == "sqlite":
        return lambda: SqliteDatabase(path=str(tmp_path / "home" / "store.db"))
    return request.getfixturevalue("mariadb").create_database(grants=LEAST).resource


@pytest.fixture
def database(another):
    return another()


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


@pytest.fixture
def extract(lake, database):
    """Extracts a table, of some days if any are named."""

    def run(key, *days, database=database):
        tags = {}
        if days:
            tags = {
                "dagster/asset_partition_range_start": days[0],
                "dagster/asset_partition_range_end": days[-1],
            }
        extracts = [
            assets.relational_products,
            assets.relational_users,
            assets.relational_carts,
            assets.relational_cart_items,
        ]
        resources = {
            "lake": lake,
            "parquet": ParquetIOManager(lake=lake, pyspark=InProcessSpark(lake=lake)),
            "database": database,
        }
        with dg.DagsterInstance.ephemeral() as instance:
            dg.materialize(
                extracts,
                selection=dg.AssetSelection.assets(key.split("/")),
                resources=resources,
                tags=tags,
                instance=instance,
            )

    return run


def product(number):
    return (number, "Hat", "clothing", "1.50", None, None, None, None)


def load_day(database, day, carts=1):
    rows = [(day, number, 1, f"{day} 10:00:00", 5) for number in range(carts)]
    database.replace_day(
        day, "cart_date", {mysql.CARTS: rows, mysql.CART_ITEMS: []}, capture=CAPTURE
    )


def rows_of(lake, key, day=None):
    return pq.ParquetFile(
        f"{lake.root}/{key}/{f'cart_date={day}/' if day else ''}data.parquet"
    ).metadata.num_rows


def message(key, when=""):
    return rf"^mysql/{key} was never loaded into the database{when}\. Materialise it first"


# --- days -----------------------------------------------------------------------------------


def test_loaded_days_are_extracted_those_without_rows_too(database, extract, lake):
    load_day(database, DAY_1, carts=2)
    load_day(database, DAY_2, carts=0)
    extract(CARTS, DAY_1, DAY_2)
    assert [rows_of(lake, CARTS, day) for day in (DAY_1, DAY_2)] == [2, 0]


def capture(lake, folder, name):
    with lake.write(f"{lake.root}/raw/{folder}/{name}") as file:
        file.write(b"[]")


def test_a_day_whose_newest_capture_was_not_loaded_is_not_extracted(database, extract, lake):
    for day in (DAY_1, DAY_2):
        load_day(database, day, carts=2)
    capture(lake, f"carts/cart_date={DAY_1}", CAPTURE)
    extract(CARTS, DAY_1, DAY_2)
    capture(lake, f"carts/cart_date={DAY_2}", "99990101T000000.000000Z.json")

    with pytest.raises(OldLoadError) as caught:
        extract(CARTS, DAY_1, DAY_2)
    assert str(caught.value) == (
        f"mysql/carts does not have the newest capture of {DAY_2}: it was captured and not "
        "loaded, or the database came back from a backup. The extract was not replaced. Load it: "
        f"storepipe run --from {DAY_2} --to {DAY_2} --select 'key:\"mysql/carts\"+'"
    )
    extract(CARTS, DAY_1)


def test_products_whose_newest_capture_was_not_loaded_are_not_extracted(database, extract, lake):
    database.upsert(mysql.PRODUCTS, [product(1)], capture=CAPTURE)
    capture(lake, "products", "99990101T000000.000000Z.refused.json")
    extract(PRODUCTS)
    capture(lake, "products", "99990101T000000.000000Z.json")

    with pytest.raises(OldLoadError, match="mysql/products does not have the newest"):
        extract(PRODUCTS)


def test_days_that_were_never_loaded_are_an_error_that_names_them(database, extract, lake):
    load_day(database, DAY_2)
    with pytest.raises(NeverLoadedError) as caught:
        extract(CARTS, DAY_1, DAY_3)
    assert str(caught.value) == (
        f"mysql/carts was never loaded into the database for {DAY_1}, {DAY_3}. "
        "Materialise it first, for example with: "
        f"storepipe run --from {DAY_1} --to {DAY_3} --select 'key:\"mysql/carts\"'"
    )
    assert not lake.files.exists(lake.root)


def test_the_lines_of_a_day_go_by_their_own_table(database, extract):
    database.replace_day(DAY_1, "cart_date", {mysql.CARTS: []}, capture=CAPTURE)
    extract(CARTS, DAY_1)
    with pytest.raises(NeverLoadedError, match=message("cart_items", f" for {DAY_1}")):
        extract("raw/relational/cart_items", DAY_1)


@pytest.mark.parametrize(
    ("key", "days"), [(PRODUCTS, ()), ("raw/relational/users", ()), (CARTS, (DAY_1,))]
)
def test_a_database_that_is_not_there_is_an_error_and_none_is_made(extract, tmp_path, key, days):
    table = key.rpartition("/")[2]
    with pytest.raises(MissingUpstreamError, match=message(table, " for .*" if days else "")):
        extract(key, *days)
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(("key", "days"), [(PRODUCTS, ()), (CARTS, (DAY_1,))])
def test_tables_whose_first_load_was_killed_are_an_error(database, extract, key, days):
    mysql.METADATA.create_all(database.engine)
    with pytest.raises(NeverLoadedError):
        extract(key, *days)


class Killed(BaseException):
    """The end of a process."""


def test_a_first_load_that_ends_before_its_commit_was_never_made(another, extract, monkeypatch):
    database = another()

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(type(database), "_record", kill)
        with pytest.raises(Killed):
            load_day(database, DAY_1)
    with pytest.raises(NeverLoadedError):
        extract(CARTS, DAY_1)
    load_day(another(), DAY_1)
    extract(CARTS, DAY_1)


def test_a_database_that_came_back_from_a_backup_lacks_the_days_since(tmp_path, extract):
    path = tmp_path / "store.db"
    database = SqliteDatabase(path=str(path))
    load_day(database, DAY_1)
    database.engine.dispose()
    backup = path.read_bytes()
    load_day(database, DAY_2)
    database.engine.dispose()
    path.write_bytes(backup)
    restored = SqliteDatabase(path=str(path))
    extract(CARTS, DAY_1, database=restored)
    with pytest.raises(NeverLoadedError, match=f"for {DAY_2}. "):
        extract(CARTS, DAY_1, DAY_2, database=restored)


# --- products -------------------------------------------------------------------------------


def test_products_that_were_never_loaded_are_an_error(database, extract):
    database.upsert(mysql.USERS, [], capture=CAPTURE)
    with pytest.raises(NeverLoadedError, match=message("products")):
        extract(PRODUCTS)


def test_no_products_at_all_are_extracted_once_that_was_loaded(database, extract, lake):
    database.upsert(mysql.PRODUCTS, [], capture=CAPTURE)
    extract(PRODUCTS)
    assert rows_of(lake, PRODUCTS) == 0


def test_fewer_products_than_were_loaded_do_not_replace_the_extract(database, extract, lake):
    database.upsert(mysql.PRODUCTS, [product(1), product(2)], capture=CAPTURE)
    extract(PRODUCTS)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(mysql.PRODUCTS).where(mysql.PRODUCTS.c.product_id == 2))
    with pytest.raises(LostRowsError) as caught:
        extract(PRODUCTS)
    assert str(caught.value) == (
        "mysql/products has 1 rows, fewer than the 2 that its loads have left: rows were deleted, "
        "or the database came back from a backup. The extract was not replaced. Load the captures "
        "again: storepipe run --from DATE --to DATE --select 'key:\"mysql/products\"+'"
    )
    assert rows_of(lake, PRODUCTS) == 2


def test_fewer_users_than_in_the_extract_do_not_replace_it(database, extract, lake):
    """A backup takes the ledger back as well, so only the extract knows of the others."""
    lake.files.makedirs(f"{lake.root}/raw/relational/users")
    extracted = pa.table({"user_id": [1, 2, 3]})
    pq.write_table(extracted, f"{lake.root}/raw/relational/users/data.parquet")
    database.upsert(mysql.USERS, [(1, *[None] * 11), (2, *[None] * 11)], capture=CAPTURE)
    with pytest.raises(
        LostRowsError, match="has 2 rows, fewer than the 3 in raw/relational/users:"
    ):
        extract("raw/relational/users")
    database.upsert(mysql.USERS, [(7, *[None] * 11)], capture=CAPTURE)
    extract("raw/relational/users")
    assert rows_of(lake, "raw/relational/users") == 3


def test_a_damaged_extract_is_replaced(database, extract, lake):
    database.upsert(mysql.PRODUCTS, [product(1)], capture=CAPTURE)
    with lake.write(f"{lake.root}/{PRODUCTS}/data.parquet") as file:
        file.write(b"PAR1")
    extract(PRODUCTS)
    assert rows_of(lake, PRODUCTS) == 1


def test_a_table_that_was_dropped_after_its_load_is_an_error(extract, tmp_path):
    database = SqliteDatabase(path=str(tmp_path / "store.db"))
    database.upsert(mysql.PRODUCTS, [], capture=CAPTURE)
    mysql.PRODUCTS.drop(database.engine)
    with pytest.raises(DatabaseError, match="Materialise the assets under mysql/ first"):
        extract(PRODUCTS, database=database)
