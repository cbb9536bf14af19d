"""The extract of a shop of any size, made by DuckDB in seconds: the way from the API takes longer.

The files are as the pipeline writes them: one per table, or per table and day, sorted by its key.
Products and users are the synthetic shop's; every product's price changes once in a while, and one
line in some hundreds cannot be sold.
"""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from storepipe_dagster.io_managers.lake import PARQUET_FILE
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.store.synthetic import SyntheticShop
from storepipe_dagster.times import capture_stamp

FIRST_DAY = date(2020, 1, 1)
LINES_PER_CART = 3  # on average
ROWS_PER_GROUP = 64 * 1024
DAYS_PER_PRICE_LIST = 30
RAISE = 1.02

# hash() is the same on each run and machine; two draws of one row differ by their salt.
CARTS = """
    SELECT DATE '{day}' AS cart_date, n AS cart_id, 1 AS occurrence,
        DATE '{day}' + to_seconds((n - {first}) * 86399 // {count}) AS sold_at,
        -- Some customers buy far more often than others.
        1 + floor({users} * pow(hash(n, 'user') / 2.0 ** 64, 1.5)) AS user_id,
        (1 + hash(n, 'lines') % (2 * {lines_per_cart} - 1))::BIGINT AS lines
    FROM range({first}, {first} + {count}) AS carts(n)
    UNION ALL
    -- A few ids come twice on their day.
    SELECT cart_date, cart_id, 2, sold_at, user_id, lines FROM carts WHERE cart_id % 2000 = 7
"""
CART_ITEMS = """
    SELECT cart_date, cart_id, occurrence, line_number,
        -- Some products sell far better than others; the one after the last is not known.
        CASE WHEN hash(cart_id, line_number) % 997 = 0 THEN {products} + 1
            ELSE 1 + floor({products} * pow(hash(cart_id, line_number, 'product') / 2.0 ** 64, 2))
            END AS product_id,
        CASE WHEN hash(cart_id, line_number, 'wrong') % 1009 = 0 THEN 0
            ELSE 1 + floor(4 * pow(hash(cart_id, line_number, 'units') / 2.0 ** 64, 3))
            END AS quantity
    FROM carts, unnest(range(1, lines + 1)) AS numbers(line_number)
"""
SOURCES = {"carts": "FROM carts ORDER BY ALL", "cart_items": f"{CART_ITEMS} ORDER BY ALL"}


def write_extracts(lake: Path, lines: int, days: int) -> None:
    """Write captures of the products and the four extracted tables, of about so many lines."""
    carts = lines // LINES_PER_CART
    shop = SyntheticShop(carts=carts, days=days)
    products = shop.list_products()
    _write_captures(lake / "raw/products", products, days)
    tables = lake / "raw/relational"
    _write(tables / "products", _as_table(_product_rows(products), schemas.PRODUCTS))
    _write(tables / "users", _as_table(_user_rows(shop), schemas.USERS))
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for number in range(days):
            first, past = carts * number // days, carts * (number + 1) // days
            given = {
                "day": FIRST_DAY + timedelta(days=number),
                "first": first + 1,
                "count": past - first,
                "users": shop.user_count + 1,  # the last one is not known
                "products": shop.product_count,
                "lines_per_cart": LINES_PER_CART,
            }
            connection.execute(f"CREATE OR REPLACE TEMP TABLE carts AS {_carts(given)}")
            for name, query in SOURCES.items():
                schema = schemas.CARTS if name == "carts" else schemas.CART_ITEMS
                rows = connection.sql(query.format(**given)).to_arrow_table()
                table = rows.select(schema.names).cast(schema)
                _write(tables / name / f"cart_date={given['day']}", table)


def change_day(lake: Path, day: date) -> None:
    """Let each cart line of a day have one unit more, as if its carts had been changed."""
    folder = lake / f"raw/relational/cart_items/cart_date={day}"
    with pq.ParquetFile(folder / PARQUET_FILE) as file:
        lines = file.read()
    position = lines.schema.get_field_index("quantity")
    field = lines.schema.field(position)
    more = pc.add(lines["quantity"], 1).cast(field.type)
    _write(folder, lines.set_column(position, field, more))


def _carts(given: dict[str, Any]) -> str:
    first, second = CARTS.format(**given).split("UNION ALL")
    return f"WITH carts AS ({first}) FROM carts UNION ALL {second}"


def _write_captures(folder: Path, products: list[dict[str, Any]], days: int) -> None:
    folder.mkdir(parents=True)
    for turn, number in enumerate(range(0, days, DAYS_PER_PRICE_LIST)):
        at = datetime.combine(FIRST_DAY + timedelta(days=number), time(6, tzinfo=timezone.utc))
        for product in products[turn % 4 :: 4]:
            product["price"] = round(product["price"] * RAISE, 2)
        listed = ",\n".join(json.dumps(product) for product in products)
        (folder / f"{capture_stamp(at)}.json").write_text(f"[\n{listed}\n]\n")


def _product_rows(products: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for product in products:
        yield {
            "product_id": product["id"],
            "product_title": product["title"].strip(),
            "category": product["category"],
            "description": product["description"],
            "image_url": product["image"],
            "rating": product["rating"]["rate"],
            "rating_count": product["rating"]["count"],
        }


def _user_rows(shop: SyntheticShop) -> Iterator[dict[str, Any]]:
    for user in shop.list_users():
        yield {
            "user_id": user["id"],
            "username": user["username"],
            "email": user["email"],
            "city": user["address"]["city"].strip().title(),
        }


def _as_table(rows: Iterator[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema)


def _write(folder: Path, table: pa.Table) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / PARQUET_FILE
    pq.write_table(table, file, compression="zstd", row_group_size=ROWS_PER_GROUP)
