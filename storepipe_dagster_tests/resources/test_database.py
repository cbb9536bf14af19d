"""Tests of `storepipe_dagster.resources.database` on SQLite files and on real servers."""

import threading
from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
import sqlalchemy as sa

from storepipe_dagster.layers.mysql.schemas import (
    CART_ITEMS,
    CARTS,
    LOADS,
    METADATA,
    PRODUCTS,
    USERS,
)
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import mysql_bulk, sqlite
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster.resources.loads import Load
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster_tests.resources.cart_lines import CAPTURE
from storepipe_dagster_tests.servers.fixtures import DATABASE_SERVERS
from storepipe_dagster_tests.servers.mariadb import LEAST

FIRST_CAPTURE = "20200301T020000.000000Z.json"
DAY, NEXT_DAY = "2020-03-02", "2020-03-03"
CART_KEY = ["cart_date", "cart_id", "occurrence"]


@pytest.fixture(params=["sqlite", *DATABASE_SERVERS])
def another(request, tmp_path):
    """Makes one more resource, as another process has it, for the one database of the test."""
    if request.param == "sqlite":
        return lambda: SqliteDatabase(path=str(tmp_path / "new folder" / "store.db"))
    return request.getfixturevalue(request.param).create_database(grants=LEAST).resource


@pytest.fixture
def database(another):
    return another()


@pytest.fixture
def batches_of(monkeypatch):
    """Sets how many rows are read at a time."""

    def set_size(rows):
        monkeypatch.setattr(sqlite, "ROWS_PER_BATCH", rows)
        monkeypatch.setattr(mysql_bulk, "ROWS_PER_BATCH", rows)

    return set_size


def product(product_id=1, price="9.90", title="Hat"):
    return (product_id, title, "clothing", price, None, None, 3.9, 120)


def cart(day=DAY, cart_id=1, time="10:00:00.000000", user_id=5):
    return (day, cart_id, 1, f"{day} {time}", user_id)


def item(day=DAY, cart_id=1, line=1, quantity=2):
    return (day, cart_id, 1, line, 3, quantity)


def read_products(database):
    return database.read("products", schemas.PRODUCTS, ["product_id"]).read_all().to_pylist()


def read_carts(database, *days):
    asked = ("cart_date", days) if days else None
    rows = database.read("carts", schemas.CARTS, CART_KEY, asked).read_all().to_pylist()
    return [(str(row["cart_date"]), row["cart_id"]) for row in rows]


def read_items(database):
    reader = database.read("cart_items", schemas.CART_ITEMS, [*CART_KEY, "line_number"])
    return [
        (str(row["cart_date"]), row["cart_id"], row["quantity"])
        for row in reader.read_all().to_pylist()
    ]


def replace(database, day, carts, items):
    return database.replace_day(
        day, "cart_date", {CARTS: carts, CART_ITEMS: items}, capture=CAPTURE
    )


# --- upsert ---------------------------------------------------------------------------------


def test_rows_are_inserted_and_counted(database):
    assert database.upsert(PRODUCTS, [product(1), product(2)], capture=CAPTURE) == 2
    assert [row["product_id"] for row in read_products(database)] == [1, 2]


def test_a_known_row_is_updated(database):
    database.upsert(PRODUCTS, [product(1, "9.90", "Hat"), product(2)], capture=CAPTURE)
    assert database.upsert(PRODUCTS, [product(1, None, "Cap")], capture=CAPTURE) == 2
    assert read_products(database)[0] == {
        "product_id": 1,
        "product_title": "Cap",
        "category": "clothing",
        "unit_price": None,
        "description": None,
        "image_url": None,
        "rating": 3.9,
        "rating_count": 120,
    }


def test_rows_that_are_not_given_stay(database):
    database.upsert(PRODUCTS, [product(1), product(2)], capture=CAPTURE)
    assert database.upsert(PRODUCTS, [], capture=CAPTURE) == 2
    assert database.upsert(PRODUCTS, [product(3)], capture=CAPTURE) == 3
    assert [row["product_id"] for row in read_products(database)] == [1, 2, 3]


def test_of_one_key_given_twice_the_last_row_stays(database):
    assert database.upsert(PRODUCTS, [product(1, "1.00"), product(1, "2.00")], capture=CAPTURE) == 1
    assert read_products(database)[0]["unit_price"] == Decimal("2.00")


def test_a_failing_upsert_changes_nothing(database):
    database.upsert(PRODUCTS, [product(1, "1.00")], capture=CAPTURE)
    with pytest.raises(DatabaseError):
        database.upsert(PRODUCTS, [product(1, "2.00"), product(2, title=None)], capture=CAPTURE)
    assert [row["unit_price"] for row in read_products(database)] == [Decimal("1.00")]


def test_an_error_shows_no_values(database):
    with pytest.raises(DatabaseError) as caught:
        database.upsert(PRODUCTS, [product(title=None, price="hunter2")], capture=CAPTURE)
    assert "hunter2" not in str(caught.value)


# --- replacing a day ------------------------------------------------------------------------


def test_a_day_of_both_tables_is_replaced(database):
    replace(database, DAY, [cart(cart_id=1), cart(cart_id=2)], [item(cart_id=1), item(cart_id=2)])
    counts = replace(database, DAY, [cart(cart_id=3)], [item(cart_id=3), item(cart_id=3, line=2)])
    assert counts == {CARTS: 1, CART_ITEMS: 2}
    assert read_carts(database) == [(DAY, 3)]
    assert read_items(database) == [(DAY, 3, 2), (DAY, 3, 2)]


def test_other_days_stay(database):
    replace(database, DAY, [cart()], [item()])
    counts = replace(database, NEXT_DAY, [cart(NEXT_DAY)], [item(NEXT_DAY)])
    assert counts == {CARTS: 1, CART_ITEMS: 1}
    assert read_carts(database) == [(DAY, 1), (NEXT_DAY, 1)]


def test_a_day_can_become_empty(database):
    replace(database, DAY, [cart()], [item()])
    assert replace(database, DAY, [], []) == {CARTS: 0, CART_ITEMS: 0}
    assert read_carts(database) == []
    assert read_items(database) == []


@pytest.mark.parametrize(
    "bad_items",
    [[item(cart_id=2), item(cart_id=2)], [item(cart_id=2), (DAY, 2)]],
    ids=["a key comes twice", "a value is missing"],
)
def test_an_error_in_the_second_table_leaves_the_old_day_in_both(database, bad_items):
    replace(database, DAY, [cart(cart_id=1)], [item(cart_id=1)])
    with pytest.raises(DatabaseError):
        replace(database, DAY, [cart(cart_id=2)], bad_items)
    assert read_carts(database) == [(DAY, 1)]
    assert read_items(database) == [(DAY, 1, 2)]


def test_a_reader_in_the_middle_of_a_day_sees_it_as_it_was(database, batches_of):
    batches_of(1)
    replace(database, DAY, [cart(cart_id=1), cart(cart_id=2)], [])
    reader = database.read("carts", schemas.CARTS, CART_KEY)
    reader.read_next_batch()
    replace(database, DAY, [cart(cart_id=3)], [])
    assert reader.read_next_batch().column("cart_id").to_pylist() == [2]


def test_writers_of_different_days_lose_nothing_even_when_they_create_the_tables(another):
    days = [f"2020-03-{number:02}" for number in range(1, 9)]
    start, errors = threading.Barrier(len(days)), []

    def write(day):
        database = another()
        start.wait()
        try:
            for _ in range(5):
                replace(database, day, [cart(day)], [item(day), item(day, line=2)])
        except DatabaseError as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(day,)) for day in days]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert read_carts(another()) == [(day, 1) for day in days]
    assert another().count("cart_items") == 16


def test_writers_that_share_one_database_lose_nothing(database):
    days = [f"2020-03-{number:02}" for number in range(1, 9)]
    threads = [
        threading.Thread(target=replace, args=(database, day, [cart(day)], [item(day)]))
        for day in days
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_carts(database) == [(day, 1) for day in days]


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("price", ["0.00", "0.10", "0.01", "-1.50", "9999999999.99", None])
def test_money_is_exact(database, price):
    database.upsert(PRODUCTS, [product(price=price)], capture=CAPTURE)
    (row,) = read_products(database)
    assert row["unit_price"] == (price and Decimal(price))


def test_times_are_utc_to_the_microsecond(database):
    replace(database, DAY, [cart(time="23:59:59.999999")], [])
    (row,) = database.read("carts", schemas.CARTS, CART_KEY).read_all().to_pylist()
    assert row["sold_at"] == datetime(2020, 3, 2, 23, 59, 59, 999999, tzinfo=timezone.utc)
    assert row["cart_date"] == date(2020, 3, 2)


def test_ids_of_64_bits_are_kept(database):
    big = 2**63 - 1
    replace(database, DAY, [cart(cart_id=big, user_id=-big)], [])
    (row,) = database.read("carts", schemas.CARTS, CART_KEY).read_all().to_pylist()
    assert (row["cart_id"], row["user_id"]) == (big, -big)


def test_columns_of_nulls_keep_their_types(database):
    database.upsert(USERS, [(1, *[None] * 11), (2, *[None] * 11)], capture=CAPTURE)
    database.upsert(PRODUCTS, [(1, "Hat", "clothing", *[None] * 5)], capture=CAPTURE)
    users = database.read("users", schemas.USERS, ["user_id"]).read_all()
    products = database.read("products", schemas.PRODUCTS, ["product_id"]).read_all()
    assert (users.schema, products.schema) == (schemas.USERS, schemas.PRODUCTS)
    assert users.column("email").null_count == 2
    assert products.column("unit_price").null_count == 1


def test_a_column_that_begins_with_nulls_is_read(database):
    database.upsert(PRODUCTS, [product(1, None), product(2, "0.10")], capture=CAPTURE)
    assert [row["unit_price"] for row in read_products(database)] == [None, Decimal("0.10")]


def test_text_comes_back_as_it_was(database):
    title = "Ünï 日本 🙂 'quoted' \"twice\" % \\ " + "x" * 70_000
    database.upsert(PRODUCTS, [product(title=title)], capture=CAPTURE)
    assert read_products(database)[0]["product_title"] == title


def test_text_that_looks_like_a_number_stays_text(database):
    database.upsert(USERS, [(1, "007", *[None] * 8, "1e5", None)], capture=CAPTURE)
    (row,) = database.read("users", schemas.USERS, ["user_id"]).read_all().to_pylist()
    assert (row["username"], row["longitude"]) == ("007", "1e5")


def test_rows_come_in_the_order_asked_for(database):
    replace(database, NEXT_DAY, [cart(NEXT_DAY, 2), cart(NEXT_DAY, 1)], [])
    replace(database, DAY, [cart(cart_id=10), cart(cart_id=9)], [])
    assert read_carts(database) == [(DAY, 9), (DAY, 10), (NEXT_DAY, 1), (NEXT_DAY, 2)]


def test_only_the_days_asked_for_are_read(database):
    for day in ("2020-03-01", DAY, NEXT_DAY, "2020-03-04"):
        replace(database, day, [cart(day)], [])
    assert read_carts(database, NEXT_DAY, DAY) == [(DAY, 1), (NEXT_DAY, 1)]
    assert read_carts(database, DAY) == [(DAY, 1)]


def test_a_day_without_rows_keeps_its_schema(database):
    replace(database, DAY, [], [])
    reader = database.read("carts", schemas.CARTS, CART_KEY, ("cart_date", [DAY]))
    assert reader.schema == schemas.CARTS
    assert reader.read_all().num_rows == 0


def test_rows_are_read_in_batches(database, batches_of):
    batches_of(3)
    database.upsert(PRODUCTS, [product(number) for number in range(8)], capture=CAPTURE)
    reader = database.read("products", schemas.PRODUCTS, ["product_id"])
    batches = [batch.column("product_id").to_pylist() for batch in reader]
    assert batches == [[0, 1, 2], [3, 4, 5], [6, 7]]


def test_only_the_columns_of_the_schema_are_read(database):
    database.upsert(PRODUCTS, [product()], capture=CAPTURE)
    schema = pa.schema([schemas.PRODUCTS.field("unit_price"), schemas.PRODUCTS.field("product_id")])
    reader = database.read("products", schema, ["product_id"])
    assert reader.read_all().to_pylist() == [{"unit_price": Decimal("9.90"), "product_id": 1}]


def test_a_table_that_is_not_there_is_an_error_with_its_remedy(database):
    message = r"^products cannot be read from the database: .* Materialise the assets under mysql/"
    with pytest.raises(DatabaseError, match=message):
        database.read("products", schemas.PRODUCTS, ["product_id"]).read_all()
    with pytest.raises(DatabaseError, match=message):
        database.count("products")


def test_rows_are_counted_in_all_or_by_day(database):
    replace(database, DAY, [cart(cart_id=1), cart(cart_id=2)], [])
    replace(database, NEXT_DAY, [cart(NEXT_DAY)], [])
    replace(database, "2020-03-04", [cart("2020-03-04")], [])
    assert database.count("carts") == 4
    days = ("cart_date", ["2020-03-01", DAY, NEXT_DAY])
    assert database.count_by_day("carts", days) == {DAY: 2, NEXT_DAY: 1}


# --- the ledger of loads --------------------------------------------------------------------


def test_nothing_is_loaded_into_a_database_that_is_not_there_and_asking_makes_none(
    database, tmp_path
):
    assert database.loads("products") == {}
    assert database.loads("carts", [DAY]) == {}
    assert database.loaded_days() == {}
    assert list(tmp_path.iterdir()) == []
    if not isinstance(database, SqliteDatabase):
        assert sa.inspect(database.engine).get_table_names() == []


def test_a_load_is_recorded_with_its_capture_and_the_rows_that_are_there_then(database):
    database.upsert(PRODUCTS, [product(1), product(2)], capture=FIRST_CAPTURE)
    database.upsert(PRODUCTS, [product(2), product(3)], capture=CAPTURE)
    assert database.loads("products") == {None: Load(CAPTURE, 3)}
    assert database.loads("users") == {}


def test_a_day_is_recorded_for_each_of_its_tables_without_rows_too(database):
    replace(database, DAY, [cart()], [item(), item(line=2)])
    replace(database, NEXT_DAY, [], [])
    assert database.loads("carts") == {DAY: Load(CAPTURE, 1), NEXT_DAY: Load(CAPTURE, 0)}
    assert database.loads("cart_items", ["2020-03-01", DAY]) == {DAY: Load(CAPTURE, 2)}


def test_the_loaded_days_of_all_tables_are_known_at_once(database):
    database.upsert(USERS, [], capture=CAPTURE)
    database.replace_day(DAY, "cart_date", {CARTS: [], CART_ITEMS: []}, capture=CAPTURE)
    database.replace_day(NEXT_DAY, "cart_date", {CARTS: [cart(NEXT_DAY)]}, capture=CAPTURE)
    assert database.loaded_days() == {
        "users": {None},
        "carts": {DAY, NEXT_DAY},
        "cart_items": {DAY},
    }


def test_the_time_of_a_load_is_kept_in_utc(database):
    before = datetime.now(timezone.utc).replace(tzinfo=None)
    database.upsert(USERS, [], capture=CAPTURE)
    with database.engine.connect() as connection:
        loaded_at = connection.scalar(sa.select(LOADS.c.loaded_at))
    assert before <= loaded_at <= datetime.now(timezone.utc).replace(tzinfo=None)


def test_a_load_that_fails_is_not_recorded(database):
    with pytest.raises(DatabaseError):
        replace(database, DAY, [cart()], [item(), item()])
    with pytest.raises(DatabaseError):
        database.upsert(PRODUCTS, [product(title=None)], capture=CAPTURE)
    assert database.loaded_days() == {}


def test_a_load_that_fails_leaves_the_record_of_the_one_before(database):
    replace(database, DAY, [cart()], [item()])
    bad = {CARTS: [cart(cart_id=1), cart(cart_id=2)], CART_ITEMS: [item(), item()]}
    with pytest.raises(DatabaseError):
        database.replace_day(DAY, "cart_date", bad, capture="20200501T000000.000000Z.json")
    assert database.loads("carts") == {DAY: Load(CAPTURE, 1)}


def test_a_table_that_was_made_and_never_loaded_is_not_recorded(database):
    METADATA.create_all(database.engine)  # what a first load leaves that was killed
    assert database.loaded_days() == {}


def test_the_most_rows_that_a_table_ever_had_stay_recorded(database):
    database.upsert(PRODUCTS, [product(1), product(2)], capture=CAPTURE)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(PRODUCTS).where(PRODUCTS.c.product_id == 1))
    assert database.upsert(PRODUCTS, [product(2)], capture=CAPTURE) == 1
    assert database.loads("products") == {None: Load(CAPTURE, 2)}


def test_an_older_capture_only_adds_to_what_a_newer_one_has_loaded(database):
    database.upsert(PRODUCTS, [product(1, title="New")], capture=CAPTURE)
    old = [product(1, title="Old"), product(2, title="Old")]
    assert database.upsert(PRODUCTS, old, capture=FIRST_CAPTURE) == 2
    assert [row["product_title"] for row in read_products(database)] == ["New", "Old"]
    assert database.loads("products") == {None: Load(CAPTURE, 2)}


def test_the_same_capture_again_is_one_load(database):
    for _ in range(2):
        database.upsert(PRODUCTS, [product(1, title="New")], capture=CAPTURE)
        replace(database, DAY, [cart()], [item()])
    assert database.loads("products") == {None: Load(CAPTURE, 1)}
    assert database.loads("carts") == {DAY: Load(CAPTURE, 1)}


def test_of_two_loads_at_once_the_newer_capture_stays(another):
    captures = [f"202004{number:02}T000000.000000Z.json" for number in range(1, 9)]
    start, errors = threading.Barrier(len(captures)), []

    def load(number):
        database = another()
        start.wait()
        try:
            rows = [product(1, title=captures[number]), product(number + 2)]
            database.upsert(PRODUCTS, rows, capture=captures[number])
        except DatabaseError as error:
            errors.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(len(captures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    rows = read_products(another())
    assert [row["product_id"] for row in rows] == list(range(1, 10))
    assert rows[0]["product_title"] == captures[-1]
    assert another().loads("products") == {None: Load(captures[-1], 9)}


# --- a table that is there ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ("id INTEGER PRIMARY KEY", "it lacks product_id"),
        ("note VARCHAR(9), {}", "it has note besides"),
    ],
)
def test_a_differing_table_of_the_same_name_is_refused_and_not_touched(database, columns, told):
    ours = ", ".join(
        f"{c.name} {c.type.compile(database.engine.dialect)} {'' if c.nullable else 'NOT NULL'}"
        for c in PRODUCTS.columns
    )
    with database.engine.begin() as connection:
        table = columns.format(f"{ours}, PRIMARY KEY (product_id)")
        connection.execute(sa.text(f"CREATE TABLE products ({table})"))
    before = sa.inspect(database.engine).get_columns("products")
    with pytest.raises(DatabaseError, match=rf"holds a table products that is not ours.*{told}"):
        database.upsert(PRODUCTS, [product()], capture=CAPTURE)
    assert str(sa.inspect(database.engine).get_columns("products")) == str(before)
    with database.engine.begin() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM products")) == 0


def test_a_table_that_differs_in_a_type_or_in_its_key_is_refused(database):
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE cart_items (cart_date DATE NOT NULL, cart_id INTEGER NOT NULL, "
                "occurrence INTEGER NOT NULL, line_number INTEGER NOT NULL, product_id BIGINT, "
                "quantity INTEGER NOT NULL, PRIMARY KEY (cart_id, cart_date))"
            )
        )
    with pytest.raises(DatabaseError) as caught:
        replace(database, DAY, [], [])
    for told in (
        "cart_id is INTEGER NOT NULL, not BIGINT NOT NULL",
        "quantity is INTEGER NOT NULL, not INTEGER;",
        "its primary key is (cart_id, cart_date), not (cart_date, cart_id, occurrence, line_num",
        "It was not touched",
    ):
        assert told in str(caught.value)


def test_the_tables_that_we_make_are_taken_for_ours_the_next_time(another):
    METADATA.create_all(another().engine)
    replace(another(), DAY, [cart()], [item()])
    another().upsert(USERS, [(1, *[None] * 11)], capture=CAPTURE)
    another().upsert(PRODUCTS, [product()], capture=CAPTURE)
    assert read_carts(another()) == [(DAY, 1)]
