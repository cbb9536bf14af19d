"""A shop of three JSON files in a folder: `products.json`, `users.json`, `carts.json`.

Each file holds one array, as the API answers it. The files are read once, into memory. Records are
served as they are: only the pipeline judges them.
"""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

from storepipe_dagster.store.shop import Record, StoreError, parse_instant, read_field


class ShopFolderError(StoreError):
    """A shop's folder, or a file in it, is missing or unreadable."""


class FolderShop:
    """The shop whose files stand in `folder`.

    Each list is in the order of its ids; records of one id keep the order of the file, and those
    without an integer id come last. Raises ShopFolderError.
    """

    def __init__(self, folder: Path) -> None:
        self._products = _read_array(folder / "products.json")
        self._users = _read_array(folder / "users.json")
        self._carts = _read_array(folder / "carts.json")

    def list_products(self) -> list[Record]:
        """List all products, by id."""
        return self._products

    def list_users(self) -> list[Record]:
        """List all users, by id."""
        return self._users

    def stream_carts(
        self, start: date | None = None, end: date | None = None, *, descending: bool = False
    ) -> Iterator[Record]:
        """Stream carts by id, from the UTC day `start` to the day before `end`.

        With either bound, a cart without a readable date is left out.
        """
        for cart in reversed(self._carts) if descending else self._carts:
            if start is None and end is None:
                yield cart
                continue
            instant = parse_instant(read_field(cart, "date"))
            if instant is None:
                continue
            day = instant.date()
            if (start is None or start <= day) and (end is None or day < end):
                yield cart

    def find_cart(self, cart_id: int) -> Record | None:
        """Return the first cart with this id."""
        return next((cart for cart in self._carts if read_field(cart, "id") == cart_id), None)


def _read_array(path: Path) -> list[Any]:
    remedy = "save the API's answer, one JSON array, there"
    try:
        records = json.loads(path.read_bytes())
    except OSError as error:
        raise ShopFolderError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except ValueError as error:
        raise ShopFolderError(f"{path} is not JSON ({error}): {remedy}") from error
    if not isinstance(records, list):
        raise ShopFolderError(f"{path} holds a JSON {type(records).__name__}: {remedy}")
    return sorted(records, key=_id_order)


def _id_order(record: object) -> tuple[bool, int]:
    record_id = read_field(record, "id")
    return (False, record_id) if isinstance(record_id, int) else (True, 0)
