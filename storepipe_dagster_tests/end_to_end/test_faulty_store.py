"""What the user sees, and where each cart line goes, when the store misbehaves."""

import json
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from storepipe_dagster_tests.end_to_end.forks import QUICK_WAITS

DAY = "2020-01-05"
TO_SALES = ("--select", "not group:refined")
CARTS = ("--select", 'key:"raw/carts"+')
BAD = [{"id": "x"}, "nonsense", {"id": 9, "date": "yesterday"}]
PRODUCTS = [
    {"id": 1, "title": "Lamp ", "price": 10, "category": "home"},
    {"id": 2, "title": "Chair", "price": 25.5, "category": "home"},
    {"id": 3, "title": "Misprint", "price": -1, "category": "home"},
]
USERS = [{"id": 1, "address": {"city": "san antonio"}, "password": "hunter2-secret"}]


def cart(cart_id, *lines, user=1):
    products = [{"productId": product, "quantity": quantity} for product, quantity in lines]
    return {"id": cart_id, "userId": user, "date": f"{DAY}T08:00:00.000Z", "products": products}


class Store(ThreadingHTTPServer):
    """Answers with literal lists, after the faults that are set for a path."""

    daemon_threads = True

    def __init__(self, carts):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = {"/products": PRODUCTS, "/users": USERS, "/carts": carts}
        self.faults = {}
        self.requests = Counter()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.split("?")[0]
        self.server.requests[path] += 1
        faults = self.server.faults.get(path, [])
        fault = faults.pop(0) if faults else None
        body = json.dumps(self.server.answers[path]).encode()
        if fault == "not json":
            body = b"<html>be right back</html>"
        self.send_response(500 if fault == "500" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if fault == "cut" else body)

    def log_message(self, *_):
        pass


@contextmanager
def serving(new_home, carts):
    with Store(carts) as store:
        threading.Thread(target=store.serve_forever, daemon=True).start()
        home = new_home(f"http://127.0.0.1:{store.server_port}")
        yield store, replace(home, extra={**home.extra, QUICK_WAITS: "1"})
        store.shutdown()


def test_bad_json_to_the_end_is_one_error_and_writes_nothing(new_laptop):
    with serving(new_laptop, []) as (store, home):
        store.faults = {path: ["not json"] * 9 for path in store.answers}
        done = home.command("run", "--from", DAY, "--to", DAY)
        assert store.requests == {"/carts": 5, "/products": 5, "/users": 5}
    assert done.returncode == 1
    assert "/carts failed 5 times" in done.stderr
    assert "not a whole JSON array" in done.stderr
    assert "Traceback" not in done.stderr
    assert home.files() == {}


def test_too_many_bad_records_stop_the_run_before_anything_downstream(new_laptop):
    with serving(new_laptop, [cart(1, (1, 1)), *BAD]) as (_, home):
        done = home.command("run", "--from", DAY, "--to", DAY, *CARTS)
    assert done.returncode == 1
    assert "raw/carts: few_records_are_rejected failed. 3 of 4 records" in done.stderr
    (rejected,) = home.matching("raw/carts/*/*.rejected.json")
    assert [record["record"] for record in json.loads(home.read(rejected))] == BAD
    assert home.matching("raw/relational/carts/*") == []
    assert home.matching("trusted/sales/*") == []


def test_a_first_day_without_carts_is_a_success_with_zero_rows(new_home):
    with serving(new_home, []) as (_, home):
        home.run(DAY, DAY)
    assert home.sql("SELECT sale_date, city, revenue FROM trusted.sales") == []
    assert home.sql("SELECT sale_date, carts FROM refined.sales_by_day") == []
    page = home.read("refined/store_report/index.html").decode()
    assert "storepipe run --from" in page


def test_a_refused_capture_is_never_the_current_one(new_home):
    good = [cart(number, (1, 1)) for number in range(1, 20)]
    with serving(new_home, good) as (store, home):
        home.run(DAY, DAY, "--select", "group:raw")
        store.answers["/carts"] = [*good[:9], *({"id": "x", "date": DAY} for _ in range(10))]
        refused = home.command("run", "--from", DAY, "--to", DAY, *CARTS)
        home.run(DAY, DAY, "--select", "not group:raw and not group:refined")
    assert refused.returncode == 1
    assert len(home.matching("raw/carts/*/*.refused.json")) == 1
    assert home.sql("SELECT count(*) AS lines FROM trusted.sales") == [{"lines": 19}]


def test_a_store_that_answers_nothing_empties_nothing_until_that_is_accepted(new_home):
    carts = [cart(number, (1, 1)) for number in range(1, 8)]
    with serving(new_home, carts) as (store, home):
        home.run(DAY, DAY, *TO_SALES)
        before = home.tables()
        store.answers["/carts"] = []
        refused = home.command("run", "--from", DAY, "--to", DAY, *CARTS)
        kept = home.tables()
        to_sales = ("--select", 'key:"raw/carts"+ and not group:refined')
        home.run(DAY, DAY, *to_sales, "--accept-shrinking")
    told = f"raw/carts: no_records_vanish failed. {DAY} has 0 records where 7 were captured before."
    assert refused.returncode == 1
    assert told in refused.stderr
    assert f"storepipe run --from {DAY} --to {DAY} --accept-shrinking" in refused.stderr
    assert kept == before
    assert home.sql("FROM trusted.sales") == []


@pytest.mark.slow
def test_a_clock_that_went_back_stops_the_run_before_prices_of_the_past_change(new_home):
    carts = [cart(number, (1, 1)) for number in range(1, 8)]
    with serving(new_home, carts) as (store, home):
        home.run(DAY, DAY, *TO_SALES)
        before = home.tables()
        for file in home.matching("raw/products/[0-9]*.json"):
            home.write("raw/products/29991231T235959.000000Z.json", home.read(file))
        store.answers["/products"] = [PRODUCTS[0] | {"price": 99}]
        done = home.command("run", "--from", DAY, "--to", DAY)
    assert done.returncode == 1
    assert (
        "29991231T235959.000000Z.json is of 2999-12-31 23:59:59 UTC, but the clock" in done.stderr
    )
    assert "Traceback" not in done.stderr
    assert home.tables() == before


def test_accepting_that_captures_shrink_without_captures_is_an_error(new_laptop):
    options = ("--select", "group:trusted", "--accept-shrinking")
    done = new_laptop().command("run", "--from", DAY, "--to", DAY, *options)
    assert done.returncode == 1
    assert "Error: --accept-shrinking is about captures, and none is selected" in done.stderr


@pytest.mark.slow
def test_lines_without_their_cart_stop_the_run_instead_of_passing_as_unknown_users(new_laptop):
    with serving(new_laptop, [cart(1, (1, 1))]) as (store, home):
        home.run(DAY, DAY, "--select", "group:raw or group:mysql or group:relational")
        store.answers["/carts"] = [cart(1, (1, 1)), cart(777, (1, 1))]
        part = 'group:raw or group:mysql or key:"raw/relational/cart_items" or group:trusted'
        done = home.command("run", "--from", DAY, "--to", DAY, "--select", part)
    assert done.returncode == 1
    assert "every_line_came_with_its_cart failed. 1 row breaks the rule" in done.stderr


def test_two_runs_at_once_in_a_new_home_double_nothing(new_home):
    with serving(new_home, [cart(1, (1, 1), (2, 2))]) as (_, home):
        run = (DAY, DAY, "--select", '+key:"refined/sales_by_city"')
        both = [home.start("run", "--from", DAY, "--to", *run[1:]) for _ in range(2)]
        outcomes = [process.communicate()[1] for process in both]
        if any(process.returncode for process in both):
            home.run(*run)
    assert any("refined/sales_by_city" in told for told in outcomes)
    assert home.sql("SELECT count(*) AS periods FROM trusted.product_prices") == [{"periods": 3}]
    assert home.sql("SELECT sum(revenue) AS revenue FROM refined.sales_by_city") == [
        {"revenue": 61}
    ]
