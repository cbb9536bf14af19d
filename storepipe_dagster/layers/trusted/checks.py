"""Checks on trusted tables: no cart line disappears, none is there twice, no money is negative.

All but one stop what is downstream; a day of which many lines were rejected is a warning.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from storepipe_dagster.layers.trusted.schemas import REJECTION_REASONS
from storepipe_dagster.partitions import days_of, first_recent_day
from storepipe_dagster.pools import TABLES
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.rule_checks import day_bounds, no_rows

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
PRODUCT_PRICES = dg.AssetKey(["trusted", "product_prices"])
SALES = dg.AssetKey(["trusted", "sales"])
REJECTED_SALES = dg.AssetKey(["trusted", "rejected_sales"])

# Each query gives the rows that break the rule, and some of them to look at.
UNRECONCILED_DAYS = """
    WITH captured AS (
        SELECT cart_date AS day, count(*) AS lines FROM raw_relational.cart_items
        WHERE cart_date BETWEEN $first AND $last GROUP BY 1
    ), sold AS (
        SELECT sale_date AS day, count(*) AS lines FROM trusted.sales
        WHERE sale_date BETWEEN $first AND $last GROUP BY 1
    ), rejected AS (
        SELECT sale_date AS day, count(*) AS lines FROM trusted.rejected_sales
        WHERE sale_date BETWEEN $first AND $last GROUP BY 1
    )
    SELECT day, coalesce(captured.lines, 0) AS captured, coalesce(sold.lines, 0) AS sold,
        coalesce(rejected.lines, 0) AS rejected
    FROM captured FULL JOIN sold USING (day) FULL JOIN rejected USING (day)
    WHERE coalesce(captured.lines, 0) != coalesce(sold.lines, 0) + coalesce(rejected.lines, 0)
    ORDER BY day
"""
# Grouped by cart, of which there are fewer than lines: a cart with more lines than bits is looked
# at line by line. It takes half the time.
LINES_SOLD_TWICE = """
    WITH suspects AS (
        SELECT sale_date, cart_id FROM trusted.sales
        WHERE sale_date BETWEEN $first AND $last
        GROUP BY ALL HAVING count(*) > bit_count(bit_or(1::BIGINT << (line_number % 63)))
    )
    SELECT sale_date, cart_id, line_number, count(*) AS times
    FROM trusted.sales SEMI JOIN suspects USING (sale_date, cart_id)
    WHERE sale_date BETWEEN $first AND $last
    GROUP BY ALL HAVING count(*) > 1 ORDER BY ALL
"""
WRONG_REVENUES = """
    SELECT sale_date, cart_id, line_number, unit_price, quantity, revenue FROM trusted.sales
    WHERE sale_date BETWEEN $first AND $last
        AND (unit_price >= 0 AND quantity > 0 AND revenue = unit_price * quantity) IS NOT TRUE
    ORDER BY ALL
"""
UNKNOWN_REASONS = """
    SELECT reason, count(*) AS lines FROM trusted.rejected_sales
    WHERE sale_date BETWEEN $first AND $last AND (list_contains($reasons, reason)) IS NOT TRUE
    GROUP BY ALL ORDER BY ALL
"""
OVERLAPPING_PERIODS = """
    SELECT product_id, valid_from, valid_to, next_from::VARCHAR AS next_from FROM (
        SELECT *, lead(coalesce(valid_from, '-infinity'::TIMESTAMPTZ)) OVER product AS next_from,
            row_number() OVER product AS period
        FROM trusted.product_prices
        WINDOW product AS (PARTITION BY product_id ORDER BY valid_from NULLS FIRST)
    )
    WHERE (period = 1) != (valid_from IS NULL) OR valid_to IS DISTINCT FROM next_from
        OR valid_from >= valid_to
    ORDER BY ALL
"""
PRODUCTS_WITHOUT_PRICES = """
    SELECT product_id, product_title FROM raw_relational.products
    WHERE product_id NOT IN (SELECT product_id FROM trusted.product_prices) ORDER BY ALL
"""
# The time and the buyer of a line are its cart's.
LINES_WITHOUT_CART = """
    SELECT sale_date, cart_id, line_number FROM trusted.rejected_sales
    WHERE sale_date BETWEEN $first AND $last AND sold_at IS NULL ORDER BY ALL
"""
NEGATIVE_PRICES = """
    SELECT product_id, valid_from, unit_price FROM trusted.product_prices
    WHERE unit_price < 0 ORDER BY ALL
"""
DAYS_WITH_MANY_REJECTED = """
    WITH lines AS (
        SELECT sale_date, NULL AS reason FROM trusted.sales
        UNION ALL SELECT sale_date, reason FROM trusted.rejected_sales
    ), days AS (
        SELECT sale_date, count(reason) AS rejected, count(*) AS lines, mode(reason) AS mostly
        FROM lines WHERE sale_date BETWEEN $first AND $last OR sale_date >= $recent
        GROUP BY sale_date
    )
    SELECT *, format('{}: {} of {} lines rejected ({:.0f} %), mostly {}', sale_date::VARCHAR,
        rejected, lines, 100 * rejected / lines, mostly) AS told
    FROM days WHERE rejected = lines OR (lines >= 100 AND rejected > 0.05 * lines)
    ORDER BY sale_date
"""
NEARLY_ALL_REJECTED = """
    WITH lines AS (
        SELECT sale_date, NULL AS reason FROM trusted.sales
        UNION ALL SELECT sale_date, reason FROM trusted.rejected_sales
    ), run AS (
        SELECT count(reason) AS rejected, count(*) AS lines, mode(reason) AS mostly
        FROM lines WHERE sale_date BETWEEN $first AND $last
    )
    SELECT *, format('{} of {} lines of these days were rejected, mostly {}. If that is right, '
        'materialize what is downstream in a run of its own; the lines: storepipe sql '
        '"SELECT * FROM trusted.rejected_sales"', rejected, lines, mostly) AS told
    FROM run WHERE lines >= 5 AND rejected > 0.9 * lines
"""

RULES = {
    (SALES, "every_captured_line_is_sold_or_rejected"): UNRECONCILED_DAYS,
    (SALES, "every_line_is_sold_once"): LINES_SOLD_TWICE,
    (SALES, "revenue_is_price_times_quantity_and_never_negative"): WRONG_REVENUES,
    (REJECTED_SALES, "every_rejected_line_has_a_known_reason"): UNKNOWN_REASONS,
    (REJECTED_SALES, "every_line_came_with_its_cart"): LINES_WITHOUT_CART,
    (SALES, "few_lines_are_rejected"): DAYS_WITH_MANY_REJECTED,
    (SALES, "not_nearly_all_lines_are_rejected"): NEARLY_ALL_REJECTED,
    (PRODUCT_PRICES, "every_known_product_has_a_history"): PRODUCTS_WITHOUT_PRICES,
    (PRODUCT_PRICES, "every_moment_has_one_price"): OVERLAPPING_PERIODS,
    (PRODUCT_PRICES, "no_price_is_negative"): NEGATIVE_PRICES,
}
MEANINGS = {
    UNRECONCILED_DAYS: "Of each day, as many lines were captured as were sold and rejected.",
    LINES_SOLD_TWICE: "No line of a cart stands in the sales twice.",
    WRONG_REVENUES: "Of each sale, the price is 0 or more, the quantity 1 or more, and the revenue "
    "their product.",
    UNKNOWN_REASONS: f"The reason is one of {', '.join(REJECTION_REASONS)}.",
    LINES_WITHOUT_CART: "Of each extracted line, the cart was extracted too.",
    DAYS_WITH_MANY_REJECTED: "A warning, which stops nothing: each day with lines has a sale, and "
    "of 100 lines or more of a day, at most 5 % are rejected. Those that are stand in "
    "trusted/rejected_sales.",
    NEARLY_ALL_REJECTED: "Of 5 or more lines of the days of a run, at most 90 % are rejected.",
    PRODUCTS_WITHOUT_PRICES: "Each product of the extract stands in the history of prices.",
    OVERLAPPING_PERIODS: "The periods of each product follow upon each other, without gap or "
    "overlap, from ever to now.",
    NEGATIVE_PRICES: "A price is 0 or more, or none.",
}
OTHERS = {
    query: [REJECTED_SALES]
    for query in (UNRECONCILED_DAYS, DAYS_WITH_MANY_REJECTED, NEARLY_ALL_REJECTED)
}
WARNINGS = {DAYS_WITH_MANY_REJECTED}


@dg.multi_asset_check(
    name="trusted_checks",
    pool=TABLES,
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=key,
            description=MEANINGS[query],
            blocking=query not in WARNINGS,
            additional_deps=OTHERS.get(query),
        )
        for (key, name), query in RULES.items()
    ],
    can_subset=True,
)
def trusted_checks(
    context: dg.AssetCheckExecutionContext, lake_sql: dg.ResourceParam[LakeSql]
) -> Iterator[dg.AssetCheckResult]:
    """The contract's rules on prices, sales and rejected sales, for the days of the run."""
    selected = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
    rules = {rule: query for rule, query in RULES.items() if rule in selected}
    with lake_sql.connect(queries=[*rules.values()]) as lake:
        for rule, query in rules.items():
            wanted: dict[str, Any] = (
                {} if rule[0] == PRODUCT_PRICES else day_bounds(days_of(context.run))
            )
            if query == UNKNOWN_REASONS:
                wanted["reasons"] = list(REJECTION_REASONS)
            if query in WARNINGS:
                wanted["recent"] = first_recent_day()
            severity = WARN if query in WARNINGS else ERROR
            yield no_rows(lake, rule, query, wanted, severity)
