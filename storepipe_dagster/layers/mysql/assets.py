"""The captures, loaded into database tables."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import dagster as dg
import pyarrow as pa
import sqlalchemy as sa

from storepipe_dagster.ahead import made_ahead
from storepipe_dagster.asset_metadata import OWNERS, ROW_COUNT, columns_of, lineage_in, tags_of
from storepipe_dagster.io_managers.capture_files import AllCaptures, CurrentCaptures
from storepipe_dagster.layers.mysql import schemas
from storepipe_dagster.layers.mysql.checks import (
    every_captured_record_is_loaded,
    held_against_days,
    held_against_ids,
)
from storepipe_dagster.layers.mysql.transforms import (
    Row,
    cart_rows,
    count_carts,
    product_rows,
    user_rows,
)
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.database import Database, NoTableError

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
def mysql_products(
    captures: AllCaptures, database: dg.ResourceParam[Database]
) -> dg.MaterializeResult:
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
def mysql_users(
    captures: AllCaptures, database: dg.ResourceParam[Database]
) -> dg.MaterializeResult:
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
    context: dg.AssetExecutionContext,
    captures: CurrentCaptures,
    database: dg.ResourceParam[Database],
) -> tuple[dg.MaterializeResult, dg.MaterializeResult]:
    """Carts and their lines; each day of both replaced in one transaction."""
    captured: dict[sa.Table, dict[str, int]] = defaultdict(dict)
    loaded: dict[sa.Table, dict[str, int]] = defaultdict(dict)
    of_days = (
        (str(capture.day), capture.name, cart_rows(capture.records), count_carts(capture.records))
        for capture in captures
    )
    for day, name, new, counted in made_ahead(of_days):
        rows = dict(zip(CART_TABLES.values(), new, strict=True))
        in_table = database.replace_day(day, "cart_date", rows, capture=name)
        for (key, table), count in zip(CART_TABLES.items(), counted, strict=True):
            captured[table][day], loaded[table][day] = count, in_table[table]
            metadata = {ROW_COUNT: in_table[table], **LINEAGES[key]}
            context.add_asset_metadata(metadata, key, partition_key=day)
    carts_check, items_check = (
        held_against_days(key, captured=captured[table], loaded=loaded[table])
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
    """Load the captures since the last one that was loaded, the newest record of each id.

    A record that was listed only in between is known then, as is one whose row was deleted.
    """
    before = database.loads(table.name).get(None)
    is_whole = before is not None and _count(database, table) >= before.rows
    newest: dict[int, Any] = {}
    name = ""
    for capture in captures.after(before.capture if before and is_whole else ""):
        name = max(name, capture.name)
        newest = {record["id"]: record for record in capture.records} | newest
    database.upsert(table, rows_of(newest.values()), capture=name)
    in_table = _ids(database, table)
    check = held_against_ids(
        ["mysql", table.name],
        captured=newest.keys(),
        in_table=in_table,
        before=before.rows if before else 0,
    )
    return dg.MaterializeResult(
        metadata={
            ROW_COUNT: len(in_table),
            "captured": len(newest),
            **lineage_in(columns_of(table)),
        },
        check_results=[check],
    )


def _count(database: Database, table: sa.Table) -> int:
    try:
        return database.count(table.name)
    except NoTableError:  # somebody has dropped it since it was loaded
        return 0


def _ids(database: Database, table: sa.Table) -> set[int]:
    (key,) = table.primary_key.columns
    batches = database.read(table.name, pa.schema([(key.name, pa.int64())]), [key.name])
    return {number for batch in batches for number in batch.column(0).to_pylist()}
