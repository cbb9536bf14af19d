"""Tests of `storepipe_dagster.layers.trusted.transforms`, each on Sail and on Spark itself."""

import json
import re

import pytest
from pyspark.errors import PySparkException

from storepipe_dagster.layers.trusted import schemas
from storepipe_dagster.layers.trusted.transforms import (
    cart_lines,
    product_prices,
    rejected_sales,
    sales,
)
from storepipe_dagster_tests.spark import make_df, on_both_engines, read_rows, read_types

CAPTURES = {"captured_at": "timestamp", "file": "string", "content": "string"}
CARTS = {
    "cart_date": "date",
    "cart_id": "bigint",
    "occurrence": "int",
    "sold_at": "timestamp",
    "user_id": "bigint",
}
CART_ITEMS = {
    "cart_date": "date",
    "cart_id": "bigint",
    "occurrence": "int",
    "line_number": "int",
    "product_id": "bigint",
    "quantity": "int",
}
USERS = {"user_id": "bigint", "city": "string", "email": "string"}
PRODUCTS = {"product_id": "bigint", "title": "string"}
PRICES = {
    "product_id": "bigint",
    "product_title": "string",
    "category": "string",
    "unit_price": "decimal(12,2)",
    "valid_from": "timestamp",
    "valid_to": "timestamp",
}

FILE = "lake/raw/products/20240101T060000.000000Z.json"
JAN_1 = "2024-01-01 06:00:00"
JAN_2 = "2024-01-02 06:00:00"
JAN_3 = "2024-01-03 06:00:00"
JAN_4 = "2024-01-04 06:00:00"


def product(product_id=1, title="Hat", category="clothing", price=10):
    return {"id": product_id, "title": title, "category": category, "price": price}


def capture_text(*records):
    """A capture as it is kept: an array with each record on a line of its own."""
    return "[\n" + ",\n".join(json.dumps(record) for record in records) + "\n]\n"


def read_periods(spark, *captures):
    texts = [
        (captured_at, FILE, content if isinstance(content, str) else capture_text(*content))
        for captured_at, content in captures
    ]
    return read_rows(product_prices(make_df(spark, CAPTURES, *texts)))


# --- product_prices -------------------------------------------------------------------------


def test_the_first_known_period_holds_since_ever_and_still(spark):
    assert read_periods(spark, (JAN_1, [product()])) == [
        (1, "Hat", "clothing", "10.00", None, None)
    ]


def test_captures_without_a_change_are_one_period(spark):
    assert read_periods(
        spark, (JAN_1, [product()]), (JAN_2, [product()]), (JAN_3, [product()])
    ) == [(1, "Hat", "clothing", "10.00", None, None)]


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        (product(price=12.5), (1, "Hat", "clothing", "12.50")),
        (product(title="Cap"), (1, "Cap", "clothing", "10.00")),
        (product(category="men"), (1, "Hat", "men", "10.00")),
        (product(price=None), (1, "Hat", "clothing", None)),
        (product(title=None), (1, None, "clothing", "10.00")),
        (product(category=None), (1, "Hat", None, "10.00")),
    ],
)
def test_a_change_of_price_title_or_category_starts_a_period(spark, changed, expected):
    periods = read_periods(spark, (JAN_1, [product()]), (JAN_2, [changed]), (JAN_3, [changed]))

    assert sorted(periods, key=lambda period: period[4] or "") == [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (*expected, JAN_2, None),
    ]


def test_a_price_that_changes_back_makes_three_periods(spark):
    assert read_periods(
        spark,
        (JAN_1, [product(price=10)]),
        (JAN_2, [product(price=11)]),
        (JAN_3, [product(price=10)]),
    ) == [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Hat", "clothing", "10.00", JAN_3, None),
        (1, "Hat", "clothing", "11.00", JAN_2, JAN_3),
    ]


@on_both_engines
def test_captures_are_ordered_by_time_not_by_row(spark):
    assert read_periods(spark, (JAN_2, [product(price=11)]), (JAN_1, [product(price=10)])) == [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Hat", "clothing", "11.00", JAN_2, None),
    ]


def test_a_delisted_product_goes_on_as_it_was(spark):
    assert read_periods(
        spark, (JAN_1, [product(), product(2)]), (JAN_2, [product(2)]), (JAN_3, [])
    ) == [
        (1, "Hat", "clothing", "10.00", None, None),
        (2, "Hat", "clothing", "10.00", None, None),
    ]


def test_a_product_relisted_is_compared_with_the_capture_it_last_stood_in(spark):
    assert read_periods(
        spark,
        (JAN_1, [product()]),
        (JAN_2, []),
        (JAN_3, [product()]),
        (JAN_4, [product(price=11)]),
    ) == [
        (1, "Hat", "clothing", "10.00", None, JAN_4),
        (1, "Hat", "clothing", "11.00", JAN_4, None),
    ]


def test_a_product_first_listed_later_holds_since_ever(spark):
    assert read_periods(spark, (JAN_1, [product()]), (JAN_2, [product(), product(2, price=5)])) == [
        (1, "Hat", "clothing", "10.00", None, None),
        (2, "Hat", "clothing", "5.00", None, None),
    ]


def test_of_a_product_twice_in_a_capture_the_first_counts(spark):
    assert read_periods(
        spark, (JAN_1, [product(2), product(title="First", price=20), product(title="A", price=1)])
    ) == [
        (1, "First", "clothing", "20.00", None, None),
        (2, "Hat", "clothing", "10.00", None, None),
    ]


def test_titles_and_categories_are_trimmed(spark):
    captured = product(title=" \t Hat\u00a0 of\u3000\n", category="\r\n men's clothing  ")

    assert read_periods(spark, (JAN_1, [captured])) == [
        (1, "Hat\u00a0 of", "men's clothing", "10.00", None, None)
    ]


def test_white_space_around_a_title_is_no_change(spark):
    assert read_periods(
        spark, (JAN_1, [product(title="Hat")]), (JAN_2, [product(title=" Hat ")])
    ) == [(1, "Hat", "clothing", "10.00", None, None)]


@on_both_engines
def test_unicode_and_64_bit_ids_come_through(spark):
    assert read_periods(
        spark, (JAN_1, [product(9007199254740993, "Çà \U0001f600 帽子", 'l\'"été"')])
    ) == [(9007199254740993, "Çà \U0001f600 帽子", 'l\'"été"', "10.00", None, None)]


PRICES_READ = {
    "22.345": "22.35",
    "22.344": "22.34",
    "1.005": "1.01",
    "0": "0.00",
    "0.00": "0.00",
    "1e-7": "0.00",
    "1.5e3": "1500.00",
    "9999999999.99": "9999999999.99",
    "9999999999.995": None,
    "1e30": None,
    "-0.01": None,
    "-0.001": None,
    "null": None,
    '"free"': None,
    '""': None,
    "true": None,
    "[1]": None,
    '{"amount": 1}': None,
    '"12.5"': "12.50",
    '"1e3"': "1000.00",
    '"NaN"': None,
    '"Infinity"': None,
}


@on_both_engines
def test_prices_are_rounded_half_up_or_null(spark):
    records = [f'{{"id": {number}, "price": {text}}}' for number, text in enumerate(PRICES_READ)]

    periods = read_periods(spark, (JAN_1, f"[{', '.join(records)}]"))

    read = {row[0]: row[3] for row in periods}
    assert {text: read[number] for number, text in enumerate(PRICES_READ)} == PRICES_READ


def test_a_missing_price_is_null(spark):
    assert read_periods(spark, (JAN_1, '[\n{"id": 1, "title": "Hat"}\n]\n')) == [
        (1, "Hat", None, None, None, None)
    ]


def test_invalid_prices_of_two_captures_are_one_period(spark):
    assert read_periods(spark, (JAN_1, [product(price=None)]), (JAN_2, [product(price=-5)])) == [
        (1, "Hat", "clothing", None, None, None)
    ]


def test_a_record_without_id_is_no_product(spark):
    assert read_periods(spark, (JAN_1, '[{"title": "Hat", "price": 1}, {"id": null}]')) == []


def test_what_else_the_api_tells_of_a_product_is_left_out(spark):
    captured = product() | {"rating": {"rate": 3.9, "count": 120}, "image": "https://…"}

    assert read_periods(spark, (JAN_1, [captured])) == [(1, "Hat", "clothing", "10.00", None, None)]


@on_both_engines
@pytest.mark.parametrize(
    "layout",
    [
        pytest.param(json.dumps, id="one line"),
        pytest.param(lambda records: json.dumps(records, indent=2), id="a line per field"),
        pytest.param(lambda records: capture_text(*records).replace("\n", "\r\n"), id="CRLF"),
        pytest.param(lambda records: capture_text(*records).replace("\n", "\r"), id="CR"),
        pytest.param(lambda records: capture_text(*records).strip(), id="no line end"),
    ],
)
def test_a_capture_is_read_as_json_whatever_its_layout(spark, layout):
    assert read_periods(spark, (JAN_1, layout([product(price=5), product(2, title="a\nb,")]))) == [
        (1, "Hat", "clothing", "5.00", None, None),
        (2, "a\nb,", "clothing", "10.00", None, None),
    ]


@on_both_engines
@pytest.mark.parametrize("content", ["", "[", '[{"id": 1},', "{", '[{"id": 1, "title": "Ha'])
def test_a_capture_that_is_no_json_is_an_error_that_names_its_file(spark, content):
    with pytest.raises(PySparkException, match=rf"The capture {re.escape(FILE)} is no JSON array"):
        read_periods(spark, (JAN_1, [product()]), (JAN_2, content))


DEEP = "[" * 60 + "1" + "]" * 60
ODD_RECORDS = {
    '{"id": 9, "id": 1, "title": "A", "title": "Hat", "price": 1}': (1, "Hat", "1.00"),
    r'{"id": 2, "title": "a\u0000b\u0001", "price": 1}': (2, "a\0b\1", "1.00"),
    r'{"id": 3, "title": "\ud83d\ude00", "price": 1}': (3, "\U0001f600", "1.00"),
    '{"id": 4, "title": "%s", "price": 1}' % ("x" * 131_072): (4, "x" * 131_072, "1.00"),
    '{"id": 5, "title": ["a", {"b": 1}], "price": 1}': (5, '["a",{"b":1}]', "1.00"),
    '{"id": 6, "title": "Hat", "ID": 9, "Title": "x", "price": 1}': (6, "Hat", "1.00"),
    f'{{"id": 7, "title": "Hat", "price": 1, "x": {DEEP}}}': (7, "Hat", "1.00"),
    '{"id": 8, "title": "Hat", "price": 1, "x": %s}' % ("1" * 300): (8, "Hat", "1.00"),
    '{"id": 9223372036854775807, "title": "Hat"}': (2**63 - 1, "Hat", None),
}
WITHOUT_A_WHOLE_NUMBER = ['{"id": "7", "price": 1}', '{"id": 1.5}', '{"id": 1e3}', "null"]


@on_both_engines
def test_odd_records_are_read_and_those_without_a_whole_number_as_id_take_no_other_away(spark):
    content = f"[{', '.join([*WITHOUT_A_WHOLE_NUMBER, *ODD_RECORDS])}]"

    periods = read_periods(spark, (JAN_1, content))

    assert [(row[0], row[1], row[3]) for row in periods] == [*ODD_RECORDS.values()]


@on_both_engines
def test_without_captures_there_are_no_prices_but_their_columns(spark):
    prices = product_prices(make_df(spark, CAPTURES))

    assert read_rows(prices) == []
    assert read_types(prices) == [(field.name, field.dataType) for field in schemas.PRODUCT_PRICES]


# --- cart_lines, sales, rejected_sales ------------------------------------------------------

DAY = "2024-01-02"
SOLD_AT = "2024-01-02 09:30:00"


class Source:
    """One sound cart line; a test replaces what it is about."""

    def __init__(self, spark):
        self.spark = spark
        self.carts = [(DAY, 7, 1, SOLD_AT, 3)]
        self.cart_items = [(DAY, 7, 1, 1, 1, 2)]
        self.users = [(3, "San Antonio", "anna@example.com")]
        self.products = [(1, "Hat")]
        self.prices = [(1, "Hat", "clothing", "10.00", None, None)]

    def inputs(self):
        return (
            make_df(self.spark, CARTS, *self.carts),
            make_df(self.spark, CART_ITEMS, *self.cart_items),
            make_df(self.spark, USERS, *self.users),
            make_df(self.spark, PRODUCTS, *self.products),
            make_df(self.spark, PRICES, *self.prices),
        )

    def sold(self):
        return read_rows(sales(*self.inputs()))

    def rejected(self):
        return read_rows(rejected_sales(*self.inputs()))

    def reasons(self):
        """Of every line by its number; None when sold."""
        df = cart_lines(*self.inputs()).select("line_number", "reason")
        return dict(read_rows(df))

    def unit_prices(self):
        """Of the sold lines, by sale date."""
        return dict(read_rows(sales(*self.inputs()).select("sale_date", "unit_price")))


@pytest.fixture
def source(spark):
    return Source(spark)


SOUND_LINE = (
    *(DAY, 7, 1, SOLD_AT, 3, "San Antonio"),
    *(1, "Hat", "clothing", "10.00", 2, "20.00"),
)


@on_both_engines
def test_a_sound_line_is_sold_with_all_its_columns(source):
    assert source.sold() == [SOUND_LINE]
    assert source.rejected() == []


@on_both_engines
def test_a_rejected_line_has_all_its_columns(source):
    source.cart_items = [(DAY, 7, 1, 1, 1, 0)]

    assert source.sold() == []
    assert source.rejected() == [(DAY, 7, 1, SOLD_AT, 3, 1, 0, "quantity_not_positive")]


def test_lines_of_one_cart_and_product_stay_apart(source):
    source.cart_items = [(DAY, 7, 1, 1, 1, 2), (DAY, 7, 1, 2, 1, 2)]

    assert [(row[2], row[-1]) for row in source.sold()] == [(1, "20.00"), (2, "20.00")]


def test_lines_of_further_carts_with_the_same_id_are_rejected(source):
    source.carts = [
        (DAY, 7, 1, SOLD_AT, 3),
        (DAY, 7, 2, "2024-01-02 10:00:00", 3),
        (DAY, 7, 3, "2024-01-02 11:00:00", 4),
    ]
    source.cart_items = [(DAY, 7, 1, 1, 1, 2), (DAY, 7, 2, 1, 1, 5), (DAY, 7, 3, 1, 1, 6)]

    assert source.sold() == [SOUND_LINE]
    assert source.rejected() == [
        (DAY, 7, 1, "2024-01-02 10:00:00", 3, 1, 5, "duplicate_cart_id"),
        (DAY, 7, 1, "2024-01-02 11:00:00", 4, 1, 6, "duplicate_cart_id"),
    ]


def test_a_cart_id_used_again_on_another_day_is_another_cart(source):
    source.carts = [(DAY, 7, 1, SOLD_AT, 3), ("2024-01-03", 7, 1, "2024-01-03 01:00:00", 3)]
    source.cart_items = [(DAY, 7, 1, 1, 1, 2), ("2024-01-03", 7, 1, 1, 1, 2)]

    assert [(row[0], row[3]) for row in source.sold()] == [
        (DAY, SOLD_AT),
        ("2024-01-03", "2024-01-03 01:00:00"),
    ]


def test_a_product_that_the_extract_lacks_is_unknown_though_it_has_a_price(source):
    source.products = [(2, "Cap")]

    assert source.reasons() == {1: "unknown_product"}


def test_a_line_without_product_is_of_an_unknown_product(source):
    source.cart_items = [(DAY, 7, 1, 1, None, 2)]

    assert source.rejected() == [(DAY, 7, 1, SOLD_AT, 3, None, 2, "unknown_product")]


def test_a_delisted_product_that_the_extract_has_is_sold(source):
    source.prices = [(1, "Hat", "clothing", "10.00", None, None)]
    source.products = [(1, "Hat"), (2, "Cap")]

    assert source.reasons() == {1: None}


def test_a_user_that_the_extract_lacks_is_unknown(source):
    source.users = [(4, "Rome", "b@example.com")]

    assert source.rejected() == [(DAY, 7, 1, SOLD_AT, 3, 1, 2, "unknown_user")]


def test_a_cart_without_user_is_of_an_unknown_user(source):
    source.carts = [(DAY, 7, 1, SOLD_AT, None)]

    assert source.rejected() == [(DAY, 7, 1, SOLD_AT, None, 1, 2, "unknown_user")]


def test_a_line_whose_cart_is_missing_is_not_lost(source):
    source.carts = []

    assert source.rejected() == [(DAY, 7, 1, None, None, 1, 2, "unknown_user")]


def test_a_user_without_city_is_known(source):
    source.users = [(3, None, None)]

    assert source.reasons() == {1: None}


@pytest.mark.parametrize("quantity", [0, -1, None])
def test_a_quantity_that_is_not_positive_is_rejected(source, quantity):
    source.cart_items = [(DAY, 7, 1, 1, 1, quantity)]

    assert source.rejected() == [(DAY, 7, 1, SOLD_AT, 3, 1, quantity, "quantity_not_positive")]


def test_a_product_without_valid_price_is_rejected(source):
    source.prices = [(1, "Hat", "clothing", None, None, None)]

    assert source.reasons() == {1: "invalid_price"}


def test_a_product_never_captured_has_no_price(source):
    source.prices = []

    assert source.reasons() == {1: "invalid_price"}


def test_price_zero_is_valid(source):
    source.prices = [(1, "Hat", "clothing", "0.00", None, None)]

    assert source.sold() == [(*SOUND_LINE[:9], "0.00", 2, "0.00")]


def test_the_largest_revenue_is_sold_and_a_larger_one_rejected(source):
    source.prices = [(1, "Hat", "clothing", "9999999999.99", None, None)]
    source.cart_items = [
        (DAY, 7, 1, 1, 1, 1000000),
        (DAY, 7, 1, 2, 1, 1000001),
        (DAY, 7, 1, 3, 1, 2147483647),
    ]

    assert [row[-1] for row in source.sold()] == ["9999999999990000.00"]
    assert source.reasons() == {1: None, 2: "invalid_price", 3: "invalid_price"}


def test_reasons_take_precedence_in_the_contracts_order(source):
    source.carts = [(DAY, 7, 1, SOLD_AT, 99), (DAY, 7, 2, SOLD_AT, 99), (DAY, 8, 1, SOLD_AT, 3)]
    source.products = [(1, "Hat"), (2, "Cap")]
    source.prices = [(1, "Hat", "clothing", "10.00", None, None)]
    source.cart_items = [
        (DAY, 7, 2, 1, 99, 0),  # all reasons
        (DAY, 7, 1, 2, 99, 0),  # all but the first
        (DAY, 7, 1, 3, 2, 0),  # user, quantity, price
        (DAY, 8, 1, 4, 2, 0),  # quantity, price
        (DAY, 8, 1, 5, 2, 1),  # price
        (DAY, 8, 1, 6, 1, 1),  # none
    ]

    assert source.reasons() == {
        1: "duplicate_cart_id",
        2: "unknown_product",
        3: "unknown_user",
        4: "quantity_not_positive",
        5: "invalid_price",
        6: None,
    }


@on_both_engines
def test_no_line_is_lost_or_doubled(source):
    source.carts = [(DAY, 7, 1, SOLD_AT, 3), (DAY, 7, 2, SOLD_AT, 3), (DAY, 8, 1, SOLD_AT, 99)]
    source.cart_items = [
        (day, cart_id, occurrence, line_number, product_id, quantity)
        for day, cart_id, occurrence in [(DAY, 7, 1), (DAY, 7, 2), (DAY, 8, 1), (DAY, 9, 1)]
        for line_number, (product_id, quantity) in enumerate(
            [(1, 1), (1, 1), (2, 1), (None, 1), (1, None)], start=1
        )
    ]
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Hat", "clothing", "11.00", JAN_2, JAN_3),
        (1, "Hat", "clothing", "12.00", JAN_3, None),
    ]

    assert (len(source.sold()), len(source.rejected())) == (2, 18)


def sell_daily(source, *days):
    source.carts = [(day, 7, 1, f"{day} 00:30:00", 3) for day in days]
    source.cart_items = [(day, 7, 1, 1, 1, 1) for day in days]


def test_a_sale_is_priced_by_the_newest_capture_before_the_end_of_its_day(source):
    sell_daily(source, "2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Hat", "clothing", "11.00", JAN_2, JAN_4),
        (1, "Hat", "clothing", "12.00", JAN_4, None),
    ]

    assert source.unit_prices() == {
        "2024-01-01": "10.00",
        "2024-01-02": "11.00",  # captured at 06:00, after the sale but before the end of the day
        "2024-01-03": "11.00",
        "2024-01-04": "12.00",
    }


def test_a_sale_before_all_captures_is_priced_by_the_earliest(source):
    sell_daily(source, "2019-12-01")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Hat", "clothing", "11.00", JAN_2, None),
    ]

    assert source.unit_prices() == {"2019-12-01": "10.00"}


def test_a_capture_exactly_at_the_days_end_is_not_before_it(source):
    sell_daily(source, "2024-01-01", "2024-01-02")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, "2024-01-02 00:00:00"),
        (1, "Hat", "clothing", "11.00", "2024-01-02 00:00:00", None),
    ]

    assert source.unit_prices() == {"2024-01-01": "10.00", "2024-01-02": "11.00"}


def test_a_capture_in_the_last_microsecond_of_the_day_is_before_its_end(source):
    sell_daily(source, "2024-01-01")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, "2024-01-01 23:59:59.999999"),
        (1, "Hat", "clothing", "11.00", "2024-01-01 23:59:59.999999", None),
    ]

    assert source.unit_prices() == {"2024-01-01": "11.00"}


def test_of_several_changes_in_one_day_the_last_counts(source):
    sell_daily(source, "2024-01-02")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, "2024-01-02 06:00:00"),
        (1, "Hat", "clothing", "11.00", "2024-01-02 06:00:00", "2024-01-02 07:00:00"),
        (1, "Hat", "clothing", "12.00", "2024-01-02 07:00:00", "2024-01-02 08:00:00"),
        (1, "Hat", "clothing", "13.00", "2024-01-02 08:00:00", None),
    ]

    assert source.unit_prices() == {"2024-01-02": "13.00"}


def test_a_price_missing_only_for_a_time_is_invalid_for_that_time(source):
    sell_daily(source, "2024-01-01", "2024-01-02", "2024-01-03")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Hat", "clothing", None, JAN_2, JAN_3),
        (1, "Hat", "clothing", "12.00", JAN_3, None),
    ]

    assert source.unit_prices() == {"2024-01-01": "10.00", "2024-01-03": "12.00"}
    assert [row[0] for row in source.rejected()] == ["2024-01-02"]


def test_title_and_category_are_those_of_the_sale_date(source):
    sell_daily(source, "2024-01-01", "2024-01-02")
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, JAN_2),
        (1, "Cap", "men's clothing", "10.00", JAN_2, None),
    ]

    assert [(row[0], row[7], row[8]) for row in source.sold()] == [
        ("2024-01-01", "Hat", "clothing"),
        ("2024-01-02", "Cap", "men's clothing"),
    ]


def test_each_product_is_priced_by_its_own_periods(source):
    source.products = [(1, "Hat"), (2, "Cap")]
    source.cart_items = [(DAY, 7, 1, 1, 1, 1), (DAY, 7, 1, 2, 2, 1)]
    source.prices = [
        (1, "Hat", "clothing", "10.00", None, JAN_3),
        (1, "Hat", "clothing", "11.00", JAN_3, None),
        (2, "Cap", "clothing", "20.00", None, JAN_2),
        (2, "Cap", "clothing", "21.00", JAN_2, None),
    ]

    assert [(row[6], row[9]) for row in source.sold()] == [(1, "10.00"), (2, "21.00")]


def test_sales_are_priced_by_what_product_prices_gives(source):
    captures = make_df(
        source.spark,
        CAPTURES,
        (JAN_2, FILE, capture_text(product(title=" Hat ", price=10))),
        (JAN_3, FILE, capture_text(product(title="Hat", price=22.345))),
        (JAN_4, FILE, "[]"),
    )
    sell_daily(source, "2024-01-01", "2024-01-03", "2024-01-05")
    carts, cart_items, users, products, _ = source.inputs()

    sold = sales(carts, cart_items, users, products, product_prices(captures))

    assert [(row[0], row[7], row[9]) for row in read_rows(sold)] == [
        ("2024-01-01", "Hat", "10.00"),
        ("2024-01-03", "Hat", "22.35"),
        ("2024-01-05", "Hat", "22.35"),
    ]


def test_64_bit_ids_and_unicode_come_through(source):
    large = 9007199254740993
    source.carts = [(DAY, large, 1, SOLD_AT, large + 2)]
    source.cart_items = [(DAY, large, 1, 1, large + 4, 1)]
    source.users = [(large + 2, "Ōsaka", "x"), (large + 3, "Rome", "x")]
    source.products = [(large + 4, "帽子"), (large + 5, "Hat")]
    source.prices = [(large + 4, "帽子 \U0001f600", "été", "1.00", None, None)]

    assert source.sold() == [
        (
            *(DAY, large, 1, SOLD_AT, large + 2, "Ōsaka"),
            *(large + 4, "帽子 \U0001f600", "été", "1.00", 1, "1.00"),
        )
    ]


@pytest.mark.parametrize(
    ("transform", "schema"),
    [
        (cart_lines, schemas.CART_LINES),
        (sales, schemas.SALES),
        (rejected_sales, schemas.REJECTED_SALES),
    ],
)
def test_a_day_without_carts_has_no_rows_but_its_columns(source, transform, schema):
    source.carts, source.cart_items = [], []

    df = transform(*source.inputs())

    assert read_rows(df) == []
    assert read_types(df) == [(field.name, field.dataType) for field in schema]


@on_both_engines
def test_a_record_that_an_engine_cannot_read_is_never_left_out_in_silence(spark):
    hat = '{"id": 1, "title": "Hat", "category": "clothing", "price": 10}'
    odd = '{"id": 2, "title": "Odd", "category": "clothing", "price": 10, "x": 1e400}'
    try:
        periods = read_periods(spark, (JAN_1, f"[\n{odd},\n{hat}\n]\n"))
    except PySparkException as error:
        assert f"The capture {FILE} is no JSON array" in str(error)  # noqa: PT017
    else:
        assert [row[0] for row in periods] == [1, 2]
