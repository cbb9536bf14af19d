"""Captured records to database rows: tuples in the order of the table's columns.

Plain values that every driver takes: whole numbers, text, and text for money and times.
"""

import json
import string
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import ROUND_HALF_UP, Decimal
from itertools import chain
from typing import Any

from storepipe_dagster.times import utc_time

Row = tuple[Any, ...]
CENT = Decimal("0.01")
DATE_LENGTH = len("2020-01-01")


def product_rows(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """One row per product."""
    return [
        (
            product["id"],
            product["title"].strip(),
            product["category"].strip(),
            _money(product.get("price")),
            product.get("description"),
            product.get("image"),
            (product.get("rating") or {}).get("rate"),
            (product.get("rating") or {}).get("count"),
        )
        for product in records
    ]


def user_rows(records: Iterable[Mapping[str, Any]]) -> list[Row]:
    """One row per user."""
    return [_user_row(user) for user in records]


def cart_rows(records: Iterable[Mapping[str, Any]]) -> tuple[list[Row], list[Row]]:
    """One row per cart of a day, and one per line of these carts.

    A cart that comes again with the same content is one cart; one that comes with the same id and
    other content is a further occurrence of that id.
    """
    carts: list[Row] = []
    items: list[Row] = []
    seen: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for cart in records:
        cart_id = cart["id"]
        if cart in seen[cart_id]:
            continue
        seen[cart_id].append(cart)
        occurrence = len(seen[cart_id])
        sold_at = utc_time(cart["date"]).replace(tzinfo=None).isoformat(" ", "microseconds")
        cart_date = sold_at[:DATE_LENGTH]
        carts.append((cart_date, cart_id, occurrence, sold_at, cart.get("userId")))
        items.extend(
            (cart_date, cart_id, occurrence, number, line.get("productId"), line.get("quantity"))
            for number, line in enumerate(cart["products"], start=1)
        )
    return carts, items


def count_carts(records: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """The distinct carts of a day and their lines, counted without making rows of them.

    Loaded rows are held against these numbers, so this shares nothing with ``cart_rows``.
    """
    times = Counter(cart["id"] for cart in records)
    distinct = [cart for cart in records if times[cart["id"]] == 1]
    repeated: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    if len(distinct) < len(records):
        for cart in records:
            if times[cart["id"]] > 1 and cart not in repeated[cart["id"]]:
                repeated[cart["id"]].append(cart)
    distinct += chain.from_iterable(repeated.values())
    return len(distinct), sum(len(cart["products"]) for cart in distinct)


def _user_row(user: Mapping[str, Any]) -> Row:
    name = user.get("name") or {}
    address = user.get("address") or {}
    geolocation = address.get("geolocation") or {}
    return (
        user["id"],
        user.get("username"),
        name.get("firstname"),
        name.get("lastname"),
        user.get("email"),
        user.get("phone"),
        address.get("street"),
        _text(address.get("number")),
        _text(address.get("zipcode")),
        _text(geolocation.get("lat")),
        _text(geolocation.get("long")),
        _city(address.get("city")),
    )


def _money(price: float | None) -> str | None:
    return None if price is None else str(Decimal(str(price)).quantize(CENT, ROUND_HALF_UP))


def _city(city: str | None) -> str | None:
    return None if city is None else string.capwords(city)


def _text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
