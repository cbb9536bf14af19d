"""Tests of `storepipe_dagster.layers.raw.schemas`: what each rule lets pass and what it refuses."""

import json
from typing import get_args

import pytest
from pydantic import ValidationError

from storepipe_dagster.layers.raw.schemas import (
    Address,
    Cart,
    Geolocation,
    Line,
    Name,
    Product,
    Rating,
    Record,
    User,
)

PRODUCT = {"id": 1, "title": "Hat", "category": "clothing", "price": 9.99}
USER = {"id": 1}
CART = {"id": 1, "userId": 2, "date": "2020-03-02T00:00:00.000Z", "products": []}
LINE = {"productId": 1, "quantity": 2}
WITHOUT = object()


def with_change(record, field, value):
    changed = {**record, field: value}
    return json.dumps({name: kept for name, kept in changed.items() if kept is not WITHOUT})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", -(2**63)),
        ("id", 2**63 - 1),
        ("price", 0),
        ("price", -1.5),
        ("price", None),
        ("price", WITHOUT),
        ("price", 9999999999.99),
        ("price", 9999999999.994),
        ("price", -9999999999.994),
        ("description", None),
        ("description", "x" * 10_000),
        ("image", WITHOUT),
        ("rating", None),
        ("rating", {}),
        ("rating", {"rate": 3, "count": None}),
        ("title", ""),
        ("colour", {"any": ["thing"]}),
    ],
)
def test_a_product_that_may_pass_does(field, value):
    assert Product.model_validate_json(with_change(PRODUCT, field, value)).id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", WITHOUT),
        ("id", None),
        ("id", "1"),
        ("id", 1.0),
        ("id", True),
        ("id", 2**63),
        ("id", -(2**63) - 1),
        ("title", WITHOUT),
        ("title", None),
        ("title", 5),
        ("description", "x" * 2**17 + "x"),
        ("category", WITHOUT),
        ("category", None),
        ("price", "9.99"),
        ("price", True),
        ("price", 9999999999.995),
        ("price", -9999999999.995),
        ("description", 5),
        ("image", []),
        ("rating", 4.5),
        ("rating", {"rate": "4"}),
        ("rating", {"count": 1.5}),
    ],
)
def test_a_product_that_breaks_a_rule_is_refused_for_that_field(field, value):
    with pytest.raises(ValidationError) as caught:
        Product.model_validate_json(with_change(PRODUCT, field, value))
    assert {problem["loc"][0] for problem in caught.value.errors()} == {field}


@pytest.mark.parametrize("price", ["1e400", "-1e400"])
def test_a_price_too_large_for_any_number_is_refused(price):
    with pytest.raises(ValidationError, match="price"):
        Product.model_validate_json(
            '{"id": 1, "title": "Hat", "category": "clothing", "price": %s}' % price  # noqa: UP031
        )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", None),
        ("name", {"firstname": None}),
        ("address", {}),
        ("address", {"number": 7}),
        ("address", {"number": "7b"}),
        ("address", {"geolocation": {"lat": "-37.3", "long": 81.1}}),
        ("__v", 0),
    ],
)
def test_a_user_that_may_pass_does(field, value):
    assert User.model_validate_json(with_change(USER, field, value)).id


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", WITHOUT),
        ("email", 5),
        ("username", []),
        ("phone", 15551234),
        ("name", "Ann Lee"),
        ("name", {"lastname": 5}),
        ("address", "Main Street"),
        ("address", {"city": 5}),
        ("address", {"street": False}),
        ("address", {"number": 1.5}),
        ("address", {"zipcode": [12345]}),
        ("address", {"geolocation": {"lat": []}}),
    ],
)
def test_a_user_that_breaks_a_rule_is_refused_for_that_field(field, value):
    with pytest.raises(ValidationError) as caught:
        User.model_validate_json(with_change(USER, field, value))
    assert {problem["loc"][0] for problem in caught.value.errors()} == {field}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("userId", None),
        ("userId", WITHOUT),
        ("date", "2020-03-02"),
        ("date", "2020-03-02T12:00:00"),
        ("date", "2020-03-02T12:00:00+05:30"),
        ("products", [{}]),
        ("products", [{"productId": None, "quantity": None}]),
        ("products", [{"productId": 1, "quantity": -(2**31)}]),
        ("products", [LINE] * 200),
    ],
)
def test_a_cart_that_may_pass_does(field, value):
    assert isinstance(Cart.model_validate_json(with_change(CART, field, value)).id, int)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", WITHOUT),
        ("id", None),
        ("id", "1"),
        ("userId", "2"),
        ("userId", 2**63),
        ("date", WITHOUT),
        ("date", None),
        ("date", 1583107200),
        ("date", ""),
        ("date", "yesterday"),
        ("date", "2020-02-30"),
        ("date", "0001-01-01T00:00:00+01:00"),
        ("products", WITHOUT),
        ("products", None),
        ("products", {}),
        ("products", [None]),
        ("products", [7]),
        ("products", [{"productId": "1"}]),
        ("products", [{"quantity": 1.5}]),
        ("products", [{"quantity": 2**31}]),
        ("products", [{"quantity": -(2**31) - 1}]),
    ],
)
def test_a_cart_that_breaks_a_rule_is_refused_for_that_field(field, value):
    with pytest.raises(ValidationError) as caught:
        Cart.model_validate_json(with_change(CART, field, value))
    assert {problem["loc"][0] for problem in caught.value.errors()} == {field}


@pytest.mark.parametrize("text", ["null", "[]", "7", '"cart"'])
def test_a_record_is_an_object(text):
    with pytest.raises(ValidationError, match="should be an object"):
        Cart.model_validate_json(text)


def test_unknown_fields_are_named_with_dots():
    text = json.dumps(
        {
            **CART,
            "coupon": "X",
            "products": [LINE, {**LINE, "gift": True}, {**LINE, "size": {"eu": 4}}],
        }
    )
    assert Cart.model_validate_json(text).unknown_fields() == {
        "coupon",
        "products.gift",
        "products.size",
    }


def test_unknown_fields_are_found_at_any_depth():
    text = '{"id": 1, "address": {"geolocation": {"alt": 3}}, "name": {"middle": "M"}, "__v": 0}'
    assert User.model_validate_json(text).unknown_fields() == {
        "address.geolocation.alt",
        "name.middle",
    }


def test_a_record_without_unknown_fields_has_none():
    assert Product.model_validate_json(json.dumps(PRODUCT)).unknown_fields() == set()


def test_the_users_columns_that_hold_personal_data_are_marked():
    marked = {
        name
        for name, definition in User.model_json_schema()["properties"].items()
        if definition.get("personal_data")
    }
    assert marked == {"email", "username", "name", "phone", "address"}


@pytest.mark.parametrize("model", [Product, Rating, User, Name, Address, Geolocation, Cart, Line])
def test_the_parts_of_a_record_are_its_fields_that_are_records(model):
    def holds_records(annotation):
        is_record = isinstance(annotation, type) and issubclass(annotation, Record)
        return is_record or any(map(holds_records, get_args(annotation)))

    fields = model.model_fields
    assert tuple(name for name in fields if holds_records(fields[name].annotation)) == model.PARTS
