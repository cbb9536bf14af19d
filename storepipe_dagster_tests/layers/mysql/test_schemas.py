"""Tests of `storepipe_dagster.layers.mysql.schemas`: what MySQL and SQLite are told to create."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from storepipe_dagster.layers.mysql import schemas

TABLES = list(schemas.METADATA.tables.values())
each_table = pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)


def ddl(table, dialect):
    return str(sa.schema.CreateTable(table).compile(dialect=dialect))


def columns(table):
    lines = (line.split(" COMMENT ")[0] for line in ddl(table, mysql.dialect()).splitlines())
    return [line.strip(", \t") for line in lines if line.startswith("\t")]


def test_the_tables_are_those_of_the_contract():
    assert {table.name for table in TABLES} == {
        "products",
        "users",
        "carts",
        "cart_items",
        "storepipe_loads",
    }


def test_products_in_mysql():
    assert columns(schemas.PRODUCTS) == [
        "product_id BIGINT NOT NULL",
        "product_title LONGTEXT NOT NULL",
        "category LONGTEXT NOT NULL",
        "unit_price DECIMAL(12, 2)",
        "description LONGTEXT",
        "image_url LONGTEXT",
        "rating DOUBLE",
        "rating_count BIGINT",
        "PRIMARY KEY (product_id)",
    ]


def test_users_in_mysql():
    assert columns(schemas.USERS)[0] == "user_id BIGINT NOT NULL"
    assert columns(schemas.USERS)[-1] == "PRIMARY KEY (user_id)"
    assert {line.split()[1] for line in columns(schemas.USERS)[1:-1]} == {"LONGTEXT"}


def test_carts_in_mysql():
    assert columns(schemas.CARTS) == [
        "cart_date DATE NOT NULL",
        "cart_id BIGINT NOT NULL",
        "occurrence INTEGER NOT NULL",
        "sold_at DATETIME(6) NOT NULL",
        "user_id BIGINT",
        "PRIMARY KEY (cart_date, cart_id, occurrence)",
    ]


def test_cart_items_in_mysql():
    assert columns(schemas.CART_ITEMS) == [
        "cart_date DATE NOT NULL",
        "cart_id BIGINT NOT NULL",
        "occurrence INTEGER NOT NULL",
        "line_number INTEGER NOT NULL",
        "product_id BIGINT",
        "quantity INTEGER",
        "PRIMARY KEY (cart_date, cart_id, occurrence, line_number)",
    ]


def test_the_ledger_of_loads_in_mysql():
    assert columns(schemas.LOADS) == [
        "table_name VARCHAR(64) NOT NULL",
        "day VARCHAR(10) NOT NULL",
        "capture VARCHAR(64) NOT NULL",
        "row_count BIGINT NOT NULL",
        "loaded_at DATETIME(6) NOT NULL",
        "PRIMARY KEY (table_name, day)",
    ]


@each_table
def test_mysql_takes_all_of_unicode_in_transactions(table):
    assert "CHARSET=utf8mb4 ENGINE=InnoDB" in ddl(table, mysql.dialect())


@each_table
def test_sqlite_keeps_money_as_text_and_finds_rows_by_their_key(table):
    text = ddl(table, sqlite.dialect())
    assert "DECIMAL" not in text
    assert "WITHOUT ROWID" in text


@each_table
def test_every_column_says_what_it_is(table):
    assert all(column.comment for column in table.columns)


def test_no_table_has_a_place_for_a_password():
    assert not [column for table in TABLES for column in table.columns if "password" in column.name]
