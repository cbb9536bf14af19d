"""Answers of servers on the web, within bounds: how long, how large, and of which server.

Knows nothing of what they are about.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotDoneError
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import SplitResult, urljoin, urlsplit

import requests
import urllib3

CHUNK = 256 * 1024
REPORT_SECONDS = 30.0
PORTS = {"http": 80, "https": 443}


class OutOfBoundsError(Exception):
    """An answer is too large, or leads to another server; asking again will not change that."""


def get(address: str, until: float, **options: Any) -> requests.Response:
    """Ask by GET, and have the headers of the answer before ``until``, by the monotonic clock.

    Redirects to another server are not followed: ``OutOfBoundsError``. Raises what requests does.
    """
    answer: Future[requests.Response] = Future()

    def ask() -> None:
        try:
            hooks = {"response": _expect_same_server}
            answer.set_result(requests.get(address, stream=True, hooks=hooks, **options))  # noqa: S113
        except BaseException as error:  # noqa: BLE001  # it is raised below
            answer.set_exception(error)

    # A server may send its headers byte by byte, which no time-out of requests ends.
    threading.Thread(target=ask, daemon=True).start()
    try:
        return answer.result(until - time.monotonic())
    except NotDoneError:
        if answer.done():  # it was the request's own
            raise
        raise requests.ReadTimeout("the headers did not come in time") from None


def body_of(
    response: requests.Response, until: float, most_bytes: int, report: Callable[[str], None]
) -> Iterator[bytes]:
    """The body in the pieces in which it arrives, unpacked; raises what requests does.

    Ends with ``ReadTimeout`` after ``until``, and with ``OutOfBoundsError`` beyond ``most_bytes``.
    What takes long is reported every half minute.
    """
    started = reported = time.monotonic()
    received = 0
    with _ended(response, until):
        while chunk := _read(response):
            received += len(chunk)
            now = time.monotonic()
            if received > most_bytes:
                raise OutOfBoundsError(f"the answer has more than {most_bytes:,} bytes")
            if now > until:
                raise requests.ReadTimeout(f"{received:,} bytes came and no end")
            if now - reported > REPORT_SECONDS:
                report(f"{received:,} bytes came in {now - started:.0f} s; waiting for the rest")
                reported = now
            yield chunk


@contextmanager
def _ended(response: requests.Response, until: float) -> Iterator[None]:
    """Let nothing more of an answer in after ``until``: ``ReadTimeout``.

    What is no content, such as trailers or empty members of a gzip, may come for ever, and to read
    waits for content.
    """

    def end() -> None:
        with suppress(OSError, RuntimeError, ValueError):  # it has just come to its end
            response.raw.shutdown()

    timer = threading.Timer(max(0.0, until - time.monotonic()), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except requests.RequestException as error:
        if time.monotonic() <= until:
            raise
        raise requests.ReadTimeout(error) from None
    else:
        if time.monotonic() > until:
            raise requests.ReadTimeout("it ended because no more was let in")
    finally:
        timer.cancel()


def _read(response: requests.Response) -> bytes:
    """What is there, once something is; nothing at the end. Requests waits for whole chunks."""
    try:
        return bytes(response.raw.read1(CHUNK, decode_content=True))
    except urllib3.exceptions.DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except urllib3.exceptions.ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except urllib3.exceptions.SSLError as error:
        raise requests.exceptions.SSLError(error) from error
    except urllib3.exceptions.HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error


def _expect_same_server(response: requests.Response, **_options: Any) -> None:
    if not response.is_redirect:
        return
    asked, target = urlsplit(response.url), response.headers["Location"]
    try:
        parts = urlsplit(urljoin(response.url, target))
    except ValueError:
        raise OutOfBoundsError("it redirects to what is no address") from None
    if server_of(parts) not in {server_of(asked), ("https", asked.hostname, PORTS["https"])}:
        raise OutOfBoundsError(
            f"it redirects to another server, {shown(parts)} instead of {shown(asked)}"
        )


def server_of(parts: SplitResult) -> tuple[str, str | None, int | None]:
    """Scheme, host and port, by which servers differ."""
    try:
        port = parts.port
    except ValueError:
        port = -1  # no server has it
    return parts.scheme, parts.hostname, port or PORTS.get(parts.scheme)


def shown(parts: SplitResult) -> str:
    """Scheme, host and port; the rest may hold what is nobody's business."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
