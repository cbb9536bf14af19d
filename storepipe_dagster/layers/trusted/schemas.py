"""The tables of the trusted layer, column by column, and the reasons to reject a cart line.

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

PRODUCT_PRICES = StructType(
    [
        column("product_id", LongType(), "The product's id in the store API"),
        column("product_title", StringType(), "The product's title in this period, trimmed"),
        column("category", StringType(), "The product's category in this period, trimmed"),
        column(
            "unit_price",
            UNIT_PRICE,
            "The price of one unit in this period, rounded half up;"
            " null when the API gave none, a negative one or one too large",
        ),
        column(
            "valid_from",
            TimestampType(),
            "When the period starts (UTC, inclusive): the capture that first showed it;"
            " null for the product's first known period, which holds since ever",
        ),
        column(
            "valid_to",
            TimestampType(),
            "When the period ends (UTC, exclusive): the capture that first showed a change;"
            " null while it still holds",
        ),
    ]
)

SALES = StructType(
    [
        column("sale_date", DateType(), "The UTC date of the cart"),
        column("cart_id", LongType(), "The cart's id in the store API; a cart is its date and id"),
        column("line_number", IntegerType(), "The line's place in the cart, from 1"),
        column("sold_at", TimestampType(), "The time of the cart (UTC)"),
        column("user_id", LongType(), "The id of the user whose cart it is"),
        column("city", StringType(), "The city of the user, trimmed and title-cased"),
        column("product_id", LongType(), "The id of the product sold"),
        column("product_title", StringType(), "The product's title on the day of the sale"),
        column("category", StringType(), "The product's category on the day of the sale"),
        column("unit_price", UNIT_PRICE, "The price of one unit on the day of the sale"),
        column("quantity", IntegerType(), "The units sold, at least 1"),
        column("revenue", REVENUE, "unit_price times quantity"),
    ]
)

REJECTED_SALES = StructType(
    [
        column("sale_date", DateType(), "The UTC date of the cart"),
        column("cart_id", LongType(), "The cart's id in the store API; a duplicate shares it"),
        column("line_number", IntegerType(), "The line's place in its cart, from 1"),
        column("sold_at", TimestampType(), "The time of the cart (UTC)"),
        column("user_id", LongType(), "The user id in the cart; the user may be unknown"),
        column("product_id", LongType(), "The product id in the line; the product may be unknown"),
        column("quantity", IntegerType(), "The units in the line, as the API gave them"),
        column(
            "reason",
            StringType(),
            "Why the line was not sold, the first that applies: " + ", ".join(REJECTION_REASONS),
        ),
    ]
)

# Not a table: what sales and rejected sales are both taken from.
CART_LINES = StructType([*SALES.fields, REJECTED_SALES["reason"]])
