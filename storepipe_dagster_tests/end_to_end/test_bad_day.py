"""One day of a store that misbehaves, with a cart line for each reason to reject one."""

import pytest

from storepipe_dagster_tests.end_to_end.test_faulty_store import DAY, TO_SALES, cart, serving


@pytest.fixture(scope="module")
def bad_day(new_home):
    """A day whose carts have every defect, of a store that at first fails and cuts its answers."""
    carts = [
        cart(1, (1, 2), (99, 1), (2, 0), (3, 1)),
        cart(1, (2, 7)),
        cart(2, (1, 1), user=77),
        cart(3, (2, 1)),
        cart(3, (2, 1)),
    ]
    with serving(new_home, carts) as (store, home):
        store.faults = {"/carts": ["500", "500"], "/products": ["cut", "not json"]}
        yield store, home, home.run(DAY, DAY, *TO_SALES)


def test_a_store_that_fails_and_cuts_twice_is_captured_all_the_same(bad_day):
    store, home, done = bad_day
    assert store.requests == {"/carts": 3, "/products": 3, "/users": 1}
    assert "/carts: it answered 500; trying again" in done.stderr
    assert "cut in the middle of the answer; trying again" in done.stderr
    assert home.sql("SELECT sum(revenue) AS revenue FROM trusted.sales") == [{"revenue": 45.5}]


def test_every_line_of_a_bad_day_is_sold_or_rejected_with_its_reason(bad_day):
    _, home, _ = bad_day
    assert home.sql(
        "SELECT cart_id, line_number, product_title, city, revenue FROM trusted.sales ORDER BY ALL"
    ) == [
        {"cart_id": 1, "line_number": 1, "product_title": "Lamp", "city": "San Antonio",
         "revenue": 20},
        {"cart_id": 3, "line_number": 1, "product_title": "Chair", "city": "San Antonio",
         "revenue": 25.5},
    ]  # fmt: skip
    assert home.sql(
        "SELECT cart_id, line_number, quantity, reason FROM trusted.rejected_sales ORDER BY ALL"
    ) == [
        {"cart_id": 1, "line_number": 1, "quantity": 7, "reason": "duplicate_cart_id"},
        {"cart_id": 1, "line_number": 2, "quantity": 1, "reason": "unknown_product"},
        {"cart_id": 1, "line_number": 3, "quantity": 0, "reason": "quantity_not_positive"},
        {"cart_id": 1, "line_number": 4, "quantity": 1, "reason": "invalid_price"},
        {"cart_id": 2, "line_number": 1, "quantity": 1, "reason": "unknown_user"},
    ]


def test_a_password_is_in_no_file_and_no_output(bad_day):
    _, home, done = bad_day
    assert "hunter2" not in done.stdout + done.stderr
    for name, content in home.contents():
        assert b"hunter2" not in content, name
