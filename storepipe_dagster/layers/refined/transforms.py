"""Pure functions from trusted sales to the tables of the refined layer.

All others are computed from `sales_by_cart` and `sales_by_product_day`, so a changed day costs one
day of these two. A cart is (sale_date, cart_id): the API may use an id again on another day.
Distinct customers are counted by grouping twice, which both engines spread over cores and spill,
unlike `count(distinct ...)`. Columns are in `schemas.py`; nothing is read or written here.
"""

from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from storepipe_dagster.columns import conform
from storepipe_dagster.layers.refined.schemas import (
    CUSTOMER_COHORTS,
    CUSTOMER_SEGMENTS,
    PRODUCT_AFFINITY,
    SALES_BY_CART,
    SALES_BY_CATEGORY,
    SALES_BY_CITY,
    SALES_BY_DAY,
    SALES_BY_PRODUCT,
    SALES_BY_PRODUCT_DAY,
    TOTAL_REVENUE,
)

A_CLASS_UP_TO = 0.8
B_CLASS_UP_TO = 0.95
QUINTILES = 5
HIGH_SCORE = 4
LOW_SCORE = 2


def sales_by_cart(sales: DataFrame) -> DataFrame:
    """One row per sold cart, with the products and categories in it."""
    # Sail's collect_set took twenty times as long. In a struct, a category may be null.
    bought = F.collect_list(F.struct("product_id", "category"))
    carts = (
        sales.groupBy("sale_date", "cart_id")
        .agg(
            F.min("user_id").alias("user_id"),
            F.min("city").alias("city"),
            *_measures(),
            bought.alias("bought"),
        )
        .withColumn("product_ids", F.array_sort(F.array_distinct("bought.product_id")))
        .withColumn("categories", F.array_sort(F.array_distinct("bought.category")))
    )
    return conform(carts, SALES_BY_CART)


def sales_by_product_day(sales: DataFrame) -> DataFrame:
    """One row per day, product, title and category sold."""
    products = sales.groupBy("sale_date", "product_id", "product_title", "category")
    return conform(products.agg(*_measures()), SALES_BY_PRODUCT_DAY)


def sales_by_day(carts: DataFrame) -> DataFrame:
    """One row per day with sales."""
    customers = carts.groupBy("sale_date", "user_id").agg(
        F.count("*").alias("carts"), *_add_up("lines", "units", "revenue")
    )
    days = customers.groupBy("sale_date").agg(
        F.count("*").alias("customers"), *_add_up("carts", "lines", "units", "revenue")
    )
    average_cart_value = F.round(F.col("revenue") / F.col("carts"), 2)
    return conform(days.withColumn("average_cart_value", average_cart_value), SALES_BY_DAY)


def sales_by_category(carts: DataFrame, product_days: DataFrame) -> DataFrame:
    """One row per category sold."""
    totals = product_days.groupBy("category").agg(*_add_up("lines", "units", "revenue"))
    category_carts = carts.select("user_id", F.explode("categories").alias("category"))
    customers = category_carts.groupBy("category", "user_id").agg(F.count("*").alias("carts"))
    counts = customers.groupBy(F.col("category").alias("counted_category")).agg(
        F.count("*").alias("customers"), F.sum("carts").alias("carts")
    )
    is_same_category = F.col("category").eqNullSafe(F.col("counted_category"))
    categories = totals.join(counts, on=is_same_category)
    revenue_of_all = F.sum("revenue").over(_all_rows())
    revenue_share = _share(F.col("revenue"), revenue_of_all)
    return conform(categories.withColumn("revenue_share", revenue_share), SALES_BY_CATEGORY)


def sales_by_product(carts: DataFrame, product_days: DataFrame) -> DataFrame:
    """One row per product sold, ranked by revenue."""
    totals = product_days.groupBy("product_id").agg(*_add_up("units", "revenue"))
    product_carts = carts.select(F.explode("product_ids").alias("product_id"))
    counts = product_carts.groupBy("product_id").agg(F.count("*").alias("carts"))
    names = product_days.groupBy("product_id", "product_title", "category").agg(
        F.max("sale_date").alias("sale_date")
    )
    by_recency = Window.partitionBy("product_id").orderBy(
        F.desc("sale_date"), "product_title", "category"
    )
    latest_names = (
        names.withColumn("place", F.row_number().over(by_recency))
        .where(F.col("place") == 1)
        .select("product_id", "product_title", "category")
    )
    products = totals.join(counts, on="product_id").join(latest_names, on="product_id")
    by_revenue = _all_rows().orderBy(F.desc("revenue"), "product_id")
    up_to_here = by_revenue.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    revenue_of_all = F.sum("revenue").over(_all_rows())
    ranked = products.select(
        "product_id",
        "product_title",
        "category",
        "carts",
        "units",
        "revenue",
        F.row_number().over(by_revenue).alias("revenue_rank"),
        _share(F.col("revenue"), revenue_of_all).alias("revenue_share"),
        _share(F.sum("revenue").over(up_to_here), revenue_of_all).alias("cumulative_revenue_share"),
    )
    abc_class = (
        F.when(F.col("cumulative_revenue_share") <= A_CLASS_UP_TO, "A")
        .when(F.col("cumulative_revenue_share") <= B_CLASS_UP_TO, "B")
        .otherwise("C")
    )
    return conform(ranked.withColumn("abc_class", abc_class), SALES_BY_PRODUCT)


def sales_by_city(carts: DataFrame) -> DataFrame:
    """One row per city sold to."""
    customers = carts.groupBy("city", "user_id").agg(
        F.count("*").alias("carts"), *_add_up("units", "revenue")
    )
    cities = customers.groupBy("city").agg(
        F.count("*").alias("customers"), *_add_up("carts", "units", "revenue")
    )
    return conform(cities, SALES_BY_CITY)


def customer_segments(carts: DataFrame) -> DataFrame:
    """One row per user who bought, scored by recency, frequency and revenue."""
    customers = carts.groupBy("user_id").agg(
        F.min("sale_date").alias("first_sale_date"),
        F.max("sale_date").alias("last_sale_date"),
        F.count("*").alias("frequency"),
        F.sum("revenue").cast(TOTAL_REVENUE).alias("monetary"),
    )
    newest_sale_date = F.max("last_sale_date").over(_all_rows())
    scored = customers.select(
        "*",
        F.datediff(newest_sale_date, "last_sale_date").alias("recency_days"),
        _quintile("last_sale_date").alias("recency_score"),
        _quintile("frequency").alias("frequency_score"),
        _quintile("monetary").alias("monetary_score"),
    )
    is_recent = F.col("recency_score") >= HIGH_SCORE
    is_long_ago = F.col("recency_score") <= LOW_SCORE
    is_frequent = F.col("frequency_score") >= HIGH_SCORE
    is_infrequent = F.col("frequency_score") <= LOW_SCORE
    segment = (
        F.when(is_recent & is_frequent, "champion")
        .when(is_recent & is_infrequent, "new")
        .when(is_long_ago & ~is_infrequent, "at_risk")
        .when(is_long_ago, "lost")
        .otherwise("regular")
    )
    return conform(scored.withColumn("segment", segment), CUSTOMER_SEGMENTS)


def customer_cohorts(carts: DataFrame) -> DataFrame:
    """One row per month of first sale and later month in which any of its users bought."""
    months = carts.select("user_id", F.trunc("sale_date", "month").alias("month"))
    user_months = months.groupBy("user_id", "month").agg(F.count("*").alias("carts"))
    first_month = F.min("month").over(Window.partitionBy("user_id"))
    cohorts = (
        user_months.select("month", first_month.alias("cohort_month"))
        .groupBy("cohort_month", "month")
        .agg(F.count("*").alias("customers"))
    )
    # All users of a cohort bought in its month.
    cohort_size = F.max("customers").over(Window.partitionBy("cohort_month"))
    retained = cohorts.select(
        "cohort_month",
        F.months_between("month", "cohort_month").alias("months_since_first"),
        cohort_size.alias("cohort_size"),
        "customers",
        (F.col("customers") / cohort_size).alias("retention"),
    )
    return conform(retained, CUSTOMER_COHORTS)


def product_affinity(carts: DataFrame, min_carts_together: int) -> DataFrame:
    """One row per pair of products that at least `min_carts_together` carts have both of.

    Each cart gives all its pairs, a product with itself included, so that one pass over the carts
    counts the carts of each pair and of each product.
    """
    cart_products = carts.select("product_ids", F.explode("product_ids").alias("product_id"))
    cart_pairs = cart_products.select(
        "product_id", F.explode("product_ids").alias("other_product_id")
    ).where(F.col("product_id") <= F.col("other_product_id"))
    is_itself = F.col("product_id") == F.col("other_product_id")
    pairs = cart_pairs.groupBy("product_id", "other_product_id").agg(
        F.count("*").alias("carts_together")
    )
    of_product = Window.partitionBy("product_id")
    of_other = Window.partitionBy("other_product_id")
    carts_of_itself = F.when(is_itself, F.col("carts_together"))
    counted = (
        pairs.where(is_itself | (F.col("carts_together") >= min_carts_together))
        .select(
            "product_id",
            "other_product_id",
            "carts_together",
            F.max(carts_of_itself).over(of_product).alias("carts_of_product"),
            F.max(carts_of_itself).over(of_other).alias("carts_of_other"),
        )
        .crossJoin(carts.agg(F.count("*").alias("carts")))
    )
    support = F.col("carts_together") / F.col("carts")
    support_of_product = F.col("carts_of_product") / F.col("carts")
    support_of_other = F.col("carts_of_other") / F.col("carts")
    rated = counted.where(~is_itself).select(
        "product_id",
        "other_product_id",
        "carts_together",
        support.alias("support"),
        (F.col("carts_together") / F.col("carts_of_product")).alias("confidence"),
        (support / (support_of_product * support_of_other)).alias("lift"),
    )
    return conform(rated, PRODUCT_AFFINITY)


def _measures() -> list[Column]:
    """The measures of groups of sales."""
    return [
        F.count("*").alias("lines"),
        F.sum("quantity").alias("units"),
        F.sum("revenue").alias("revenue"),
    ]


def _add_up(*names: str) -> list[Column]:
    """Sum up groups of groups; a revenue keeps its type, as sums of sums grow past 38 digits."""
    return [
        F.sum(name).cast(TOTAL_REVENUE).alias(name)
        if name == "revenue"
        else F.sum(name).alias(name)
        for name in names
    ]


def _share(part: Column, whole: Column) -> Column:
    """Give a part of a revenue as a double in 0 to 1; 0 when there is no revenue.

    Counted in cents, which doubles hold exactly, so that 8.08 of 10.10 is 0.8.
    """
    cents = [(amount * F.lit(100)).cast("double") for amount in (part, whole)]
    return F.when(whole == 0, F.lit(0.0)).otherwise(cents[0] / cents[1])


def _quintile(measure: str) -> Column:
    return F.ntile(QUINTILES).over(_all_rows().orderBy(measure, "user_id"))


def _all_rows() -> WindowSpec:
    """One window over all rows, for small aggregated DataFrames only; hence the constant."""
    return Window.partitionBy(F.lit(1))
