"""Tests of `storepipe_dagster.layers.refined.transforms`, each on Sail and on Spark itself.

From literal sales.
"""

import pytest
from pyspark.sql import functions as F

from storepipe_dagster.layers.refined import schemas, transforms
from storepipe_dagster.layers.refined.transforms import sales_by_cart, sales_by_product_day
from storepipe_dagster.layers.trusted.schemas import SALES
from storepipe_dagster_tests.spark import make_df, on_both_engines, read_rows, read_types

COLUMNS = {field.name: field.dataType.simpleString() for field in SALES}
HAT = {"product_id": 1, "product_title": "Hat", "category": "clothing"}
CAP = {"product_id": 2, "product_title": "Cap", "category": "clothing"}
RING = {"product_id": 3, "product_title": "Ring", "category": "jewelery"}


def line(sale_date="2024-01-01", cart_id=1, **changes):
    """A sold line of 1 x 10.00; give `revenue` or whatever else a test is about."""
    row = HAT | {
        "sale_date": sale_date,
        "cart_id": cart_id,
        "line_number": 1,
        "sold_at": f"{sale_date} 12:00:00",
        "user_id": 1,
        "city": "Rome",
        "unit_price": "10.00",
        "quantity": 1,
        "revenue": "10.00",
    }
    return tuple((row | changes)[name] for name in COLUMNS)


def make_sales(spark, *lines):
    return make_df(spark, COLUMNS, *lines)


# The transforms by way of the two that all others are computed from.


def sales_by_day(sales):
    return transforms.sales_by_day(sales_by_cart(sales))


def sales_by_category(sales):
    return transforms.sales_by_category(sales_by_cart(sales), sales_by_product_day(sales))


def sales_by_product(sales):
    return transforms.sales_by_product(sales_by_cart(sales), sales_by_product_day(sales))


def sales_by_city(sales):
    return transforms.sales_by_city(sales_by_cart(sales))


def customer_segments(sales):
    return transforms.customer_segments(sales_by_cart(sales))


def customer_cohorts(sales):
    return transforms.customer_cohorts(sales_by_cart(sales))


def product_affinity(sales, min_carts_together):
    return transforms.product_affinity(sales_by_cart(sales), min_carts_together)


def read_columns(df, *names):
    return read_rows(df.select(*names))


# A shop of three days, two users' carts each with several lines; cart 1 is used on two days.
SHOP = (
    line("2024-01-01", 1, user_id=1, **HAT, quantity=2, revenue="20.00"),
    line("2024-01-01", 1, user_id=1, line_number=2, **RING, revenue="100.05"),
    line("2024-01-01", 1, user_id=1, line_number=3, **HAT, revenue="10.00"),
    line("2024-01-01", 2, user_id=1, **HAT, revenue="10.00"),
    line("2024-01-01", 3, user_id=2, city="Oslo", **CAP, quantity=4, revenue="0.00"),
    line("2024-01-02", 1, user_id=2, city="Oslo", **RING, revenue="100.05"),
)


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        (
            schemas.SALES_BY_CART,
            (
                "sale_date:date,cart_id:bigint,user_id:bigint,city:string,lines:bigint,"
                "units:bigint,revenue:decimal(28,2),product_ids:array<bigint>,"
                "categories:array<string>"
            ),
        ),
        (
            schemas.SALES_BY_PRODUCT_DAY,
            (
                "sale_date:date,product_id:bigint,product_title:string,category:string,"
                "lines:bigint,units:bigint,revenue:decimal(28,2)"
            ),
        ),
        (
            schemas.SALES_BY_DAY,
            (
                "sale_date:date,carts:bigint,customers:bigint,lines:bigint,units:bigint,"
                "revenue:decimal(28,2),average_cart_value:decimal(18,2)"
            ),
        ),
        (
            schemas.SALES_BY_CATEGORY,
            (
                "category:string,carts:bigint,customers:bigint,lines:bigint,units:bigint,"
                "revenue:decimal(28,2),revenue_share:double"
            ),
        ),
        (
            schemas.SALES_BY_PRODUCT,
            (
                "product_id:bigint,product_title:string,category:string,carts:bigint,units:bigint,"
                "revenue:decimal(28,2),revenue_rank:int,revenue_share:double,"
                "cumulative_revenue_share:double,abc_class:string"
            ),
        ),
        (
            schemas.SALES_BY_CITY,
            "city:string,customers:bigint,carts:bigint,units:bigint,revenue:decimal(28,2)",
        ),
        (
            schemas.CUSTOMER_SEGMENTS,
            (
                "user_id:bigint,first_sale_date:date,last_sale_date:date,recency_days:int,"
                "frequency:bigint,monetary:decimal(28,2),recency_score:int,frequency_score:int,"
                "monetary_score:int,segment:string"
            ),
        ),
        (
            schemas.CUSTOMER_COHORTS,
            (
                "cohort_month:date,months_since_first:int,cohort_size:bigint,customers:bigint,"
                "retention:double"
            ),
        ),
        (
            schemas.PRODUCT_AFFINITY,
            (
                "product_id:bigint,other_product_id:bigint,carts_together:bigint,support:double,"
                "confidence:double,lift:double"
            ),
        ),
    ],
)
def test_the_tables_have_the_columns_of_the_contract_all_described(schema, columns):
    assert schema.simpleString() == f"struct<{columns}>"
    assert [field.name for field in schema if not field.metadata.get("comment")] == []


@pytest.mark.parametrize(
    ("transform", "schema"),
    [
        (sales_by_cart, schemas.SALES_BY_CART),
        (sales_by_product_day, schemas.SALES_BY_PRODUCT_DAY),
        (sales_by_day, schemas.SALES_BY_DAY),
        (sales_by_category, schemas.SALES_BY_CATEGORY),
        (sales_by_product, schemas.SALES_BY_PRODUCT),
        (sales_by_city, schemas.SALES_BY_CITY),
        (customer_segments, schemas.CUSTOMER_SEGMENTS),
        (customer_cohorts, schemas.CUSTOMER_COHORTS),
        (lambda sales: product_affinity(sales, 2), schemas.PRODUCT_AFFINITY),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_without_sales_there_are_no_rows_but_the_columns(spark, transform, schema):
    df = transform(make_sales(spark))

    assert read_rows(df) == []
    assert read_types(df) == [(field.name, field.dataType) for field in schema]


@pytest.mark.parametrize(
    "transform",
    [
        sales_by_cart,
        sales_by_product_day,
        sales_by_day,
        sales_by_category,
        sales_by_product,
        sales_by_city,
    ],
)
def test_the_totals_are_those_of_the_sales(spark, transform):
    rows = read_columns(transform(make_sales(spark, *SHOP)), "units", "revenue")

    assert sum(units for units, _ in rows) == 10
    assert sum(round(float(revenue) * 100) for _, revenue in rows) == 24010


@pytest.mark.parametrize(
    "transform", [sales_by_cart, sales_by_product_day, sales_by_day, sales_by_category]
)
def test_the_lines_are_those_of_the_sales(spark, transform):
    rows = read_columns(transform(make_sales(spark, *SHOP)), "lines")

    assert sum(lines for (lines,) in rows) == 6


@on_both_engines
@pytest.mark.parametrize(
    "transform",
    [sales_by_product_day, sales_by_day, sales_by_category, sales_by_product, sales_by_city],
)
def test_a_total_larger_than_any_one_revenue_fits(spark, transform):
    largest = "9999999999999999.99"
    sales = make_sales(spark, *[line(cart_id=cart_id, revenue=largest) for cart_id in range(100)])

    assert read_columns(transform(sales), "revenue") == [("999999999999999999.00",)]


# --- sales_by_cart and sales_by_product_day --------------------------------------------------


@on_both_engines
def test_a_cart_is_a_row_with_what_is_in_it(spark):
    rows = sales_by_cart(make_sales(spark, *SHOP)).select(
        *("sale_date", "user_id", "city", "lines", "units", "revenue", "product_ids"),
        F.sort_array("categories").alias("categories"),
    )

    assert read_rows(rows) == [
        ("2024-01-01", 1, "Rome", 1, 1, "10.00", "[1]", "['clothing']"),
        ("2024-01-01", 1, "Rome", 3, 4, "130.05", "[1, 3]", "['clothing', 'jewelery']"),
        ("2024-01-01", 2, "Oslo", 1, 4, "0.00", "[2]", "['clothing']"),
        ("2024-01-02", 2, "Oslo", 1, 1, "100.05", "[3]", "['jewelery']"),
    ]


def test_the_products_of_a_cart_are_in_order_and_each_is_there_once(spark):
    sales = make_sales(
        spark,
        *[
            line(line_number=number, product_id=product_id)
            for number, product_id in enumerate((10, 9007199254740993, 9, 10), start=1)
        ],
    )

    assert read_columns(sales_by_cart(sales), "product_ids") == [("[9, 10, 9007199254740993]",)]


def test_a_category_that_is_missing_is_one_of_a_carts_categories(spark):
    sales = make_sales(spark, line(category=None), line(line_number=2, **RING))

    (row,) = sales_by_cart(sales).select("categories").collect()

    assert row[0] == ["jewelery", None]


@on_both_engines
def test_a_product_is_a_row_of_each_day(spark):
    assert read_rows(sales_by_product_day(make_sales(spark, *SHOP))) == [
        ("2024-01-01", 1, "Hat", "clothing", 3, 4, "40.00"),
        ("2024-01-01", 2, "Cap", "clothing", 1, 4, "0.00"),
        ("2024-01-01", 3, "Ring", "jewelery", 1, 1, "100.05"),
        ("2024-01-02", 3, "Ring", "jewelery", 1, 1, "100.05"),
    ]


def test_a_title_or_category_of_a_product_that_differs_is_a_row_of_its_own(spark):
    sales = make_sales(
        spark,
        line(**HAT),
        line(cart_id=2, **HAT | {"category": None}),
        line(cart_id=3, **HAT | {"product_title": "Top hat"}),
    )

    assert sorted(
        read_columns(sales_by_product_day(sales), "product_title", "category"), key=str
    ) == [
        ("Hat", "clothing"),
        ("Hat", None),
        ("Top hat", "clothing"),
    ]


@pytest.mark.parametrize("transform", [sales_by_cart, sales_by_product_day])
def test_a_summary_of_some_days_is_that_of_each(spark, transform):
    days = [[row for row in SHOP if row[0] == day] for day in ("2024-01-01", "2024-01-02")]

    apart = [read_rows(transform(make_sales(spark, *rows))) for rows in days]

    assert sorted(apart[0] + apart[1], key=str) == sorted(
        read_rows(transform(make_sales(spark, *SHOP))), key=str
    )


# --- sales_by_day ---------------------------------------------------------------------------


@on_both_engines
def test_sales_by_day_counts_carts_customers_lines_units_and_revenue(spark):
    assert read_rows(sales_by_day(make_sales(spark, *SHOP))) == [
        ("2024-01-01", 3, 2, 5, 9, "140.05", "46.68"),
        ("2024-01-02", 1, 1, 1, 1, "100.05", "100.05"),
    ]


@on_both_engines
@pytest.mark.parametrize(
    ("revenues", "average"),
    [(("0.01", "0.00"), "0.01"), (("0.03", "0.02"), "0.03"), (("0.01", "0.00", "0.00"), "0.00")],
)
def test_the_average_cart_value_is_rounded_half_up(spark, revenues, average):
    lines = [line(cart_id=number, revenue=revenue) for number, revenue in enumerate(revenues)]

    assert read_columns(sales_by_day(make_sales(spark, *lines)), "average_cart_value") == [
        (average,)
    ]


# --- sales_by_category ----------------------------------------------------------------------


@on_both_engines
def test_sales_by_category_counts_each_cart_and_customer_once(spark):
    assert read_rows(sales_by_category(make_sales(spark, *SHOP))) == [
        ("clothing", 3, 2, 4, 8, "40.00", 4000 / 24010),
        ("jewelery", 2, 2, 2, 2, "200.10", 20010 / 24010),
    ]


def test_a_product_that_changed_category_counts_in_both(spark):
    sales = make_sales(spark, line(category="men"), line("2024-01-02", category="women"))

    assert read_columns(sales_by_category(sales), "category", "carts", "revenue_share") == [
        ("men", 1, 0.5),
        ("women", 1, 0.5),
    ]


def test_sales_without_category_are_a_row(spark):
    sales = make_sales(spark, line(category=None), line(cart_id=2))

    assert read_columns(sales_by_category(sales), "category", "carts") == [
        (None, 1),
        ("clothing", 1),
    ]


def test_a_category_is_kept_in_unicode(spark):
    sales = make_sales(spark, line(category="été \U0001f600"))

    assert read_columns(sales_by_category(sales), "category") == [("été \U0001f600",)]


@on_both_engines
def test_shares_are_zero_when_there_is_no_revenue(spark):
    sales = make_sales(spark, line(revenue="0.00"), line(cart_id=2, **CAP, revenue="0.00"))

    assert read_columns(sales_by_category(sales), "revenue_share") == [(0.0,)]
    assert read_columns(
        sales_by_product(sales), "revenue_share", "cumulative_revenue_share", "abc_class"
    ) == [(0.0, 0.0, "A"), (0.0, 0.0, "A")]


# --- sales_by_product -----------------------------------------------------------------------


@on_both_engines
def test_sales_by_product_ranks_by_revenue(spark):
    assert read_rows(sales_by_product(make_sales(spark, *SHOP))) == [
        (1, "Hat", "clothing", 2, 4, "40.00", 2, 4000 / 24010, 1.0, "C"),
        (2, "Cap", "clothing", 1, 4, "0.00", 3, 0.0, 1.0, "C"),
        (3, "Ring", "jewelery", 2, 2, "200.10", 1, 20010 / 24010, 20010 / 24010, "B"),
    ]


def test_products_of_equal_revenue_rank_by_id(spark):
    sales = make_sales(
        spark, *[line(cart_id=product_id, product_id=product_id) for product_id in (10, 9, 11)]
    )

    assert read_columns(sales_by_product(sales), "product_id", "revenue_rank") == [
        (9, 1),
        (10, 2),
        (11, 3),
    ]


@on_both_engines
def test_title_and_category_are_those_of_the_latest_sale(spark):
    sales = make_sales(
        spark,
        line("2024-01-02", 1, product_title="Newer", category="a"),
        line("2024-01-03", 1, product_title="Latest", category="b"),
        line("2024-01-01", 1, product_title="Zebra", category="z"),
    )

    assert read_columns(
        sales_by_product(sales), "product_id", "product_title", "category", "carts"
    ) == [(1, "Latest", "b", 3)]


def test_a_title_or_category_may_be_missing(spark):
    sales = make_sales(spark, line(product_title=None, category=None))

    assert read_columns(
        sales_by_product(sales), "product_id", "product_title", "category", "carts"
    ) == [(1, None, None, 1)]


@on_both_engines
@pytest.mark.parametrize(
    ("revenues", "classes"),
    [
        (("80.00", "15.00", "5.00"), "ABC"),
        (("80.01", "14.98", "5.01"), "BBC"),
        (("79.99", "15.02", "4.99"), "ACC"),
        (("8.08", "2.02"), "AC"),
        (("100.00",), "C"),
        (("0.30", "0.25", "0.25", "0.15", "0.05"), "AAABC"),
    ],
)
def test_abc_classes_end_at_80_and_95_percent_inclusive(spark, revenues, classes):
    lines = [
        line(cart_id=number, product_id=number, revenue=revenue)
        for number, revenue in enumerate(revenues)
    ]

    rows = read_columns(sales_by_product(make_sales(spark, *lines)), "revenue_rank", "abc_class")

    assert "".join(abc_class for _, abc_class in rows) == classes


def test_the_cumulative_share_ends_at_one(spark):
    lines = [
        line(cart_id=number, product_id=number, revenue=f"{number}.33") for number in range(1, 31)
    ]

    rows = read_columns(
        sales_by_product(make_sales(spark, *lines)), "revenue_rank", "cumulative_revenue_share"
    )

    shares = [share for _, share in rows]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


# --- sales_by_city --------------------------------------------------------------------------


@on_both_engines
def test_sales_by_city_counts_customers_carts_units_and_revenue(spark):
    assert read_rows(sales_by_city(make_sales(spark, *SHOP))) == [
        ("Oslo", 1, 2, 5, "100.05"),
        ("Rome", 1, 2, 5, "140.05"),
    ]


def test_a_user_who_moved_counts_in_both_cities(spark):
    sales = make_sales(spark, line(city="Rome"), line("2024-01-02", city="Oslo"))

    assert read_rows(sales_by_city(sales)) == [
        ("Oslo", 1, 1, 1, "10.00"),
        ("Rome", 1, 1, 1, "10.00"),
    ]


def test_sales_without_city_are_a_row(spark):
    assert read_rows(sales_by_city(make_sales(spark, line(city=None)))) == [
        (None, 1, 1, 1, "10.00")
    ]


# --- customer_segments ----------------------------------------------------------------------


def test_a_customer_has_dates_carts_and_revenue(spark):
    sales = make_sales(
        spark,
        line("2023-12-30", 1, revenue="1.50"),
        line("2024-01-02", 1, revenue="2.00"),
        line("2024-01-02", 1, line_number=2, revenue="3.00"),
        line("2024-03-01", 2, user_id=2),
    )

    assert read_columns(
        customer_segments(sales),
        *("user_id", "first_sale_date", "last_sale_date", "recency_days", "frequency", "monetary"),
    ) == [
        (1, "2023-12-30", "2024-01-02", 59, 2, "6.50"),
        (2, "2024-03-01", "2024-03-01", 0, 1, "10.00"),
    ]


def buy(user_id, last_day, carts, revenue="1.00"):
    """The lines of a user with so many carts on the day of January."""
    return [
        line(f"2024-01-{last_day:02}", 100 * user_id + cart, user_id=user_id, revenue=revenue)
        for cart in range(carts)
    ]


@on_both_engines
def test_scores_are_quintiles_and_five_is_best(spark):
    sales = make_sales(
        spark,
        *buy(1, last_day=1, carts=5, revenue="30.00"),
        *buy(2, last_day=2, carts=4, revenue="20.00"),
        *buy(3, last_day=3, carts=3, revenue="10.00"),
        *buy(4, last_day=4, carts=2, revenue="80.00"),
        *buy(5, last_day=5, carts=1, revenue="20.00"),
    )

    assert read_columns(
        customer_segments(sales), "user_id", "recency_score", "frequency_score", "monetary_score"
    ) == [(1, 1, 5, 4), (2, 2, 4, 3), (3, 3, 3, 2), (4, 4, 2, 5), (5, 5, 1, 1)]


@on_both_engines
def test_ties_of_scores_are_broken_by_user_id(spark):
    lines = [buy(user_id, last_day=1, carts=1)[0] for user_id in (17, 12, 14, 11, 16, 13, 15)]

    assert read_columns(
        customer_segments(make_sales(spark, *lines)),
        *("user_id", "recency_score", "frequency_score", "monetary_score"),
    ) == [
        (11, 1, 1, 1),
        (12, 1, 1, 1),
        (13, 2, 2, 2),
        (14, 2, 2, 2),
        (15, 3, 3, 3),
        (16, 4, 4, 4),
        (17, 5, 5, 5),
    ]


def make_scored_sales(spark, recency_order):
    """Five users: user n has frequency score n, and recency scores in the order given."""
    lines = []
    for recency_score, user_id in enumerate(recency_order, start=1):
        lines += buy(user_id, last_day=recency_score, carts=user_id)
    return make_sales(spark, *lines)


@pytest.mark.parametrize(
    ("recency_order", "segments"),
    [
        # user 1..5 by frequency score; the tuple lists users from recency score 1 to 5
        (
            (1, 2, 3, 4, 5),
            {
                1: (1, 1, "lost"),
                2: (2, 2, "lost"),
                3: (3, 3, "regular"),
                4: (4, 4, "champion"),
                5: (5, 5, "champion"),
            },
        ),
        (
            (5, 4, 3, 2, 1),
            {
                5: (1, 5, "at_risk"),
                4: (2, 4, "at_risk"),
                3: (3, 3, "regular"),
                2: (4, 2, "new"),
                1: (5, 1, "new"),
            },
        ),
        (
            (3, 2, 1, 5, 4),
            {
                3: (1, 3, "at_risk"),
                2: (2, 2, "lost"),
                1: (3, 1, "regular"),
                5: (4, 5, "champion"),
                4: (5, 4, "champion"),
            },
        ),
        (
            (2, 3, 5, 1, 4),
            {
                2: (1, 2, "lost"),
                3: (2, 3, "at_risk"),
                5: (3, 5, "regular"),
                1: (4, 1, "new"),
                4: (5, 4, "champion"),
            },
        ),
        (
            (1, 4, 2, 3, 5),
            {
                1: (1, 1, "lost"),
                4: (2, 4, "at_risk"),
                2: (3, 2, "regular"),
                3: (4, 3, "regular"),
                5: (5, 5, "champion"),
            },
        ),
    ],
)
def test_segments_follow_from_recency_and_frequency(spark, recency_order, segments):
    rows = read_columns(
        customer_segments(make_scored_sales(spark, recency_order)),
        *("user_id", "recency_score", "frequency_score", "segment"),
    )

    assert {user_id: tuple(scores) for user_id, *scores in rows} == segments


# --- customer_cohorts -----------------------------------------------------------------------


@on_both_engines
def test_cohorts_are_counted_across_the_years_end(spark):
    sales = make_sales(
        spark,
        line("2023-11-30", 1, user_id=1),
        line("2023-11-01", 2, user_id=2),
        line("2024-02-29", 3, user_id=1),
        line("2024-02-01", 4, user_id=1),
        line("2023-12-31", 5, user_id=3),
        line("2024-01-01", 6, user_id=3),
    )

    assert read_rows(customer_cohorts(sales)) == [
        ("2023-11-01", 0, 2, 2, 1.0),
        ("2023-11-01", 3, 2, 1, 0.5),
        ("2023-12-01", 0, 1, 1, 1.0),
        ("2023-12-01", 1, 1, 1, 1.0),
    ]


def test_a_user_counts_once_a_month(spark):
    sales = make_sales(
        spark,
        line("2024-01-01", 1),
        line("2024-01-01", 1, line_number=2),
        line("2024-01-31", 2),
    )

    assert read_rows(customer_cohorts(sales)) == [("2024-01-01", 0, 1, 1, 1.0)]


def test_months_in_which_nobody_of_a_cohort_bought_have_no_row(spark):
    sales = make_sales(spark, line("2022-01-31"), line("2024-03-01"))

    assert read_rows(customer_cohorts(sales)) == [
        ("2022-01-01", 0, 1, 1, 1.0),
        ("2022-01-01", 26, 1, 1, 1.0),
    ]


# --- product_affinity -----------------------------------------------------------------------


def put_in_carts(*carts, sale_date="2024-01-01"):
    return [
        line(sale_date, cart_id, line_number=number, product_id=product_id)
        for cart_id, products in enumerate(carts, start=1)
        for number, product_id in enumerate(products, start=1)
    ]


@on_both_engines
def test_affinity_rates_each_pair_of_products(spark):
    sales = make_sales(spark, *put_in_carts((1, 2), (2, 1, 3), (1,), (3,), (4, 3)))

    assert read_rows(product_affinity(sales, 1)) == [
        (1, 2, 2, 2 / 5, 2 / 3, (2 / 5) / ((3 / 5) * (2 / 5))),
        (1, 3, 1, 1 / 5, 1 / 3, (1 / 5) / ((3 / 5) * (3 / 5))),
        (2, 3, 1, 1 / 5, 1 / 2, (1 / 5) / ((2 / 5) * (3 / 5))),
        (3, 4, 1, 1 / 5, 1 / 3, (1 / 5) / ((3 / 5) * (1 / 5))),
    ]


def test_affinity_leaves_out_pairs_in_fewer_carts(spark):
    sales = make_sales(spark, *put_in_carts((1, 2), (1, 2), (1, 3), (4,)))

    assert read_columns(
        product_affinity(sales, 2), "product_id", "other_product_id", "carts_together", "support"
    ) == [(1, 2, 2, 0.5)]


def test_a_product_twice_in_a_cart_counts_once(spark):
    sales = make_sales(spark, *put_in_carts((1, 2, 1, 2, 1)))

    assert read_rows(product_affinity(sales, 1)) == [(1, 2, 1, 1.0, 1.0, 1.0)]


def test_a_cart_id_of_another_day_is_another_cart(spark):
    sales = make_sales(spark, *put_in_carts((1,)), *put_in_carts((2,), sale_date="2024-01-02"))

    assert read_rows(product_affinity(sales, 1)) == []


def test_the_lower_product_id_comes_first_in_numbers_not_text(spark):
    sales = make_sales(spark, *put_in_carts((10, 9007199254740993, 9)))

    assert read_columns(product_affinity(sales, 1), "product_id", "other_product_id") == [
        (9, 10),
        (9, 9007199254740993),
        (10, 9007199254740993),
    ]


def test_a_cart_of_200_products_gives_all_its_pairs(spark):
    sales = make_sales(spark, *put_in_carts(tuple(range(200))))

    assert len(read_rows(product_affinity(sales, 1))) == 200 * 199 // 2
