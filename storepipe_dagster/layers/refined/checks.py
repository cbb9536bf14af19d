"""Checks on refined tables: their totals are those of trusted sales, their keys are unique.

One more only warns: a day far below the same weekday before. And one is on the calendar, and runs
by itself and not with the tables: the day that is due is there.
"""

from collections.abc import Iterator
from datetime import date, timedelta
from enum import Enum
from typing import Any

import dagster as dg
import duckdb

from storepipe_dagster.io_managers.delta_log import days_of_table
from storepipe_dagster.io_managers.lake import PARQUET_FILE, Lake
from storepipe_dagster.layers.refined import schemas
from storepipe_dagster.partitions import DAYS, day_due_now, days_of, first_recent_day, ranges
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.rule_checks import day_bounds, no_rows

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
SALES_BY_DAY = dg.AssetKey(["refined", "sales_by_day"])
SALES_BY_CART = dg.AssetKey(["refined", "sales_by_cart"])
SALES = dg.AssetKey(["trusted", "sales"])
CARTS_EXTRACT = dg.AssetKey(["raw", "relational", "carts"])
BY_DAY = ("sales_by_cart", "sales_by_product_day", "sales_by_day")
KEYS = {table: ", ".join(key) for table, key in schemas.ROW_KEYS.items() if table != "sales_by_day"}
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

DAYS_FAR_BELOW = """
    WITH days AS (
        SELECT before.sale_date + 7 AS sale_date, coalesce(day.revenue, 0) AS revenue,
            before.sale_date AS week_before, before.revenue AS revenue_before
        FROM refined.sales_by_day AS before LEFT JOIN refined.sales_by_day AS day
            ON day.sale_date = before.sale_date + 7
        WHERE before.carts >= 30
    )
    SELECT *, format('{}: revenue {:.2f}, {:.0f} % below that of {} {}', sale_date::VARCHAR,
        revenue::DOUBLE, 100 - 100 * revenue::DOUBLE / revenue_before::DOUBLE,
        dayname(week_before), week_before::VARCHAR) AS told
    FROM days
    WHERE (sale_date BETWEEN $first AND $last OR sale_date >= $recent)
        AND list_contains($made::DATE[], sale_date)
        AND revenue < 0.5 * revenue_before
    ORDER BY sale_date
"""


# A table of all days is only as whole as the sales by cart that it is made of.
MISSING_DAYS = "SELECT unnest($missing::VARCHAR[]) AS told"


def _days_that_differ(table: str) -> str:
    """The days of which a table's lines, units or revenue are not those of trusted sales."""
    return f"""
        WITH sold AS (
            SELECT sale_date, count(*) AS lines, sum(quantity) AS units, sum(revenue) AS revenue
            FROM trusted.sales WHERE sale_date BETWEEN $first AND $last GROUP BY 1
        ), by_day AS (
            SELECT sale_date, sum(lines) AS lines, sum(units) AS units, sum(revenue) AS revenue
            FROM refined.{table} WHERE sale_date BETWEEN $first AND $last GROUP BY 1
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
    of_the_run = " WHERE sale_date BETWEEN $first AND $last" if table in BY_DAY else ""
    return f"""
        SELECT {KEYS[table]}, count(*) AS times FROM refined.{table}{of_the_run}
        GROUP BY ALL HAVING count(*) > 1
    """


RULES = {
    **{
        (dg.AssetKey(["refined", table]), "every_day_equals_trusted_sales"): _days_that_differ(
            table
        )
        for table in BY_DAY
    },
    (SALES_BY_DAY, "no_day_is_far_below_the_week_before"): DAYS_FAR_BELOW,
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
    **{
        (dg.AssetKey(["refined", table]), "no_day_is_missing"): MISSING_DAYS
        for table in KEYS
        if table not in BY_DAY
    },
}
WARNINGS = {DAYS_FAR_BELOW, MISSING_DAYS}
MEANINGS = {
    "every_day_equals_trusted_sales": "Of each day, lines, units and revenue are those of the "
    "trusted sales.",
    "no_day_is_far_below_the_week_before": "A warning, which stops nothing: a day that was made "
    "has at least half of the revenue of the same weekday before, if that had 30 carts or more.",
    "the_totals_equal_trusted_sales": "Units and revenue add up to those of all trusted sales.",
    "every_key_stands_once": "No two rows are about the same thing.",
    "no_day_is_missing": "A warning, which stops nothing: the sales by cart have every day from "
    "the first to the last that they, trusted sales or the extract of carts have.",
}


@dg.multi_asset_check(
    name="refined_checks",
    pool=TABLES,
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=key,
            description=MEANINGS[name],
            blocking=query not in WARNINGS,
        )
        for (key, name), query in RULES.items()
    ],
    can_subset=True,
)
def refined_checks(
    context: dg.AssetCheckExecutionContext, lake_sql: dg.ResourceParam[LakeSql]
) -> Iterator[dg.AssetCheckResult]:
    """The totals and keys of the refined tables."""
    selected = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
    rules = {rule: query for rule, query in RULES.items() if rule in selected}
    missing = _missing_days(lake_sql.lake) if MISSING_DAYS in rules.values() else []
    with lake_sql.connect(queries=[*rules.values()]) as lake:
        for rule, query in rules.items():
            wanted: dict[str, Any] = {}
            if "$first" in query:
                wanted |= day_bounds(days_of(context.run))
            if query == DAYS_FAR_BELOW:
                made = context.instance.get_materialized_partitions(SALES_BY_DAY)
                wanted |= {"recent": first_recent_day(), "made": [*made]}
            if query == MISSING_DAYS:
                wanted["missing"] = missing
            yield no_rows(lake, rule, query, wanted, WARN if query in WARNINGS else ERROR)


def _missing_days(lake: Lake) -> list[str]:
    """The days between the first and the last that the sales by cart do not have, in words."""
    made = days_of_table(lake, SALES_BY_CART, "sale_date")
    known = made | days_of_table(lake, SALES, "sale_date")
    known |= lake.days_with(CARTS_EXTRACT, "cart_date", PARQUET_FILE)
    if not known:
        return []
    first, last = min(map(str, known)), max(map(str, known))
    days = DAYS.get_partition_keys()
    return [
        f"refined/sales_by_cart lacks {start} to {end}: storepipe run --from {start} --to {end}"
        for start, end in ranges(day for day in days if first <= day <= last and day not in made)
    ]


THE_DUE_DAY = dg.AssetCheckKey(SALES_BY_DAY, "the_due_day_is_there")
CARTS = """
    SELECT sale_date, sum(carts) FROM refined.sales_by_day
    WHERE sale_date IN ($day, $week_before) GROUP BY 1
"""


class Arrival(Enum):
    """Whether a day's sales came."""

    CAME = "came"
    MISSING = "missing"
    EMPTY = "empty"


def arrival_of(
    day: date, instance: dg.DagsterInstance, lake_sql: LakeSql
) -> tuple[Arrival, dg.AssetCheckResult]:
    """Whether a day was made, and has carts if the same weekday of the week before has some."""
    week_before, key = day - timedelta(days=7), str(day)
    if key not in instance.get_materialized_partitions(SALES_BY_DAY):
        status = (instance.get_status_by_partition(SALES_BY_DAY, [key], DAYS) or {}).get(key)
        why = f" ({status.value.lower().replace('_', ' ')})" if status else ""
        told = f"The sales of {day:%A} {day} are not there{why}."
        return Arrival.MISSING, _due(Arrival.MISSING, told)
    with lake_sql.connect(queries=[CARTS]) as lake:
        carts = _carts(lake, day, week_before)
    counts = f"{day:%A} {day} has {carts[day]} carts, {week_before} has {carts[week_before]}."
    found = Arrival.EMPTY if carts[week_before] and not carts[day] else Arrival.CAME
    return found, _due(found, counts)


def _carts(lake: duckdb.DuckDBPyConnection, *days: date) -> dict[date, int]:
    """The carts of each day; none for one without a row."""
    wanted = dict(zip(("day", "week_before"), days, strict=True))
    try:
        found = dict(lake.execute(CARTS, wanted).fetchall())
    except duckdb.CatalogException:
        found = {}
    return {day: int(found.get(day, 0)) for day in days}


def _due(found: Arrival, description: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=THE_DUE_DAY.asset_key,
        check_name=THE_DUE_DAY.name,
        passed=found is Arrival.CAME,
        severity=dg.AssetCheckSeverity.WARN,
        description=description,
    )


@dg.asset_check(
    asset=SALES_BY_DAY,
    name=THE_DUE_DAY.name,
    description="The day that is due was made, and is not empty unless it was so a week before.",
)
def the_due_day_is_there(
    context: dg.AssetCheckExecutionContext, lake_sql: dg.ResourceParam[LakeSql]
) -> dg.AssetCheckResult:
    """The day that is due, judged by hand; the sensor ``late_day`` judges it by itself."""
    return arrival_of(day_due_now(), context.instance, lake_sql)[1]
