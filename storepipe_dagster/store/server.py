"""The Fake Store API over any shop, and running it in this process.

Answers are what the public API answers: JSON arrays without paging, `null` for an unknown id. What
it answers from lives in `synthetic` and `folder`; running it as another process, in `process`.
"""

import json
import re
import signal
import socket
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from itertools import islice

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from storepipe_dagster.store.shop import (
    Record,
    Shop,
    StoreError,
    parse_instant,
    read_field,
)

RECORDS_PER_CHUNK = 1_500
"""About 256 KiB of carts."""

_ESCAPE = "backslashreplace"  # JSON's own spelling of a lone surrogate, which UTF-8 cannot encode


def create_app(shop: Shop) -> Starlette:
    """Create the API's GET endpoints over a shop."""
    endpoints = _Endpoints(shop)
    routes = [
        Route("/products", endpoints.list_products),
        Route("/products/categories", endpoints.list_categories),
        Route("/products/category/{category}", endpoints.list_category),
        Route("/products/{id}", endpoints.find_product),
        Route("/users", endpoints.list_users),
        Route("/users/{id}", endpoints.find_user),
        Route("/carts", endpoints.list_carts),
        Route("/carts/user/{id}", endpoints.list_carts_of_user),
        Route("/carts/{id}", endpoints.find_cart),
    ]
    index = {"name": "storepipe embedded store", "endpoints": [route.path for route in routes]}
    return Starlette(
        routes=[Route("/", lambda _: JSONResponse(index)), *routes],
        exception_handlers={HTTPException: _answer_error},
    )


@contextmanager
def running_store(shop: Shop, port: int = 0, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve a shop from a thread of this process; yields the base URL. Raises StoreError."""
    listener = _listen(host, port)
    server = _create_server(shop)
    thread = threading.Thread(target=server.run, args=([listener],), name="store", daemon=True)
    thread.start()
    try:
        yield _base_url(listener)
    finally:
        server.should_exit = True
        thread.join()


def serve_forever(shop: Shop, port: int = 0, host: str = "127.0.0.1") -> None:
    """Serve a shop until Ctrl-C or SIGTERM, from the main thread; prints its base URL first.

    Raises StoreError when the port cannot be opened.
    """
    # The server ends gracefully on both signals and then raises them again.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with suppress(KeyboardInterrupt), _listen(host, port) as listener:
            sys.stdout.write(f"{_base_url(listener)}\n")
            sys.stdout.flush()
            _create_server(shop).run([listener])
    finally:
        signal.signal(signal.SIGTERM, previous)


def _listen(host: str, port: int) -> socket.socket:
    """Accept connections from now on; they wait until a server answers them."""
    try:
        return socket.create_server((host, port))
    except (OSError, OverflowError) as error:
        raise StoreError(
            f"The store cannot listen on port {port} of {host} ({error}): "
            "name another port, or 0 for any free one"
        ) from error


def _base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"


class _Server(uvicorn.Server):
    """A server that cuts the answers in flight when it ends, however long they are."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def _create_server(shop: Shop) -> uvicorn.Server:
    return _Server(
        uvicorn.Config(
            create_app(shop),
            access_log=False,
            lifespan="off",
            log_config=None,  # the logging of the process belongs to its application
            log_level="warning",
            timeout_graceful_shutdown=1,
            ws="none",
        )
    )


@dataclass(frozen=True)
class _Endpoints:
    """One method per endpoint. Each runs in a worker thread, so that a slow one blocks no other."""

    shop: Shop

    def list_products(self, request: Request) -> Response:
        return _answer_array(request, _sort(request, self.shop.list_products()))

    def list_categories(self, _: Request) -> Response:
        categories = (read_field(product, "category") for product in self.shop.list_products())
        return _answer(list(dict.fromkeys(categories)))

    def list_category(self, request: Request) -> Response:
        category = request.path_params["category"]
        products = self.shop.list_products()
        of_category = [item for item in products if read_field(item, "category") == category]
        return _answer_array(request, _sort(request, of_category))

    def find_product(self, request: Request) -> Response:
        return _answer(_find(self.shop.list_products(), _read_id(request)))

    def list_users(self, request: Request) -> Response:
        return _answer_array(request, _sort(request, self.shop.list_users()))

    def find_user(self, request: Request) -> Response:
        return _answer(_find(self.shop.list_users(), _read_id(request)))

    def list_carts(self, request: Request) -> Response:
        return _answer_array(request, self._stream_carts(request))

    def list_carts_of_user(self, request: Request) -> Response:
        user_id = _read_id(request)
        carts = self._stream_carts(request)
        of_user = (cart for cart in carts if read_field(cart, "userId") == user_id)
        return _answer_array(request, of_user)

    def find_cart(self, request: Request) -> Response:
        return _answer(self.shop.find_cart(_read_id(request)))

    def _stream_carts(self, request: Request) -> Iterator[Record]:
        start = _read_instant(request, "startdate")
        end = _read_instant(request, "enddate")
        carts = self.shop.stream_carts(
            start and start.date(), end and _ceil_day(end), descending=_is_descending(request)
        )
        if all(bound is None or bound.time() == time.min for bound in (start, end)):
            return carts
        return (cart for cart in carts if _is_between(cart, start, end))


def _answer(value: object) -> Response:
    return Response(_encode(value).encode(errors=_ESCAPE), media_type="application/json")


def _answer_array(request: Request, records: Iterable[Record]) -> Response:
    limit = _read_number(request.query_params.get("limit", "0"), "limit")
    # As in the public API, a limit of 0 is none.
    chunks = _encode_array(islice(records, limit or None))
    return StreamingResponse(chunks, media_type="application/json")


def _answer_error(_: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):  # Starlette's signature is wider than its calls
        raise error
    message = {"status": "error", "message": error.detail}
    return JSONResponse(message, error.status_code, error.headers)


def _encode(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _encode_array(records: Iterator[Record]) -> Iterator[bytes]:
    """One JSON array, encoded many records at a time."""
    before = "["
    while chunk := list(islice(records, RECORDS_PER_CHUNK)):
        yield (before + _encode(chunk)[1:-1]).encode(errors=_ESCAPE)
        before = ","
    yield b"]" if before == "," else b"[]"


def _find(records: Iterable[Record], record_id: int) -> Record | None:
    return next((record for record in records if read_field(record, "id") == record_id), None)


def _sort(request: Request, records: list[Record]) -> Iterable[Record]:
    return reversed(records) if _is_descending(request) else records


def _is_descending(request: Request) -> bool:
    order = request.query_params.get("sort", "asc")
    if order not in ("asc", "desc"):
        raise HTTPException(400, f"sort is {order!r}; use asc or desc")
    return order == "desc"


def _read_id(request: Request) -> int:
    return _read_number(request.path_params["id"], "id")


def _read_number(text: str, name: str) -> int:
    if not re.fullmatch("[0-9]{1,18}", text):
        raise HTTPException(400, f"{name} is {text!r}; use a whole number")
    return int(text)


def _read_instant(request: Request, name: str) -> datetime | None:
    text = request.query_params.get(name)
    instant = parse_instant(text)
    if text is not None and instant is None:
        raise HTTPException(400, f"{name} is {text!r}; use YYYY-MM-DD or an ISO timestamp")
    return instant


def _ceil_day(instant: datetime) -> date:
    """Round up to the first day that begins at or after an instant, as far as days go."""
    day = instant.date()
    return day if instant.time() == time.min or day == date.max else day + timedelta(days=1)


def _is_between(cart: Record, start: datetime | None, end: datetime | None) -> bool:
    instant = parse_instant(read_field(cart, "date"))
    return (
        instant is not None
        and (start is None or start <= instant)
        and (end is None or instant < end)
    )
