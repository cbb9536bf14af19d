"""Tests of `storepipe_dagster.layers.trusted.schemas`: the contract, in the order it lists."""

import pytest

from storepipe_dagster.layers.trusted import schemas


def list_columns(schema):
    return [(field.name, field.dataType.simpleString()) for field in schema]


def test_product_prices_have_the_columns_of_the_contract():
    assert list_columns(schemas.PRODUCT_PRICES) == [
        ("product_id", "bigint"),
        ("product_title", "string"),
        ("category", "string"),
        ("unit_price", "decimal(12,2)"),
        ("valid_from", "timestamp"),
        ("valid_to", "timestamp"),
    ]


def test_sales_have_the_columns_of_the_contract():
    assert list_columns(schemas.SALES) == [
        ("sale_date", "date"),
        ("cart_id", "bigint"),
        ("line_number", "int"),
        ("sold_at", "timestamp"),
        ("user_id", "bigint"),
        ("city", "string"),
        ("product_id", "bigint"),
        ("product_title", "string"),
        ("category", "string"),
        ("unit_price", "decimal(12,2)"),
        ("quantity", "int"),
        ("revenue", "decimal(18,2)"),
    ]


def test_rejected_sales_have_the_columns_of_the_contract():
    assert list_columns(schemas.REJECTED_SALES) == [
        ("sale_date", "date"),
        ("cart_id", "bigint"),
        ("line_number", "int"),
        ("sold_at", "timestamp"),
        ("user_id", "bigint"),
        ("product_id", "bigint"),
        ("quantity", "int"),
        ("reason", "string"),
    ]


def test_the_reasons_are_those_of_the_contract_in_order_of_precedence():
    assert schemas.REJECTION_REASONS == (
        "duplicate_cart_id",
        "unknown_product",
        "unknown_user",
        "quantity_not_positive",
        "invalid_price",
    )


@pytest.mark.parametrize(
    "schema", [schemas.PRODUCT_PRICES, schemas.SALES, schemas.REJECTED_SALES, schemas.CART_LINES]
)
def test_every_column_is_described(schema):
    assert [field.name for field in schema if not field.metadata.get("comment")] == []


@pytest.mark.parametrize("schema", [schemas.SALES, schemas.REJECTED_SALES])
def test_no_personal_data_but_the_city_reaches_trusted(schema):
    assert not {"name", "first_name", "last_name", "email", "phone", "street"} & set(schema.names)
