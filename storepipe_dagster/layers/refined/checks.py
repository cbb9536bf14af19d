"""Checks on refined tables: their totals are those of trusted sales, their keys are unique."""

from collections.abc import Iterator

import dagster as dg

from storepipe_dagster.partitions import DAYS
from storepipe_dagster.resources.lake_sql import LakeSql, day_bounds, no_rows

SALES_BY_DAY = dg.AssetKey(["refined", "sales_by_day"])
KEYS = {
    "sales_by_category": "category",
    "sales_by_product": "product_id",
    "sales_by_city": "city",
    "customer_segments": "user_id",
    "customer_cohorts": "cohort_month, months_since_first",
    "product_affinity": "product_id, other_product_id",
}
MEASURES = {
    "sales_by_category": "sum(units) AS units, sum(revenue) AS revenue",
    "sales_by_product": "sum(units) AS units, sum(revenue) AS revenue",
    "sales_by_city": "sum(units) AS units, sum(revenue) AS revenue",
    "customer_segments": "sum(monetary) AS revenue",
}
OF_TRUSTED = {
    "units": "sum(quantity) AS units",
    "revenue": "sum(revenue) AS revenue",
}

DAYS_THAT_DIFFER = """
    WITH sold AS (
        SELECT sale_date, count(*) AS lines, sum(quantity) AS units, sum(revenue) AS revenue
        FROM trusted.sales WHERE sale_date BETWEEN $first AND $last GROUP BY 1
    ), by_day AS (
        SELECT sale_date, lines, units, revenue FROM refined.sales_by_day
        WHERE sale_date BETWEEN $first AND $last
    )
    (FROM sold EXCEPT ALL FROM by_day) UNION ALL (FROM by_day EXCEPT ALL FROM sold)
"""


def _totals_that_differ(table: str) -> str:
    """The totals of a table and of trusted sales, if they differ; no rows are a total of zero."""
    measures = MEASURES[table]
    names = [name for name in OF_TRUSTED if f" AS {name}" in measures]
    of_trusted = ", ".join(OF_TRUSTED[name] for name in names)
    zero_for_null = ", ".join(f"coalesce({name}, 0) AS {name}" for name in names)
    return f"""
        WITH refined_total AS (SELECT {measures} FROM refined.{table}),
        trusted_total AS (SELECT {of_trusted} FROM trusted.sales)
        (SELECT {zero_for_null} FROM refined_total) EXCEPT
        (SELECT {zero_for_null} FROM trusted_total)
    """


def _keys_that_repeat(table: str) -> str:
    return f"""
        SELECT {KEYS[table]}, count(*) AS times FROM refined.{table}
        GROUP BY ALL HAVING count(*) > 1
    """


RULES = {
    (SALES_BY_DAY, "every_day_equals_trusted_sales"): DAYS_THAT_DIFFER,
    **{
        (dg.AssetKey(["refined", table]), "the_totals_equal_trusted_sales"): _totals_that_differ(
            table
        )
        for table in MEASURES
    },
    **{
        (dg.AssetKey(["refined", table]), "every_key_stands_once"): _keys_that_repeat(table)
        for table in KEYS
    },
}


@dg.multi_asset_check(
    name="refined_checks",
    specs=[
        dg.AssetCheckSpec(
            name, asset=key, blocking=True, partitions_def=DAYS if key == SALES_BY_DAY else None
        )
        for key, name in RULES
    ],
    can_subset=True,
)
def refined_checks(
    context: dg.AssetCheckExecutionContext, lake_sql: LakeSql
) -> Iterator[dg.AssetCheckResult]:
    """The totals and keys of the refined tables."""
    selected = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
    with lake_sql.connect() as lake:
        for rule, query in RULES.items():
            if rule in selected:
                of_days = rule[0] == SALES_BY_DAY
                yield no_rows(
                    lake, rule, query, day_bounds(context.partition_keys) if of_days else None
                )
