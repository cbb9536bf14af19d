"""Whether the store API answers, and with a JSON array of products."""

import time
from itertools import islice

import requests

from storepipe_dagster.doctor import TroubleError
from storepipe_dagster.doctor.http import LONGEST_SECONDS, ask, proxy_of, skew_of
from storepipe_dagster.resources import answers
from storepipe_dagster.resources.json_arrays import (
    NotAnArrayError,
    WrappedArrayError,
    split_array,
)
from storepipe_dagster.settings import Settings

MOST_BYTES = 2**26
NOT_FOUND, TOO_MANY, SERVER_ERROR = 404, 429, 500


def check(settings: Settings) -> str:
    """GET /products answers with an array."""
    url = settings.storepipe_api_url
    started = time.monotonic()
    with ask(f"{url}/products?limit=1", f"the store API {url}", "STOREPIPE_API_URL") as response:
        _check_status(url, response)
        try:
            until, ignore = started + LONGEST_SECONDS, lambda _report: None
            body = answers.body_of(response, until, MOST_BYTES, ignore)
            texts = (part.decode("utf-8-sig", "replace") for part in body)
            products = list(islice(split_array(texts), 1))
        except WrappedArrayError as error:
            raise TroubleError(
                f"{url}/products answers something else than a list: {error}. "
                "Set STOREPIPE_API_URL to an address that answers JSON arrays."
            ) from None
        except (NotAnArrayError, RecursionError):
            kind = response.headers.get("Content-Type", "something").partition(";")[0]
            raise TroubleError(
                f"{url}/products answers with {kind} that is no JSON array. "
                "Check STOREPIPE_API_URL, and whether a login page or proxy answers in its place."
            ) from None
        except (requests.RequestException, answers.OutOfBoundsError):
            raise TroubleError(
                f"{url}/products stops in mid-answer. Check the store and the network."
            ) from None
        milliseconds = (time.monotonic() - started) * 1000
        found = "answers" if products else "answers, but has no products"
        proxy = f" through the proxy {proxy_of(url)}" if proxy_of(url) else ""
        return f"{url} {found}{proxy} ({milliseconds:.0f} ms){skew_of(response)}"


def _check_status(url: str, response: requests.Response) -> None:
    status = response.status_code
    if response.ok:
        return
    if status == NOT_FOUND:
        remedy = "Check the path in STOREPIPE_API_URL: /products is added to it"
    elif status == TOO_MANY:
        remedy = "It has too many requests: try again later"
    elif status >= SERVER_ERROR:
        remedy = "The store itself has a problem: try again later, or tell who runs it"
    else:
        remedy = "Check STOREPIPE_API_URL, and whether the store lets this machine in"
    raise TroubleError(f"{url}/products answers {status} {response.reason}. {remedy}.")
