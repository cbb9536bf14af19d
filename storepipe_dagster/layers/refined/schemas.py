"""The Delta tables of the refined layer, column by column.

How the rows come about stands in `transforms.py`. No Dagster here.
"""

from pyspark.sql.types import (
    DateType,
    DecimalType,
    DoubleType,
    IntegerType,
    LongType,
    StringType,
    StructType,
)

from storepipe_dagster.columns import column

TOTAL_REVENUE = DecimalType(28, 2)
AVERAGE_VALUE = DecimalType(18, 2)

SALES_BY_DAY = StructType(
    [
        column("sale_date", DateType(), "The UTC date of the sales"),
        column("carts", LongType(), "The carts sold on the day"),
        column("customers", LongType(), "The users who bought on the day"),
        column("lines", LongType(), "The cart lines sold on the day"),
        column("units", LongType(), "The units sold on the day"),
        column("revenue", TOTAL_REVENUE, "The revenue of the day"),
        column("average_cart_value", AVERAGE_VALUE, "revenue per cart, rounded half up"),
    ]
)

SALES_BY_CATEGORY = StructType(
    [
        column("category", StringType(), "The category that the products had when sold"),
        column("carts", LongType(), "The carts with a line of the category"),
        column("customers", LongType(), "The users who bought in the category"),
        column("lines", LongType(), "The cart lines of the category"),
        column("units", LongType(), "The units sold of the category"),
        column("revenue", TOTAL_REVENUE, "The revenue of the category"),
        column("revenue_share", DoubleType(), "revenue as a part of the revenue of all, 0 to 1"),
    ]
)

SALES_BY_PRODUCT = StructType(
    [
        column("product_id", LongType(), "The product's id in the store API"),
        column("product_title", StringType(), "The product's title in its latest sale"),
        column("category", StringType(), "The product's category in its latest sale"),
        column("carts", LongType(), "The carts with the product"),
        column("units", LongType(), "The units sold of the product"),
        column("revenue", TOTAL_REVENUE, "The revenue of the product"),
        column("revenue_rank", IntegerType(), "1 for the highest revenue; ties by product_id"),
        column("revenue_share", DoubleType(), "revenue as a part of the revenue of all, 0 to 1"),
        column(
            "cumulative_revenue_share",
            DoubleType(),
            "The revenue share of this product and all that rank before it, 0 to 1",
        ),
        column(
            "abc_class",
            StringType(),
            "By cumulative_revenue_share: A up to 0.8, B up to 0.95, C the rest",
        ),
    ]
)

SALES_BY_CITY = StructType(
    [
        column("city", StringType(), "The city that the users had when they bought"),
        column("customers", LongType(), "The users of the city who bought"),
        column("carts", LongType(), "The carts of users of the city"),
        column("units", LongType(), "The units sold to the city"),
        column("revenue", TOTAL_REVENUE, "The revenue from the city"),
    ]
)

CUSTOMER_SEGMENTS = StructType(
    [
        column("user_id", LongType(), "The user's id in the store API"),
        column("first_sale_date", DateType(), "The date of the user's first sale"),
        column("last_sale_date", DateType(), "The date of the user's last sale"),
        column(
            "recency_days",
            IntegerType(),
            "The days from the user's last sale to the newest sale in the data",
        ),
        column("frequency", LongType(), "The user's carts"),
        column("monetary", TOTAL_REVENUE, "The user's revenue"),
        column("recency_score", IntegerType(), "The quintile of the last sale, 5 the most recent"),
        column("frequency_score", IntegerType(), "The quintile of the carts, 5 the most"),
        column("monetary_score", IntegerType(), "The quintile of the revenue, 5 the highest"),
        column(
            "segment",
            StringType(),
            "From recency (R) and frequency (F) scores: champion R>=4 F>=4, new R>=4 F<=2,"
            " at_risk R<=2 F>=3, lost R<=2 F<=2, else regular",
        ),
    ]
)

CUSTOMER_COHORTS = StructType(
    [
        column("cohort_month", DateType(), "The first day of the month of the users' first sale"),
        column("months_since_first", IntegerType(), "Calendar months since the cohort's month"),
        column("cohort_size", LongType(), "The users of the cohort"),
        column("customers", LongType(), "The users of the cohort who bought in this month"),
        column("retention", DoubleType(), "customers as a part of cohort_size, 0 to 1"),
    ]
)

PRODUCT_AFFINITY = StructType(
    [
        column("product_id", LongType(), "The product of the pair with the lower id"),
        column("other_product_id", LongType(), "The product of the pair with the higher id"),
        column("carts_together", LongType(), "The carts with both products"),
        column("support", DoubleType(), "carts_together as a part of all carts, 0 to 1"),
        column(
            "confidence",
            DoubleType(),
            "carts_together as a part of the carts with product_id, 0 to 1",
        ),
        column(
            "lift",
            DoubleType(),
            "support over what it would be were the two products bought independently",
        ),
    ]
)
