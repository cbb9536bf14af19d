"""What is trusted: the history of prices, and every cart line as a sale or rejected with a reason.

Each table is one transform; where it runs is decided in ``resources.deployments``.
"""

from collections.abc import Iterator, Sequence

import dagster as dg
from pyspark.sql import DataFrame

from storepipe_dagster.asset_metadata import OWNERS, columns_of, tags_of
from storepipe_dagster.figures import counts_by
from storepipe_dagster.io_managers.delta_days import DailyRows
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN
from storepipe_dagster.layers.trusted import schemas, transforms
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.pools import TABLES
from storepipe_dagster.tables import asked_for, delta_table

CART_LINES = {
    "carts": dg.AssetIn(["raw", "relational", "carts"]),
    "cart_items": dg.AssetIn(["raw", "relational", "cart_items"]),
    "users": dg.AssetIn(["raw", "relational", "users"]),
    "products": dg.AssetIn(["raw", "relational", "products"]),
    "prices": dg.AssetIn(["trusted", "product_prices"]),
}


@dg.asset(
    key=["trusted", "product_prices"],
    ins={"captures": dg.AssetIn(["raw", "products"])},
    group_name="trusted",
    io_manager_key="delta",
    pool=TABLES,
    required_resource_keys={"step_launcher"},
    kinds={"pyspark", "deltalake"},
    owners=OWNERS,
    tags=tags_of("trusted", "products", schemas.PRODUCT_PRICES),
    metadata=columns_of(schemas.PRODUCT_PRICES),
)
def trusted_product_prices(captures: DataFrame) -> DataFrame:
    """The history of titles, categories and prices, from all captures of the products."""
    return transforms.product_prices(captures)


@dg.multi_asset(
    name="trusted__cart_lines",
    ins=CART_LINES,
    outs={
        "sales": delta_table(
            "trusted",
            "sales",
            schemas.SALES,
            "Every cart line that could be sold, at the price of its day. Those that could not are "
            "in [trusted/rejected_sales](/assets/trusted/rejected_sales).",
            domain="sales",
            **{PARTITION_COLUMN: "sale_date"},
        ),
        "rejected_sales": delta_table(
            "trusted",
            "rejected_sales",
            schemas.REJECTED_SALES,
            "Every cart line that could not be sold, with the reason why; the others are in "
            "trusted/sales.",
            domain="sales",
            **{PARTITION_COLUMN: "sale_date"},
            **counts_by("reason"),
        ),
    },
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    pool=TABLES,
    required_resource_keys={"step_launcher"},
)
def trusted_cart_lines(
    context: dg.AssetExecutionContext,
    carts: DailyRows,
    cart_items: DailyRows,
    users: DataFrame,
    products: DataFrame,
    prices: DataFrame,
) -> Iterator[dg.Output[DataFrame | DailyRows]]:
    """Every cart line: as a sale, or rejected."""

    def lines(days: Sequence[str]) -> tuple[DataFrame, ...]:
        return (carts.of(days), cart_items.of(days), users, products, prices)

    tables = {
        "sales": DailyRows(lambda days: transforms.sales(*lines(days))),
        "rejected_sales": DailyRows(lambda days: transforms.rejected_sales(*lines(days))),
    }
    yield from asked_for(context, tables)
