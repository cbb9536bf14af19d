"""Pure functions from `trusted/sales` to what is kept of each day's sales, day by day.

The refined tables are made of these, so a change of one day costs the summary of that day. A cart
is (sale_date, cart_id): the API may use an id again on another day. A row depends on the lines of
its day only; keeping the rows is done in ``io_managers.day_summaries``.
"""

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.columns import conform
from storepipe_dagster.layers.refined import schemas

# One more whenever rows come out otherwise of the same sales: those kept are then made again.
DEFINITION = 1


def carts(sales: DataFrame) -> DataFrame:
    """One row per cart, with the products and categories that it has."""
    # Sail's collect_set took twenty times as long. In a struct, a category may be null.
    bought = F.collect_list(F.struct("product_id", "category"))
    rows = (
        sales.groupBy("sale_date", "cart_id")
        .agg(
            F.min("user_id").alias("user_id"),
            F.min("city").alias("city"),
            *_measures(),
            bought.alias("bought"),
        )
        .withColumn("products", F.array_sort(F.array_distinct("bought.product_id")))
        .withColumn("categories", F.array_distinct("bought.category"))
    )
    return conform(rows, schemas.CARTS)


def product_days(sales: DataFrame) -> DataFrame:
    """One row per day and product sold, and per title and category that it had."""
    rows = sales.groupBy("sale_date", "product_id", "product_title", "category").agg(*_measures())
    return conform(rows, schemas.PRODUCT_DAYS)


def _measures() -> list[Column]:
    return [
        F.count("*").alias("lines"),
        F.sum("quantity").alias("units"),
        F.sum("revenue").alias("revenue"),
    ]
