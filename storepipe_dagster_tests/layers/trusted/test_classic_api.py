"""The transforms also run in Spark's own API, without Spark Connect, as on a Databricks cluster.

A Python process speaks one of the two only, so another process computes all tables.
"""

import json

from storepipe_dagster.layers.refined import transforms as refined
from storepipe_dagster.layers.trusted import transforms as trusted
from storepipe_dagster_tests.layers.refined.test_transforms import COLUMNS as SALES_COLUMNS
from storepipe_dagster_tests.layers.trusted import test_transforms as literals
from storepipe_dagster_tests.spark import make_df, read_rows

DAY = "2024-01-02"


def compute_tables(spark):
    """The rows of all tables of trusted and refined, from a few literal rows."""
    captures = make_df(
        spark,
        literals.CAPTURES,
        (
            "2024-01-01 06:00:00",
            literals.FILE,
            '[\n{"id": 1, "title": " Hat ", "price": 22.345}\n]\n',
        ),
        (
            "2024-01-03 06:00:00",
            literals.FILE,
            '[\n{"id": 1, "title": "Hat", "price": 9},\n{"id": 2, "price": 3}\n]\n',
        ),
    )
    prices = trusted.product_prices(captures)
    inputs = (
        make_df(
            spark,
            literals.CARTS,
            (DAY, 7, 1, f"{DAY} 09:30:00", 3),
            ("2024-02-03", 8, 1, "2024-02-03 09:30:00", 3),
        ),
        make_df(
            spark,
            literals.CART_ITEMS,
            (DAY, 7, 1, 1, 1, 2),
            (DAY, 7, 1, 2, 2, 1),
            ("2024-02-03", 8, 1, 1, 1, 5),
            ("2024-02-03", 8, 1, 2, 99, 5),
        ),
        make_df(spark, literals.USERS, (3, "Rome", "anna@example.com")),
        make_df(spark, literals.PRODUCTS, (1, "Hat"), (2, "Cap")),
        prices,
    )
    tables = {
        "product_prices": prices,
        "sales": trusted.sales(*inputs),
        "rejected_sales": trusted.rejected_sales(*inputs),
    }
    rows = {name: read_rows(df) for name, df in tables.items()}
    # Read once: the JVM would compute the sales for each table again.
    sales = make_df(spark, SALES_COLUMNS, *rows["sales"])
    carts, product_days = refined.sales_by_cart(sales), refined.sales_by_product_day(sales)
    tables = {
        "sales_by_cart": carts,
        "sales_by_product_day": product_days,
        "sales_by_day": refined.sales_by_day(carts),
        "sales_by_category": refined.sales_by_category(carts, product_days),
        "sales_by_product": refined.sales_by_product(carts, product_days),
        "sales_by_city": refined.sales_by_city(carts),
        "customer_segments": refined.customer_segments(carts),
        "customer_cohorts": refined.customer_cohorts(carts),
        "product_affinity": refined.product_affinity(carts, min_carts_together=1),
    }
    return rows | {name: read_rows(df) for name, df in tables.items()}


def test_the_classic_api_computes_the_same_tables(sail, classic_driver):
    tables = classic_driver.call(__name__, compute_tables.__name__)

    assert tables == json.loads(json.dumps(compute_tables(sail)))
    assert all(tables.values())
