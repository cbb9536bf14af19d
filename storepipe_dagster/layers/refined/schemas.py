"""The Delta tables of the refined layer, column by column, and what each column is made of.

How the rows come about is in `transforms.py`. No Dagster here.
"""

from pyspark.sql.types import (
    ArrayType,
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


def _sold(*names: str) -> list[str]:
    return [f"trusted/sales:{name}" for name in names]


def _carts(*names: str) -> list[str]:
    return [f"refined/sales_by_cart:{name}" for name in names]


def _products(*names: str) -> list[str]:
    return [f"refined/sales_by_product_day:{name}" for name in names]


SALES_BY_CART = StructType(
    [
        column("sale_date", DateType(), "The UTC date of the sales", _sold("sale_date")),
        column("cart_id", LongType(), "The cart's id in the store API", _sold("cart_id")),
        column("user_id", LongType(), "The buyer", _sold("user_id")),
        column("city", StringType(), "The buyer's city on that day", _sold("city")),
        column("lines", LongType(), "The cart lines sold", _sold("line_number")),
        column("units", LongType(), "The units sold", _sold("quantity")),
        column("revenue", TOTAL_REVENUE, "The revenue of the cart", _sold("revenue")),
        column(
            "product_ids",
            ArrayType(LongType()),
            "The ids of the products sold, ascending",
            _sold("product_id"),
        ),
        column(
            "categories",
            ArrayType(StringType()),
            "The categories of the products sold, in order",
            _sold("category"),
        ),
    ]
)

SALES_BY_PRODUCT_DAY = StructType(
    [
        column("sale_date", DateType(), "The UTC date of the sales", _sold("sale_date")),
        column("product_id", LongType(), "The product's id in the store API", _sold("product_id")),
        column(
            "product_title",
            StringType(),
            "The product's title on that day",
            _sold("product_title"),
        ),
        column("category", StringType(), "The product's category on that day", _sold("category")),
        column(
            "lines",
            LongType(),
            "The cart lines sold of the product",
            _sold("cart_id", "line_number"),
        ),
        column("units", LongType(), "The units sold of the product", _sold("quantity")),
        column("revenue", TOTAL_REVENUE, "The revenue of the product", _sold("revenue")),
    ]
)

SALES_BY_DAY = StructType(
    [
        column("sale_date", DateType(), "The UTC date of the sales", _carts("sale_date")),
        column("carts", LongType(), "The carts sold on the day", _carts("sale_date", "cart_id")),
        column("customers", LongType(), "The users who bought on the day", _carts("user_id")),
        column(
            "lines",
            LongType(),
            "The cart lines sold on the day",
            _carts("lines"),
        ),
        column("units", LongType(), "The units sold on the day", _carts("units")),
        column("revenue", TOTAL_REVENUE, "The revenue of the day", _carts("revenue")),
        column(
            "average_cart_value",
            AVERAGE_VALUE,
            "revenue per cart, rounded half up",
            _carts("revenue", "sale_date", "cart_id"),
        ),
    ]
)

SALES_BY_CATEGORY = StructType(
    [
        column(
            "category",
            StringType(),
            "The category that the products had when sold",
            _products("category"),
        ),
        column(
            "carts",
            LongType(),
            "The carts with a line of the category",
            _carts("sale_date", "cart_id"),
        ),
        column("customers", LongType(), "The users who bought in the category", _carts("user_id")),
        column(
            "lines",
            LongType(),
            "The cart lines of the category",
            _products("lines"),
        ),
        column("units", LongType(), "The units sold of the category", _products("units")),
        column("revenue", TOTAL_REVENUE, "The revenue of the category", _products("revenue")),
        column(
            "revenue_share",
            DoubleType(),
            "revenue as a part of the revenue of all, 0 to 1",
            _products("revenue"),
        ),
    ]
)

SALES_BY_PRODUCT = StructType(
    [
        column(
            "product_id", LongType(), "The product's id in the store API", _products("product_id")
        ),
        column(
            "product_title",
            StringType(),
            "The product's title in its latest sale",
            _products("product_title"),
        ),
        column(
            "category",
            StringType(),
            "The product's category in its latest sale",
            _products("category"),
        ),
        column("carts", LongType(), "The carts with the product", _carts("sale_date", "cart_id")),
        column("units", LongType(), "The units sold of the product", _products("units")),
        column("revenue", TOTAL_REVENUE, "The revenue of the product", _products("revenue")),
        column(
            "revenue_rank",
            IntegerType(),
            "1 for the highest revenue; ties by product_id",
            _products("revenue"),
        ),
        column(
            "revenue_share",
            DoubleType(),
            "revenue as a part of the revenue of all, 0 to 1",
            _products("revenue"),
        ),
        column(
            "cumulative_revenue_share",
            DoubleType(),
            "The revenue share of this product and all that rank before it, 0 to 1",
            _products("revenue"),
        ),
        column(
            "abc_class",
            StringType(),
            "By cumulative_revenue_share: A up to 0.8, B up to 0.95, C the rest",
            _products("revenue"),
        ),
    ]
)

SALES_BY_CITY = StructType(
    [
        column(
            "city", StringType(), "The city that the users had when they bought", _carts("city")
        ),
        column("customers", LongType(), "The users of the city who bought", _carts("user_id")),
        column(
            "carts", LongType(), "The carts of users of the city", _carts("sale_date", "cart_id")
        ),
        column("units", LongType(), "The units sold to the city", _carts("units")),
        column("revenue", TOTAL_REVENUE, "The revenue from the city", _carts("revenue")),
    ]
)

CUSTOMER_SEGMENTS = StructType(
    [
        column("user_id", LongType(), "The user's id in the store API", _carts("user_id")),
        column(
            "first_sale_date", DateType(), "The date of the user's first sale", _carts("sale_date")
        ),
        column(
            "last_sale_date", DateType(), "The date of the user's last sale", _carts("sale_date")
        ),
        column(
            "recency_days",
            IntegerType(),
            "The days from the user's last sale to the newest sale in the data",
            _carts("sale_date"),
        ),
        column("frequency", LongType(), "The user's carts", _carts("sale_date", "cart_id")),
        column("monetary", TOTAL_REVENUE, "The user's revenue", _carts("revenue")),
        column(
            "recency_score",
            IntegerType(),
            "The quintile of the last sale, 5 the most recent",
            _carts("sale_date"),
        ),
        column(
            "frequency_score",
            IntegerType(),
            "The quintile of the carts, 5 the most",
            _carts("sale_date", "cart_id"),
        ),
        column(
            "monetary_score",
            IntegerType(),
            "The quintile of the revenue, 5 the highest",
            _carts("revenue"),
        ),
        column(
            "segment",
            StringType(),
            "From recency (R) and frequency (F) scores: champion R>=4 F>=4, new R>=4 F<=2,"
            " at_risk R<=2 F>=3, lost R<=2 F<=2, else regular",
            _carts("sale_date", "cart_id"),
        ),
    ]
)

CUSTOMER_COHORTS = StructType(
    [
        column(
            "cohort_month",
            DateType(),
            "The first day of the month of the users' first sale",
            _carts("sale_date"),
        ),
        column(
            "months_since_first",
            IntegerType(),
            "Calendar months since the cohort's month",
            _carts("sale_date"),
        ),
        column("cohort_size", LongType(), "The users of the cohort", _carts("user_id")),
        column(
            "customers",
            LongType(),
            "The users of the cohort who bought in this month",
            _carts("user_id"),
        ),
        column(
            "retention",
            DoubleType(),
            "customers as a part of cohort_size, 0 to 1",
            _carts("user_id"),
        ),
    ]
)

PRODUCT_AFFINITY = StructType(
    [
        column(
            "product_id",
            LongType(),
            "The product of the pair with the lower id",
            _carts("product_ids"),
        ),
        column(
            "other_product_id",
            LongType(),
            "The product of the pair with the higher id",
            _carts("product_ids"),
        ),
        column(
            "carts_together",
            LongType(),
            "The carts with both products",
            _carts("sale_date", "cart_id"),
        ),
        column(
            "support",
            DoubleType(),
            "carts_together as a part of all carts, 0 to 1",
            _carts("sale_date", "cart_id"),
        ),
        column(
            "confidence",
            DoubleType(),
            "carts_together as a part of the carts with product_id, 0 to 1",
            _carts("sale_date", "cart_id"),
        ),
        column(
            "lift",
            DoubleType(),
            "support over what it would be were the two products bought independently",
            _carts("sale_date", "cart_id"),
        ),
    ]
)

# What tells one row of a table from another.
ROW_KEYS = {
    "sales_by_cart": ("sale_date", "cart_id"),
    "sales_by_product_day": ("sale_date", "product_id", "product_title", "category"),
    "sales_by_day": ("sale_date",),
    "sales_by_category": ("category",),
    "sales_by_product": ("product_id",),
    "sales_by_city": ("city",),
    "customer_segments": ("user_id",),
    "customer_cohorts": ("cohort_month", "months_since_first"),
    "product_affinity": ("product_id", "other_product_id"),
}
