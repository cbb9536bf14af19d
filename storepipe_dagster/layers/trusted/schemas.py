"""The tables of the trusted layer: columns, what each is made of, why a cart line is rejected.

How the rows come about stands in `transforms.py`. No Dagster here.
"""

from pyspark.sql.types import (
    DateType,
    DecimalType,
    IntegerType,
    LongType,
    StringType,
    StructType,
    TimestampType,
)

from storepipe_dagster.columns import column

DUPLICATE_CART_ID = "duplicate_cart_id"
UNKNOWN_PRODUCT = "unknown_product"
UNKNOWN_USER = "unknown_user"
QUANTITY_NOT_POSITIVE = "quantity_not_positive"
INVALID_PRICE = "invalid_price"

# In order of precedence: a line is rejected for the first reason that applies.
REJECTION_REASONS = (
    DUPLICATE_CART_ID,
    UNKNOWN_PRODUCT,
    UNKNOWN_USER,
    QUANTITY_NOT_POSITIVE,
    INVALID_PRICE,
)

UNIT_PRICE = DecimalType(12, 2)
REVENUE = DecimalType(18, 2)

CAPTURED_CHANGES = ["raw/products:title", "raw/products:category", "raw/products:price"]
JUDGED = [
    "raw/relational/cart_items:occurrence",
    "raw/relational/cart_items:product_id",
    "raw/relational/products:product_id",
    "raw/relational/carts:user_id",
    "raw/relational/users:user_id",
    "raw/relational/cart_items:quantity",
    "trusted/product_prices:unit_price",
]

PRODUCT_PRICES = StructType(
    [
        column("product_id", LongType(), "The product's id in the store API", ["raw/products:id"]),
        column(
            "product_title",
            StringType(),
            "The product's title in this period, trimmed",
            ["raw/products:title"],
        ),
        column(
            "category",
            StringType(),
            "The product's category in this period, trimmed",
            ["raw/products:category"],
        ),
        column(
            "unit_price",
            UNIT_PRICE,
            "The price of one unit in this period, rounded half up;"
            " null when the API gave none, a negative one or one too large",
            ["raw/products:price"],
        ),
        column(
            "valid_from",
            TimestampType(),
            "When the period starts (UTC, inclusive): the capture that first showed it;"
            " null for the product's first known period, which holds since ever",
            CAPTURED_CHANGES,
        ),
        column(
            "valid_to",
            TimestampType(),
            "When the period ends (UTC, exclusive): the capture that first showed a change;"
            " null while it still holds",
            CAPTURED_CHANGES,
        ),
    ]
)

SALES = StructType(
    [
        column(
            "sale_date",
            DateType(),
            "The UTC date of the cart",
            ["raw/relational/cart_items:cart_date"],
        ),
        column(
            "cart_id",
            LongType(),
            "The cart's id in the store API; a cart is its date and id",
            ["raw/relational/cart_items:cart_id"],
        ),
        column(
            "line_number",
            IntegerType(),
            "The line's place in the cart, from 1",
            ["raw/relational/cart_items:line_number"],
        ),
        column(
            "sold_at",
            TimestampType(),
            "The time of the cart (UTC)",
            ["raw/relational/carts:sold_at"],
        ),
        column(
            "user_id",
            LongType(),
            "The id of the user whose cart it is",
            ["raw/relational/carts:user_id"],
        ),
        column(
            "city",
            StringType(),
            "The city of the user, trimmed and title-cased",
            ["raw/relational/users:city"],
        ),
        column(
            "product_id",
            LongType(),
            "The id of the product sold",
            ["raw/relational/cart_items:product_id"],
        ),
        column(
            "product_title",
            StringType(),
            "The product's title on the day of the sale",
            ["trusted/product_prices:product_title"],
        ),
        column(
            "category",
            StringType(),
            "The product's category on the day of the sale",
            ["trusted/product_prices:category"],
        ),
        column(
            "unit_price",
            UNIT_PRICE,
            "The price of one unit on the day of the sale",
            ["trusted/product_prices:unit_price"],
        ),
        column(
            "quantity",
            IntegerType(),
            "The units sold, at least 1",
            ["raw/relational/cart_items:quantity"],
        ),
        column(
            "revenue",
            REVENUE,
            "unit_price times quantity",
            ["trusted/product_prices:unit_price", "raw/relational/cart_items:quantity"],
        ),
    ]
)

REJECTED_SALES = StructType(
    [
        column(
            "sale_date",
            DateType(),
            "The UTC date of the cart",
            ["raw/relational/cart_items:cart_date"],
        ),
        column(
            "cart_id",
            LongType(),
            "The cart's id in the store API; a duplicate shares it",
            ["raw/relational/cart_items:cart_id"],
        ),
        column(
            "line_number",
            IntegerType(),
            "The line's place in its cart, from 1",
            ["raw/relational/cart_items:line_number"],
        ),
        column(
            "sold_at",
            TimestampType(),
            "The time of the cart (UTC)",
            ["raw/relational/carts:sold_at"],
        ),
        column(
            "user_id",
            LongType(),
            "The user id in the cart; the user may be unknown",
            ["raw/relational/carts:user_id"],
        ),
        column(
            "product_id",
            LongType(),
            "The product id in the line; the product may be unknown",
            ["raw/relational/cart_items:product_id"],
        ),
        column(
            "quantity",
            IntegerType(),
            "The units in the line, as the API gave them",
            ["raw/relational/cart_items:quantity"],
        ),
        column(
            "reason",
            StringType(),
            "Why the line was not sold, the first that applies: " + ", ".join(REJECTION_REASONS),
            JUDGED,
        ),
    ]
)

# Not a table: what sales and rejected sales are both taken from.
CART_LINES = StructType([*SALES.fields, REJECTED_SALES["reason"]])

# What tells one row of a table from another; lines of carts that share an id share it too.
ROW_KEYS = {
    "product_prices": ("product_id", "valid_from"),
    "sales": ("sale_date", "cart_id", "line_number"),
    "rejected_sales": ("sale_date", "cart_id", "line_number"),
}
