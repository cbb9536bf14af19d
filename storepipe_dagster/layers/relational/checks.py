"""Checks on extracts: what was loaded into the database is in the files."""

from collections.abc import Iterator, Mapping, Sequence

import dagster as dg
import duckdb

from storepipe_dagster.io_managers.lake import shortened
from storepipe_dagster.partitions import days_of
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.database import Database
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.loads import Load
from storepipe_dagster.rule_checks import day_bounds

NAME = "every_row_of_the_database_is_extracted"
DAY_COLUMNS = {"products": None, "users": None, "carts": "cart_date", "cart_items": "cart_date"}
Counts = Mapping[str, int]


@dg.multi_asset_check(
    name="relational_checks",
    pool=TABLES,
    specs=[
        dg.AssetCheckSpec(
            NAME,
            asset=dg.AssetKey(["raw", "relational", table]),
            blocking=True,
            description="The files have as many rows as the database; of each day of the run, as "
            "many as were loaded; of products and users, no fewer than were loaded.",
        )
        for table in DAY_COLUMNS
    ],
    can_subset=True,
)
def relational_checks(
    context: dg.AssetCheckExecutionContext,
    database: dg.ResourceParam[Database],
    lake_sql: dg.ResourceParam[LakeSql],
) -> Iterator[dg.AssetCheckResult]:
    """The number of rows in the files, of the loads and in the database, by day of the run."""
    days = days_of(context.run)
    checks = {check.asset_key.path[-1]: check for check in context.selected_asset_check_keys}
    with lake_sql.connect(queries=[f"FROM raw_relational.{table}" for table in checks]) as lake:
        for table, check in sorted(checks.items()):
            if column := DAY_COLUMNS[table]:
                extracted = _by_day(lake, table, column, days)
                in_database = database.count_by_day(table, (column, days))
                loads = {str(day): load for day, load in database.loads(table, days).items()}
                told = differing_days(days, extracted, in_database, loads)
                yield _result(check, sum(extracted.values()), sum(in_database.values()), told)
            else:
                query = f"SELECT count(*) FROM raw_relational.{table}"
                rows = int(lake.execute(query).fetchall()[0][0])
                count = database.count(table)
                load = database.loads(table).get(None, Load("", 0))
                told = f" Its loads have left {load.rows}." if rows < load.rows else ""
                yield _result(check, rows, count, told)


def differing_days(
    days: Sequence[str], extracted: Counts, in_database: Counts, loads: Mapping[str, Load]
) -> str:
    """A sentence on the days whose three numbers are not the same; nothing if all are."""
    differing = []
    for day in days:
        loaded = loads[day].rows if day in loads else 0
        rows, count = extracted.get(day, 0), in_database.get(day, 0)
        if not rows == loaded == count:
            differing.append(
                f"{day} ({rows} in the files, {loaded} loaded, {count} in the database)"
            )
    return f" Differing days: {shortened(differing)}." if differing else ""


def _by_day(
    lake: duckdb.DuckDBPyConnection, table: str, column: str, days: Sequence[str]
) -> Counts:
    """The rows of the files by day; days without rows are left out."""
    query = (
        f"SELECT CAST({column} AS VARCHAR), count(*) FROM raw_relational.{table} "
        f"WHERE {column} BETWEEN $first AND $last GROUP BY ALL"
    )
    return dict(lake.execute(query, day_bounds(days)).fetchall())


def _result(
    check: dg.AssetCheckKey, extracted: int, in_database: int, told: str
) -> dg.AssetCheckResult:
    """The result with both numbers; failed if they differ or there is something to tell besides."""
    return dg.AssetCheckResult(
        asset_key=check.asset_key,
        check_name=NAME,
        passed=extracted == in_database and not told,
        description=f"{extracted} rows in the files, {in_database} in the database.{told}",
        metadata={"extracted": extracted, "in_database": in_database},
    )
