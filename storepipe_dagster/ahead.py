"""Making what comes next while what came before is used."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(items: Iterator[Item]) -> Generator[Item, None, None]:
    """Give the items in their order; a thread makes the next one meanwhile, never more.

    An error of theirs comes in its place. Who stops before the end closes this iterator, which
    waits for the item that is being made.
    """
    with ThreadPoolExecutor(1, "ahead") as ahead:
        following = ahead.submit(_next, items)
        while given := following.result():
            following = ahead.submit(_next, items)
            yield given[0]


def _next(items: Iterator[Item]) -> tuple[Item] | None:
    """The next item, of which nothing needs to be known, or nothing."""
    for item in items:
        return (item,)
    return None
