"""Tests of `storepipe_dagster.small_charts`."""

import re
import xml.etree.ElementTree as ET
from datetime import date, timedelta
from decimal import Decimal

import pyarrow as pa

from storepipe_dagster.asset_metadata import picture
from storepipe_dagster.small_charts import chart_of, columns_drawn, draw, title

SHOWN_IN_LINE = 1000  # characters of Markdown, in Dagster's UI
BY_CITY = chart_of("bars", "city", "revenue")["chart"]
BY_DAY = chart_of("line", "day", "revenue")["chart"]
DAY = date(2024, 1, 1)


def table(label, *rows):
    labels, values = zip(*rows, strict=True)
    return pa.table({label: labels, "revenue": [Decimal(value) for value in values]})


def days(*values):
    return table("day", *((DAY + timedelta(n), value) for n, value in enumerate(values)))


def texts(svg):
    return [element.text for element in ET.fromstring(svg).iter() if element.text]


def path_of(svg):
    return re.search(" d='([^']+)'", svg).group(1)


def test_a_chart_tells_what_it_shows_and_what_it_needs():
    assert (title(BY_CITY), columns_drawn(BY_CITY)) == ("revenue by city", ["city", "revenue"])
    segments = chart_of("bars", "segment")["chart"]
    assert (title(segments), columns_drawn(segments)) == ("rows by segment", ["segment"])


def test_bars_are_the_five_largest_sums_as_long_as_they_are_large():
    rows = [("Rome", "5"), ("Oslo", "40"), ("Rome", "15"), *((city, "1") for city in "abcdef")]

    drawn = draw(BY_CITY, table("city", *rows))

    assert texts(drawn) == ["Oslo", "40", "Rome", "20", "a", "1", "b", "1", "c", "1"]
    assert path_of(drawn) == "M120 9h200M120 27h100M120 45h5M120 63h5M120 81h5"


def test_without_a_value_rows_are_counted():
    drawn = draw(chart_of("bars", "city")["chart"], pa.table({"city": ["Rome", "Oslo", "Rome"]}))

    assert texts(drawn) == ["Rome", "2", "Oslo", "1"]


def test_bars_may_be_of_pairs():
    chart = chart_of("bars", "one + other", "carts")["chart"]
    pairs = pa.table({"one": [1, 1, 2], "other": [2, 3, 3], "carts": [4, 9, 1]})

    assert columns_drawn(chart) == ["one", "other", "carts"]
    assert texts(draw(chart, pairs)) == ["1 + 3", "9", "1 + 2", "4", "2 + 3", "1"]


def test_a_line_goes_through_the_sums_in_the_order_of_the_labels():
    drawn = draw(BY_DAY, days("0", "1500", "750").take([2, 0, 1]))

    assert texts(drawn) == ["up to 1.5k", "2024-01-01", "2024-01-03"]
    assert path_of(drawn) == "M0 60l150 -44 150 22"


def test_a_line_shows_the_last_sixty():
    assert texts(draw(BY_DAY, days(*["1"] * 100)))[1:] == ["2024-02-10", "2024-04-09"]


def test_one_point_and_values_of_zero_are_drawn():
    assert path_of(draw(BY_DAY, days("3"))) == "M0 16l1 0"
    assert path_of(draw(BY_DAY, days("0", "0"))) == "M0 60l300 0"
    assert path_of(draw(BY_CITY, table("city", ("Rome", "0")))) == "M120 9h0"


def test_without_rows_there_is_no_chart():
    assert draw(BY_CITY, table("city", ("Rome", "1")).slice(1)) is None


def test_a_label_is_shortened_and_is_never_taken_for_markup():
    drawn = draw(BY_CITY, table("city", ("<b>Villeneuve & Sons</b>", "1")))

    assert texts(drawn)[0] == "<b>Villeneuve &…"


def test_large_numbers_are_short():
    values = ["1", "12.345", "1234.5", "1234567", "9876543210"]

    drawn = draw(BY_CITY, table("city", *((value, value) for value in values)))

    assert texts(drawn)[1::2] == ["9.88G", "1.23M", "1.23k", "12.3", "1"]


def test_a_chart_is_small_enough_to_be_shown_at_once():
    cities = table("city", *((f"San Bernardino {n}", f"{n}234567.5") for n in range(1, 8)))
    varied = days(*(str(n * 7919 % 4001) for n in range(60)))

    for chart, rows in ((BY_CITY, cities), (BY_DAY, varied)):
        assert len(picture(draw(chart, rows), title(chart)).value) < SHOWN_IN_LINE
