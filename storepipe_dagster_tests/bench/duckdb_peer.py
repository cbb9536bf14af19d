"""Trusted and refined as an engineer would write them by hand in DuckDB, on the same extract."""

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
            FROM '{lake}/raw/relational/cart_items/*/*.parquet') d
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
        FROM '{lake}/raw/relational/cart_items/*/*.parquet' i
        JOIN '{lake}/raw/relational/carts/*/*.parquet' c USING (cart_date, cart_id, occurrence)
        LEFT JOIN '{lake}/raw/relational/users/*.parquet' u ON u.user_id = c.user_id
        LEFT JOIN '{lake}/raw/relational/products/*.parquet' k ON k.product_id = i.product_id
        LEFT JOIN '{out}/price_days.parquet' p
            ON p.product_id = i.product_id AND p.cart_date = i.cart_date
    """,
    "rejected_sales": "SELECT * FROM '{out}/lines.parquet' WHERE reason IS NOT NULL",
    "sales": "SELECT * EXCLUDE reason FROM '{out}/lines.parquet' WHERE reason IS NULL",
    "sales_by_day": """
        SELECT sale_date, count(DISTINCT cart_id) AS carts, count(DISTINCT user_id) AS customers,
            count(*) AS lines, sum(quantity) AS units, sum(revenue) AS revenue
        FROM '{out}/sales.parquet' GROUP BY ALL
    """,
    "sales_by_category": """
        SELECT category, count(DISTINCT (sale_date, cart_id)) AS carts,
            count(DISTINCT user_id) AS customers, count(*) AS lines, sum(quantity) AS units,
            sum(revenue) AS revenue, sum(revenue) / sum(sum(revenue)) OVER () AS revenue_share
        FROM '{out}/sales.parquet' GROUP BY ALL
    """,
    "sales_by_product": """
        WITH by_product AS (
            SELECT product_id, arg_max(product_title, sale_date) AS product_title,
                arg_max(category, sale_date) AS category,
                count(DISTINCT (sale_date, cart_id)) AS carts, sum(quantity) AS units,
                sum(revenue) AS revenue
            FROM '{out}/sales.parquet' GROUP BY product_id
        )
        SELECT *, row_number() OVER ranked AS revenue_rank,
            sum(revenue) OVER ranked / sum(revenue) OVER () AS cumulative_revenue_share
        FROM by_product WINDOW ranked AS (ORDER BY revenue DESC, product_id)
    """,
    "sales_by_city": """
        SELECT city, count(DISTINCT user_id) AS customers,
            count(DISTINCT (sale_date, cart_id)) AS carts, sum(quantity) AS units,
            sum(revenue) AS revenue
        FROM '{out}/sales.parquet' GROUP BY ALL
    """,
    "customer_segments": """
        WITH by_user AS (
            SELECT user_id, min(sale_date) AS first_sale_date, max(sale_date) AS last_sale_date,
                count(DISTINCT (sale_date, cart_id)) AS frequency, sum(revenue) AS monetary
            FROM '{out}/sales.parquet' GROUP BY user_id
        )
        SELECT *, ntile(5) OVER (ORDER BY last_sale_date, user_id) AS recency_score,
            ntile(5) OVER (ORDER BY frequency, user_id) AS frequency_score,
            ntile(5) OVER (ORDER BY monetary, user_id) AS monetary_score
        FROM by_user
    """,
    "customer_cohorts": """
        WITH months AS (
            SELECT DISTINCT user_id, date_trunc('month', sale_date) AS month
            FROM '{out}/sales.parquet'
        ), cohorts AS (SELECT user_id, min(month) AS cohort_month FROM months GROUP BY user_id)
        SELECT cohort_month, date_diff('month', cohort_month, month) AS months_since_first,
            count(*) AS customers
        FROM months JOIN cohorts USING (user_id) GROUP BY ALL
    """,
    "product_affinity": """
        WITH bought AS (
            SELECT DISTINCT sale_date, cart_id, product_id FROM '{out}/sales.parquet'
        )
        SELECT a.product_id, b.product_id AS other_product_id, count(*) AS carts_together
        FROM bought a JOIN bought b ON a.sale_date = b.sale_date AND a.cart_id = b.cart_id
            AND a.product_id < b.product_id
        GROUP BY ALL HAVING count(*) >= 2
    """,
}


def write_tables(lake: Path, out: Path) -> None:
    """Write every table as one Parquet file."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for name, query in TABLES.items():
            rows = query.format(lake=lake, out=out)
            connection.execute(f"COPY ({rows}) TO '{out}/{name}.parquet'")


if __name__ == "__main__":
    write_tables(*map(Path, sys.argv[1:]))
