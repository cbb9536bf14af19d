"""Trusted and refined as an engineer would write them by hand in DuckDB, on the same extract.

A process of its own: ``python -m storepipe_dagster_tests.bench.duckdb_peer LAKE OUT [DAY]``. Sales
and rejected sales are kept by day. For one day that changed, these are replaced for this day, and
the other tables made again from all days.
"""

import shutil
import sys
from pathlib import Path

import duckdb

TABLES = {
    "product_prices": """
        WITH listed AS (
            SELECT strptime(parse_filename(filename, true), '%Y%m%dT%H%M%S.%fZ') AS captured_at,
                id AS product_id, trim(title) AS product_title, trim(category) AS category,
                CASE WHEN price >= 0 THEN price::DECIMAL(12, 2) END AS unit_price
            FROM read_json('{lake}/raw/products/*Z.json', filename = true)
        ), compared AS (
            SELECT *, lag(captured_at) OVER product AS earlier,
                (product_title, category, unit_price) IS DISTINCT FROM
                    lag((product_title, category, unit_price)) OVER product AS changed
            FROM listed WINDOW product AS (PARTITION BY product_id ORDER BY captured_at)
        )
        SELECT product_id, product_title, category, unit_price,
            CASE WHEN earlier IS NOT NULL THEN captured_at END AS valid_from,
            lead(captured_at) OVER (PARTITION BY product_id ORDER BY captured_at) AS valid_to
        FROM compared WHERE changed
    """,
    # Priced per product and day: a join of every line with its product's periods takes ten times
    # as long.
    "price_days": """
        SELECT d.cart_date, p.* EXCLUDE (valid_from, valid_to)
        FROM (SELECT DISTINCT product_id, cart_date
            FROM '{lake}/raw/relational/cart_items/{days}/*.parquet') d
        JOIN '{out}/product_prices.parquet' p ON p.product_id = d.product_id
            AND coalesce(p.valid_from < d.cart_date + 1, true)
            AND coalesce(p.valid_to >= d.cart_date + 1, true)
    """,
    "lines": """
        SELECT i.cart_date AS sale_date, i.cart_id, i.line_number, c.sold_at, c.user_id, u.city,
            i.product_id, p.product_title, p.category, p.unit_price, i.quantity,
            (p.unit_price * i.quantity)::DECIMAL(18, 2) AS revenue,
            CASE WHEN i.occurrence > 1 THEN 'duplicate_cart_id'
                WHEN k.product_id IS NULL THEN 'unknown_product'
                WHEN u.user_id IS NULL THEN 'unknown_user'
                WHEN i.quantity IS NULL OR i.quantity <= 0 THEN 'quantity_not_positive'
                WHEN p.unit_price IS NULL THEN 'invalid_price' END AS reason
        FROM '{lake}/raw/relational/cart_items/{days}/*.parquet' i
        JOIN '{lake}/raw/relational/carts/{days}/*.parquet' c USING (cart_date, cart_id, occurrence)
        LEFT JOIN '{lake}/raw/relational/users/*.parquet' u ON u.user_id = c.user_id
        LEFT JOIN '{lake}/raw/relational/products/*.parquet' k ON k.product_id = i.product_id
        LEFT JOIN '{out}/price_days.parquet' p
            ON p.product_id = i.product_id AND p.cart_date = i.cart_date
    """,
    "rejected_sales": "SELECT * FROM '{out}/lines.parquet' WHERE reason IS NOT NULL",
    "sales": "SELECT * EXCLUDE reason FROM '{out}/lines.parquet' WHERE reason IS NULL",
    "sales_by_day": """
        SELECT sale_date, count(DISTINCT cart_id) AS carts, count(DISTINCT user_id) AS customers,
            count(*) AS lines, sum(quantity)::BIGINT AS units, sum(revenue) AS revenue,
            (round(sum(revenue) * 100 / carts) / 100)::DECIMAL(18, 2) AS average_cart_value
        FROM '{out}/sales.parquet/*/*.parquet' GROUP BY ALL
    """,
    "sales_by_category": """
        SELECT category, count(DISTINCT (sale_date, cart_id)) AS carts,
            count(DISTINCT user_id) AS customers, count(*) AS lines, sum(quantity)::BIGINT AS units,
            sum(revenue) AS revenue, sum(revenue) / sum(sum(revenue)) OVER () AS revenue_share
        FROM '{out}/sales.parquet/*/*.parquet' GROUP BY ALL
    """,
    "sales_by_product": """
        WITH by_product AS (
            SELECT product_id, arg_max(product_title, sale_date) AS product_title,
                arg_max(category, sale_date) AS category,
                count(DISTINCT (sale_date, cart_id)) AS carts, sum(quantity)::BIGINT AS units,
                sum(revenue) AS revenue
            FROM '{out}/sales.parquet/*/*.parquet' GROUP BY product_id
        )
        SELECT *, row_number() OVER ranked AS revenue_rank,
            revenue / sum(revenue) OVER () AS revenue_share,
            sum(revenue) OVER ranked / sum(revenue) OVER () AS cumulative_revenue_share,
            CASE WHEN cumulative_revenue_share <= 0.8 THEN 'A'
                WHEN cumulative_revenue_share <= 0.95 THEN 'B' ELSE 'C' END AS abc_class
        FROM by_product WINDOW ranked AS (ORDER BY revenue DESC, product_id)
    """,
    "sales_by_city": """
        SELECT city, count(DISTINCT user_id) AS customers,
            count(DISTINCT (sale_date, cart_id)) AS carts, sum(quantity)::BIGINT AS units,
            sum(revenue) AS revenue
        FROM '{out}/sales.parquet/*/*.parquet' GROUP BY ALL
    """,
    "customer_segments": """
        WITH by_user AS (
            SELECT user_id, min(sale_date) AS first_sale_date, max(sale_date) AS last_sale_date,
                count(DISTINCT (sale_date, cart_id)) AS frequency, sum(revenue) AS monetary
            FROM '{out}/sales.parquet/*/*.parquet' GROUP BY user_id
        )
        SELECT *, max(last_sale_date) OVER () - last_sale_date AS recency_days,
            ntile(5) OVER (ORDER BY last_sale_date, user_id) AS recency_score,
            ntile(5) OVER (ORDER BY frequency, user_id) AS frequency_score,
            ntile(5) OVER (ORDER BY monetary, user_id) AS monetary_score,
            CASE WHEN recency_score >= 4 AND frequency_score >= 4 THEN 'champion'
                WHEN recency_score >= 4 AND frequency_score <= 2 THEN 'new'
                WHEN recency_score <= 2 AND frequency_score >= 3 THEN 'at_risk'
                WHEN recency_score <= 2 THEN 'lost' ELSE 'regular' END AS segment
        FROM by_user
    """,
    "customer_cohorts": """
        WITH months AS (
            SELECT DISTINCT user_id, date_trunc('month', sale_date) AS month
            FROM '{out}/sales.parquet/*/*.parquet'
        ), cohorts AS (SELECT user_id, min(month) AS cohort_month FROM months GROUP BY user_id)
        SELECT cohort_month, date_diff('month', cohort_month, month) AS months_since_first,
            count(*) AS customers, max(customers) OVER (PARTITION BY cohort_month) AS cohort_size,
            customers / cohort_size AS retention
        FROM months JOIN cohorts USING (user_id) GROUP BY cohort_month, month
    """,
    "product_affinity": """
        WITH bought AS (
            SELECT DISTINCT sale_date, cart_id, product_id FROM '{out}/sales.parquet/*/*.parquet'
        ), pairs AS (
            SELECT a.product_id, b.product_id AS other_product_id, count(*) AS carts_together
            FROM bought a JOIN bought b ON a.sale_date = b.sale_date AND a.cart_id = b.cart_id
                AND a.product_id < b.product_id
            GROUP BY ALL HAVING count(*) >= 2
        )
        SELECT pairs.*, carts_together / of_all.carts AS support,
            carts_together / one.carts AS confidence,
            support / ((one.carts / of_all.carts) * (other.carts / of_all.carts)) AS lift
        FROM (SELECT sum(carts) AS carts FROM '{out}/sales_by_day.parquet') of_all, pairs
        JOIN '{out}/sales_by_product.parquet' one ON one.product_id = pairs.product_id
        JOIN '{out}/sales_by_product.parquet' other ON other.product_id = other_product_id
    """,
}
# With more than its 100 files open, or in no order, DuckDB takes longer: the days come in order.
BY_DAY = "FORMAT parquet, PARTITION_BY (sale_date), OVERWRITE_OR_IGNORE"
OPTIONS = {"sales": BY_DAY, "rejected_sales": BY_DAY}


def write_tables(lake: Path, out: Path, day: str | None = None) -> None:
    """Write every table as one Parquet file, or as files by day, of which one is replaced."""
    days = f"cart_date={day}" if day else "*"
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, query in TABLES.items():
            shutil.rmtree(out / f"{name}.parquet/sale_date={day}", ignore_errors=True)
            rows = query.format(lake=lake, out=out, days=days)
            options = OPTIONS.get(name, "FORMAT parquet")
            connection.execute(f"COPY ({rows}) TO '{out}/{name}.parquet' ({options})")


if __name__ == "__main__":
    lake, out, *days = sys.argv[1:]
    write_tables(Path(lake), Path(out), *days)
