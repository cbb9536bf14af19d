"""The loose scripts that this project replaces, as an engineer would write them by hand.

Each is a process of its own, run one after the other; the last one is ``classic_peer``:
``python -m storepipe_dagster_tests.bench.loose_scripts capture LAKE URL FIRST LAST``, then ``load
LAKE DATABASE`` and ``extract LAKE DATABASE``; a database is a URL. They check nothing, and keep no
history of what they did.
"""

import json
import string
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

TABLES = {
    "products": "product_id bigint PRIMARY KEY, product_title longtext, category longtext,"
    " unit_price decimal(12, 2), description longtext, image_url longtext, rating double,"
    " rating_count bigint",
    "users": "user_id bigint PRIMARY KEY, username longtext, first_name longtext,"
    " last_name longtext, email longtext, phone longtext, street longtext, street_number longtext,"
    " zipcode longtext, latitude longtext, longitude longtext, city longtext",
    "carts": "cart_date date, cart_id bigint, occurrence int, sold_at datetime(6), user_id bigint,"
    " PRIMARY KEY (cart_date, cart_id, occurrence)",
    "cart_items": "cart_date date, cart_id bigint, occurrence int, line_number int,"
    " product_id bigint, quantity int, PRIMARY KEY (cart_date, cart_id, occurrence, line_number)",
}


def capture(lake: str, url: str, first: str, last: str) -> None:
    """Save what the API gives: a file of products and of users, and a file of carts per day."""
    import requests  # noqa: PLC0415  # as in the others: a script imports what it needs

    def get(path: str, **parameters: str) -> list[dict[str, Any]]:
        answer = requests.get(f"{url}/{path}", parameters, timeout=600)
        answer.raise_for_status()
        return answer.json()

    def save(folder: str, records: list[dict[str, Any]]) -> None:
        path = Path(lake) / "raw" / folder
        path.mkdir(parents=True, exist_ok=True)
        lines = ",\n".join(map(json.dumps, records))
        (path / f"{stamp}.json").write_text(f"[\n{lines}\n]\n")

    stamp = datetime.now(timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    save("products", get("products"))
    users = get("users")
    for user in users:
        user.pop("password", None)
    save("users", users)
    past = date.fromisoformat(last) + timedelta(days=1)
    by_day: dict[str, list[dict[str, Any]]] = {day: [] for day in days(first, str(past))}
    for cart in get("carts", startdate=first, enddate=str(past)):
        by_day[cart["date"][:10]].append(cart)
    for day, carts in by_day.items():
        save(f"carts/cart_date={day}", carts)


def days(first: str, past: str) -> Iterator[str]:
    day = date.fromisoformat(first)
    while str(day) < past:
        yield str(day)
        day += timedelta(days=1)


def load(lake: str, database: str) -> None:
    """Make the tables anew, and insert what was captured."""
    from sqlalchemy import create_engine  # noqa: PLC0415

    with create_engine(database).connect() as opened:
        connection = opened.connection.driver_connection
        with connection.cursor() as cursor:
            for name, columns in TABLES.items():
                cursor.execute(f"DROP TABLE IF EXISTS {name}")
                cursor.execute(f"CREATE TABLE {name} ({columns}) CHARACTER SET utf8mb4")
            insert(cursor, "products", map(product_row, captured(lake, "products")))
            insert(cursor, "users", map(user_row, captured(lake, "users")))
            for folder in sorted((Path(lake) / "raw/carts").iterdir()):
                carts, items = cart_rows(captured(lake, f"carts/{folder.name}"))
                insert(cursor, "carts", carts)
                insert(cursor, "cart_items", items)
                connection.commit()


def insert(cursor: Any, table: str, rows: Any) -> None:
    if rows := list(rows):
        places = ", ".join(["%s"] * len(rows[0]))
        cursor.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def captured(lake: str, folder: str) -> list[dict[str, Any]]:
    newest = max((Path(lake) / "raw" / folder).glob("*.json"))
    return json.loads(newest.read_text())


def product_row(product: dict[str, Any]) -> tuple[Any, ...]:
    return (
        *(product["id"], product["title"].strip(), product["category"].strip(), product["price"]),
        *(product["description"], product["image"]),
        *(product["rating"]["rate"], product["rating"]["count"]),
    )


def user_row(user: dict[str, Any]) -> tuple[Any, ...]:
    name, address = user["name"], user["address"]
    return (
        *(user["id"], user["username"], name["firstname"], name["lastname"]),
        *(user["email"], user["phone"], address["street"], address["number"], address["zipcode"]),
        *(address["geolocation"]["lat"], address["geolocation"]["long"]),
        string.capwords(address["city"]),
    )


def cart_rows(carts: list[dict[str, Any]]) -> tuple[list[tuple], list[tuple]]:
    """The rows of the carts and of their lines; what comes twice is one, other content is not."""
    rows, items = [], []
    seen = defaultdict(list)
    for cart in carts:
        lines, others = cart["products"], seen[cart["id"]]
        if cart in others or not all(isinstance(line["quantity"], int) for line in lines):
            continue
        others.append(cart)
        key = (cart["date"][:10], cart["id"], len(others))
        rows.append((*key, cart["date"].rstrip("Z"), cart["userId"]))
        items.extend(
            (*key, number, line["productId"], line["quantity"])
            for number, line in enumerate(lines, start=1)
        )
    return rows, items


def extract(lake: str, database: str) -> None:
    """Write each table as one Parquet file."""
    import pandas as pd  # noqa: PLC0415
    from sqlalchemy import create_engine  # noqa: PLC0415

    engine = create_engine(database)
    for name in TABLES:
        folder = Path(lake) / "raw/relational" / name
        folder.mkdir(parents=True, exist_ok=True)
        frame = pd.read_sql(f"SELECT * FROM {name}", engine)
        # Spark does not read nanoseconds.
        frame.to_parquet(folder / "data.parquet", index=False, coerce_timestamps="us")


SCRIPTS: dict[str, Callable[..., None]] = {"capture": capture, "load": load, "extract": extract}

if __name__ == "__main__":
    SCRIPTS[sys.argv[1]](*sys.argv[2:])
