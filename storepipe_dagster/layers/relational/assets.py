"""The database tables, extracted to Parquet."""

from collections.abc import Sequence

import dagster as dg
import pyarrow as pa

from storepipe_dagster.asset_metadata import OWNERS, columns_of, tags_of
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN, Lake
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.layers.relational.loads import expect_loaded_days, expect_no_lost_rows
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.database import Database

CART_KEY = ["cart_date", "cart_id", "occurrence"]


@dg.asset(
    key=["raw", "relational", "products"],
    deps=[["mysql", "products"]],
    group_name="relational",
    io_manager_key="parquet",
    kinds={"parquet"},
    owners=OWNERS,
    pool=TABLES,
    tags=tags_of("relational", "products", schemas.PRODUCTS),
    metadata=columns_of(schemas.PRODUCTS),
)
def relational_products(
    database: dg.ResourceParam[Database], lake: dg.ResourceParam[Lake]
) -> pa.RecordBatchReader:
    """Every product of the database; a product is known when it stands here."""
    expect_no_lost_rows(database, lake, "products")
    return database.read("products", schemas.PRODUCTS, ["product_id"])


@dg.asset(
    key=["raw", "relational", "users"],
    deps=[["mysql", "users"]],
    group_name="relational",
    io_manager_key="parquet",
    kinds={"parquet"},
    owners=OWNERS,
    pool=TABLES,
    tags=tags_of("relational", "customers", schemas.USERS),
    metadata=columns_of(schemas.USERS),
)
def relational_users(
    database: dg.ResourceParam[Database], lake: dg.ResourceParam[Lake]
) -> pa.RecordBatchReader:
    """Every user of the database. Personal data goes no further than this."""
    expect_no_lost_rows(database, lake, "users")
    return database.read("users", schemas.USERS, ["user_id"])


@dg.asset(
    key=["raw", "relational", "carts"],
    deps=[["mysql", "carts"]],
    group_name="relational",
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    io_manager_key="parquet",
    kinds={"parquet"},
    owners=OWNERS,
    pool=TABLES,
    tags=tags_of("relational", "sales", schemas.CARTS),
    metadata={PARTITION_COLUMN: "cart_date", **columns_of(schemas.CARTS)},
)
def relational_carts(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    lake: dg.ResourceParam[Lake],
) -> pa.RecordBatchReader:
    """The carts of each day, one file per day."""
    return _read_days(context, database, lake, "carts", schemas.CARTS, CART_KEY)


@dg.asset(
    key=["raw", "relational", "cart_items"],
    deps=[["mysql", "cart_items"]],
    group_name="relational",
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    io_manager_key="parquet",
    kinds={"parquet"},
    owners=OWNERS,
    pool=TABLES,
    tags=tags_of("relational", "sales", schemas.CART_ITEMS),
    metadata={PARTITION_COLUMN: "cart_date", **columns_of(schemas.CART_ITEMS)},
)
def relational_cart_items(
    context: dg.AssetExecutionContext,
    database: dg.ResourceParam[Database],
    lake: dg.ResourceParam[Lake],
) -> pa.RecordBatchReader:
    """The lines of the carts of each day, one file per day."""
    key = [*CART_KEY, "line_number"]
    return _read_days(context, database, lake, "cart_items", schemas.CART_ITEMS, key)


def _read_days(
    context: dg.AssetExecutionContext,
    database: Database,
    lake: Lake,
    table: str,
    schema: pa.Schema,
    key: Sequence[str],
) -> pa.RecordBatchReader:
    """The rows of the days of the step, of all of which the newest capture was loaded."""
    expect_loaded_days(database, lake, table, context.partition_keys)
    return database.read(table, schema, key, ("cart_date", context.partition_keys))
