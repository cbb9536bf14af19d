"""The API over HTTP: a real server, a real client."""

import json
import socket
import threading
from datetime import date

import pytest
import requests

from storepipe_dagster.store.folder import FolderShop
from storepipe_dagster.store.server import RECORDS_PER_CHUNK, _encode_array, running_store
from storepipe_dagster.store.shop import StoreError
from storepipe_dagster.store.synthetic import SyntheticShop

PRODUCTS = [
    {"id": 1, "title": "Café cup ", "price": 7, "category": "men's clothing"},
    {"id": 2, "title": "Ring", "price": 9.5, "category": "jewelery"},
    {"id": 3, "title": "Lone \ud800 surrogate", "price": 1e400, "category": "jewelery"},
]
USERS = [{"id": 1, "username": "a"}, {"id": 2, "username": "b"}]
CARTS = [
    {"id": 1, "userId": 1, "date": "2020-01-01T08:00:00.000Z", "products": []},
    {"id": 2, "userId": 2, "date": "2020-01-02T00:00:00.000Z", "products": []},
    {"id": 3, "userId": 1, "date": "2020-01-02T12:00:00.000Z", "products": []},
    {"id": 4, "userId": 1, "date": "2020-01-03T00:00:00.000Z", "products": []},
    {"id": 5, "userId": 1, "products": []},
]


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    for name, records in (("products", PRODUCTS), ("users", USERS), ("carts", CARTS)):
        (folder / f"{name}.json").write_text(json.dumps(records))
    with running_store(FolderShop(folder)) as base_url:
        yield base_url


def get(address):
    answer = requests.get(address, timeout=10)
    assert answer.headers["content-type"] == "application/json"
    return answer.status_code, answer.json()


def list_store_threads():
    return [thread for thread in threading.enumerate() if thread.name == "store"]


def get_ids(address):
    status, records = get(address)
    assert status == 200
    return [record["id"] for record in records]


def test_the_index_names_the_endpoints(url):
    status, index = get(url)
    assert status == 200
    assert "/carts/user/{id}" in index["endpoints"]


@pytest.mark.parametrize(
    ("path", "records"), [("products", PRODUCTS), ("users", USERS), ("carts", CARTS)]
)
def test_a_list_is_every_record_as_it_is(url, path, records):
    assert get(f"{url}/{path}") == (200, records)


@pytest.mark.parametrize(
    ("path", "record"),
    [("products/2", PRODUCTS[1]), ("users/2", USERS[1]), ("carts/3", CARTS[2])],
)
def test_a_record_is_found_by_its_id(url, path, record):
    assert get(f"{url}/{path}") == (200, record)


@pytest.mark.parametrize("path", ["products/99", "users/99", "carts/99"])
def test_an_unknown_id_is_null(url, path):
    assert get(f"{url}/{path}") == (200, None)


def test_the_categories_are_each_named_once(url):
    assert get(f"{url}/products/categories") == (200, ["men's clothing", "jewelery"])


@pytest.mark.parametrize(
    ("category", "ids"), [("men's clothing", [1]), ("jewelery?sort=desc", [3, 2]), ("toys", [])]
)
def test_a_category_lists_its_products(url, category, ids):
    assert get_ids(f"{url}/products/category/{category}") == ids


def test_the_carts_of_a_user_are_filtered_by_date_too(url):
    assert get_ids(f"{url}/carts/user/1") == [1, 3, 4, 5]
    assert get_ids(f"{url}/carts/user/1?startdate=2020-01-02&enddate=2020-01-03") == [3]
    assert get_ids(f"{url}/carts/user/99") == []


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ("limit=2", [1, 2]),
        ("limit=0", [1, 2, 3, 4, 5]),
        ("limit=99", [1, 2, 3, 4, 5]),
        ("sort=asc", [1, 2, 3, 4, 5]),
        ("sort=desc", [5, 4, 3, 2, 1]),
        ("sort=desc&limit=2", [5, 4]),
        ("startdate=2020-01-02", [2, 3, 4]),
        ("enddate=2020-01-02", [1]),
        ("startdate=2020-01-02&enddate=2020-01-03", [2, 3]),
        ("startdate=2020-01-02T12:00:00.000Z", [3, 4]),
        ("enddate=2020-01-02T12:00:00.000Z", [1, 2]),
        ("enddate=2020-01-02T12:00:00.001Z", [1, 2, 3]),
        ("startdate=2020-01-02T14:00:00%2B02:00", [3, 4]),
        ("startdate=2020-01-01&enddate=2020-01-04&sort=desc&limit=1", [4]),
        ("enddate=9999-12-31T23:59:59Z", [1, 2, 3, 4]),
        ("startdate=2021-01-01", []),
    ],
)
def test_carts_are_limited_sorted_and_filtered(url, query, ids):
    assert get_ids(f"{url}/carts?{query}") == ids


@pytest.mark.parametrize("path", ["products", "users"])
def test_products_and_users_are_limited_and_sorted(url, path):
    assert get_ids(f"{url}/{path}?limit=1") == [1]
    assert get_ids(f"{url}/{path}?sort=desc")[-1] == 1


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("products/one", "id is 'one'; use a whole number"),
        ("users/-1", "id is '-1'; use a whole number"),
        ("carts/1.5", "id is '1.5'; use a whole number"),
        ("carts/user/x", "id is 'x'; use a whole number"),
        ("carts?limit=-1", "limit is '-1'; use a whole number"),
        ("products?limit=many", "limit is 'many'; use a whole number"),
        ("users?sort=up", "sort is 'up'; use asc or desc"),
        ("carts?startdate=soon", "startdate is 'soon'; use YYYY-MM-DD or an ISO timestamp"),
        ("carts?enddate=2020-02-30", "enddate is '2020-02-30'; use YYYY-MM-DD or an ISO timestamp"),
        ("carts?enddate=", "enddate is ''; use YYYY-MM-DD or an ISO timestamp"),
    ],
)
def test_what_cannot_be_read_is_a_400_with_a_message(url, path, message):
    assert get(f"{url}/{path}") == (400, {"status": "error", "message": message})


def test_an_unknown_path_is_a_404_with_a_message(url):
    assert get(f"{url}/orders") == (404, {"status": "error", "message": "Not Found"})


def test_a_long_answer_streams_in_chunks_of_its_records():
    records = ({"id": number} for number in range(2 * RECORDS_PER_CHUNK + 1))
    chunks = list(_encode_array(records))
    assert len(chunks) == 4
    assert json.loads(b"".join(chunks))[-1] == {"id": 2 * RECORDS_PER_CHUNK}


def test_a_limited_answer_is_made_without_the_rest():
    class EndlessShop(SyntheticShop):
        def stream_carts(self, start=None, end=None, *, descending=False):
            number = 0
            while True:
                number += 1
                yield {"id": number}

    with running_store(EndlessShop()) as base_url:
        assert get_ids(f"{base_url}/carts?limit=3") == [1, 2, 3]


def test_a_client_that_leaves_early_harms_nobody():
    with running_store(SyntheticShop(20_000, 30, 1)) as base_url:
        with requests.get(f"{base_url}/carts", stream=True, timeout=10) as answer:
            assert answer.raw.read(10)
        assert get_ids(f"{base_url}/carts?limit=1") == [1]


def test_a_synthetic_shop_is_served_day_by_day():
    shop = SyntheticShop(3_000, 30, 1)
    with running_store(shop) as base_url:
        carts = requests.get(f"{base_url}/carts", timeout=10).json()
        _, day = get(f"{base_url}/carts?startdate=2020-01-05&enddate=2020-01-06")
    assert carts == list(shop.stream_carts())
    assert day == list(shop.stream_carts(date(2020, 1, 5), date(2020, 1, 6)))


def test_a_running_store_is_gone_at_its_end(url):
    threads = list_store_threads()
    with running_store(SyntheticShop(10, 1, 1)) as base_url:
        assert get_ids(f"{base_url}/carts?limit=1") == [1]
    with pytest.raises(requests.ConnectionError):
        requests.get(base_url, timeout=10)
    assert list_store_threads() == threads


def test_a_port_in_use_is_one_clear_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with (
            pytest.raises(StoreError, match=rf"port {port} of 127\.0\.0\.1 .*name another port"),
            running_store(SyntheticShop(10, 1, 1), port),
        ):
            pass
