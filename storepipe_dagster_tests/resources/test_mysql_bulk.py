"""Tests of `storepipe_dagster.resources.mysql_bulk`, on real servers."""

import dagster as dg
import pyarrow as pa
import pytest
import sqlalchemy as sa

from storepipe_dagster.errors import UserError
from storepipe_dagster.layers.mysql.schemas import PRODUCTS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import mysql, mysql_bulk
from storepipe_dagster.resources.database import DatabaseError, of_days
from storepipe_dagster_tests.resources.cart_lines import (
    CAPTURE,
    DAY,
    KEY,
    NEXT_DAY,
    items,
    read_items,
    replace,
)
from storepipe_dagster_tests.servers.mariadb import LEAST
from storepipe_dagster_tests.servers.proxy import Proxy

# --- loading --------------------------------------------------------------------------------------


def statements_of(database):
    """What is sent from now on, statement by statement."""
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


def test_a_day_is_loaded_by_load_data(database):
    statements = statements_of(database)
    assert replace(database) == 3
    assert [s for s in statements if s.startswith(("LOAD", "INSERT"))] == [
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE cart_items CHARACTER SET utf8mb4 ",
        "INSERT INTO storepipe_loads ",
    ]


def test_a_day_is_inserted_where_loading_is_refused_on_the_way(database, monkeypatch):
    connect = mysql.BulkConnection
    refusing = {"local_infile": False}  # as a proxy does; @@local_infile says ON
    monkeypatch.setattr(mysql, "BulkConnection", lambda *a, **k: connect(*a, **k | refusing))
    statements = statements_of(database)
    assert replace(database) == 3
    assert [s for s in statements if s.startswith(("LOAD", "INSERT"))] == [
        "LOAD DATA LOCAL INFILE 'rows' INTO TABLE cart_items CHARACTER SET utf8mb4 ",
        "INSERT INTO cart_items ",
        "INSERT INTO storepipe_loads ",
    ]


def test_a_day_is_inserted_where_the_server_does_not_let_us_load(own_database_server):
    database = own_database_server.create_database(grants=LEAST).resource()
    statements = statements_of(database)
    own_database_server.execute("SET GLOBAL local_infile = OFF")
    try:
        assert replace(database) == 3
    finally:
        own_database_server.execute("SET GLOBAL local_infile = ON")
    assert [s for s in statements if s.startswith(("LOAD", "INSERT"))] == [
        "INSERT INTO cart_items ",
        "INSERT INTO storepipe_loads ",
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


def test_rows_are_read_whatever_part_of_them_comes_at_a_time(database, monkeypatch):
    rows = [
        (day, cart, occurrence, line, 7, 1)
        for day in (DAY, NEXT_DAY)
        for cart in (-(2**63), 1, 2, 2**63 - 1)
        for occurrence in (1, 2)
        for line in (1, 2, 3)
    ]
    for day in (DAY, NEXT_DAY):
        replace(database, day, [row for row in rows if row[0] == day])
    for size, received in ((1, 1), (1, 9999), (2, 7), (5, 64), (47, 40), (48, 41), (49, 999)):
        monkeypatch.setattr(mysql_bulk, "ROWS_PER_BATCH", size)
        monkeypatch.setattr(mysql_bulk, "BYTES_AT_ONCE", received)
        reader = database.read("cart_items", schemas.CART_ITEMS, KEY)
        batches = list(reader)
        assert {batch.num_rows for batch in batches[:-1]} <= {size}
        told = [
            (str(r["cart_date"]), r["cart_id"], r["occurrence"], r["line_number"])
            for batch in batches
            for r in batch.to_pylist()
        ]
        assert told == [row[:4] for row in rows]


def test_long_rows_come_in_small_batches(database, monkeypatch):
    monkeypatch.setattr(mysql_bulk, "BYTES_PER_BATCH", 2**20)
    texts = {n: str(n) * n for n in (0, 1, 250, 251, 252, 253, 254, 255, 256, 65535, 65536)}
    texts |= dict.fromkeys(range(100000, 100020), "é" * 2**17)
    rows = [(n, "t", "x", "1.00", text, None, None, None) for n, text in texts.items()]
    database.upsert(PRODUCTS, rows, capture=CAPTURE)
    batches = list(database.read("products", schemas.PRODUCTS, ["product_id"]))
    read = {row["product_id"]: row["description"] for b in batches for row in b.to_pylist()}
    assert read == texts
    assert max(batch.nbytes for batch in batches) < 2 * 2**20


def test_a_row_of_more_than_a_packet_is_an_error(database):
    database.upsert(
        PRODUCTS, [(n, "t", "x", None, None, None, None, None) for n in (1, 2)], capture=CAPTURE
    )
    with database.engine.begin() as connection:
        longest = "UPDATE products SET description = repeat('x', 16777215) WHERE product_id = 1"
        connection.exec_driver_sql(longest)
    with pytest.raises(DatabaseError, match="A row of products is too big to be read"):
        database.read("products", schemas.PRODUCTS, ["product_id"]).read_all()


def test_a_value_that_is_none_of_its_type_is_an_error_without_the_value(database):
    database.upsert(PRODUCTS, [(1, "secret", "x", "1.00", None, None, None, None)], capture=CAPTURE)
    schema = pa.schema([("product_id", pa.int64()), ("product_title", pa.int64())])
    with pytest.raises(DatabaseError, match="something else than product_id int64") as caught:
        database.read("products", schema, ["product_id"]).read_all()
    assert "secret" not in str(caught.value)
    assert database.count("products") == 1


@pytest.mark.parametrize(
    "text", ["", " ", '"', ",", "\n", "\r\n", "\\", "\\N", "NULL", "🙂\0é", "\1\0\0", "\0" * 9]
)
def test_texts_are_read_as_they_are(database, text):
    database.upsert(
        PRODUCTS, [(n, text, "x", None, text, None, 0.1, None) for n in (1, 2)], capture=CAPTURE
    )
    read = database.read("products", schemas.PRODUCTS, ["product_id"]).read_all().to_pylist()
    assert [(row["product_title"], row["description"], row["image_url"]) for row in read] == [
        (text, text, None)
    ] * 2


@pytest.mark.parametrize("rating", [0.1, 1 / 3, 1e-300, -1.7976931348623157e308, 5e-324])
def test_doubles_are_read_to_the_last_bit(database, rating):
    database.upsert(PRODUCTS, [(1, "Hat", "x", None, None, None, rating, None)], capture=CAPTURE)
    (row,) = database.read("products", schemas.PRODUCTS, ["product_id"]).read_all().to_pylist()
    assert row["rating"] == rating


def test_who_stops_reading_in_the_middle_leaves_no_connection_behind(database, monkeypatch):
    replace(database, rows=items(carts=5000))
    monkeypatch.setattr(mysql_bulk, "ROWS_PER_BATCH", 100)
    for _ in range(20):
        batches = database._batches("cart_items", schemas.CART_ITEMS, KEY, None)
        next(batches)
        batches.close()
    assert database.engine.pool.checkedout() == 0
    with database.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT @@wait_timeout")) == 900
    assert database.count("cart_items") == 5000


def test_a_connection_that_was_read_to_the_end_is_used_again(database):
    replace(database)
    with database.engine.connect() as connection:
        before = connection.scalar(sa.text("SELECT connection_id()"))
    assert len(read_items(database)) == 3
    with database.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT connection_id()")) == before


def test_a_connection_lost_in_mid_read_asks_for_the_step_again(given, monkeypatch):
    monkeypatch.setattr(mysql_bulk, "ROWS_PER_BATCH", 100)
    replace(given.resource(), rows=items(carts=20_000))
    with Proxy(given.port) as proxy:
        reader = given.resource(port=proxy.port).read("cart_items", schemas.CART_ITEMS, KEY)
        proxy.cut_after(300_000, "to_client")
        with pytest.raises(dg.RetryRequested) as caught:
            reader.read_all()
        assert proxy.counts["cut"] == 1
    assert "has closed the connection" in str(caught.value.__cause__)


def test_a_query_that_the_server_ends_in_mid_read_is_an_error(database, database_server):
    """It ends with an error instead of an end: rows before it are not taken for all there are."""
    database.upsert(
        PRODUCTS, [(n, "t", "x", None, None, None, None, None) for n in range(80)], capture=CAPTURE
    )
    with database.engine.begin() as connection:  # far more than the sockets hold
        connection.exec_driver_sql("UPDATE products SET description = repeat('x', 1000000)")
    batches = database._batches("products", schemas.PRODUCTS, ["product_id"], None)
    next(batches)
    listed = "SELECT id FROM information_schema.processlist WHERE info LIKE 'SELECT product_id%'"
    [(query,)] = database_server.execute(listed)
    database_server.execute(f"KILL QUERY {query}")
    with pytest.raises(DatabaseError, match="error 1317"):
        list(batches)


def test_reading_walks_the_key_and_sorts_nothing(database):
    replace(database, rows=items(carts=2000, lines=3))
    replace(database, NEXT_DAY, items(NEXT_DAY, carts=2000, lines=3))
    read_items(database)
    with database.engine.connect() as connection:
        before = rows_handled(connection)
        list(mysql_bulk.read(connection, by_key(), schemas.CART_ITEMS))
        whole = rows_handled(connection) - before
        of_day = of_days(by_key(), ("cart_date", [NEXT_DAY]))
        list(mysql_bulk.read(connection, of_day, schemas.CART_ITEMS))
        handled = rows_handled(connection) - before - whole
        sorted_rows = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Sort_rows'").all()
    assert 12_000 <= whole < 12_050
    assert 6_000 <= handled < 6_050
    assert [int(count) for _, count in sorted_rows] == [0]


def by_key():
    columns = sa.select(*(sa.column(name) for name in schemas.CART_ITEMS.names))
    return columns.select_from(sa.table("cart_items")).order_by(*map(sa.column, KEY))


def rows_handled(connection):
    status = connection.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'").all()
    return sum(int(count) for _, count in status)
