"""The store report: figures, order, wording, escaping and limits, without a browser."""

import datetime as dt
import json
import re
from dataclasses import replace
from decimal import Decimal
from html.parser import HTMLParser

import pyarrow as pa
import pytest

from storepipe_dagster.layers.refined.report import goods
from storepipe_dagster.layers.refined.report.page import chart_svg, charts, store_report
from storepipe_dagster.layers.refined.report.tables import RefinedTables

MONEY = pa.decimal128(28, 2)
SCHEMAS = {
    "sales_by_day": {
        "sale_date": pa.date32(),
        "carts": pa.int64(),
        "customers": pa.int64(),
        "lines": pa.int64(),
        "units": pa.int64(),
        "revenue": MONEY,
        "average_cart_value": pa.decimal128(18, 2),
    },
    "sales_by_category": {
        "category": pa.string(),
        "carts": pa.int64(),
        "customers": pa.int64(),
        "lines": pa.int64(),
        "units": pa.int64(),
        "revenue": MONEY,
        "revenue_share": pa.float64(),
    },
    "sales_by_product": {
        "product_id": pa.int64(),
        "product_title": pa.string(),
        "category": pa.string(),
        "carts": pa.int64(),
        "units": pa.int64(),
        "revenue": MONEY,
        "revenue_rank": pa.int32(),
        "revenue_share": pa.float64(),
        "cumulative_revenue_share": pa.float64(),
        "abc_class": pa.string(),
    },
    "sales_by_city": {
        "city": pa.string(),
        "customers": pa.int64(),
        "carts": pa.int64(),
        "units": pa.int64(),
        "revenue": MONEY,
    },
    "customer_segments": {
        "user_id": pa.int64(),
        "first_sale_date": pa.date32(),
        "last_sale_date": pa.date32(),
        "recency_days": pa.int32(),
        "frequency": pa.int64(),
        "monetary": MONEY,
        "recency_score": pa.int32(),
        "frequency_score": pa.int32(),
        "monetary_score": pa.int32(),
        "segment": pa.string(),
    },
    "customer_cohorts": {
        "cohort_month": pa.date32(),
        "months_since_first": pa.int32(),
        "cohort_size": pa.int64(),
        "customers": pa.int64(),
        "retention": pa.float64(),
    },
    "product_affinity": {
        "product_id": pa.int64(),
        "other_product_id": pa.int64(),
        "carts_together": pa.int64(),
        "support": pa.float64(),
        "confidence": pa.float64(),
        "lift": pa.float64(),
    },
}
SCRIPT = "</script><script>alert(1)</script>"


def table(name, *rows):
    schema = pa.schema(SCHEMAS[name])
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema)


EMPTY = RefinedTables(**{name: table(name) for name in SCHEMAS})
FIRST, SECOND, THIRD = dt.date(2020, 1, 1), dt.date(2020, 1, 2), dt.date(2020, 2, 3)
JANUARY, FEBRUARY = dt.date(2020, 1, 1), dt.date(2020, 2, 1)
SMALL = RefinedTables(
    sales_by_day=table(
        "sales_by_day",
        (FIRST, 2, 2, 3, 5, Decimal("1000.50"), Decimal("500.25")),
        (SECOND, 1, 1, 1, 1, Decimal("234.00"), Decimal("234.00")),
        (THIRD, 1, 1, 1, 1, Decimal("0.10"), Decimal("0.10")),
    ),
    sales_by_category=table(
        "sales_by_category",
        ("jewelery", 2, 2, 2, 2, Decimal("234.60"), 0.19),
        ("electronics", 2, 2, 3, 5, Decimal("1000.00"), 0.81),
    ),
    sales_by_product=table(
        "sales_by_product",
        (3, SCRIPT, "jewelery", 2, 2, Decimal("34.60"), 3, 0.03, 1.0, "C"),
        (1, "Hard Drive", "electronics", 2, 5, Decimal("1000.00"), 1, 0.81, 0.81, "B"),
        (2, "Gold Ring", "jewelery", 1, 1, Decimal("200.00"), 2, 0.16, 0.97, "C"),
    ),
    sales_by_city=table(
        "sales_by_city",
        ("Mesa", 1, 1, 1, Decimal("234.60")),
        ("San Antonio", 2, 3, 6, Decimal("1000.00")),
    ),
    customer_segments=table(
        "customer_segments",
        (70001, FIRST, THIRD, 0, 2, Decimal("1000.60"), 5, 5, 5, "champion"),
        (70002, FIRST, FIRST, 33, 1, Decimal("134.00"), 1, 1, 3, "lost"),
        (70003, SECOND, SECOND, 32, 1, Decimal("100.00"), 2, 2, 1, "lost"),
    ),
    customer_cohorts=table("customer_cohorts", (JANUARY, 0, 3, 3, 1.0), (JANUARY, 1, 3, 1, 1 / 3)),
    product_affinity=table(
        "product_affinity",
        (1, 2, 2, 0.5, 0.4, 1.25),
        (1, 3, 2, 0.5, 0.6, 2.0),
        (2, 3, 2, 0.5, 0.5, 0.9),
    ),
)


class Page(HTMLParser):
    """What a browser would read: the text outside scripts, the scripts, every attribute."""

    def __init__(self, html):
        super().__init__()
        self.texts, self.scripts, self.attributes, self.tag = [], [], [], ""
        self.feed(html)
        self.text = re.sub(r"\s+", " ", " ".join(self.texts))

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        self.attributes += attrs
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag):
        self.tag = ""

    def handle_data(self, data):
        if self.tag == "script":
            self.scripts[-1] += data
        elif self.tag != "style":
            self.texts.append(data)


@pytest.fixture(scope="module")
def html():
    return store_report(SMALL)


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def specs(page):
    return json.loads(page.scripts[0])


def values(spec):
    return spec["data"]["values"]


def days(count, start=FIRST):
    rows = [
        (start + dt.timedelta(days=n), 1, 1, 1, 1, Decimal(n % 7), Decimal(n % 7))
        for n in range(count)
    ]
    return table("sales_by_day", *rows)


@pytest.mark.parametrize(
    "figure",
    [
        "1 January 2020 to 3 February 2020",
        "Revenue 1,234.60 from 3 products in 2 categories",
        "Carts 4 on 3 days with sales",
        "Customers 3 33% bought more than once",
        "Units sold 7 1.8 per cart",
        "Average cart value 308.65 411.53 per customer",
        "Best day 1 January 2020 brought 1,000.50",
    ],
)
def test_the_headline_shows_the_totals(page, figure):
    assert figure in page.text


def test_sections_follow_each_other_from_money_to_places(specs, html):
    assert re.findall(r'<section id="(\w+)"', html) == [
        "revenue_over_time",
        "categories",
        "top_products",
        "revenue_concentration",
        "customer_segments",
        "cohort_retention",
        "pairs",
        "cities",
    ]
    assert set(specs["charts"]) == set(charts(SMALL))


@pytest.mark.parametrize(
    "finding",
    [
        "Electronics brings 81% of the revenue",
        "Hard Drive is the best seller, with 81% of the revenue",
        "1 of 3 products brings 81% of the revenue",
        "Champions: 33% of the customers, 81% of the revenue",
        "33% of new customers buy again in the month after their first",
        "San Antonio brings 81% of the revenue",
    ],
)
def test_headings_are_findings(page, finding):
    assert finding in page.text


def test_the_highest_revenue_comes_first(specs):
    assert [row["name"] for row in values(specs["charts"]["categories"])] == [
        "electronics",
        "jewelery",
    ]
    assert [row["name"] for row in values(specs["charts"]["top_products"])] == [
        "Hard Drive",
        "Gold Ring",
        SCRIPT,
    ]
    assert [row["name"] for row in values(specs["charts"]["cities"])] == ["San Antonio", "Mesa"]


def test_bars_are_labelled_with_exact_revenue_and_share(specs):
    amounts = [row["amount"] for row in values(specs["charts"]["top_products"])]
    assert amounts == ["1,000.00 · 81%", "200.00 · 16%", "34.60 · 3.0%"]


def test_products_keep_the_class_of_the_table(specs):
    assert [row["abc_class"] for row in values(specs["charts"]["top_products"])] == ["B", "C", "C"]


def test_days_without_sales_are_zero(specs):
    rows = values(specs["charts"]["revenue_over_time"])
    assert len(rows) == 34
    assert [row["revenue"] for row in rows[:3]] == [1000.5, 234.0, 0.0]
    assert rows[-1]["label"] == "Mon 3 February 2020"


def test_few_days_have_no_mean(specs):
    assert {row["mean"] for row in values(specs["charts"]["revenue_over_time"])} == {None}


def test_many_days_have_the_mean_of_seven_days():
    rows = values(charts(replace(SMALL, sales_by_day=days(30)))["revenue_over_time"])
    assert [row["mean"] for row in rows[:8]] == [None] * 6 + [3.0, 3.0]


def test_four_weeks_are_compared_with_the_four_before():
    earlier, later = days(28), days(28, FIRST + dt.timedelta(days=28))
    doubled = pa.array([amount.as_py() * 2 for amount in later["revenue"]], MONEY)
    both = pa.concat_tables([earlier, later.set_column(5, later.field("revenue"), doubled)])
    text = Page(store_report(replace(SMALL, sales_by_day=both))).text
    assert "Revenue of the last 28 days is 100% above the 28 days before" in text


def test_many_years_are_drawn_per_month():
    rows = values(charts(replace(SMALL, sales_by_day=days(1200)))["revenue_over_time"])
    assert [row["label"] for row in rows[:2]] == ["January 2020", "February 2020"]
    assert len(rows) == 40


def test_segments_say_what_they_mean_and_what_to_do(page, specs):
    assert "Champions Bought recently and buy often. Thank them" in page.text
    rows = values(specs["charts"]["customer_segments"])
    assert [(row["name"], row["amount"]) for row in rows] == [
        ("Champions", "1 customer · 1,000.60"),
        ("Regulars", "0 customers · 0.00"),
        ("New", "0 customers · 0.00"),
        ("At risk", "0 customers · 0.00"),
        ("Lost", "2 customers · 234.00"),
    ]


def test_no_single_customer_is_shown(html):
    assert not {"70001", "70002", "70003"} & set(re.findall(r"\d+", html))


def test_a_month_in_which_nobody_came_back_is_zero_and_a_future_one_is_missing():
    cohorts = table(
        "customer_cohorts",
        (JANUARY, 0, 4, 4, 1.0),
        (JANUARY, 2, 4, 1, 0.25),
        (FEBRUARY, 0, 2, 2, 1.0),
    )
    rows = values(charts(replace(SMALL, customer_cohorts=cohorts))["cohort_retention"])
    assert [(row["cohort"], row["months_since_first"], row["retention"]) for row in rows] == [
        ("Jan 2020 (4)", 1, 0.0),
        ("Jan 2020 (4)", 2, 0.25),
        ("Feb 2020 (2)", 1, 0.0),
    ]


def test_one_month_of_customers_is_too_early_for_retention():
    cohorts = table("customer_cohorts", (JANUARY, 0, 3, 3, 1.0))
    tables = replace(SMALL, customer_cohorts=cohorts)
    assert "cohort_retention" not in charts(tables)
    assert "Too early to say who comes back" in Page(store_report(tables)).text


def test_pairs_are_titles_ranked_by_carts_beyond_chance(page):
    pairs = page.text[page.text.index("Pairs ranked by") :]
    assert pairs.index(f"Hard Drive {SCRIPT}") < pairs.index("Hard Drive Gold Ring")
    assert f"Hard Drive {SCRIPT} 2 50% 60% 2.0\N{MULTIPLICATION SIGN} " in pairs


def test_pairs_together_less_often_than_by_chance_are_left_out(page):
    assert f"Gold Ring {SCRIPT}" not in page.text


def test_no_pairs_is_said_plainly():
    tables = replace(SMALL, product_affinity=EMPTY.product_affinity)
    assert "No two products stand out together yet" in Page(store_report(tables)).text


def test_a_pair_of_unknown_products_shows_their_ids():
    tables = replace(SMALL, sales_by_product=EMPTY.sales_by_product)
    text = Page(store_report(tables)).text
    assert "Product 1 Product 3" in text
    assert "No products yet" in text


def test_without_sales_the_page_says_so_and_names_the_command():
    html = store_report(EMPTY)
    page = Page(html)
    assert "There are no sales to report yet" in page.text
    assert "storepipe run --from DATE --to DATE" in page.text
    assert page.scripts == []
    assert charts(EMPTY) == {}


def test_only_one_day_has_no_course_of_time():
    tables = replace(SMALL, sales_by_day=SMALL.sales_by_day.slice(0, 1))
    assert "revenue_over_time" not in charts(tables)
    assert "Sales on one day only" in Page(store_report(tables)).text


def test_days_alone_are_enough_for_a_page():
    text = Page(store_report(replace(EMPTY, sales_by_day=SMALL.sales_by_day))).text
    for said in ("No categories yet", "No products yet", "No customers yet", "No cities yet"):
        assert said in text


def test_sales_without_revenue_divide_nothing_by_zero():
    day = (FIRST, 1, 1, 1, 1, Decimal("0.00"), Decimal("0.00"))
    products = [
        (n, "Gift", "gifts", 1, 1, Decimal("0.00"), n, None, float("nan"), "C") for n in (1, 2, 3)
    ]
    tables = replace(
        EMPTY,
        sales_by_day=table("sales_by_day", day),
        sales_by_category=table(
            "sales_by_category", ("gifts", 1, 1, 1, 1, Decimal("0.00"), float("nan"))
        ),
        sales_by_product=table("sales_by_product", *products),
        sales_by_city=table("sales_by_city", ("Mesa", 1, 1, 1, Decimal("0.00"))),
    )
    text = Page(store_report(tables)).text
    assert "Gifts brings 0% of the revenue" in text
    assert "nan" not in text


def test_titles_are_escaped_in_markup_and_in_json(html, page):
    assert len(page.scripts) == 3
    assert html.count("<script") == 3
    assert "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)" in page.scripts[0]


def test_nothing_is_loaded_from_a_network(html, page, specs):
    addresses = [value for name, value in page.attributes if name in {"src", "href", "srcset"}]
    assert addresses == ["data:,"]
    styles = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"@import|url\(", styles)
    assert "http" not in json.dumps(specs)
    assert "default-src 'none'" in html


def test_the_runtime_is_inlined_once(html):
    assert html.count("window.vegaEmbed") == 1


def test_light_and_dark_themes_have_the_same_parts(specs):
    def parts(value):
        return {k: parts(v) for k, v in value.items()} if isinstance(value, dict) else None

    assert parts(specs["themes"]["light"]) == parts(specs["themes"]["dark"])


def test_no_currency_is_invented(page):
    assert not set("$€£¥") & set(page.text)


def test_equal_tables_give_equal_pages(html):
    assert store_report(SMALL) == html


def test_the_order_of_rows_makes_no_difference(html):
    backwards = {name: getattr(SMALL, name)[::-1] for name in SCHEMAS}
    assert store_report(RefinedTables(**backwards)) == html


def test_large_tables_give_a_small_page():
    products = 10_000
    large = replace(
        SMALL,
        sales_by_day=days(1000),
        sales_by_product=table(
            "sales_by_product",
            *(
                (
                    n,
                    f"Product number {n}",
                    "c",
                    1,
                    1,
                    Decimal(1),
                    n,
                    1 / products,
                    n / products,
                    "A",
                )
                for n in range(1, products + 1)
            ),
        ),
        customer_segments=table(
            "customer_segments",
            *((n, FIRST, FIRST, 0, 1, Decimal(1), 3, 3, 3, "regular") for n in range(100_000)),
        ),
        product_affinity=table(
            "product_affinity",
            *((n, n + 1, 2 + n % 9, 0.1, 0.1, 1.5) for n in range(1, 100_001)),
        ),
    )
    page = Page(store_report(large))
    data = json.loads(page.scripts[0])["charts"]
    assert len(values(data["top_products"])) == goods.TOP_PRODUCTS
    assert len(values(data["revenue_concentration"])) <= goods.CURVE_POINTS + 2
    assert len(values(data["revenue_over_time"])) == 1000
    assert "the top 15 of 100,000 pairs" in page.text
    assert len(page.scripts[0]) < 500_000


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("revenue_over_time", ["1 January 2020 was the best day"]),
        ("categories", ["electronics", "1,000.00 · 81%"]),
        ("top_products", ["Gold Ring", "&lt;/script"]),
        ("revenue_concentration", ["share of products sold, best sellers first"]),
        ("customer_segments", ["Champions", "Share of revenue"]),
        ("cohort_retention", ["Jan 2020 (3)", "33%"]),
        ("cities", ["San Antonio"]),
    ],
)
def test_each_chart_has_a_still_picture(name, labels):
    svg = chart_svg(charts(SMALL)[name])
    assert svg.startswith("<svg")
    for label in labels:
        assert label in svg
    assert re.findall(r"\d\.\d{3,}", svg) == []


@pytest.mark.parametrize("character", ["\x00", "\x01", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_a_character_that_xml_does_not_have_is_replaced_in_pictures(character):
    from storepipe_dagster.layers.refined.report import charts as drawing  # noqa: PLC0415

    cleaned = drawing._without_control_characters({"a": [f"Mug{character}", 1, None]})
    assert cleaned == {"a": ["Mug\ufffd", 1, None]}
