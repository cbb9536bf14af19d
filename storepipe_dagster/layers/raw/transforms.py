"""Sorting out what the API gave: good records by day, the others with a reason.

Texts in, a ``Capture`` out; no network, no files of our own.
"""

import json
from collections.abc import Collection, Iterable
from typing import TypeVar

from pydantic import ValidationError

from storepipe_dagster.captures import Capture
from storepipe_dagster.layers.raw.schemas import Cart, Product, Record, User
from storepipe_dagster.times import utc_time

AnyRecord = TypeVar("AnyRecord", bound=Record)
SAME_ID = "an earlier record of this answer has the same id and other content"


def snapshot(records: Iterable[str], model: type[Product | User]) -> Capture:
    """A list without days; of several records with one id and differing content the first."""
    capture = Capture()
    first_with_id: dict[int, str] = {}
    for text in records:
        record = _judged(text, model)
        if isinstance(record, str):
            capture.reject(None, text, record)
        elif not _is_same(first_with_id.setdefault(record.id, text), text):
            capture.reject(None, text, SAME_ID)
        else:
            capture.unknown_fields |= record.unknown_fields()
            capture.accept(None, text)
    return capture


def carts_by_day(records: Iterable[str], days: Collection[str]) -> Capture:
    """The carts of the days asked for; whatever else the answer holds is left out.

    A bad cart belongs to the day that can be read in it, or else to the first of the days.
    """
    capture = Capture()
    asked, first = frozenset(days), min(days)
    for text in records:
        cart = _judged(text, Cart)
        if isinstance(cart, str):
            day = _day_of_bad_cart(text) or first
            if day in asked:
                capture.reject(day, text, cart)
        elif (day := utc_time(cart.date).date().isoformat()) in asked:
            capture.unknown_fields |= cart.unknown_fields()
            capture.accept(day, text)
    return capture


def _judged(text: str, model: type[AnyRecord]) -> AnyRecord | str:
    """The record, or why it breaks its contract; never with a value from it."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        return "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'record'}: {problem['msg']}"
            for problem in problems
        )


def _is_same(text: str, other: str) -> bool:
    return text == other or bool(json.loads(text) == json.loads(other))


def _day_of_bad_cart(text: str) -> str | None:
    try:
        return utc_time(json.loads(text)["date"]).date().isoformat()
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError):
        return None
