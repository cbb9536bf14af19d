"""The Fake Store API: its three lists, taken whole or not at all.

Retries happen here; an answer is read within bounds by ``answers``, what its headers say of further
pages by ``paging``, and secrets leave it by ``secret_members``. Which records are good is decided
in ``layers.raw``.
"""

import codecs
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta, timezone
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import dagster as dg
import requests
import tenacity

from storepipe_dagster.errors import PassingError, UserError
from storepipe_dagster.resources import answers
from storepipe_dagster.resources.answers import OutOfBoundsError
from storepipe_dagster.resources.json_arrays import (
    NotAnArrayError,
    WrappedArrayError,
    split_array,
)
from storepipe_dagster.resources.paging import Pages, PartError
from storepipe_dagster.resources.secret_members import without_secrets

ASK_AGAIN = {408, 425, 429}
SERVER_ERROR = 500
# What older and newer deployments answer to date parameters that they do not take.
DATES_NOT_TAKEN = {400, 404, 405, 422}
A_DAY = timedelta(days=1)
CHECK_ADDRESS = "Check STOREPIPE_API_URL and that the store answers there, then run again."
WHOLE_LISTS = (
    "A list is taken as one JSON array, or page by page where each answer names the next one of "
    'the same server in a header Link: <address>; rel="next". Set STOREPIPE_API_URL to an address '
    "that answers so."
)

Taken = TypeVar("Taken")


class StoreApiError(UserError):
    """The API did not give a usable answer; the message names the address and what came."""


class StoreApiAwayError(StoreApiError, PassingError):
    """The API gave no usable answer however often it was asked."""


class _PassingError(Exception):
    """A failure that the next try may not have."""

    def __init__(self, problem: str, retry_after: float = 0.0) -> None:
        super().__init__(problem)
        self.retry_after = retry_after


class _RefusedError(Exception):
    """An answer that no retry will change."""

    def __init__(self, status: int) -> None:
        super().__init__(f"it answered {status}")
        self.status = status


@dataclass(frozen=True)
class StoreApi:
    """A client of the Fake Store API at ``base_url``; times in seconds, of a whole list too.

    Every method gives what ``take`` makes of the records, each one line of JSON text just as the
    API wrote it, of one page after the other where the API answers so. ``take`` works while they
    arrive; where an answer breaks off, what it made is dropped, and it is called with the next
    answer. Raises ``StoreApiError`` once the tries are used up, and at once where the answer is a
    part of the list and does not name the rest.
    """

    base_url: str
    connect_timeout: float = 10.0
    read_timeout: float = 60.0
    tries: int = 5
    first_wait: float = 0.5
    longest_wait: float = 30.0
    list_seconds: float = 3600.0
    record_characters: int = 16 * 2**20
    answer_bytes: int = 16 * 2**30

    def products(self, take: Callable[[Iterator[str]], Taken]) -> Taken:
        """All products, as ``GET /products`` gives them."""
        return self._array("/products", take)

    def users(self, take: Callable[[Iterator[str]], Taken]) -> Taken:
        """All users, as ``GET /users`` gives them, without passwords and other secrets."""
        return self._array("/users", take)

    def carts(self, first: date, last: date, take: Callable[[Iterator[str]], Taken]) -> Taken:
        """The carts from ``GET /carts`` of a closed range of days, and of a day on either side.

        Filter them again by their UTC day. A store may filter by a day of another time zone, which
        begins up to 14 hours earlier or 12 later: a day more on each side has all of ours. Newer
        stores ignore the dates or answer 400, and then all carts come.
        """
        days = {"startdate": str(first - A_DAY), "enddate": str(last + 2 * A_DAY)}  # exclusive
        try:
            return self._array("/carts", take, days)
        except _RefusedError:
            return self._array("/carts", take)

    def _array(
        self,
        path: str,
        take: Callable[[Iterator[str]], Taken],
        parameters: Mapping[str, str] | None = None,
    ) -> Taken:
        until = time.monotonic() + self.list_seconds
        try:
            taken: Taken = self._tried(self._read, path, take, parameters, until)
        except _RefusedError as error:
            if parameters and error.status in DATES_NOT_TAKEN:
                raise
            raise StoreApiError(self._failed(path, error)) from None
        except PartError as error:
            raise StoreApiError(self._failed(path, error, remedy=WHOLE_LISTS)) from None
        except OutOfBoundsError as error:
            raise StoreApiError(self._failed(path, error)) from None
        return taken

    def _tried(self, attempt: Callable[..., Taken], path: str, *arguments: Any) -> Taken:
        """Do what may fail for now, as often as it takes; raises ``StoreApiAwayError``."""
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_PassingError),
            stop=tenacity.stop_after_attempt(self.tries)
            | tenacity.stop_after_delay(self.list_seconds),
            wait=self._wait,
            before_sleep=self._tell,
            reraise=True,
        )
        try:
            done: Taken = retrying(attempt, path, *arguments)
        except _PassingError as error:
            failed = self._failed(path, error, f" {self.tries} times; the last time")
            raise StoreApiAwayError(failed) from None
        return done

    def _read(
        self,
        path: str,
        take: Callable[[Iterator[str]], Taken],
        parameters: Mapping[str, str] | None,
        until: float,
    ) -> Taken:
        """Take one whole list; ``_PassingError`` where trying again may help."""
        try:
            return take(map(without_secrets, self._records(path, parameters, until)))
        except requests.RequestException as error:
            raise _PassingError(_told(error)) from None
        except WrappedArrayError as error:
            raise PartError(f"the answer cannot be used: {error}") from None
        except (NotAnArrayError, UnicodeDecodeError, RecursionError) as error:
            raise _PassingError(f"the answer is not a whole JSON array: {error}") from None

    def _records(
        self, path: str, parameters: Mapping[str, str] | None, until: float
    ) -> Iterator[str]:
        """Give the records of one page after the other, and count them in the end."""
        pages, count = Pages(self.base_url), 0
        address: str | None = _prepared(self.base_url + path, parameters)
        while address is not None:
            pages.enter(address)
            with self._tried(self._answer, path, address, pages.number, until) as response:
                following = pages.following(response)
                body = answers.body_of(
                    response, until, self.answer_bytes, partial(self._warn, path)
                )
                for record in split_array(_decoded(body), self.record_characters):
                    count += 1
                    yield record
            address = following and _prepared(following)
        if pages.total not in (None, count):
            raise _PassingError(
                f"{count:,} records came, but {pages.total_is_from} says {pages.total:,}"
            )

    def _answer(self, path: str, address: str, page: int, until: float) -> requests.Response:
        """Ask for a page of a path; its body is still to be read."""
        whose = f"page {page}: " if page > 1 else ""
        timeout = (self.connect_timeout, self.read_timeout)
        try:
            response = answers.get(address, until, timeout=timeout)
        except requests.RequestException as error:
            raise _PassingError(whose + _told(error)) from None
        if response.ok:
            return response
        response.close()
        status = response.status_code
        if status in ASK_AGAIN or status >= SERVER_ERROR:
            wait = _seconds(response.headers.get("Retry-After", ""))
            raise _PassingError(f"{whose}it answered {status}", wait)
        if page > 1:
            raise StoreApiError(self._failed(path, _RefusedError(status), f": page {page}"))
        raise _RefusedError(status)

    def _wait(self, state: tenacity.RetryCallState) -> float:
        """Exponential with full jitter, or what the server asked for if that is longer."""
        jittered = tenacity.wait_random_exponential(self.first_wait, self.longest_wait)(state)
        error = state.outcome.exception() if state.outcome else None
        asked = error.retry_after if isinstance(error, _PassingError) else 0.0
        return max(jittered, min(asked, self.longest_wait))

    def _tell(self, state: tenacity.RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0
        self._warn(state.args[0], f"{error}; trying again in {wait:.1f} s")

    def _warn(self, path: str, message: str) -> None:
        dg.get_dagster_logger().warning(f"{self._address(path)}: {message}")

    def _address(self, path: str) -> str:
        """The address without a user name or password that may stand in it."""
        parts = urlsplit(self.base_url)
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{path}"

    def _failed(
        self, path: str, error: Exception, times: str = "", remedy: str = CHECK_ADDRESS
    ) -> str:
        where = self._address(path)
        return f"GET {where} failed{times}: {error}. Nothing was written. {remedy}"


def _prepared(address: str, parameters: Mapping[str, str] | None = None) -> str:
    """The whole address, in the one spelling in which it is asked for."""
    return str(requests.Request("GET", address, params=parameters).prepare().url)


def _decoded(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    for chunk in chunks:
        yield decoder.decode(chunk)
    yield decoder.decode(b"", final=True)


def _seconds(retry_after: str) -> float:
    """What a Retry-After header asks for: seconds or a date; 0 if it says nothing usable."""
    if re.fullmatch("[0-9]+", retry_after.strip()):
        return float(retry_after)
    try:
        until = parsedate_to_datetime(retry_after)
        if until.tzinfo is None:
            until = until.replace(tzinfo=timezone.utc)
        return max(0.0, until.timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):  # whatever stands there
        return 0.0


def _told(error: requests.RequestException) -> str:
    """A request's failure in a few words, without the address and its parameters."""
    cause = _innermost(error)
    # While an answer is read, requests calls a time-out a ConnectionError.
    if isinstance(error, requests.exceptions.Timeout) or isinstance(cause, TimeoutError):
        return "it did not answer in time"
    if isinstance(error, requests.exceptions.SSLError):
        return f"TLS failed ({cause})"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection was cut in the middle of the answer"
    if isinstance(error, requests.exceptions.ConnectionError):
        # An error about HTTP shows the line that is none, which may be of a record.
        told = str(cause) if isinstance(cause, OSError) else ""
        return f"no connection ({told or type(cause).__name__})"
    return f"the request failed ({type(error).__name__})"


def _innermost(error: BaseException) -> BaseException:
    while (cause := error.__cause__ or error.__context__) is not None:
        error = cause
    return error
