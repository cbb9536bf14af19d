"""Trusted and refined as an engineer would write them by hand in Polars, on the same extract.

A process of its own: ``python -m storepipe_dagster_tests.bench.polars_peer LAKE OUT [DAY]``. Sales
and rejected sales are kept by day. For one day that changed, these are replaced for this day, and
the other tables made again from all days.
"""

import shutil
import sys
from pathlib import Path

import polars as pl

STAMP = "%Y%m%dT%H%M%S%.fZ"
SINCE_EVER = pl.datetime(1, 1, 1, time_unit="us")
PRODUCT = {"id": pl.Int64, "title": pl.String, "category": pl.String, "price": pl.Float64}
CART = ["sale_date", "cart_id"]
BY_DAY = ("sales", "rejected_sales")
TOTALS = [pl.sum("lines"), pl.sum("units"), pl.sum("revenue")]


def product_prices(lake: Path) -> pl.LazyFrame:
    captures = [
        pl.read_json(file, schema=PRODUCT).lazy().with_columns(captured_at=pl.lit(file.stem))
        for file in sorted(lake.glob("raw/products/*Z.json"))
    ]
    named = ["product_title", "category", "unit_price"]
    price = pl.col("price").round(2).cast(pl.Decimal(12, 2))
    listed = pl.concat(captures).select(
        pl.col("captured_at").str.to_datetime(STAMP, time_unit="us"),
        product_id="id",
        product_title=pl.col("title").str.strip_chars(),
        category=pl.col("category").str.strip_chars(),
        unit_price=pl.when(pl.col("price") >= 0).then(price),
    )
    earlier = pl.col("captured_at", *named).shift().over("product_id").name.prefix("earlier_")
    changed = [pl.col(name).ne_missing(pl.col(f"earlier_{name}")) for name in named]
    is_first = pl.col("earlier_captured_at").is_null()
    return (
        listed.sort("product_id", "captured_at")
        .with_columns(earlier)
        .filter(is_first | pl.any_horizontal(changed))
        .select(
            "product_id",
            *named,
            valid_from=pl.when(~is_first).then("captured_at"),
            valid_to=pl.col("captured_at").shift(-1).over("product_id"),
        )
    )


def cart_lines(lake: Path, prices: pl.LazyFrame, days: str) -> pl.LazyFrame:
    def extract(pattern: str) -> pl.LazyFrame:
        files = lake / "raw/relational" / pattern
        return pl.scan_parquet(files, hive_partitioning=False)

    users = extract("users/*.parquet").select("user_id", "city", is_user=True)
    products = extract("products/*.parquet").select("product_id", is_product=True)
    cart = ["cart_date", "cart_id", "occurrence"]
    # A product's periods follow each other, so that the last one begun is the one that holds.
    begun = prices.drop("valid_to").with_columns(pl.col("valid_from").fill_null(SINCE_EVER))
    midnight = pl.col("cart_date").dt.offset_by("1d").cast(pl.Datetime("us"))
    return (
        extract(f"cart_items/{days}/*.parquet")
        .join(extract(f"carts/{days}/*.parquet"), on=cart)
        .join(users, on="user_id", how="left")
        .join(products, on="product_id", how="left")
        .with_columns(midnight=midnight)
        .sort("midnight")
        .join_asof(
            begun.sort("valid_from"),
            left_on="midnight",
            right_on="valid_from",
            by="product_id",
            allow_exact_matches=False,
            check_sortedness=False,  # both are sorted above
        )
        .select(
            pl.col("cart_date").alias("sale_date"),
            *("cart_id", "line_number", "sold_at", "user_id", "city", "product_id"),
            *("product_title", "category", "unit_price", "quantity"),
            revenue=(pl.col("unit_price") * pl.col("quantity")).cast(pl.Decimal(18, 2)),
            reason=pl.when(pl.col("occurrence") > 1)
            .then(pl.lit("duplicate_cart_id"))
            .when(pl.col("is_product").is_null())
            .then(pl.lit("unknown_product"))
            .when(pl.col("is_user").is_null())
            .then(pl.lit("unknown_user"))
            .when(pl.col("quantity").fill_null(0) <= 0)
            .then(pl.lit("quantity_not_positive"))
            .when(pl.col("unit_price").is_null())
            .then(pl.lit("invalid_price")),
        )
    )


def sales_by(dimension: str, sales: pl.LazyFrame) -> pl.LazyFrame:
    # By cart first: counting distinct pairs of day and cart is far slower.
    carts = sales.group_by(list(dict.fromkeys([dimension, *CART]))).agg(
        pl.first("user_id"),
        lines=pl.len(),
        units=pl.col("quantity").cast(pl.Int64).sum(),
        revenue=pl.sum("revenue"),
    )
    return carts.group_by(dimension).agg(
        *TOTALS, carts=pl.len(), customers=pl.col("user_id").n_unique()
    )


def sales_by_day(sales: pl.LazyFrame) -> pl.LazyFrame:
    average = (cents("revenue") / pl.col("carts")).round(mode="half_away_from_zero") / 100
    return sales_by("sale_date", sales).with_columns(
        average_cart_value=average.cast(pl.Decimal(18, 2))
    )


def sales_by_category(sales: pl.LazyFrame) -> pl.LazyFrame:
    revenue = cents("revenue")
    return sales_by("category", sales).with_columns(revenue_share=revenue / revenue.sum())


def cents(money: str) -> pl.Expr:
    """Doubles hold cents exactly."""
    return (pl.col(money) * 100).cast(pl.Float64)


def sales_by_product(sales: pl.LazyFrame) -> pl.LazyFrame:
    latest = sales.group_by("product_id").agg(
        pl.col("product_title", "category").sort_by("sale_date").last()
    )
    revenue = cents("revenue")
    share = pl.col("cumulative_revenue_share")
    return (
        sales_by("product_id", sales)
        .select("product_id", "carts", "units", "revenue")
        .join(latest, on="product_id")
        .sort("revenue", "product_id", descending=[True, False])
        .with_columns(
            revenue_rank=pl.int_range(1, pl.len() + 1),
            revenue_share=revenue / revenue.sum(),
            cumulative_revenue_share=revenue.cum_sum() / revenue.sum(),
        )
        .with_columns(
            abc_class=pl.when(share <= 0.8)
            .then(pl.lit("A"))
            .when(share <= 0.95)
            .then(pl.lit("B"))
            .otherwise(pl.lit("C"))
        )
    )


def customer_segments(sales: pl.LazyFrame) -> pl.LazyFrame:
    carts = sales.group_by("user_id", *CART).agg(pl.sum("revenue"))
    scored = carts.group_by("user_id").agg(
        first_sale_date=pl.min("sale_date"),
        last_sale_date=pl.max("sale_date"),
        frequency=pl.len(),
        monetary=pl.sum("revenue"),
    )
    for measure, score in {
        "last_sale_date": "recency_score",
        "frequency": "frequency_score",
        "monetary": "monetary_score",
    }.items():
        scored = scored.sort(measure, "user_id").with_columns(quintile().alias(score))
    recency, frequency = pl.col("recency_score"), pl.col("frequency_score")
    last = pl.col("last_sale_date")
    return scored.with_columns(
        recency_days=(last.max() - last).dt.total_days(),
        segment=pl.when((recency >= 4) & (frequency >= 4))
        .then(pl.lit("champion"))
        .when((recency >= 4) & (frequency <= 2))
        .then(pl.lit("new"))
        .when((recency <= 2) & (frequency >= 3))
        .then(pl.lit("at_risk"))
        .when(recency <= 2)
        .then(pl.lit("lost"))
        .otherwise(pl.lit("regular")),
    )


def quintile() -> pl.Expr:
    """SQL's ntile(5) of sorted rows: the first groups are the larger ones."""
    place, small, larger = pl.int_range(pl.len()), pl.len() // 5, pl.len() % 5
    first_small = larger * (small + 1)
    return (
        pl.when(place < first_small)
        .then(place // (small + 1))
        .otherwise(larger + (place - first_small) // small)
        + 1
    )


def customer_cohorts(sales: pl.LazyFrame) -> pl.LazyFrame:
    months = sales.select("user_id", month=pl.col("sale_date").dt.truncate("1mo")).unique()
    cohorts = months.group_by("user_id").agg(cohort_month=pl.min("month"))
    number = {
        name: pl.col(name).dt.year() * 12 + pl.col(name).dt.month()
        for name in ("month", "cohort_month")
    }
    months_since_first = number["month"] - number["cohort_month"]
    return (
        months.join(cohorts, on="user_id")
        .group_by("cohort_month", months_since_first=months_since_first)
        .agg(customers=pl.len())
        .with_columns(cohort_size=pl.max("customers").over("cohort_month"))
        .with_columns(retention=pl.col("customers") / pl.col("cohort_size"))
    )


def product_affinity(sales: pl.LazyFrame, days: pl.LazyFrame, of: pl.LazyFrame) -> pl.LazyFrame:
    """How often products are bought together; ``days`` and ``of`` are sales by day, by product."""
    bought = sales.select(*CART, "product_id").unique()
    one = of.select("product_id", of_one="carts")
    other = of.select(other_product_id="product_id", of_other="carts")
    support, carts = pl.col("carts_together") / pl.col("carts"), pl.col("carts")
    expected = (pl.col("of_one") / carts) * (pl.col("of_other") / carts)
    return (
        bought.join(bought.rename({"product_id": "other_product_id"}), on=CART)
        .filter(pl.col("product_id") < pl.col("other_product_id"))
        .group_by("product_id", "other_product_id")
        .agg(carts_together=pl.len())
        .filter(pl.col("carts_together") >= 2)
        .join(one, on="product_id")
        .join(other, on="other_product_id")
        .join(days.select(pl.sum("carts")), how="cross")
        .with_columns(
            support=support,
            confidence=pl.col("carts_together") / pl.col("of_one"),
            lift=support / expected,
        )
        .drop("carts", "of_one", "of_other")
    )


def write_tables(lake: Path, out: Path, day: str | None = None) -> None:
    """Write every table as one Parquet file, or as files by day, of which one is replaced."""

    def target(name: str) -> Path | pl.PartitionBy:
        path = out / f"{name}.parquet"
        if name not in BY_DAY:
            return path
        shutil.rmtree(path / f"sale_date={day}", ignore_errors=True)
        return pl.PartitionBy(path, key="sale_date", include_key=False)

    def write(tables: dict[str, pl.LazyFrame]) -> None:
        files = [
            table.sink_parquet(target(name), mkdir=True, lazy=True)
            for name, table in tables.items()
        ]
        pl.collect_all(files, engine="streaming")

    def read(name: str) -> pl.LazyFrame:
        return pl.scan_parquet(out / f"{name}.parquet")

    write({"product_prices": product_prices(lake)})
    lines = cart_lines(lake, read("product_prices"), f"cart_date={day}" if day else "*")
    is_sale = pl.col("reason").is_null()
    write({"sales": lines.filter(is_sale).drop("reason"), "rejected_sales": lines.filter(~is_sale)})
    sales = read("sales")
    write(
        {
            "sales_by_day": sales_by_day(sales),
            "sales_by_category": sales_by_category(sales),
            "sales_by_product": sales_by_product(sales),
            "sales_by_city": sales_by("city", sales).drop("lines"),
            "customer_segments": customer_segments(sales),
            "customer_cohorts": customer_cohorts(sales),
        }
    )
    affinity = product_affinity(sales, read("sales_by_day"), read("sales_by_product"))
    write({"product_affinity": affinity})


if __name__ == "__main__":
    lake, out, *days = sys.argv[1:]
    write_tables(Path(lake), Path(out), *days)
