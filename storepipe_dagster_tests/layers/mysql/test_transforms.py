"""Tests of `storepipe_dagster.layers.mysql.transforms`: records in, rows out."""

import pytest

from storepipe_dagster.layers.mysql import schemas
from storepipe_dagster.layers.mysql.transforms import (
    cart_rows,
    count_carts,
    product_rows,
    user_rows,
)


def row_of(table, rows):
    (row,) = rows
    return dict(zip(table.columns.keys(), row, strict=True))


def product(**fields):
    record = {"id": 1, "title": "Hat", "category": "clothing", **fields}
    return row_of(schemas.PRODUCTS, product_rows([record]))


def user(**fields):
    return row_of(schemas.USERS, user_rows([{"id": 1, **fields}]))


def cart(cart_id=1, date="2020-03-02T10:00:00.000Z", lines=((1, 2),), user_id=5, **more):
    products = [{"productId": product, "quantity": quantity} for product, quantity in lines]
    return {"id": cart_id, "userId": user_id, "date": date, "products": products, **more}


# --- products -------------------------------------------------------------------------------


def test_a_product_is_a_row_in_the_order_of_the_table():
    record = {
        "id": 7,
        "title": "Hat",
        "price": 9.9,
        "description": "Of felt",
        "category": "clothing",
        "image": "https://store.example/hat.png",
        "rating": {"rate": 3.9, "count": 120},
    }
    assert row_of(schemas.PRODUCTS, product_rows([record])) == {
        "product_id": 7,
        "product_title": "Hat",
        "category": "clothing",
        "unit_price": "9.90",
        "description": "Of felt",
        "image_url": "https://store.example/hat.png",
        "rating": 3.9,
        "rating_count": 120,
    }


@pytest.mark.parametrize(
    ("price", "stored"),
    [
        (10, "10.00"),
        (0, "0.00"),
        (109.95, "109.95"),
        (0.1, "0.10"),
        (0.125, "0.13"),
        (1.005, "1.01"),
        (2.675, "2.68"),
        (0.004999, "0.00"),
        (-1.5, "-1.50"),
        (-0.125, "-0.13"),
        (1e-7, "0.00"),
        (1e9, "1000000000.00"),
        (9999999999.994, "9999999999.99"),
        (None, None),
    ],
)
def test_a_price_is_text_with_cents_rounded_half_up(price, stored):
    assert product(price=price)["unit_price"] == stored


def test_a_product_without_a_price_has_none():
    assert product()["unit_price"] is None


def test_title_and_category_are_trimmed():
    row = product(title=" \tMen's  Hat\n", category="  men's clothing ")
    assert (row["product_title"], row["category"]) == ("Men's  Hat", "men's clothing")


@pytest.mark.parametrize("rating", [None, {}, {"rate": None, "count": None}])
def test_a_product_without_a_rating_has_none(rating):
    row = product(rating=rating)
    assert (row["rating"], row["rating_count"]) == (None, None)


# --- users ----------------------------------------------------------------------------------


def test_a_user_is_a_row_in_the_order_of_the_table():
    record = {
        "id": 9_000_000_000,
        "email": "ann@mail.example",
        "username": "ann",
        "name": {"firstname": "ann", "lastname": "lee"},
        "phone": "1-570-236-7033",
        "address": {
            "city": "kilcoole",
            "street": "new road",
            "number": 7682,
            "zipcode": "12926-3874",
            "geolocation": {"lat": "-37.3159", "long": 81.5},
        },
        "__v": 0,
    }
    assert row_of(schemas.USERS, user_rows([record])) == {
        "user_id": 9_000_000_000,
        "username": "ann",
        "first_name": "ann",
        "last_name": "lee",
        "email": "ann@mail.example",
        "phone": "1-570-236-7033",
        "street": "new road",
        "street_number": "7682",
        "zipcode": "12926-3874",
        "latitude": "-37.3159",
        "longitude": "81.5",
        "city": "Kilcoole",
    }


@pytest.mark.parametrize(
    ("city", "stored"),
    [
        ("san antonio", "San Antonio"),
        ("  SAN   antonio\t", "San Antonio"),
        ("o'fallon", "O'fallon"),
        ("são paulo", "São Paulo"),
        ("", ""),
        (None, None),
    ],
)
def test_a_city_is_trimmed_and_title_cased(city, stored):
    assert user(address={"city": city})["city"] == stored


@pytest.mark.parametrize("fields", [{}, {"name": None, "address": None}, {"address": {}}])
def test_a_user_with_nothing_but_an_id_is_a_row_of_nulls(fields):
    row = user(**fields)
    assert row.pop("user_id") == 1
    assert set(row.values()) == {None}


# --- carts ----------------------------------------------------------------------------------


def test_a_cart_is_one_row_and_one_per_line():
    assert cart_rows([cart(lines=[(3, 2), (1, 7)])]) == (
        [("2020-03-02", 1, 1, "2020-03-02 10:00:00.000000", 5)],
        [("2020-03-02", 1, 1, 1, 3, 2), ("2020-03-02", 1, 1, 2, 1, 7)],
    )


def test_a_cart_without_lines_is_one_row():
    carts, items = cart_rows([cart(lines=[])])
    assert len(carts) == 1
    assert items == []


def test_the_day_and_the_time_are_utc():
    carts, _ = cart_rows([cart(date="2020-03-02T23:30:00.000001-02:00")])
    assert carts == [("2020-03-03", 1, 1, "2020-03-03 01:30:00.000001", 5)]


def test_a_cart_that_comes_again_with_the_same_content_is_one_cart():
    again = dict(reversed(cart().items()))
    assert cart_rows([cart(), cart(2), again]) == cart_rows([cart(), cart(2)])


def test_a_cart_with_a_known_id_and_other_content_is_a_further_occurrence():
    carts, items = cart_rows([cart(), cart(lines=[(9, 1)]), cart(user_id=6), cart(lines=[(9, 1)])])
    assert [row[1:3] for row in carts] == [(1, 1), (1, 2), (1, 3)]
    assert [row[1:] for row in items] == [(1, 1, 1, 1, 2), (1, 2, 1, 9, 1), (1, 3, 1, 1, 2)]


def test_the_first_cart_with_an_id_stays_the_first():
    carts, _ = cart_rows([cart(user_id=6), cart(user_id=5)])
    assert [(row[2], row[4]) for row in carts] == [(1, 6), (2, 5)]


def test_null_and_missing_ids_and_quantities_are_null():
    record = {
        "id": 1,
        "date": "2020-03-02",
        "products": [{}, {"productId": None, "quantity": None}, {"quantity": 0}],
    }
    carts, items = cart_rows([record])
    assert carts == [("2020-03-02", 1, 1, "2020-03-02 00:00:00.000000", None)]
    assert [row[3:] for row in items] == [(1, None, None), (2, None, None), (3, None, 0)]


def test_two_hundred_lines_keep_their_order():
    _, items = cart_rows([cart(lines=[(1000 - number, number) for number in range(200)])])
    assert [row[3:] for row in items] == [
        (number + 1, 1000 - number, number) for number in range(200)
    ]


def test_ids_above_32_bits_are_kept():
    big = 2**63 - 1
    carts, items = cart_rows([cart(big, lines=[(big, 1)], user_id=big)])
    assert (carts[0][1], carts[0][4]) == (big, big)
    assert (items[0][1], items[0][4]) == (big, big)


def test_a_day_without_carts_has_no_rows():
    assert cart_rows([]) == ([], [])


# --- the independent count ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("carts", "counted"),
    [
        ([], (0, 0)),
        ([cart()], (1, 1)),
        ([cart(lines=())], (1, 0)),
        ([cart(1, lines=[(1, 1), (1, 1)]), cart(2)], (2, 3)),
        ([cart(), cart()], (1, 1)),
        ([cart(), cart(lines=[(9, 9), (8, 8)]), cart()], (2, 3)),
        ([cart(), cart(user_id=6), cart(user_id=7)], (3, 3)),
        ([cart(1), cart(2), cart(1), cart(2, note="other")], (3, 3)),
    ],
)
def test_distinct_carts_and_their_lines_are_counted(carts, counted):
    assert count_carts(carts) == counted


def test_the_count_agrees_with_the_rows():
    carts = [cart(1), cart(1), cart(1, lines=[(1, 1), (2, 2)]), cart(2, lines=())]
    assert count_carts(carts) == tuple(map(len, cart_rows(carts)))
