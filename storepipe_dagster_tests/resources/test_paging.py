"""Tests of `storepipe_dagster.resources.paging`: a part of a list is never taken for the whole."""

import json
from datetime import date

import pytest

from storepipe_dagster.resources import answers, paging
from storepipe_dagster.resources.store_api import StoreApi, StoreApiError
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

DAY = date(2020, 1, 1)


@pytest.fixture
def server():
    with scripted_server() as running:
        yield running


@pytest.fixture
def api(server):
    return StoreApi(base_url=server.url, first_wait=0.001, longest_wait=0.01, tries=3)


def page(*ids, to=None, status=200, **headers):
    """An answer with these records, which names the next page."""
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    if to is not None:
        headers["Link"] = f'<{to}>; rel="next"'
    return Step(json.dumps([{"id": number} for number in ids]).encode(), status, headers)


def ids_of(api):
    return [json.loads(text)["id"] for text in api.products(list)]


def failure_of(api):
    with pytest.raises(StoreApiError) as caught:
        api.products(list)
    return str(caught.value)


# --- the pages ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target", ["?page=2", "/products?page=2", "{url}/products?page=2", "//{host}/products?page=2"]
)
def test_pages_are_followed_to_the_last(server, api, target):
    to = target.format(url=server.url, host=server.url.removeprefix("http://"))
    server.steps["/products"] = [page(1, 2, to=to), page(3, to="?page=3"), page(4, 5)]
    assert ids_of(api) == [1, 2, 3, 4, 5]
    assert server.queries == [{}, {"page": "2"}, {"page": "3"}]


def test_a_page_is_asked_for_once_the_one_before_it_was_taken(server, api):
    server.steps["/products"] = [page(1, 2, to="?page=2"), page(3)]
    asked = api.products(lambda records: [server.seen["/products"] for _ in records])
    assert asked == [1, 1, 2]


@pytest.mark.parametrize(
    ("link", "followed"),
    [
        ('</first>; rel="first", </more>; rel="next"', True),
        ("</more>; rel=next; title=further", True),
        ('</more>; REL="last Next"', True),
        ('</more>; rel="prev"', False),
        ('</more>; rel="nextish"', False),
        ("</more>", False),
        ("nonsense", False),
    ],
)
def test_the_link_called_next_is_followed(server, api, link, followed):
    server.steps["/products"] = [page(1, Link=link)]
    server.steps["/more"] = [page(2)]
    assert ids_of(api) == ([1, 2] if followed else [1])


def test_the_pages_of_days_keep_what_the_server_put_into_their_address(server, api):
    server.steps["/carts"] = [page(1, to="?startdate=2019-12-31&page=2"), page(2)]
    assert len(api.carts(DAY, DAY, list)) == 2
    assert server.queries == [
        {"startdate": "2019-12-31", "enddate": "2020-01-03"},
        {"startdate": "2019-12-31", "page": "2"},
    ]


def test_a_page_that_fails_for_now_is_asked_for_again_alone(server, api):
    server.steps["/products"] = [page(1, to="?page=2"), Step(status=503), Step(status=0), page(2)]
    assert ids_of(api) == [1, 2]
    assert server.queries == [{}, {"page": "2"}, {"page": "2"}, {"page": "2"}]


def test_a_page_that_is_cut_drops_what_was_made_of_the_pages_before(server, api):
    cut = Step(b'[{"id": 2}, {"id"', headers={"Content-Length": "99"})
    server.steps["/products"] = [page(1, to="?page=2"), cut, page(1, to="?page=2"), page(2)]
    assert ids_of(api) == [1, 2]
    assert server.queries == [{}, {"page": "2"}, {}, {"page": "2"}]


@pytest.mark.parametrize(
    ("step", "asked", "message"),
    [
        (Step(status=503), 4, "failed 3 times; the last time: page 2: it answered 503."),
        (Step(status=404), 2, "failed: page 2: it answered 404."),
        (Step(status=0), 4, "failed 3 times; the last time: page 2: no connection"),
    ],
)
def test_a_page_that_cannot_be_had_is_an_error(server, api, step, asked, message):
    server.steps["/products"] = [page(1, to="?page=2"), step]
    assert message in failure_of(api)
    assert server.seen == {"/products": asked}


def test_a_second_page_that_is_refused_does_not_make_the_days_be_left_out(server, api):
    server.steps["/carts"] = [page(1, to="?page=2"), Step(status=400)]
    with pytest.raises(StoreApiError, match=r"/carts failed: page 2: it answered 400\."):
        api.carts(DAY, DAY, list)
    assert server.seen == {"/carts": 2}


@pytest.mark.parametrize(
    ("targets", "message"),
    [
        ([""], "page 1 names page 1 again as the next one"),
        (["?page=2", "?page=3", "?page=2#top"], "page 3 names page 2 again as the next one"),
        (["http://[/"], "page 1 names a next page that is no address"),
    ],
)
def test_pages_that_never_end_are_an_error_at_once(server, api, targets, message):
    server.steps["/products"] = [page(1, to=target) for target in targets]
    assert f"{server.url}/products failed: {message}. Nothing was written." in failure_of(api)
    assert server.seen == {"/products": len(targets)}


def test_pages_without_end_are_an_error(server, api, monkeypatch):
    monkeypatch.setattr(paging, "MOST_PAGES", 3)
    server.steps["/products"] = [page(1, to=f"?page={number}") for number in range(2, 9)]
    assert "/products failed: it has more than 3 pages." in failure_of(api)


# --- whom they are asked of -----------------------------------------------------------------


def test_credentials_go_with_each_page_and_are_not_shown(server):
    base = server.url.replace("http://", "http://clerk:hunter2@")
    server.steps["/products"] = [page(1, to=f"{server.url}/products?page=2"), Step(status=401)]
    message = failure_of(StoreApi(base_url=base))
    first, second = (headers["Authorization"] for headers in server.headers)
    assert first.startswith("Basic ")
    assert first == second
    assert f"GET {server.url}/products failed: page 2: it answered 401." in message


@pytest.mark.parametrize(
    "base", ["https://127.0.0.1:{port}", "http://localhost:{port}", "http://127.0.0.1:{other}"]
)
def test_a_page_of_another_server_is_not_asked_for(server, base):
    with scripted_server() as another:
        shown = base.format(port=server.server_port, other=another.server_port)
        target = shown.replace("//", "//who:hunter3@") + "/products?token=hunter4"
        server.steps["/products"] = [page(1, to=target)]
        message = failure_of(StoreApi(base_url=server.url.replace("//", "//clerk:hunter2@")))
        assert another.seen == {}
    assert (
        f"GET {server.url}/products failed: page 1 names a next page on another server, "
        f"{shown} instead of {server.url}. Nothing was written."
    ) in message
    assert 'Link: <address>; rel="next"' in message
    assert "hunter" not in message
    assert server.seen == {"/products": 1}


@pytest.mark.parametrize(
    ("base", "target"),
    [
        ("http://shop.example", "http://shop.example:80/products"),
        ("https://shop.example:443", "https://SHOP.example/products"),
    ],
)
def test_a_port_that_goes_without_saying_is_the_same_server(base, target):
    assert answers.server_of(paging.urlsplit(base)) == answers.server_of(paging.urlsplit(target))


def test_passwords_are_dropped_on_every_page(server, api):
    body = b'[{"id": 1, "password": "hunter2"}]'
    server.steps["/users"] = [Step(body, headers={"Link": '<?page=2>; rel="next"'}), Step(body)]
    assert api.users(list) == ['{"id":1}', '{"id":1}']


# --- a part ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (page(1, status=206), "it answered 206 Partial Content"),
        (
            page(1, status=206, Content_Range="products 0-0/20"),
            "it answered 1 of 20 (Content-Range: products 0-0/20)",
        ),
        (
            page(1, 2, Content_Range="products 0-1/20"),
            "it answered 2 of 20 (Content-Range: products 0-1/20)",
        ),
        (page(2, Content_Range="1-1/2"), "it answered 1 of 2 (Content-Range: 1-1/2)"),
        (
            page(1, status=206, Content_Range="bytes 0-99/5000"),
            "it answered 100 of 5000 (Content-Range: bytes 0-99/5000)",
        ),
        (page(1, status=206, Content_Range="0-0/*"), "it answered 206 with Content-Range: 0-0/*"),
    ],
)
def test_a_part_without_the_rest_is_an_error_at_once(server, api, answer, told):
    server.steps["/products"] = [answer]
    message = failure_of(api)
    assert message.startswith(
        f"GET {server.url}/products failed: {told}, and no Link header names the next page. "
        "Nothing was written. A list is taken as one JSON array, or page by page"
    )
    assert server.seen == {"/products": 1}


@pytest.mark.parametrize(
    "answer",
    [
        page(1, 2, status=206, Content_Range="products 0-1/2"),
        page(1, 2, Content_Range="products 0-1/2"),
        page(1, 2, Content_Range="bytes 0-20/21"),
        page(1, 2, Content_Range="0-1/*"),
        page(1, 2, Content_Range="nonsense"),
        page(1, 2, X_Total_Count="2"),
        page(1, 2, X_Total_Count="many"),
    ],
)
def test_an_answer_that_says_that_it_is_whole_is_taken(server, api, answer):
    server.steps["/products"] = [answer]
    assert ids_of(api) == [1, 2]


@pytest.mark.parametrize("name", ["X_Total_Count", "Content_Range"])
def test_a_number_that_python_cannot_read_tells_nothing(server, api, name):
    text = "7" * 5000 if name == "X_Total_Count" else f"0-1/{'7' * 5000}"
    server.steps["/products"] = [page(1, 2, **{name: text})]
    assert ids_of(api) == [1, 2]


def test_an_empty_range_is_an_empty_list(server, api):
    server.steps["/products"] = [page(Content_Range="products */0")]
    assert ids_of(api) == []


def test_an_array_in_an_object_is_an_error_at_once(server, api):
    server.steps["/products"] = [Step(b'{"products": [{"id": 1}], "total": 100}')]
    assert failure_of(api).startswith(
        f"GET {server.url}/products failed: the answer cannot be used: it is not an array but an "
        "object with products, total. Nothing was written. A list is taken as one JSON array, or"
    )
    assert server.seen == {"/products": 1}


# --- how many there are ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "pages",
    [
        [page(1, 2, X_Total_Count="3", to="?page=2"), page(3)],
        [page(1, 2, X_Total_Count="3", to="?page=2"), page(3, X_Total_Count="1")],
        [
            page(1, 2, status=206, Content_Range="0-1/3", to="?page=2"),
            page(3, status=206, Content_Range="2-2/3"),
        ],
    ],
)
def test_pages_that_add_up_to_the_total_of_the_first_are_the_whole(server, api, pages):
    server.steps["/products"] = pages
    assert ids_of(api) == [1, 2, 3]


def test_a_list_that_lacks_records_is_asked_for_again(server, api):
    server.steps["/products"] = [page(1, X_Total_Count="2"), page(1, 2, X_Total_Count="2")]
    assert ids_of(api) == [1, 2]


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        ([page(1, X_Total_Count="1200")], "1 records came, but X-Total-Count says 1,200"),
        ([page(1, 2, X_Total_Count="1")], "2 records came, but X-Total-Count says 1"),
        ([page(X_Total_Count="1")], "0 records came, but X-Total-Count says 1"),
        ([page(1, Content_Range="0-1/2")], "1 records came, but Content-Range says 2"),
        (
            [page(1, X_Total_Count="3", to="?page=2"), page(2)] * 3,
            "2 records came, but X-Total-Count says 3",
        ),
    ],
)
def test_a_list_that_goes_on_lacking_records_is_an_error_with_both_numbers(
    server, api, pages, told
):
    server.steps["/products"] = pages
    assert f"/products failed 3 times; the last time: {told}. Nothing was written. " in failure_of(
        api
    )
