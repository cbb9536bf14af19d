"""Tests of `storepipe_dagster.resources.store_api` against a server that misbehaves on demand."""

import gzip
import json
import logging
import socket
import threading
import time
from datetime import date, datetime, timedelta, timezone
from email.utils import format_datetime
from functools import partial
from itertools import compress

import pytest

from storepipe_dagster.layers.raw.transforms import carts_by_day
from storepipe_dagster.resources import answers
from storepipe_dagster.resources.store_api import StoreApi, StoreApiError
from storepipe_dagster.times import utc_time
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

BODY = b'[{"id": 1, "title": "Hat"}, {"id": 2}]'
RECORDS = ['{"id": 1, "title": "Hat"}', '{"id": 2}']
GOOD = Step(BODY)
FIRST, LAST = date(2020, 1, 1), date(2020, 1, 31)


@pytest.fixture
def server():
    with scripted_server() as running:
        yield running


def api_at(url, **changes):
    quick = {"first_wait": 0.001, "longest_wait": 0.05, "read_timeout": 5.0}
    return StoreApi(base_url=url, **(quick | changes))


def failure_of(call, *arguments):
    with pytest.raises(StoreApiError) as caught:
        call(*arguments, list)
    assert caught.value.__cause__ is None
    return str(caught.value)


# --- what comes back ------------------------------------------------------------------------


def test_products_come_as_the_api_wrote_them(server):
    server.steps["/products"] = [GOOD]
    assert api_at(server.url).products(list) == RECORDS
    assert server.seen == {"/products": 1}


def test_an_empty_list_is_an_answer(server):
    server.steps["/carts"] = [Step(b" []\n")]
    assert api_at(server.url).carts(FIRST, LAST, list) == []
    assert server.seen == {"/carts": 1}


def test_a_byte_order_mark_is_skipped(server):
    server.steps["/products"] = [Step(b"\xef\xbb\xbf" + BODY)]
    assert api_at(server.url).products(list) == RECORDS


def test_a_compressed_answer_is_unpacked(server):
    server.steps["/products"] = [Step(gzip.compress(BODY), headers={"Content-Encoding": "gzip"})]
    assert api_at(server.url).products(list) == RECORDS


def test_characters_cut_by_a_chunk_come_whole(server, monkeypatch):
    monkeypatch.setattr(answers, "CHUNK", 1)
    server.steps["/products"] = [Step('["é日🙂"]'.encode())]
    assert api_at(server.url).products(list) == ['"é日🙂"']


def test_an_answer_longer_than_the_memory_limit_comes_whole(server):
    records = [{"id": number, "text": "x" * 1000} for number in range(18_000)]
    server.steps["/products"] = [Step(json.dumps(records).encode())]
    found = api_at(server.url).products(list)
    assert [json.loads(text)["id"] for text in found] == list(range(18_000))


def test_a_base_address_with_a_path_is_kept(server):
    server.steps["/fake/store/products"] = [GOOD]
    assert api_at(f"{server.url}/fake/store").products(list) == RECORDS


# --- carts and their dates ------------------------------------------------------------------


def test_a_range_of_days_is_one_call_with_a_day_more_on_each_side_whose_end_is_exclusive(server):
    server.steps["/carts"] = [GOOD]
    assert api_at(server.url).carts(FIRST, LAST, list) == RECORDS
    assert server.queries == [{"startdate": "2019-12-31", "enddate": "2020-02-02"}]


@pytest.mark.parametrize("status", [400, 404, 405, 422])
def test_a_server_that_takes_no_dates_is_asked_for_all_carts(server, status):
    server.steps["/carts"] = [Step(b'{"error": "no"}', status), GOOD]
    assert api_at(server.url).carts(FIRST, LAST, list) == RECORDS
    assert server.queries[1:] == [{}]


def test_the_plain_call_is_retried_too(server):
    server.steps["/carts"] = [Step(status=400), Step(status=503), GOOD]
    assert api_at(server.url).carts(FIRST, LAST, list) == RECORDS
    assert server.queries[1:] == [{}, {}]


def test_a_server_that_refuses_the_plain_call_too_is_an_error(server):
    server.steps["/carts"] = [Step(status=404)]
    message = failure_of(api_at(server.url).carts, FIRST, LAST)
    assert message.startswith(f"GET {server.url}/carts failed: it answered 404.")
    assert server.seen == {"/carts": 2}


@pytest.mark.parametrize("status", [401, 403, 410])
def test_another_refusal_is_an_error_at_once(server, status):
    server.steps["/carts"] = [Step(status=status)]
    assert f"it answered {status}" in failure_of(api_at(server.url).carts, FIRST, LAST)
    assert server.seen == {"/carts": 1}


def test_a_refusal_of_a_call_without_dates_is_an_error_at_once(server):
    server.steps["/products"] = [Step(status=404)]
    assert "it answered 404" in failure_of(api_at(server.url).products)
    assert server.seen == {"/products": 1}


@pytest.mark.parametrize("offset", [-12, -5, 0, 5.5, 14])
def test_a_store_that_filters_days_of_its_own_time_zone_loses_no_cart_of_ours(server, offset):
    carts = [
        {"id": 24 * day + hour, "date": f"2020-01-0{day}T{hour:02}:30:00.000Z", "products": []}
        for day in range(1, 6)
        for hour in range(24)
    ]

    def of_its_days(query):
        here = timezone(timedelta(hours=offset))
        days = [str(utc_time(cart["date"]).astimezone(here).date()) for cart in carts]
        asked = [query["startdate"] <= day < query["enddate"] for day in days]
        return json.dumps([*compress(carts, asked)]).encode()

    server.steps["/carts"] = [Step(of_its_days)]
    for number in (2, 3, 4):
        day = date(2020, 1, number)
        capture = api_at(server.url).carts(day, day, partial(carts_by_day, days=[str(day)]))
        kept = [json.loads(text)["id"] for text in capture.accepted.texts(str(day))]
        assert kept == [24 * number + hour for hour in range(24)]


# --- failures that pass ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [
        Step(status=429),
        Step(status=500),
        Step(status=502),
        Step(status=503),
        Step(status=0),
        Step(BODY, cut_after=20),
        Step(BODY, cut_after=0),
        Step(gzip.compress(BODY, mtime=0)[:30], headers={"Content-Encoding": "gzip"}),
        Step(b"not gzip", headers={"Content-Encoding": "gzip"}),
        Step(b"<html>be right back</html>"),
        Step(b""),
        Step(b"null"),
        Step(b'{"message": "try later"}'),
        Step(BODY[:-1]),
        Step(BODY[:20]),
        Step(b'[{"price": NaN}]'),
        Step(b'["\xff"]'),
        Step(b'["\xc3'),
        Step(BODY + b"]"),
    ],
    ids=repr,
)
def test_a_passing_failure_is_tried_again_and_leaves_no_trace(server, failure):
    server.steps["/products"] = [failure, failure, GOOD]
    assert api_at(server.url).products(list) == RECORDS
    assert server.seen == {"/products": 3}


def test_what_was_made_of_an_answer_that_broke_off_is_dropped(server):
    server.steps["/products"] = [Step(BODY[:-1]), GOOD]
    taken = []

    def take(records):
        taken.append([])
        taken[-1].extend(records)
        return taken[-1]

    assert api_at(server.url).products(take) is taken[1]
    assert taken == [RECORDS[:1], RECORDS]


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (Step(status=429), "it answered 429"),
        (Step(status=500), "it answered 500"),
        (Step(status=0), "no connection (Remote end closed connection without response)"),
        (Step(BODY, cut_after=20), "the connection was cut in the middle of the answer"),
        (Step(b"<html>"), "the answer is not a whole JSON array: it is not an array"),
        (Step(b"null"), "the answer is not a whole JSON array: it is not an array"),
        (Step(b"{}"), "the answer is not a whole JSON array: it is not an array"),
        (Step(b"[1, 2"), "the array does not end, at character 4"),
        (Step(b"[NaN]"), "NaN is not JSON, at character 1"),
        (Step(b'["\xff"]'), "can't decode byte 0xff"),
    ],
)
def test_after_the_last_try_one_error_names_the_address_and_what_came(server, failure, told):
    server.steps["/products"] = [failure]
    message = failure_of(api_at(server.url, tries=3).products)
    assert message.startswith(f"GET {server.url}/products failed 3 times; the last time: ")
    assert told in message
    assert "Nothing was written. Check STOREPIPE_API_URL" in message
    assert "\n" not in message
    assert server.seen == {"/products": 3}


def test_a_server_that_is_not_there_is_an_error_that_says_so():
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    message = failure_of(api_at(url, tries=2).products)
    assert f"GET {url}/products failed 2 times" in message
    assert "Connection refused" in message


@pytest.mark.parametrize("slow", [Step(BODY, wait=0.2), Step(BODY, wait_in_body=0.2)], ids=repr)
def test_a_slow_answer_is_given_up_and_tried_again(server, slow):
    server.steps["/products"] = [slow, GOOD]
    assert api_at(server.url, read_timeout=0.05).products(list) == RECORDS
    assert server.seen == {"/products": 2}


@pytest.mark.parametrize("slow", [Step(BODY, wait=0.2), Step(BODY, wait_in_body=0.2)], ids=repr)
def test_an_answer_that_stays_slow_is_an_error_that_says_so(server, slow):
    server.steps["/products"] = [slow]
    message = failure_of(api_at(server.url, read_timeout=0.05, tries=2).products)
    assert "the last time: it did not answer in time." in message


def test_no_record_is_handed_out_before_the_whole_answer_came(server):
    server.steps["/products"] = [Step(BODY, cut_after=len(BODY) - 1)]
    with pytest.raises(StoreApiError):
        api_at(server.url, tries=1).products(list)


def test_each_further_try_is_told_once(server, caplog):
    server.steps["/products"] = [Step(status=500), Step(status=429), GOOD]
    with caplog.at_level(logging.WARNING, "dagster"):
        api_at(server.url).products(list)
    told = [record.getMessage() for record in caplog.records]
    assert [message.split(";")[0] for message in told] == [
        f"{server.url}/products: it answered 500",
        f"{server.url}/products: it answered 429",
    ]


# --- waits ----------------------------------------------------------------------------------


@pytest.fixture
def waits(monkeypatch):
    """The waits between tries, of which none is waited."""
    waited = []
    monkeypatch.setattr("tenacity.nap.time.sleep", waited.append)
    return waited


def test_waits_grow_from_the_first_to_the_longest_and_are_random(server, waits):
    server.steps["/products"] = [Step(status=500)]
    failure_of(api_at(server.url, tries=40, first_wait=0.5, longest_wait=3.0).products)
    assert len(set(waits)) == 39
    assert waits[0] <= 0.5
    assert waits[1] <= 1.0
    assert 2.0 < max(waits) <= 3.0


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_in_seconds_is_waited_for(server, waits, status):
    server.steps["/products"] = [Step(status=status, headers={"Retry-After": "7"}), GOOD]
    api_at(server.url, longest_wait=30.0).products(list)
    assert waits == [7.0]


def test_retry_after_as_a_date_is_waited_for(server, waits):
    until = datetime.now(timezone.utc) + timedelta(seconds=20)
    header = {"Retry-After": format_datetime(until, usegmt=True)}
    server.steps["/products"] = [Step(status=429, headers=header), GOOD]
    api_at(server.url, longest_wait=30.0).products(list)
    assert 15 < waits[0] <= 20


def test_retry_after_is_waited_for_no_longer_than_the_longest_wait(server, waits):
    server.steps["/products"] = [Step(status=429, headers={"Retry-After": "86400"}), GOOD]
    api_at(server.url, longest_wait=30.0).products(list)
    assert waits == [30.0]


@pytest.mark.parametrize(
    "header",
    [
        *("-5", "nan", "soon", "", "Wed, 21 Oct 2015 07:28:00 GMT", "1 2 3", "\xb2", "1e3", "+5"),
        "Fri, 31 Dec 9999 23:59:59 -2400",
        "Mon, 01 Jan 0001 00:00:00 +2359",
        "Wed, 99 Foo 99999 99:99:99",
    ],
)
def test_a_retry_after_that_says_nothing_leaves_the_usual_wait(server, waits, header):
    server.steps["/products"] = [Step(status=429, headers={"Retry-After": header}), GOOD]
    api_at(server.url, first_wait=0.5).products(list)
    assert 0 <= waits[0] <= 0.5


# --- secrets --------------------------------------------------------------------------------


def test_users_come_without_passwords(server):
    server.steps["/users"] = [Step(b'[{"id": 1, "password": "hunter2", "email": "a@b.c"}]')]
    assert api_at(server.url).users(list) == ['{"id":1,"email":"a@b.c"}']


def test_a_user_nested_too_deep_to_read_is_an_error_of_the_answer(server):
    depth = 100_000
    server.steps["/users"] = [Step(b"[" + b'{"a":' * depth + b"1" + b"}" * depth + b"]")]
    assert "recursion" in failure_of(api_at(server.url, tries=1).users)


def test_a_broken_list_of_users_shows_no_password_in_the_error_or_the_log(server, caplog):
    server.steps["/users"] = [Step(b'[{"id": 1, "password": "hunter2"}, {"password": "hunter2"')]
    with caplog.at_level(logging.DEBUG):
        message = failure_of(api_at(server.url, tries=2).users)
    assert "hunter2" not in message + caplog.text


@pytest.mark.parametrize("failure", [Step(status=401), Step(status=500), Step(status=0)])
def test_credentials_in_the_address_are_sent_but_never_shown(server, failure, caplog):
    server.steps["/carts"] = [failure]
    address = server.url.replace("http://", "http://clerk:hunter2@")
    with caplog.at_level(logging.WARNING):
        message = failure_of(api_at(address, tries=2).carts, FIRST, LAST)
    assert server.headers[0]["Authorization"].startswith("Basic ")
    assert f"GET {server.url}/carts failed" in message
    assert "clerk" not in message + caplog.text
    assert "hunter2" not in message + caplog.text


def test_credentials_are_not_shown_when_nobody_listens():
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://clerk:hunter2@127.0.0.1:{free.getsockname()[1]}"
    assert "hunter2" not in failure_of(api_at(address, tries=1).products)


# --- bounds ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("other", ["http://127.0.0.2:{port}/x?a=b", "http://127.0.0.1:1/x", "//[/"])
def test_a_redirect_to_another_server_is_not_followed(server, status, other):
    to = other.format(port=server.server_port)
    server.steps["/products"] = [Step(status=status, headers={"Location": to})]
    message = failure_of(api_at(server.url).products)
    assert "failed: it redirects to " in message
    assert "a=b" not in message
    assert server.seen == {"/products": 1}


def test_a_redirect_to_the_same_server_is_followed(server):
    server.steps["/products"] = [Step(status=307, headers={"Location": "/all/products"})]
    server.steps["/all/products"] = [GOOD]
    assert api_at(server.url).products(list) == RECORDS


def trickling(server, path, *, seconds=0.05, pieces=10_000):
    server.steps[path] = [Step(BODY, trickle=(seconds, pieces))]


def test_an_answer_that_trickles_is_given_up_after_its_time_and_reported(
    server, monkeypatch, caplog
):
    monkeypatch.setattr(answers, "REPORT_SECONDS", 0.1)
    trickling(server, "/products")
    with caplog.at_level(logging.WARNING, "dagster"):
        message = failure_of(api_at(server.url, list_seconds=0.5).products)
    assert "the last time: it did not answer in time" in message
    assert server.seen == {"/products": 1}
    reports = [record.getMessage() for record in caplog.records]
    assert "bytes came in 0 s; waiting for the rest" in reports[0]


def test_headers_that_trickle_are_given_up_too(server):
    server.steps["/products"] = [Step(GOOD.body, trickle_headers=(0.05, 10_000))]
    message = failure_of(api_at(server.url, list_seconds=0.5).products)
    assert "the last time: it did not answer in time" in message


def test_what_answers_without_http_is_not_shown():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer():
            connection, _ = listening.accept()
            with connection:
                connection.recv(2**16)
                connection.sendall(b'[{"email": "anna@example.com", "password": "hunter2"}]\n')

        threading.Thread(target=answer, daemon=True).start()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        message = failure_of(api_at(url, tries=1).users)
    assert "no connection (BadStatusLine)" in message
    assert "anna" not in message


CHUNKED = {"Transfer-Encoding": "chunked"}
ZIPPED = {"Content-Encoding": "gzip", "Content-Length": str(2**40)}


@pytest.mark.parametrize(
    "step",
    [
        Step(b"2\r\n[]\r\n0\r\n", headers=CHUNKED, for_ever=b"X-Slow: trailer\r\n"),
        Step(b"2\r\n[]\r\n", headers=CHUNKED, for_ever=b"0"),
        Step(gzip.compress(b"[]"), headers=ZIPPED, for_ever=gzip.compress(b"")),
        Step(gzip.compress(b"[]"), headers=ZIPPED, for_ever=b"not of the gzip"),
    ],
    ids=["trailers", "size of a chunk", "empty members", "no members"],
)
def test_what_comes_for_ever_and_is_no_content_is_given_up_too(server, step):
    server.steps["/products"] = [step]
    started = time.monotonic()
    message = failure_of(api_at(server.url, list_seconds=1.0).products)
    assert "the last time: it did not answer in time" in message
    assert time.monotonic() - started < 5


def test_an_answer_that_never_ends_is_cut_off(server):
    server.steps["/products"] = [Step(b"[" + b'{"id": 1},' * 1000)]
    message = failure_of(api_at(server.url, answer_bytes=5000).products)
    assert "failed: the answer has more than 5,000 bytes" in message
    assert server.seen == {"/products": 1}


def test_a_small_answer_that_unpacks_without_end_is_cut_off(server):
    packed = gzip.compress(b"[" + b" " * 2**24)
    server.steps["/products"] = [Step(packed, headers={"Content-Encoding": "gzip"})]
    message = failure_of(api_at(server.url, answer_bytes=2**20).products)
    assert "failed: the answer has more than 1,048,576 bytes" in message


def test_a_record_that_never_ends_is_cut_off(server):
    server.steps["/products"] = [Step(b'[{"id": 1, "title": "' + b"x" * 2**20)]
    message = failure_of(api_at(server.url, record_characters=1000, tries=1).products)
    assert "has more than 1,000 characters" in message


def test_a_record_that_python_cannot_read_takes_no_other_with_it(server):
    long = "7" * 5000
    odd = f'{{"id": 2, "userId": 1, "date": "2020-01-02T00:00:00Z", "products": [], "x": {long}}}'
    good = '{"id": 1, "userId": 1, "date": "2020-01-02T00:00:00Z", "products": []}'
    server.steps["/carts"] = [Step(f"[{odd}, {good}]".encode())]
    day = date(2020, 1, 2)
    capture = api_at(server.url).carts(day, day, partial(carts_by_day, days=[str(day)]))
    assert [*capture.accepted.texts(str(day))] == [good]
    (rejected,) = capture.rejected.texts(str(day))
    assert rejected.startswith('{"reason": "record: Invalid JSON: number out of range')
    assert rejected.endswith(f'"record": {odd}}}')
    assert capture.undated == 0


def test_the_secrets_of_a_user_that_python_cannot_read_are_dropped_all_the_same(server):
    long = "7" * 5000
    server.steps["/users"] = [Step(f'[{{"id": {long}, "user_password": "hunter2"}}]'.encode())]
    assert api_at(server.url).users(list) == [f'{{"id":{long}}}']
