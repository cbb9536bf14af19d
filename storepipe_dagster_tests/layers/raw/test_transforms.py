"""Tests of `storepipe_dagster.layers.raw.transforms`: texts in, a capture out."""

import json

import pytest

from storepipe_dagster.layers.raw.schemas import Product, User
from storepipe_dagster.layers.raw.transforms import SAME_ID, carts_by_day, snapshot

HAT = '{"id": 1, "title": "Hat", "category": "clothing", "price": 9.90}'
CAP = '{"id": 2, "title": "Cap", "category": "clothing"}'


def cart(date, cart_id=1, **more):
    return json.dumps({"id": cart_id, "userId": 1, "date": date, "products": [], **more})


def accepted(capture):
    return {key: list(capture.accepted.texts(key)) for key in capture.accepted.counts}


def rejected(capture):
    return {
        key: [
            (json.dumps(entry["record"]), entry["reason"])
            for entry in map(json.loads, capture.rejected.texts(key))
        ]
        for key in capture.rejected.counts
    }


# --- snapshots ------------------------------------------------------------------------------


def test_a_snapshot_keeps_the_records_as_they_are():
    capture = snapshot([HAT, CAP], Product)
    assert accepted(capture) == {None: [HAT, CAP]}
    assert rejected(capture) == {}


def test_a_record_that_breaks_its_contract_is_rejected_with_its_reason():
    bad = '{"id": 3, "title": "Scarf"}'
    capture = snapshot([bad, CAP], Product)
    assert accepted(capture) == {None: [CAP]}
    assert rejected(capture) == {None: [(bad, "category: Field required")]}


def test_fields_of_the_contract_that_no_record_has_are_missing():
    described = '{"id": 3, "title": "Scarf", "category": "clothing", "description": "warm"}'
    assert snapshot([HAT, CAP], Product).missing_fields == {"description", "image", "rating"}
    assert snapshot([HAT, described], Product).missing_fields == {"image", "rating"}
    assert snapshot([], Product).missing_fields is None


def test_a_record_that_comes_again_is_kept_as_it_came():
    capture = snapshot([HAT, HAT], Product)
    assert accepted(capture) == {None: [HAT, HAT]}
    assert rejected(capture) == {}


def test_of_two_records_with_one_id_the_first_is_kept():
    other = '{"id": 1, "title": "Helmet", "category": "clothing"}'
    capture = snapshot([HAT, other], Product)
    assert accepted(capture) == {None: [HAT]}
    assert rejected(capture) == {None: [(other, SAME_ID)]}


def test_a_bad_record_does_not_take_the_id_of_a_good_one():
    capture = snapshot(['{"id": 1}', HAT], Product)
    assert accepted(capture) == {None: [HAT]}


def test_unknown_fields_of_accepted_records_are_reported():
    capture = snapshot(
        ['{"id": 1, "name": {"middle": "M"}, "age": 9}', '{"id": "x", "secret": 1}'], User
    )
    assert capture.unknown_fields == {"age", "name.middle"}


def test_an_empty_answer_is_an_empty_snapshot():
    capture = snapshot([], User)
    assert accepted(capture) == {}
    assert capture.rejected_share == 0


@pytest.mark.parametrize(
    "text",
    [
        '{"id": "hunter2"}',
        '{"id": 1, "email": {"hunter2": 1}}',
        '{"id": 1, "address": {"number": [{"x": "hunter2"}], "zipcode": 1}}',
        '"hunter2"',
        '["hunter2"]',
        '{"id": 1, "username": "hunter2 \\ud800"}',
    ],
)
def test_a_reason_holds_no_value_of_the_record(text):
    capture = snapshot([text], User)
    assert capture.rejected.counts.total() == 1
    assert "hunter2" not in str(capture.reasons)


def test_a_reason_names_every_field_that_is_wrong():
    capture = snapshot(['{"id": 1, "rating": {"rate": "x"}}'], Product)
    assert list(capture.reasons) == [
        (
            "title: Field required; category: Field required; "
            "rating.rate: Input should be a valid number"
        )
    ]


# --- carts ----------------------------------------------------------------------------------

DAYS = ["2020-03-01", "2020-03-02", "2020-03-03"]


@pytest.mark.parametrize(
    ("date", "day"),
    [
        ("2020-03-02T00:00:00.000Z", "2020-03-02"),
        ("2020-03-02T23:59:59.999Z", "2020-03-02"),
        ("2020-03-02", "2020-03-02"),
        ("2020-03-02T23:30:00", "2020-03-02"),
        ("2020-03-02T01:00:00+02:00", "2020-03-01"),
        ("2020-03-02T23:00:00-02:00", "2020-03-03"),
    ],
)
def test_a_cart_belongs_to_its_day_in_utc(date, day):
    assert accepted(carts_by_day([cart(date)], DAYS)) == {day: [cart(date)]}


@pytest.mark.parametrize(
    "date", ["2020-02-29T23:59:59Z", "2020-03-04", "2020-03-01T01:00:00+02:00", "1999-01-01"]
)
def test_a_cart_of_another_day_is_left_out(date):
    capture = carts_by_day([cart(date)], DAYS)
    assert accepted(capture) == {}
    assert rejected(capture) == {}


def test_days_between_those_asked_for_are_left_out():
    asked = ["2020-03-01", "2020-03-03"]
    assert accepted(carts_by_day([cart("2020-03-02"), cart("2020-03-03")], asked)) == {
        "2020-03-03": [cart("2020-03-03")]
    }


def test_carts_of_a_day_keep_the_order_of_the_answer_and_repetitions():
    texts = [cart("2020-03-02", 9), cart("2020-03-01", 1), cart("2020-03-02", 3)]
    assert accepted(carts_by_day([*texts, texts[0]], DAYS)) == {
        "2020-03-02": [texts[0], texts[2], texts[0]],
        "2020-03-01": [texts[1]],
    }


def test_two_carts_with_one_id_are_both_kept_for_the_layers_after():
    texts = [cart("2020-03-02", 1), cart("2020-03-02", 1, userId=7)]
    assert accepted(carts_by_day(texts, DAYS)) == {"2020-03-02": texts}


def test_null_and_missing_ids_of_user_and_product_pass():
    texts = [
        cart("2020-03-02", userId=None),
        cart("2020-03-02", products=[{"productId": None}, {"quantity": 1}, {}]),
        '{"id": 1, "date": "2020-03-02", "products": []}',
    ]
    assert accepted(carts_by_day(texts, DAYS)) == {"2020-03-02": texts}


def test_a_bad_cart_with_a_day_is_rejected_on_that_day():
    bad = cart("2020-03-02T23:00:00-02:00", "seven")
    assert rejected(carts_by_day([bad], DAYS)) == {
        "2020-03-03": [(bad, "id: Input should be a valid integer")]
    }


def test_a_bad_cart_of_another_day_is_left_out():
    capture = carts_by_day([cart("2020-03-04", "seven")], DAYS)
    assert rejected(capture) == {}
    assert capture.rejected_share == 0


@pytest.mark.parametrize(
    "bad",
    [
        cart("yesterday"),
        cart(None),
        cart(1583107200),
        cart([]),
        cart({"a": 1}),
        cart("9999-12-31T23:59:59-01:00"),
        '{"id": 1, "products": []}',
        "null",
        "7",
        '"2020-03-02"',
        "[1]",
        '{"id": 1, "date": "2020-03-02\\ud800", "products": []}',
    ],
)
def test_a_cart_without_a_day_is_rejected_on_the_first_day_asked_for(bad):
    capture = carts_by_day([bad], ["2020-03-02", "2020-03-01"])
    assert [record for record, _ in rejected(capture)["2020-03-01"]] == [bad]


def test_an_undatable_cart_shows_no_value_in_its_reason():
    capture = carts_by_day([cart("hunter2")], DAYS)
    assert list(capture.reasons) == ["date: Value error, should be an ISO 8601 time"]


def test_bad_carts_of_the_days_around_those_asked_for_count_neither_as_rejected_nor_as_received():
    around = ["2020-01-01T23:59:59Z", "2020-01-03T00:00:00Z"]
    bad = [cart(date, cart_id="x") for date in around * 5]
    capture = carts_by_day([*bad, cart("2020-01-02T00:00:00Z")], ["2020-01-02"])
    assert rejected(capture) == {}
    assert capture.rejected_share == 0
    (rejection,) = rejected(carts_by_day(['{"id": 1}', *bad], ["2020-01-02"])).values()
    assert len(rejection) == 1


def test_unknown_fields_of_carts_on_other_days_are_not_reported():
    texts = [cart("2020-03-04", old=1), cart("2020-03-02", products=[{"gift": True}])]
    assert carts_by_day(texts, DAYS).unknown_fields == {"products.gift"}


def test_a_day_without_carts_has_a_count_of_zero():
    capture = carts_by_day([], DAYS)
    assert capture.accepted.counts["2020-03-01"] == 0
    assert list(capture.accepted.texts("2020-03-01")) == []


def test_a_product_with_a_number_beyond_a_double_is_set_aside():
    good = '{"id": 1, "title": "Hat", "category": "c", "price": 1}'
    odd = '{"id": 2, "title": "Odd", "category": "c", "price": 1, "x": 1e400}'
    capture = snapshot([good, odd], Product)
    assert list(capture.accepted.texts(None)) == [good]
    assert dict(capture.reasons) == {"a number is beyond the range of a double": 1}


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        ("1" * 400, "a number is beyond the range of a double"),
        ("1." + "1" * 1000, "a number has more than 1000 characters"),
    ],
)
def test_a_product_with_a_number_that_spark_cannot_read_is_set_aside(number, reason):
    odd = f'{{"id": 2, "title": "Odd", "category": "c", "price": 1, "x": {number}}}'
    assert dict(snapshot([HAT, odd], Product).reasons) == {reason: 1}


def test_a_product_nested_too_deep_for_other_readers_is_set_aside():
    deep = '{"id": 1, "title": "[{", "category": "c", "x": ' + "[" * 80 + "]" * 80 + "}"
    capture = snapshot([deep], Product)
    assert dict(capture.reasons) == {"nested more than 64 deep": 1}


def test_only_some_problems_of_a_record_are_told():
    lines = ", ".join('{"productId": "x"}' for _ in range(9))
    capture = carts_by_day(
        [f'{{"id": 1, "date": "2020-01-05", "products": [{lines}]}}'], ["2020-01-05"]
    )
    (reason,) = capture.reasons
    assert reason.count("valid integer") == 5
    assert reason.endswith("; and 4 more")


def test_undated_carts_are_measured_against_the_whole_answer():
    dated = [f'{{"id": {n}, "date": "2020-02-{n:02}", "products": []}}' for n in range(1, 29)]
    capture = carts_by_day([*dated, '{"id": 99, "date": null, "products": []}'], ["2020-02-01"])
    assert capture.rejected.counts.total() == 1
    assert capture.rejected_share == 1 / 29


def test_names_of_unknown_fields_are_kept_short_and_few():
    fields = ", ".join(f'"{"f" * 90}{n}": 1' for n in range(200))
    capture = snapshot([f'{{"id": 1, "title": "Hat", "category": "c", {fields}}}'], Product)
    assert len(capture.unknown_fields) <= 50
    assert max(map(len, capture.unknown_fields)) == 64
