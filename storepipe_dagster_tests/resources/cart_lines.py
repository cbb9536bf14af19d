"""Lines of carts for the tests of databases, and what is done with them most."""

from storepipe_dagster.layers.mysql.schemas import CART_ITEMS
from storepipe_dagster.layers.relational import schemas

CAPTURE = "20200401T020000.000000Z.json"
DAY, NEXT_DAY = "2020-03-02", "2020-03-03"
KEY = ["cart_date", "cart_id", "occurrence", "line_number"]


def items(day=DAY, carts=3, lines=1, quantity=2):
    return [
        (day, cart, 1, line, 7, quantity)
        for cart in range(1, carts + 1)
        for line in range(1, lines + 1)
    ]


def replace(database, day=DAY, rows=None):
    rows = items(day) if rows is None else rows
    return database.replace_day(day, "cart_date", {CART_ITEMS: rows}, capture=CAPTURE)[CART_ITEMS]


def read_items(database, days=None):
    reader = database.read("cart_items", schemas.CART_ITEMS, KEY, days)
    return [
        (str(row["cart_date"]), row["cart_id"], row["line_number"], row["quantity"])
        for row in reader.read_all().to_pylist()
    ]
