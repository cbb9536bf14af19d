"""Tests of `storepipe_dagster.layers.relational.schemas`, against the database's columns."""

import pyarrow as pa
import pytest

from storepipe_dagster.layers.mysql import schemas as mysql
from storepipe_dagster.layers.relational import schemas as relational

PAIRS = {
    "products": (mysql.PRODUCTS, relational.PRODUCTS),
    "users": (mysql.USERS, relational.USERS),
    "carts": (mysql.CARTS, relational.CARTS),
    "cart_items": (mysql.CART_ITEMS, relational.CART_ITEMS),
}
each_pair = pytest.mark.parametrize(("table", "extract"), PAIRS.values(), ids=PAIRS)


def is_personal(field):
    return b"personal_data" in field.metadata


@each_pair
def test_every_column_of_the_database_is_extracted_in_its_order(table, extract):
    assert extract.names == table.columns.keys()


@each_pair
def test_a_column_means_the_same_in_both(table, extract):
    differing = [
        field.name
        for field, column in zip(extract, table.columns, strict=True)
        if field.metadata[b"comment"].decode() != column.comment
    ]
    assert differing == []


@each_pair
def test_personal_data_is_tagged_in_both(table, extract):
    assert [field.name for field in extract if is_personal(field)] == [
        column.name for column in table.columns if column.info.get("personal_data")
    ]


def test_of_a_user_only_the_id_and_the_city_are_not_personal():
    plain = [field.name for field in relational.USERS if not is_personal(field)]
    assert plain == ["user_id", "city"]


def test_types_are_exact():
    kinds = {
        (field.name, field.type)
        for _, extract in PAIRS.values()
        for field in extract
        if field.type != pa.string()
    }
    assert kinds == {
        ("product_id", pa.int64()),
        ("unit_price", pa.decimal128(12, 2)),
        ("rating", pa.float64()),
        ("rating_count", pa.int64()),
        ("user_id", pa.int64()),
        ("cart_date", pa.date32()),
        ("cart_id", pa.int64()),
        ("occurrence", pa.int32()),
        ("sold_at", pa.timestamp("us", "UTC")),
        ("line_number", pa.int32()),
        ("quantity", pa.int32()),
    }
