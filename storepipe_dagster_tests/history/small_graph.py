"""A small graph of tables that are made together and of each other, and its job that rolls back."""

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from storepipe_dagster.history.ops import roll_back_job
from storepipe_dagster.partitions import DAYS, days_of
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.rule_checks import day_bounds, no_rows
from storepipe_dagster_tests.history.conftest import PRODUCTS, REJECTED, SALES

BY_DAY = dg.AssetKey(["refined", "sales_by_day"])


@dg.multi_asset(
    outs={"sales": dg.AssetOut(key=SALES), "rejected": dg.AssetOut(key=REJECTED)},
    partitions_def=DAYS,
    can_subset=True,
)
def cart_lines():
    raise NotImplementedError


@dg.asset(key=BY_DAY, deps=[SALES], partitions_def=DAYS)
def by_day():
    raise NotImplementedError


@dg.asset(key=PRODUCTS, deps=[SALES])
def by_product():
    raise NotImplementedError


@dg.multi_asset_check(
    pool=TABLES,
    specs=[
        dg.AssetCheckSpec("no_revenue_is_negative", asset=SALES, blocking=True),
        dg.AssetCheckSpec("no_cart_is_rejected_and_sold", asset=REJECTED, blocking=True),
        dg.AssetCheckSpec("it_only_warns", asset=SALES),
    ],
    can_subset=True,
)
def checks(context: dg.AssetCheckExecutionContext, lake_sql: dg.ResourceParam[LakeSql]):
    queries = {
        "no_revenue_is_negative": "SELECT cart_id FROM trusted.sales "
        "WHERE sale_date BETWEEN $first AND $last AND revenue < 0",
        "no_cart_is_rejected_and_sold": "SELECT cart_id FROM trusted.rejected_sales "
        "JOIN trusted.sales USING (sale_date, cart_id) WHERE sale_date BETWEEN $first AND $last",
    }
    bounds = day_bounds(days_of(context.run))
    with lake_sql.connect() as connection:
        for check in sorted(context.selected_asset_check_keys):
            yield no_rows(connection, (check.asset_key, check.name), queries[check.name], bounds)


ROLL_BACK_TABLE = roll_back_job(AssetGraph.from_assets([cart_lines, by_day, by_product]), [checks])
