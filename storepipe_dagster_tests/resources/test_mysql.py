"""Tests of `storepipe_dagster.resources.mysql` on real servers; what all databases do:
`test_database`."""

import socket
import threading
import time

import pymysql
import pytest
import sqlalchemy as sa

from storepipe_dagster.layers.mysql.schemas import CART_ITEMS, CARTS, PRODUCTS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.resources import mysql as module
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster.resources.loads import Load
from storepipe_dagster_tests.resources.cart_lines import (
    CAPTURE,
    DAY,
    NEXT_DAY,
    items,
    read_items,
    replace,
)
from storepipe_dagster_tests.servers.certificates import Authority
from storepipe_dagster_tests.servers.mariadb import LEAST, MariaDb
from storepipe_dagster_tests.servers.proxy import Proxy


@pytest.fixture
def impatient(monkeypatch):
    """No waiting between tries."""
    monkeypatch.setattr(module, "LONGEST_WAIT", 0.05)


def session_value(database, name):
    with database.engine.connect() as connection:
        return connection.scalar(sa.text(f"SELECT @@{name}"))


# --- the session ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("time_zone", "+00:00"),
        ("character_set_client", "utf8mb4"),
        ("character_set_connection", "utf8mb4"),
    ],
)
def test_a_session_is_utc_and_utf8mb4(database, name, value):
    assert session_value(database, name) == value


def test_a_session_is_strict_whatever_the_server_is(own_database_server):
    database = own_database_server.create_database(grants=LEAST).resource()
    own_database_server.execute("SET GLOBAL sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES'")
    try:
        assert "STRICT_ALL_TABLES" in session_value(database, "sql_mode")
        database.upsert(PRODUCTS, [(1, "a\\'b\"c", "x", "1.00", *[None] * 4)], capture=CAPTURE)
        reader = database.read("products", schemas.PRODUCTS, ["product_id"])
        assert reader.read_all()["product_title"].to_pylist() == ["a\\'b\"c"]
    finally:
        own_database_server.execute("SET GLOBAL sql_mode = DEFAULT")


def test_tables_are_innodb_with_utf8mb4_decimal_and_64_bit_ids(database, database_server, given):
    database.upsert(PRODUCTS, [], capture=CAPTURE)
    database.replace_day(DAY, "cart_date", {CARTS: [], CART_ITEMS: []}, capture=CAPTURE)
    told = database_server.execute(
        "SELECT table_name, engine, table_collation FROM information_schema.tables "
        "WHERE table_schema = %s",
        [given.database],
    )
    assert {(name, engine, text[:7]) for name, engine, text in told} == {
        ("products", "InnoDB", "utf8mb4"),
        ("carts", "InnoDB", "utf8mb4"),
        ("cart_items", "InnoDB", "utf8mb4"),
        ("storepipe_loads", "InnoDB", "utf8mb4"),
    }
    types = dict(
        database_server.execute(
            "SELECT concat(table_name, '.', column_name), column_type "
            "FROM information_schema.columns WHERE table_schema = %s",
            [given.database],
        )
    )
    assert types["products.unit_price"] == "decimal(12,2)"
    assert types["products.description"] == "longtext"
    assert types["carts.sold_at"] == "datetime(6)"
    assert types["carts.cart_id"].startswith("bigint")
    assert types["carts.user_id"].startswith("bigint")


# --- logging in -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_mysql_is_met_with_caching_sha2_password(mysql, mysql_database):
    plugins = mysql.execute("SELECT plugin FROM mysql.user WHERE user = %s", [mysql_database.user])
    assert plugins == (("caching_sha2_password",),)
    assert replace(mysql_database.resource()) == 3


def test_the_certificate_is_verified_where_an_authority_is_named(given, authority):
    database = given.resource(ssl_ca=str(authority.path))
    assert replace(database) == 3
    with database.engine.connect() as connection:
        cipher = connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1]
    assert cipher


def test_a_server_that_requires_tls_is_served_without_an_authority_as_well(database_server):
    given = database_server.create_database(require_tls=True)
    assert replace(given.resource()) == 3


def test_a_certificate_of_another_authority_is_refused(given, tmp_path):
    other = Authority(tmp_path)
    with pytest.raises(DatabaseError, match="is of an authority that is not trusted"):
        replace(given.resource(ssl_ca=str(other.path)))


def test_a_certificate_for_another_host_is_refused(authority):
    with MariaDb(authority.issue("db.example")) as server:
        given = server.create_database()
        with pytest.raises(DatabaseError, match="is for another"):
            replace(given.resource(ssl_ca=str(authority.path)))


def test_a_wrong_password_is_told_at_once_and_not_shown(given):
    started = time.monotonic()
    with pytest.raises(DatabaseError, match="refuses the password of 'user_") as caught:
        replace(given.resource(password="hunter2"))
    assert time.monotonic() - started < 2
    assert "hunter2" not in str(caught.value)


def test_the_password_is_in_no_repr(given):
    database = given.resource()
    replace(database)
    shown = f"{database!r} {database} {database.engine!r} {database.engine.url}"
    assert given.password not in shown
    assert "password" not in shown


# --- trying again ---------------------------------------------------------------------------------


def test_a_lost_connection_in_mid_transaction_is_tried_again_as_a_whole(given, impatient):
    with Proxy(given.port) as proxy:
        database = given.resource(port=proxy.port)
        replace(database)
        proxy.cut_after(20_000, "to_server", times=2)
        assert replace(database, rows=items(carts=9000, quantity=5)) == 9000
        assert proxy.counts["cut"] >= 1
    assert {quantity for *_, quantity in read_items(given.resource())} == {5}


@pytest.mark.parametrize("load", ["a day", "an upsert"])
def test_a_commit_whose_answer_was_lost_is_one_load_when_it_is_tried_again(
    given, impatient, monkeypatch, load
):
    database, watching = given.resource(), given.resource()
    commit, lost = database.engine.dialect.do_commit, []

    def lose_the_answer(connection):
        commit(connection)
        if not lost and watching.loaded_days():
            lost.append(True)
            raise pymysql.OperationalError(2013, "Lost connection")

    monkeypatch.setattr(database.engine.dialect, "do_commit", lose_the_answer)
    if load == "a day":
        assert replace(database) == 3
        assert watching.loads("cart_items") == {DAY: Load(CAPTURE, 3)}
    else:
        hats = [(number, "Hat", "x", "1.00", *[None] * 4) for number in (1, 2)]
        assert database.upsert(PRODUCTS, hats, capture=CAPTURE) == 2
        assert watching.loads("products") == {None: Load(CAPTURE, 2)}
    assert lost


def test_a_server_that_ends_our_connection_is_asked_again(database, database_server, given):
    replace(database)
    for (thread,) in database_server.execute(
        "SELECT id FROM information_schema.processlist WHERE user = %s", [given.user]
    ):
        database_server.execute(f"KILL {thread}")
    assert database.count("cart_items") == 3
    assert replace(database, NEXT_DAY) == 3


def test_a_deadlock_is_tried_again(given, impatient):
    """Two transactions that take two rows in opposite order: one of them is chosen to fail."""
    one, other = given.resource(), given.resource()
    one.upsert(
        PRODUCTS, [(number, "Hat", "x", "1.00", *[None] * 4) for number in (1, 2)], capture=CAPTURE
    )
    both_hold_one, tries = threading.Barrier(2), []

    def transaction(database, first, second):
        def work(connection):
            tries.append(first)
            change = sa.text(
                "UPDATE products SET unit_price = unit_price + 1 WHERE product_id = :x"
            )
            connection.execute(change, {"x": first})
            if len(tries) <= 2:
                both_hold_one.wait(10)
            connection.execute(change, {"x": second})

        # Different names: the lock of a name would keep the two apart.
        database._in_transaction([PRODUCTS], f"test {first}", work)

    threads = [
        threading.Thread(target=transaction, args=arguments)
        for arguments in ((one, 1, 2), (other, 2, 1))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(tries)[:2] == [1, 1] or sorted(tries)[1:] == [2, 2]
    assert len(tries) == 3
    rows = one.read("products", schemas.PRODUCTS, ["product_id"]).read_all()
    assert [str(price) for price in rows["unit_price"].to_pylist()] == ["3.00", "3.00"]


def test_a_lock_that_another_client_holds_too_long_is_waited_for_again(given, impatient):
    database = given.resource()
    replace(database)
    with database.engine.connect() as other:
        other.execute(sa.text("SELECT * FROM cart_items FOR UPDATE"))
        short = given.resource()
        sa.event.listen(
            short.engine,
            "connect",
            lambda connection, _: connection.cursor().execute(
                "SET SESSION innodb_lock_wait_timeout = 1"
            ),
        )
        done = threading.Thread(target=replace, args=(short, DAY, items(quantity=5)))
        done.start()
        time.sleep(1.5)
        assert done.is_alive()
        other.rollback()
        done.join(10)
    assert {quantity for *_, quantity in read_items(database)} == {5}


def test_runs_that_load_the_same_day_at_once_leave_one_of_their_loads(given):
    replace(given.resource(), rows=[])
    start = threading.Barrier(6)
    errors = []

    def load(quantity):
        database = given.resource()
        start.wait()
        try:
            for _ in range(3):
                replace(database, rows=items(carts=200, quantity=quantity))
        except DatabaseError as error:
            errors.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = read_items(given.resource())
    assert errors == []
    assert len(rows) == 200
    assert len({quantity for *_, quantity in rows}) == 1


def test_a_server_that_takes_connections_and_says_nothing_is_told_in_time(given, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_CONNECT", 0.5)
    monkeypatch.setattr(module, "SECONDS_TO_TRY", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        database = given.resource(port=silent.getsockname()[1])
        started = time.monotonic()
        with pytest.raises(DatabaseError, match="did not answer in time"):
            replace(database)
    assert time.monotonic() - started < 5


def test_a_statement_may_take_longer_than_a_login(given, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_CONNECT", 1)
    with given.resource().engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT sleep(1.5)")) == 0


def test_what_a_lost_client_has_locked_is_free_again_some_minutes_later(database):
    assert session_value(database, "wait_timeout") == 900


def test_a_server_that_is_gone_for_good_is_told(given, impatient, monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_TRY", 1)
    database = given.resource(port=9)
    with pytest.raises(DatabaseError, match="cannot be reached: nobody listens there"):
        replace(database)


def test_an_error_that_stays_is_not_tried_again(database, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(DatabaseError, match="error 1366"):
        replace(database, rows=[(DAY, 1, 1, 1, 7, "many")])
    assert slept == []


# --- a table that is there ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("ENGINE=MyISAM CHARSET=utf8mb4", "its engine is MyISAM, not InnoDB"),
        ("ENGINE=InnoDB CHARSET=latin1", "its charset is latin1, not utf8mb4"),
    ],
)
def test_a_table_that_would_lose_data_is_refused(database, options, told):
    with database.engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE cart_items (cart_date DATE, cart_id BIGINT, occurrence INTEGER, "
                "line_number INTEGER, product_id BIGINT, quantity INTEGER, "
                f"PRIMARY KEY (cart_date, cart_id, occurrence, line_number)) {options}"
            )
        )
    with pytest.raises(DatabaseError, match=told):
        replace(database)
    assert database.count("cart_items") == 0
