"""One request to a server on the web, and what keeps it from answering."""

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from storepipe_dagster.doctor import SECONDS, TroubleError
from storepipe_dagster.doctor.clocks import skew_from
from storepipe_dagster.resources import answers
from storepipe_dagster.resources.network_errors import explain_network

LONGEST_SECONDS = 20.0  # for all that is read of an answer


def ask(url: str, what: str, variable: str, **options: Any) -> requests.Response:
    """Send a GET request; the answer's body is not read yet. ``variable`` tells where it is."""
    host, timeout = urlsplit(url).hostname or "", options.pop("timeout", SECONDS)
    try:
        return answers.get(url, time.monotonic() + LONGEST_SECONDS, timeout=timeout, **options)
    except answers.OutOfBoundsError as error:
        raise TroubleError(f"{what[:1].upper()}{what[1:]} cannot be used: {error}.") from None
    except requests.exceptions.ProxyError as error:
        proxy = f"The proxy {proxy_of(url)} on the way to {what}"
        told = explain_network(_origin(error), proxy, host, "HTTPS_PROXY or HTTP_PROXY", "it")
        raise TroubleError(told) from None
    except requests.RequestException as error:
        told = explain_network(_origin(error), what, host, variable, "REQUESTS_CA_BUNDLE")
        raise TroubleError(told) from None
    except OSError as error:  # raised before anything is sent
        raise TroubleError(f"{error}. Check REQUESTS_CA_BUNDLE.") from None


def proxy_of(url: str) -> str:
    """The proxy that leads to an address, without its user and password; empty if there is none."""
    proxies = requests.utils.get_environ_proxies(url)
    address = urlsplit(requests.utils.select_proxy(url, proxies) or "")
    return address.netloc.rpartition("@")[2]


def skew_of(response: requests.Response) -> str:
    """A warning if the server's clock is far from ours."""
    try:
        return skew_from(parsedate_to_datetime(response.headers.get("Date", "")))
    except ValueError:
        return ""  # it tells no time


def _origin(error: BaseException) -> BaseException:
    """What urllib3 and requests have wrapped: the deepest error of the network, or a time-out."""
    found = [link for link in _chain(error) if isinstance(link, OSError)]
    plain = [link for link in found if not isinstance(link, requests.RequestException)]
    if isinstance(error, requests.exceptions.Timeout):
        return TimeoutError()
    return plain[-1] if plain else error


def _chain(error: BaseException) -> Iterator[BaseException]:
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__
