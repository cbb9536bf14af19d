"""What the headers of an answer say of the list it is from: how long, and where it goes on.

A part must never be taken for the whole. Asking for the pages is up to ``store_api``.
"""

import re
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit, urlunsplit

import requests
from requests.utils import parse_header_links

from storepipe_dagster.resources.answers import server_of, shown

PARTIAL_CONTENT = 206
MOST_PAGES = 100_000
# Such as "products 0-4/20" or, where a length is not known, "0-4/*".
_COUNT = re.compile("[0-9]{1,18}")
_CONTENT_RANGE = re.compile(
    rf"(?:(\S+)\s+)?(?:({_COUNT.pattern})-({_COUNT.pattern})|\*)/({_COUNT.pattern}|\*)"
)


class PartError(Exception):
    """An answer is a part of a list, or not a list, and the rest cannot be had; says why."""


class Pages:
    """The way through the pages of one list at ``base_url``, none of which is read twice."""

    def __init__(self, base_url: str) -> None:
        self.number = 0
        self.total: int | None = None
        self.total_is_from = ""
        self._base = urlsplit(base_url)
        self._numbers: dict[str, int] = {}

    def enter(self, address: str) -> None:
        """Note the address of the page that is read next; raises ``PartError``."""
        if visited := self._numbers.get(address):
            raise PartError(f"page {self.number} names page {visited} again as the next one")
        if self.number == MOST_PAGES:
            raise PartError(f"it has more than {MOST_PAGES:,} pages")
        self.number += 1
        self._numbers[address] = self.number

    def following(self, response: requests.Response) -> str | None:
        """The address of the page after this one, ``None`` after the last; raises ``PartError``.

        The user name and password of ``base_url`` go with it, and to no other server.
        """
        cut, total = _range_of(response)
        if self.number == 1:
            count = response.headers.get("X-Total-Count", "").strip()
            is_count = _COUNT.fullmatch(count)
            self.total_is_from = "X-Total-Count" if is_count else "Content-Range"
            self.total = int(count) if is_count else total
        target = _next_link(response.headers)
        if target is None:
            if cut and self.number == 1:
                raise PartError(f"{cut}, and no Link header names the next page")
            return None
        try:
            parts = urlsplit(urljoin(response.url, target))
        except ValueError:
            raise PartError(f"page {self.number} names a next page that is no address") from None
        if server_of(parts) != server_of(self._base):
            raise PartError(
                f"page {self.number} names a next page on another server, "
                f"{shown(parts)} instead of {shown(self._base)}"
            )
        return urlunsplit(parts._replace(netloc=self._base.netloc, fragment=""))


def _next_link(headers: Mapping[str, str]) -> str | None:
    """Where a Link header's ``rel="next"`` points to, as it stands there."""
    for link in parse_header_links(headers.get("Link", "")):
        relations = " ".join(link[name] for name in link if name.casefold() == "rel")
        if "next" in relations.casefold().split():
            return str(link["url"])
    return None


def _range_of(response: requests.Response) -> tuple[str, int | None]:
    """What of the list is missing in this answer, if anything, and how many records it has."""
    text = response.headers.get("Content-Range", "").strip()
    partial = response.status_code == PARTIAL_CONTENT
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        return ("it answered 206 Partial Content" if partial else "", None)
    unit, first, last, length = found.groups()
    if length == "*":
        return (f"it answered 206 with Content-Range: {text}" if partial else "", None)
    came = int(last) - int(first) + 1 if first else 0
    cut = came < int(length)
    total = None if (unit or "").casefold() == "bytes" else int(length)
    return (f"it answered {came} of {length} (Content-Range: {text})" if cut else "", total)
