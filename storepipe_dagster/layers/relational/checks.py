"""Checks on extracts: what is in the database is in the files."""

from collections.abc import Iterator

import dagster as dg

from storepipe_dagster.partitions import days_of
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.database import Database
from storepipe_dagster.resources.lake_sql import LakeSql, day_bounds

NAME = "every_row_of_the_database_is_extracted"
DAY_COLUMNS = {"products": None, "users": None, "carts": "cart_date", "cart_items": "cart_date"}


@dg.multi_asset_check(
    name="relational_checks",
    pool=TABLES,
    specs=[
        dg.AssetCheckSpec(
            NAME,
            asset=dg.AssetKey(["raw", "relational", table]),
            blocking=True,
            description="The files and the database have as many rows, of the days of the run.",
        )
        for table in DAY_COLUMNS
    ],
    can_subset=True,
)
def relational_checks(
    context: dg.AssetCheckExecutionContext, database: Database, lake_sql: LakeSql
) -> Iterator[dg.AssetCheckResult]:
    """The number of rows in the files and in the database, for the days of the run."""
    of_run = days_of(context.run)
    with lake_sql.connect() as lake:
        for check in sorted(context.selected_asset_check_keys):
            table = check.asset_key.path[-1]
            query, wanted, days = f"SELECT count(*) FROM raw_relational.{table}", None, None
            if column := DAY_COLUMNS[table]:
                query += f" WHERE {column} BETWEEN $first AND $last"
                wanted, days = day_bounds(of_run), (column, of_run)
            extracted = lake.execute(query, wanted).fetchall()[0][0]
            in_database = database.count(table, days)
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=NAME,
                passed=extracted == in_database,
                description=f"{extracted} rows in the files, {in_database} in the database.",
                metadata={"extracted": extracted, "in_database": in_database},
            )
