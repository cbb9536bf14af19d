"""How the report words things: money, shares, counts, dates, names. Values in, text out."""

import calendar
import datetime as dt
import math
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

NOT_YET = "-"
NAME_IN_HEADING = 36  # characters


def title_of(product: Mapping[str, Any]) -> str:
    """Name a product, also one whose title is empty."""
    return product["product_title"] or f"Product {product['product_id']}"


def shorten(name: str) -> str:
    """Cut a long name for a heading."""
    return name if len(name) <= NAME_IN_HEADING else f"{name[: NAME_IN_HEADING - 1].rstrip()}…"


def heading(name: str) -> str:
    """Shorten a name to start a heading with."""
    return shorten(name[:1].upper() + name[1:])


def period(days: pa.Table) -> str:
    """Word the first and last day of the sales."""
    if days.num_rows == 0:
        return ""
    bounds = pc.min_max(days["sale_date"]).as_py()
    first, last = bounds["min"], bounds["max"]
    return day(first) if first == last else f"{day(first)} to {day(last)}"


def of_all(shown: int, count: int, what: str, which: str = "top") -> str:
    """Say that only a part is shown, if so."""
    return f"; the {which} {shown} of {count:,} {what}" if shown < count else ""


def total(table: pa.Table, column: str) -> Any:
    """Sum a column; nothing sums up to 0."""
    return pc.sum(table[column]).as_py() or 0


def ratio(part: float | Decimal, whole: float | Decimal) -> float:
    """Divide; by nothing gives 0."""
    return float(part) / float(whole) if whole else 0.0


def money(amount: Decimal | int) -> str:
    """Two decimals and thousands separators; the API names no currency, so none stands here."""
    return f"{Decimal(amount).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def known(share: float | None) -> float:
    """Take a share of nothing, null or not a number, as 0."""
    return 0.0 if share is None or math.isnan(share) else share


def percent(share: float | None) -> str:
    """Word a share, with a decimal where it is small."""
    share = known(share)
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"  # noqa: PLR2004


def count(number: int, noun: str) -> str:
    """Word a number of things."""
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun != "day" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def day(date: dt.date) -> str:
    """Word a date."""
    return f"{date.day} {calendar.month_name[date.month]} {date.year}"


def month(date: dt.date, *, short: bool = False) -> str:
    """Word the month of a date."""
    names = calendar.month_abbr if short else calendar.month_name
    return f"{names[date.month]} {date.year}"


def months(date: dt.date) -> int:
    """Count the months from year 0 to a date."""
    return date.year * 12 + date.month
