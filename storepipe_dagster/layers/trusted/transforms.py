"""Pure functions from the two sources, DataFrames in and out, to the tables of the trusted layer.

Dates of timestamps are taken in the session's time zone, which is UTC. The tables' columns stand
in `schemas.py`; reading and writing is not done here.
"""

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from storepipe_dagster.columns import conform
from storepipe_dagster.layers.trusted.schemas import (
    CART_LINES,
    DUPLICATE_CART_ID,
    INVALID_PRICE,
    PRODUCT_PRICES,
    QUANTITY_NOT_POSITIVE,
    REJECTED_SALES,
    REVENUE,
    SALES,
    UNIT_PRICE,
    UNKNOWN_PRODUCT,
    UNKNOWN_USER,
)

# The price stays text here: an engine that reads it as a number drops the whole record, or fails,
# when the API gives something else.
CAPTURED_PRODUCTS = "array<struct<id: bigint, title: string, category: string, price: string>>"

# What Unicode calls white space; the engines' own trim takes the space character only.
WHITE_SPACE = (
    "\t\n\x0b\x0c\r\x1c\x1d\x1e\x1f"
    " \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)


def product_prices(captures: DataFrame) -> DataFrame:
    """One row per product and period in which its title, category and price did not change.

    `captures` has a row per capture of the products: `captured_at` timestamp, `file`, its name, and
    `content`, the JSON array that the API gave. A product missing from a capture goes on as it was.
    Of several records of one product in one capture the first counts. A content that the engine
    cannot read as JSON is an error that names the file.
    """
    array = F.coalesce(F.from_json("content", CAPTURED_PRODUCTS), _unreadable(F.col("file")))
    lines = captures.select("captured_at", F.posexplode(array).alias("position", "record"))
    records = lines.select(
        F.col("record.id").alias("product_id"),
        "captured_at",
        "position",
        _trim(F.col("record.title")).alias("product_title"),
        _trim(F.col("record.category")).alias("category"),
        _parse_price(F.col("record.price")).alias("unit_price"),
    )
    by_position = Window.partitionBy("product_id", "captured_at").orderBy("position")
    listed = (
        records.where(F.col("product_id").isNotNull())
        .withColumn("place", F.row_number().over(by_position))
        .where(F.col("place") == 1)
    )
    by_capture = Window.partitionBy("product_id").orderBy("captured_at")
    is_first = F.lag("captured_at").over(by_capture).isNull()
    is_changed = F.lit(False)
    for name in ("product_title", "category", "unit_price"):
        is_changed = is_changed | ~F.col(name).eqNullSafe(F.lag(name).over(by_capture))
    compared = listed.select("*", is_first.alias("is_first"), is_changed.alias("is_changed"))
    periods = compared.where(F.col("is_first") | F.col("is_changed")).select(
        "product_id",
        "product_title",
        "category",
        "unit_price",
        F.when(~F.col("is_first"), F.col("captured_at")).alias("valid_from"),
        F.lead("captured_at").over(by_capture).alias("valid_to"),
    )
    return conform(periods, PRODUCT_PRICES)


def cart_lines(
    carts: DataFrame,
    cart_items: DataFrame,
    users: DataFrame,
    products: DataFrame,
    prices: DataFrame,
) -> DataFrame:
    """One row per captured cart line, priced; `reason` is null when the line can be sold.

    `carts` and `cart_items` share (cart_date, cart_id, occurrence); `prices` are those of
    `product_prices`. A line keeps its row whatever it refers to.
    """
    cart = ["cart_date", "cart_id", "occurrence"]
    lines = (
        cart_items.select(*cart, "line_number", "product_id", "quantity")
        .join(carts.select(*cart, "sold_at", "user_id"), on=cart, how="left")
        .withColumnRenamed("cart_date", "sale_date")
    )
    known_products = products.select("product_id", F.lit(True).alias("is_known_product"))
    known_users = users.select("user_id", "city", F.lit(True).alias("is_known_user"))
    known = lines.join(known_products, on="product_id", how="left").join(
        known_users, on="user_id", how="left"
    )
    priced = (
        _price_days(cart_items, prices)
        .join(known, on=["sale_date", "product_id"], how="right")
        .withColumn("revenue", (F.col("unit_price") * F.col("quantity")).try_cast(REVENUE))
    )
    is_duplicate_cart = F.col("occurrence") > 1
    is_unknown_product = F.col("is_known_product").isNull()
    is_unknown_user = F.col("is_known_user").isNull()
    is_quantity_not_positive = F.col("quantity").isNull() | (F.col("quantity") <= 0)
    is_price_invalid = F.col("revenue").isNull()
    reason = (
        F.when(is_duplicate_cart, DUPLICATE_CART_ID)
        .when(is_unknown_product, UNKNOWN_PRODUCT)
        .when(is_unknown_user, UNKNOWN_USER)
        .when(is_quantity_not_positive, QUANTITY_NOT_POSITIVE)
        .when(is_price_invalid, INVALID_PRICE)
    )
    return conform(priced.withColumn("reason", reason), CART_LINES)


def sales(
    carts: DataFrame,
    cart_items: DataFrame,
    users: DataFrame,
    products: DataFrame,
    prices: DataFrame,
) -> DataFrame:
    """One row per cart line that was sold, priced as of its day. Inputs as in `cart_lines`."""
    lines = cart_lines(carts, cart_items, users, products, prices)
    return conform(lines.where(F.col("reason").isNull()), SALES)


def rejected_sales(
    carts: DataFrame,
    cart_items: DataFrame,
    users: DataFrame,
    products: DataFrame,
    prices: DataFrame,
) -> DataFrame:
    """One row per cart line that cannot be sold, with its reason. Inputs as in `cart_lines`."""
    lines = cart_lines(carts, cart_items, users, products, prices)
    return conform(lines.where(F.col("reason").isNotNull()), REJECTED_SALES)


def _unreadable(file: Column) -> Column:
    remedy = (
        " is no JSON array of objects to this Spark. Bring it back from a backup; or fix what is "
        "no plain JSON in it, such as a number of hundreds of digits, and remove its manifest."
    )
    return F.raise_error(F.concat(F.lit("The capture "), file, F.lit(remedy)))


def _trim(text: Column) -> Column:
    return F.trim(text, F.lit(WHITE_SPACE))


def _parse_price(text: Column) -> Column:
    """Give the price rounded half up, null when it is no number, negative or too large."""
    # Sail reads no exponent into a decimal, so 1e-7 goes by way of a double.
    exact = F.coalesce(
        text.try_cast("decimal(38, 10)"), text.try_cast("double").try_cast("decimal(38, 10)")
    )
    return F.when(exact >= 0, exact.try_cast(UNIT_PRICE))


def _price_days(cart_items: DataFrame, prices: DataFrame) -> DataFrame:
    """One row per product and day with cart lines: its title, category and price on that day.

    That is the one period with valid_from < the next midnight <= valid_to. Counted in dates, a
    period holds from the date it starts on up to, not including, the date it ends on. It is looked
    up per product and day, not per line, as a product may have hundreds of periods.
    """
    product_days = (
        cart_items.groupBy("product_id", "cart_date")
        .agg(F.count("*").alias("lines"))
        # To the same rows again, by way of a list, of whose length Sail makes no guess: it took
        # them for more than the lines, and held all of those in memory to join the two.
        .groupBy("product_id")
        .agg(F.collect_list("cart_date").alias("days"))
        .select("product_id", F.explode("days").alias("sale_date"))
    )
    periods = prices.select(
        F.col("product_id").alias("priced_product_id"),
        "product_title",
        "category",
        "unit_price",
        F.to_date("valid_from").alias("first_date"),
        F.to_date("valid_to").alias("end_date"),
    )
    is_same_product = F.col("product_id") == F.col("priced_product_id")
    has_started = F.col("first_date").isNull() | (F.col("first_date") <= F.col("sale_date"))
    has_not_ended = F.col("end_date").isNull() | (F.col("end_date") > F.col("sale_date"))
    return product_days.join(
        periods, on=is_same_product & has_started & has_not_ended, how="inner"
    ).select("sale_date", "product_id", "product_title", "category", "unit_price")
