"""Tests of `storepipe_dagster.resources.mysql_bulk`, on real servers."""

import dagster as dg
import pytest
import sqlalchemy as sa

from storepipe_dagster.errors import UserError
from storepipe_dagster.layers.mysql.schemas import PRODUCTS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import mysql as module
from storepipe_dagster.resources import mysql_bulk
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster_tests.resources.cart_lines import (
    DAY,
    KEY,
    NEXT_DAY,
    items,
    read_items,
    replace,
)
from storepipe_dagster_tests.servers.proxy import Proxy

# --- loading --------------------------------------------------------------------------------------


@pytest.fixture
def statements(database):
    """What is sent, statement by statement."""
    sent = []
    sa.event.listen(
        database.engine, "before_cursor_execute", lambda *told: sent.append(told[2].split("(")[0])
    )
    return sent


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("a\tb\nc\rd", "a\\tb\\nc\\rd"),
        ("\\N", "\\\\N"),
        ("\\t", "\\\\t"),
        ("\0é🙂", "\\0é🙂"),
        ("", ""),
        (None, "\\N"),
    ],
)
def test_a_row_is_a_line_as_load_data_reads_it(text, written):
    rows = [(-(2**63), text, None), (2**63 - 1, "x", None)]
    lines = b"".join(mysql_bulk.text_lines(rows)).decode()
    assert lines == f"-9223372036854775808\t{written}\t\\N\n9223372036854775807\tx\t\\N\n"


def test_lines_come_in_packets_that_a_server_takes(monkeypatch):
    monkeypatch.setattr(mysql_bulk, "LARGEST_PACKET", 7)
    monkeypatch.setattr(mysql_bulk, "ROWS_PER_TEXT", 2)
    packets = list(mysql_bulk.text_lines([(number, number) for number in range(5)]))
    assert b"".join(packets) == b"0\t0\n1\t1\n2\t2\n3\t3\n4\t4\n"
    assert max(map(len, packets)) == 7


def test_a_day_is_loaded_by_load_data(database, statements):
    assert replace(database) == 3
    assert [s for s in statements if s.startswith(("LOAD", "INSERT"))] == [
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE cart_items CHARACTER SET utf8mb4 "
    ]


def test_a_day_is_inserted_where_the_server_does_not_let_us_load(
    database, statements, database_server
):
    database_server.execute("SET GLOBAL local_infile = OFF")
    try:
        assert replace(database) == 3
    finally:
        database_server.execute("SET GLOBAL local_infile = ON")
    assert [s for s in statements if s.startswith(("LOAD", "INSERT"))] == [
        "INSERT INTO cart_items "
    ]
    assert read_items(database) == [(DAY, 1, 1, 2), (DAY, 2, 1, 2), (DAY, 3, 1, 2)]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ((DAY, 1, 1, 1, 7, 2), "error 1062"),
        ((DAY, 9, 1, 1, 7, "many"), "error 1366"),
        ((DAY, 9, 1, 1, 7, 2**40), "error 1264"),
        (("2020-13-01", 9, 1, 1, 7, 1), "error 1292"),
    ],
    ids=["the key is there", "text for a number", "a number too big", "no date"],
)
def test_what_load_data_would_leave_out_or_change_is_an_error(database, row, told):
    replace(database)
    with pytest.raises(DatabaseError, match=told) as caught:
        replace(database, rows=[*items(quantity=5), row])
    assert "many" not in str(caught.value)
    assert read_items(database) == [(DAY, 1, 1, 2), (DAY, 2, 1, 2), (DAY, 3, 1, 2)]


def test_the_server_gets_rows_whatever_file_it_asks_for(database, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(f"{DAY}\t66\t1\t1\t7\t2\n")
    replace(database)
    with database.engine.begin() as connection:
        driver = connection.connection.driver_connection
        driver.upload = [f"{DAY}\t55\t1\t1\t7\t2\n".encode()]
        connection.exec_driver_sql(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE cart_items")
        driver.upload = None
    assert {cart for _, cart, _, _ in read_items(database)} == {1, 2, 3, 55}


def test_the_server_gets_no_file_when_nothing_is_being_loaded(database, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(f"{DAY}\t66\t1\t1\t7\t2\n")
    replace(database)
    with (
        pytest.raises(UserError, match="asked for a file"),
        database.engine.begin() as connection,
    ):
        connection.exec_driver_sql(f"LOAD DATA LOCAL INFILE '{secret}' INTO TABLE cart_items")
    assert {cart for _, cart, _, _ in read_items(database)} == {1, 2, 3}


# --- reading --------------------------------------------------------------------------------------


def test_chunks_go_on_exactly_after_the_last_key(database, monkeypatch):
    rows = [
        (day, cart, occurrence, line, 7, 1)
        for day in (DAY, NEXT_DAY)
        for cart in (-(2**63), 1, 2, 2**63 - 1)
        for occurrence in (1, 2)
        for line in (1, 2, 3)
    ]
    for day in (DAY, NEXT_DAY):
        replace(database, day, [row for row in rows if row[0] == day])
    for size in (1, 2, 5, 6, 7, 24, 47, 48, 49):
        monkeypatch.setattr(mysql_bulk, "ROWS_PER_CHUNK", size)
        read = database.read("cart_items", schemas.CART_ITEMS, KEY).read_all().to_pylist()
        told = [
            (str(r["cart_date"]), r["cart_id"], r["occurrence"], r["line_number"]) for r in read
        ]
        assert told == [row[:4] for row in rows]


def test_a_text_that_the_server_would_cut_is_asked_for_in_smaller_chunks(database, monkeypatch):
    monkeypatch.setattr(module, "SESSION", "SET SESSION group_concat_max_len = 4000")
    rows = [(n, f"t{n}", "x" * 100 + ",\"\n'" * 9, "1.00", *[None] * 4) for n in range(200)]
    database.upsert(PRODUCTS, rows)
    reader = database.read("products", schemas.PRODUCTS, ["product_id"])
    read = reader.read_all().to_pylist()
    assert [(row["product_id"], row["product_title"], row["category"]) for row in read] == [
        row[:3] for row in rows
    ]


@pytest.mark.parametrize("limit", range(60, 80))
def test_no_place_of_a_cut_is_taken_for_the_end_of_a_row(database, monkeypatch, limit):
    monkeypatch.setattr(module, "SESSION", f"SET SESSION group_concat_max_len = {limit}")
    replace(database, rows=items(carts=7, quantity=12345))
    assert read_items(database) == [(DAY, cart, 1, 12345) for cart in range(1, 8)]


def test_a_row_that_no_text_can_hold_is_an_error(database, monkeypatch):
    monkeypatch.setattr(module, "SESSION", "SET SESSION group_concat_max_len = 1000")
    database.upsert(PRODUCTS, [(1, "t", "x" * 2000, "1.00", *[None] * 4)])
    with pytest.raises(DatabaseError, match="A row of products is too big to be read"):
        database.read("products", schemas.PRODUCTS, ["product_id"]).read_all()


@pytest.mark.parametrize(
    "text", ["", " ", '"', '""', ",", "\n", "\r\n", "\\", "\\N", "NULL", "🙂\0é"]
)
def test_texts_that_csv_stumbles_over_are_read(database, text):
    database.upsert(PRODUCTS, [(1, text, "x", None, text, None, 0.1, None)])
    (row,) = database.read("products", schemas.PRODUCTS, ["product_id"]).read_all().to_pylist()
    assert (row["product_title"], row["description"], row["image_url"]) == (text, text, None)


@pytest.mark.parametrize("rating", [0.1, 1 / 3, 1e-300, -1.7976931348623157e308, 5e-324])
def test_doubles_are_read_to_the_last_bit(database, rating):
    database.upsert(PRODUCTS, [(1, "Hat", "x", None, None, None, rating, None)])
    (row,) = database.read("products", schemas.PRODUCTS, ["product_id"]).read_all().to_pylist()
    assert row["rating"] == rating


def test_who_stops_reading_in_the_middle_leaves_the_connection_in_order(database, monkeypatch):
    replace(database, rows=items(carts=5000))
    monkeypatch.setattr(mysql_bulk, "ROWS_PER_CHUNK", 100)
    for _ in range(20):
        batches = database._batches("cart_items", schemas.CART_ITEMS, KEY, None)
        next(batches)
        batches.close()
    assert database.engine.pool.checkedout() == 0
    with database.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT @@wait_timeout")) == 900
    assert database.count("cart_items") == 5000


def test_a_text_that_the_server_no_longer_sends_is_an_error_and_not_null(
    database, database_server, given
):
    database.upsert(PRODUCTS, [(1, "Hat", "x", None, "y" * 3 * 2**20, None, None, None)])
    database_server.execute("SET GLOBAL max_allowed_packet = 2097152")
    try:
        reader = given.resource().read("products", schemas.PRODUCTS, ["product_id"])
        with pytest.raises(DatabaseError, match="A row of products is too big to be read"):
            reader.read_all()
    finally:
        database_server.execute("SET GLOBAL max_allowed_packet = DEFAULT")


def test_a_connection_lost_in_mid_read_asks_for_the_step_again(given, monkeypatch):
    monkeypatch.setattr(mysql_bulk, "ROWS_PER_CHUNK", 100)
    replace(given.resource(), rows=items(carts=1000))
    with Proxy(given.port) as proxy:
        reader = given.resource(port=proxy.port).read("cart_items", schemas.CART_ITEMS, KEY)
        reader.read_next_batch()
        proxy.cut()
        with pytest.raises(dg.RetryRequested) as caught:
            reader.read_all()
    assert "has closed the connection" in str(caught.value.__cause__)


def test_reading_walks_the_key_and_not_the_whole_table(database):
    replace(database, rows=items(carts=2000, lines=3))
    read = mysql_bulk.ChunkedRead(None, "cart_items", schemas.CART_ITEMS, KEY, None)
    read._last = [DAY, 1990, 1, 2]
    with database.engine.connect() as connection:
        before = rows_handled(connection)
        rows = connection.execute(read._query().limit(5)).all()
        handled = rows_handled(connection) - before
    assert [(row[1], row[3]) for row in rows] == [
        (1990, 3), (1991, 1), (1991, 2), (1991, 3), (1992, 1),
    ]  # fmt: skip
    assert handled < 50


def rows_handled(connection):
    status = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
    return sum(int(count) for _, count in status)
