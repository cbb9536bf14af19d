"""Sorting out what the API gave: good records by day, the others with a reason.

Texts in, a ``Capture`` out; no network, no files of our own.
"""

import json
import math
import re
from collections.abc import Collection, Iterable
from typing import TypeVar

from pydantic import ValidationError

from storepipe_dagster.captures import Capture
from storepipe_dagster.layers.raw.schemas import Cart, Product, Record, User
from storepipe_dagster.times import utc_time

_MARKS = re.compile(r"""[\[{\]}]|"(?:[^"\\]|\\.)*\"""")
AnyRecord = TypeVar("AnyRecord", bound=Record)
MOST_PROBLEMS = 5
DEEPEST = 64
LONGEST_NUMBER = 1000  # characters; Spark's parser takes no longer one
SAME_ID = "an earlier record of this answer has the same id and other content"


def snapshot(records: Iterable[str], model: type[Product | User]) -> Capture:
    """A list without days; of several records with one id and differing content the first."""
    capture = Capture()
    first_with_id: dict[int, str] = {}
    for text in records:
        capture.received += 1
        record = _judged(text, model)
        if isinstance(record, str):
            capture.reject(None, text, record)
        elif odd := _odd(text):
            capture.reject(None, text, odd)
        elif not _is_same(first_with_id.setdefault(record.id, text), text):
            capture.reject(None, text, SAME_ID)
        else:
            capture.notice(record.unknown_fields(), record.missing_fields)
            capture.look_for(model.NEEDED, text)
            capture.accept(None, text)
    return capture


def carts_by_day(records: Iterable[str], days: Collection[str]) -> Capture:
    """The carts of the days asked for; whatever else the answer holds is left out.

    A bad cart belongs to the day that can be read in it, or else to the first of the days.
    """
    capture = Capture()
    asked, first = frozenset(days), min(days)
    for text in records:
        capture.received += 1
        cart = _judged(text, Cart)
        if isinstance(cart, str):
            day = _day_of_bad_cart(text)
            capture.undated += day is None
            if (day or first) in asked:
                capture.reject(day or first, text, cart)
        elif (day := utc_time(cart.date).date().isoformat()) in asked:
            capture.notice(cart.unknown_fields(), cart.missing_fields)
            capture.look_for(Cart.NEEDED, text)
            capture.accept(day, text)
    return capture


def _judged(text: str, model: type[AnyRecord]) -> AnyRecord | str:
    """The record, or why it breaks its contract; never with a value from it."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        told = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'record'}: {problem['msg']}"
            for problem in problems[:MOST_PROBLEMS]
        ]
        if len(problems) > MOST_PROBLEMS:
            told.append(f"and {len(problems) - MOST_PROBLEMS} more")
        return "; ".join(told)


def _odd(text: str) -> str | None:
    """Tell what makes other readers of JSON drop a capture: too large or long numbers, nesting."""
    if text.count("[") + text.count("{") > DEEPEST and _depth(text) > DEEPEST:
        return f"nested more than {DEEPEST} deep"
    numbers: list[str] = []
    json.loads(text, parse_float=numbers.append, parse_int=numbers.append)
    if any(len(number) > LONGEST_NUMBER for number in numbers):
        return f"a number has more than {LONGEST_NUMBER} characters"
    if not all(math.isfinite(float(number)) for number in numbers):
        return "a number is beyond the range of a double"
    return None


def _depth(text: str) -> int:
    depth = deepest = 0
    for mark in _MARKS.findall(text):
        depth += (mark in "[{") - (mark in "]}")
        deepest = max(deepest, depth)
    return deepest


def _is_same(text: str, other: str) -> bool:
    return text == other or bool(json.loads(text) == json.loads(other))


def _day_of_bad_cart(text: str) -> str | None:
    try:
        return utc_time(json.loads(text, parse_int=str)["date"]).date().isoformat()
    except (ValueError, TypeError, KeyError, OverflowError, AttributeError, RecursionError):
        return None
