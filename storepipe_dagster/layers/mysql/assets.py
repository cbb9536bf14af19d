"""The captures, loaded into database tables."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg
import sqlalchemy as sa

from storepipe_dagster.ahead import made_ahead
from storepipe_dagster.asset_metadata import OWNERS, ROW_COUNT, columns_of, lineage_in, tags_of
from storepipe_dagster.io_managers.capture_files import AllCaptures, CurrentCaptures
from storepipe_dagster.layers.mysql import schemas
from storepipe_dagster.layers.mysql.checks import compared, every_captured_record_is_loaded
from storepipe_dagster.layers.mysql.transforms import Row, cart_rows, product_rows, user_rows
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.database import Database

PRODUCTS, USERS = ["mysql", "products"], ["mysql", "users"]
CART_TABLES = {("mysql", table.name): table for table in (schemas.CARTS, schemas.CART_ITEMS)}
LINEAGES = {key: lineage_in(columns_of(table)) for key, table in CART_TABLES.items()}


@dg.asset(
    key=PRODUCTS,
    ins={"captures": dg.AssetIn(["raw", "products"])},
    group_name="mysql",
    kinds={"mysql"},
    owners=OWNERS,
    pool=TABLES,
    tags=tags_of("mysql", "products", schemas.PRODUCTS),
    metadata=columns_of(schemas.PRODUCTS),
    check_specs=[every_captured_record_is_loaded(PRODUCTS)],
)
def mysql_products(captures: AllCaptures, database: Database) -> dg.MaterializeResult:
    """Every product ever captured, as last captured; a delisted one stays."""
    return _upserted(captures, product_rows, database, schemas.PRODUCTS)


@dg.asset(
    key=USERS,
    ins={"captures": dg.AssetIn(["raw", "users"])},
    group_name="mysql",
    kinds={"mysql"},
    owners=OWNERS,
    pool=TABLES,
    tags=tags_of("mysql", "customers", schemas.USERS),
    metadata=columns_of(schemas.USERS),
    check_specs=[every_captured_record_is_loaded(USERS)],
)
def mysql_users(captures: AllCaptures, database: Database) -> dg.MaterializeResult:
    """Every user ever captured, as last captured. Personal data stops here and in the extract."""
    return _upserted(captures, user_rows, database, schemas.USERS)


@dg.multi_asset(
    name="mysql_carts",
    specs=[
        dg.AssetSpec(
            key,
            deps=[["raw", "carts"]],
            group_name="mysql",
            kinds={"mysql"},
            owners=OWNERS,
            description=table.comment,
            tags=tags_of("mysql", "sales", table),
            metadata=columns_of(table),
        )
        for key, table in CART_TABLES.items()
    ],
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    pool=TABLES,
    ins={"captures": dg.AssetIn(["raw", "carts"])},
    check_specs=[every_captured_record_is_loaded(key) for key in CART_TABLES],
)
def mysql_carts(
    context: dg.AssetExecutionContext, captures: CurrentCaptures, database: Database
) -> tuple[dg.MaterializeResult, dg.MaterializeResult]:
    """Carts and their lines; each day of both replaced in one transaction."""
    captured: Counter[sa.Table] = Counter()
    loaded: Counter[sa.Table] = Counter()
    of_days = ((str(capture.day), cart_rows(capture.records)) for capture in captures)
    for day, (carts, items) in made_ahead(of_days):
        rows = {schemas.CARTS: carts, schemas.CART_ITEMS: items}
        in_table = database.replace_day(day, "cart_date", rows)
        for key, table in CART_TABLES.items():
            captured[table] += len(rows[table])
            loaded[table] += in_table[table]
            metadata = {ROW_COUNT: in_table[table], **LINEAGES[key]}
            context.add_asset_metadata(metadata, key, partition_key=day)
    carts_check, items_check = (
        compared(key, captured=captured[table], loaded=loaded[table])
        for key, table in CART_TABLES.items()
    )
    return (
        dg.MaterializeResult(asset_key=carts_check.asset_key, check_results=[carts_check]),
        dg.MaterializeResult(asset_key=items_check.asset_key, check_results=[items_check]),
    )


def _upserted(
    captures: AllCaptures,
    rows_of: Callable[[Iterable[Any]], list[Row]],
    database: Database,
    table: sa.Table,
) -> dg.MaterializeResult:
    is_empty = database.upsert(table, []) == 0
    newest: dict[int, Any] = {}
    for capture in captures:
        newest = {record["id"]: record for record in capture.records} | newest
        if not is_empty:
            break  # the table has what the store has taken off its lists since older captures
    in_table = database.upsert(table, rows_of(newest.values()))
    check = compared(["mysql", table.name], captured=len(newest), loaded=in_table, at_least=True)
    return dg.MaterializeResult(
        metadata={
            ROW_COUNT: in_table,
            "captured": len(newest),
            **lineage_in(columns_of(table)),
        },
        check_results=[check],
    )
