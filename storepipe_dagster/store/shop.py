"""What a shop is to the server, and how its records are read.

The records are JSON objects of the Fake Store API, served as they are: a shop may hold broken ones,
so every reader here tolerates any JSON value. Where records come from lives in `synthetic` and
`folder`; HTTP lives in `server`.
"""

from collections.abc import Iterator
from datetime import date, datetime, timezone
from typing import Any, Protocol, TypeAlias

from storepipe_dagster.errors import UserError

Record: TypeAlias = dict[str, Any]
"""One product, user or cart, as it stands in the API's JSON."""


class StoreError(UserError):
    """The store cannot serve; the message names what is wrong and the remedy."""


class Shop(Protocol):
    """A source of products, users and carts."""

    def list_products(self) -> list[Record]:
        """List all products, by id."""

    def list_users(self) -> list[Record]:
        """List all users, by id."""

    def stream_carts(
        self, start: date | None = None, end: date | None = None, *, descending: bool = False
    ) -> Iterator[Record]:
        """Stream carts by id, from the UTC day `start` to the day before `end`."""

    def find_cart(self, cart_id: int) -> Record | None:
        """Return the first cart with this id."""


def parse_instant(text: object) -> datetime | None:
    """Read an ISO date or timestamp, in UTC unless it says otherwise; None if it is neither."""
    if not isinstance(text, str):
        return None
    try:
        instant = datetime.fromisoformat(text.replace("Z", "+00:00"))
        if instant.tzinfo is None:
            return instant.replace(tzinfo=timezone.utc)
        return instant.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def read_field(record: object, name: str) -> object:
    """Read a field; None when it is absent or the record is not an object."""
    return record.get(name) if isinstance(record, dict) else None
