"""Tests of `storepipe_dagster.layers.refined.summaries`, each on Sail and on Spark itself."""

import pytest
from pyspark.sql import functions as F

from storepipe_dagster.layers.refined import schemas
from storepipe_dagster.layers.refined.summaries import carts, product_days
from storepipe_dagster_tests.layers.refined.test_transforms import (
    CAP,
    HAT,
    RING,
    SHOP,
    line,
    make_sales,
    read_columns,
)
from storepipe_dagster_tests.spark import on_both_engines, read_rows, read_types


@pytest.mark.parametrize(
    ("summarise", "schema"), [(carts, schemas.CARTS), (product_days, schemas.PRODUCT_DAYS)]
)
def test_without_sales_there_are_no_rows_but_the_columns(spark, summarise, schema):
    df = summarise(make_sales(spark))

    assert read_rows(df) == []
    assert read_types(df) == [(field.name, field.dataType) for field in schema]


@on_both_engines
def test_a_cart_is_a_row_with_what_is_in_it(spark):
    rows = carts(make_sales(spark, *SHOP)).select(
        *("sale_date", "user_id", "city", "lines", "units", "revenue", "products"),
        F.sort_array("categories").alias("categories"),
    )

    assert read_rows(rows) == [
        ("2024-01-01", 1, "Rome", 1, 1, "10.00", "[1]", "['clothing']"),
        ("2024-01-01", 1, "Rome", 3, 4, "130.05", "[1, 3]", "['clothing', 'jewelery']"),
        ("2024-01-01", 2, "Oslo", 1, 4, "0.00", "[2]", "['clothing']"),
        ("2024-01-02", 2, "Oslo", 1, 1, "100.05", "[3]", "['jewelery']"),
    ]


def test_the_products_of_a_cart_are_in_order_and_each_is_there_once(spark):
    sales = make_sales(
        spark,
        *[
            line(line_number=number, product_id=product_id)
            for number, product_id in enumerate((10, 9007199254740993, 9, 10), start=1)
        ],
    )

    assert read_columns(carts(sales), "products") == [("[9, 10, 9007199254740993]",)]


def test_a_category_that_is_missing_is_one_of_a_carts_categories(spark):
    sales = make_sales(spark, line(category=None), line(line_number=2, **RING))

    (row,) = carts(sales).select("categories").collect()

    assert sorted(row[0], key=str) == [None, "jewelery"]


@on_both_engines
def test_a_product_is_a_row_of_each_day(spark):
    assert read_rows(product_days(make_sales(spark, *SHOP))) == [
        ("2024-01-01", 1, "Hat", "clothing", 3, 4, "40.00"),
        ("2024-01-01", 2, "Cap", "clothing", 1, 4, "0.00"),
        ("2024-01-01", 3, "Ring", "jewelery", 1, 1, "100.05"),
        ("2024-01-02", 3, "Ring", "jewelery", 1, 1, "100.05"),
    ]


def test_a_title_or_category_of_a_product_that_differs_is_a_row_of_its_own(spark):
    sales = make_sales(
        spark,
        line(**HAT),
        line(cart_id=2, **HAT | {"category": None}),
        line(cart_id=3, **HAT | {"product_title": "Top hat"}),
    )

    assert sorted(read_columns(product_days(sales), "product_title", "category"), key=str) == [
        ("Hat", "clothing"),
        ("Hat", None),
        ("Top hat", "clothing"),
    ]


@pytest.mark.parametrize("summarise", [carts, product_days])
def test_a_summary_of_some_days_is_that_of_each(spark, summarise):
    days = [[row for row in SHOP if row[0] == day] for day in ("2024-01-01", "2024-01-02")]

    apart = [read_rows(summarise(make_sales(spark, *rows))) for rows in days]

    assert sorted(apart[0] + apart[1], key=str) == sorted(
        read_rows(summarise(make_sales(spark, *SHOP))), key=str
    )


@on_both_engines
def test_a_total_larger_than_any_one_revenue_fits(spark):
    lines = [line(line_number=n, revenue="9999999999999999.99") for n in range(100)]
    sales = make_sales(spark, *lines, line(line_number=200, **CAP, revenue="0.00"))

    assert read_columns(carts(sales), "revenue") == [("999999999999999999.00",)]
    assert read_columns(product_days(sales), "product_id", "revenue") == [
        (1, "999999999999999999.00"),
        (2, "0.00"),
    ]
