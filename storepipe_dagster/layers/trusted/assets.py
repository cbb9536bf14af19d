"""What is trusted: the history of prices, and every cart line as a sale or rejected with a reason.

Each asset is one transform; where it runs is decided in ``resources.deployments``.
"""

import dagster as dg
from pyspark.sql import DataFrame

from storepipe_dagster.asset_metadata import OWNERS, columns_of
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN
from storepipe_dagster.layers.trusted import schemas, transforms
from storepipe_dagster.partitions import DAYS, SINGLE_RUN

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
    required_resource_keys={"step_launcher"},
    kinds={"pyspark", "deltalake"},
    owners=OWNERS,
    metadata=columns_of(schemas.PRODUCT_PRICES),
)
def trusted_product_prices(captures: DataFrame) -> DataFrame:
    """The history of titles, categories and prices, from all captures of the products."""
    return transforms.product_prices(captures)


@dg.asset(
    key=["trusted", "sales"],
    ins=CART_LINES,
    group_name="trusted",
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    io_manager_key="delta",
    required_resource_keys={"step_launcher"},
    kinds={"pyspark", "deltalake"},
    owners=OWNERS,
    metadata={PARTITION_COLUMN: "sale_date", **columns_of(schemas.SALES)},
)
def trusted_sales(
    carts: DataFrame,
    cart_items: DataFrame,
    users: DataFrame,
    products: DataFrame,
    prices: DataFrame,
) -> DataFrame:
    """Every cart line that could be sold, at the price of its day."""
    return transforms.sales(carts, cart_items, users, products, prices)


@dg.asset(
    key=["trusted", "rejected_sales"],
    ins=CART_LINES,
    group_name="trusted",
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    io_manager_key="delta",
    required_resource_keys={"step_launcher"},
    kinds={"pyspark", "deltalake"},
    owners=OWNERS,
    metadata={PARTITION_COLUMN: "sale_date", **columns_of(schemas.REJECTED_SALES)},
)
def trusted_rejected_sales(
    carts: DataFrame,
    cart_items: DataFrame,
    users: DataFrame,
    products: DataFrame,
    prices: DataFrame,
) -> DataFrame:
    """Every cart line that could not be sold, with the reason why."""
    return transforms.rejected_sales(carts, cart_items, users, products, prices)
