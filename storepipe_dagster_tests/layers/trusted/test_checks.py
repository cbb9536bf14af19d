"""Tests of `storepipe_dagster.layers.trusted.checks`."""

import dagster as dg
import pytest

from storepipe_dagster.layers.relational import schemas as relational
from storepipe_dagster.layers.trusted import schemas
from storepipe_dagster.layers.trusted.checks import RULES, trusted_checks
from storepipe_dagster_tests.layers.literal_lake import (
    failures,
    judge,
    write_delta,
    write_parquet,
)

DAY_1, DAY_2, DAY_3 = "2024-01-01", "2024-01-02", "2024-01-03"
JAN_1, JAN_2, JAN_3 = "2024-01-01 06:00:00", "2024-01-02 06:00:00", "2024-01-03 06:00:00"
RECONCILED = ("trusted/sales", "every_captured_line_is_sold_or_rejected")
SOLD_ONCE = ("trusted/sales", "every_line_is_sold_once")
REVENUE = ("trusted/sales", "revenue_is_price_times_quantity_and_never_negative")
REASON = ("trusted/rejected_sales", "every_rejected_line_has_a_known_reason")
ONE_PRICE = ("trusted/product_prices", "every_moment_has_one_price")
NO_NEGATIVE = ("trusted/product_prices", "no_price_is_negative")
WITH_CART = ("trusted/rejected_sales", "every_line_came_with_its_cart")
HISTORY = ("trusted/product_prices", "every_known_product_has_a_history")
FEW_REJECTED = ("trusted/sales", "few_lines_are_rejected")
NOT_NEARLY_ALL = ("trusted/sales", "not_nearly_all_lines_are_rejected")
STOPPING = {
    NOT_NEARLY_ALL,
    RECONCILED,
    SOLD_ONCE,
    REVENUE,
    REASON,
    WITH_CART,
    HISTORY,
    ONE_PRICE,
    NO_NEGATIVE,
}
ALL = STOPPING | {FEW_REJECTED}


def captured(day=DAY_1, cart_id=1, line=1):
    return (day, cart_id, 1, line, 5, 2)


def sold(day=DAY_1, cart_id=1, line=1, price="1.10", quantity=2, revenue="2.20"):
    at = f"{day} 06:00:00"
    return (day, cart_id, line, at, 9, "Rome", 5, "Hat", "clothing", price, quantity, revenue)


def rejected(day=DAY_1, cart_id=1, line=2, reason="unknown_user"):
    return (day, cart_id, line, f"{day} 06:00:00", 9, 5, 2, reason)


def priced(price="1.10", since=None, until=None, product_id=5):
    return (product_id, "Hat", "clothing", price, since, until)


def known(product_id, title="Hat"):
    return (product_id, title, "clothing", "1.10", None, None, None, None)


GOOD = {
    "items": [captured(), captured(line=2), captured(DAY_2)],
    "sales": [sold(), sold(DAY_2)],
    "rejects": [rejected()],
    "prices": [priced(until=JAN_1), priced(None, JAN_1, JAN_2), priced("0.00", JAN_2)],
}


@pytest.fixture
def judged(tmp_path):
    """The results on good tables, but for those that are given."""

    def results(*days, only=None, **tables):
        rows = GOOD | tables
        of_prices = [known(product_id) for product_id in {row[0] for row in rows["prices"]}]
        write_parquet(
            tmp_path,
            "raw/relational/products",
            relational.PRODUCTS,
            *rows.get("products", of_prices),
        )
        write_parquet(tmp_path, "raw/relational/cart_items", relational.CART_ITEMS, *rows["items"])
        write_delta(tmp_path, "trusted/sales", schemas.SALES, *rows["sales"])
        write_delta(tmp_path, "trusted/rejected_sales", schemas.REJECTED_SALES, *rows["rejects"])
        write_delta(tmp_path, "trusted/product_prices", schemas.PRODUCT_PRICES, *rows["prices"])
        return judge(tmp_path, trusted_checks, *(days or (DAY_1, DAY_2)), only=only)

    return results


def test_every_rule_is_known_here_and_told_and_all_but_one_are_blocking():
    assert {(key.to_user_string(), name) for key, name in RULES} == ALL
    assert all(spec.description for spec in trusted_checks.check_specs)
    assert {
        (spec.asset_key.to_user_string(), spec.name)
        for spec in trusted_checks.check_specs
        if spec.blocking
    } == STOPPING


def test_good_tables_pass_every_check(judged):
    results = judged()

    assert set(results) == ALL
    assert failures(results) == {}


def test_tables_without_rows_pass_every_check(judged):
    results = judged(items=[captured(DAY_3)], sales=[], rejects=[], prices=[])

    assert set(results) == ALL
    assert failures(results) == {}


def day_with(rejects):
    """A day of 100 lines, some of which were rejected."""
    return {
        "items": [captured(line=line) for line in range(1, 101)],
        "sales": [sold(line=line) for line in range(rejects + 1, 101)],
        "rejects": [rejected(line=line) for line in range(1, rejects + 1)],
    }


@pytest.mark.parametrize("lines", [1, 99])
def test_a_day_with_lines_and_no_sale_is_a_warning_however_few_they_are(judged, lines):
    numbers = range(1, lines + 1)
    results = judged(
        items=[captured(), *(captured(DAY_2, line=number) for number in numbers)],
        sales=[sold()],
        rejects=[rejected(DAY_2, line=number) for number in numbers],
        only="trusted/sales",
    )
    assert not results[FEW_REJECTED].passed
    assert results[FEW_REJECTED].severity == dg.AssetCheckSeverity.WARN
    assert results[FEW_REJECTED].description == (
        f"{DAY_2}: {lines} of {lines} lines rejected (100 %), mostly unknown_user"
    )


@pytest.mark.parametrize(
    ("sales", "rejects", "passed"),
    [(0, 4, True), (0, 5, False), (1, 9, True), (1, 10, False), (0, 84, False)],
)
def test_a_run_of_which_nearly_all_lines_were_rejected_is_stopped(judged, sales, rejects, passed):
    lines = range(1, sales + rejects + 1)
    results = judged(
        DAY_1,
        items=[captured(line=number) for number in lines],
        sales=[sold(line=number) for number in lines[:sales]],
        rejects=[rejected(line=number) for number in lines[sales:]],
        only="trusted/sales",
    )
    assert results[NOT_NEARLY_ALL].passed is passed
    assert results[NOT_NEARLY_ALL].severity == dg.AssetCheckSeverity.ERROR
    if not passed:
        assert results[NOT_NEARLY_ALL].description.startswith(
            f"{rejects} of {sales + rejects} lines of these days were rejected, mostly "
            "unknown_user. "
        )


def test_a_day_of_which_many_lines_were_rejected_is_a_warning(judged):
    results = judged(**day_with(6))

    assert failures(results) == {
        FEW_REJECTED: [
            {"sale_date": DAY_1, "rejected": "6", "lines": "100", "mostly": "unknown_user"}
        ]
    }
    assert results[FEW_REJECTED].description == (
        f"{DAY_1}: 6 of 100 lines rejected (6 %), mostly unknown_user"
    )
    assert results[FEW_REJECTED].severity == dg.AssetCheckSeverity.WARN
    assert results[RECONCILED].severity == dg.AssetCheckSeverity.ERROR


def test_one_in_twenty_rejected_is_no_warning(judged):
    assert failures(judged(**day_with(5))) == {}


def test_a_line_whose_cart_was_not_extracted_is_shown(judged):
    without_cart = (DAY_2, 1, 1, None, None, 5, 2, "unknown_user")
    items = [*GOOD["items"], captured(DAY_2, line=2)]
    sales = [sold(), sold(DAY_2, line=2)]
    results = judged(items=items, sales=sales, rejects=[rejected(), without_cart])

    assert failures(results) == {
        WITH_CART: [{"sale_date": DAY_2, "cart_id": "1", "line_number": "1"}]
    }


def test_of_a_cart_with_more_lines_than_bits_a_line_that_repeats_is_shown(judged):
    lines = [line for line in range(1, 201) if line != 70]  # that one was rejected

    results = judged(
        items=[captured(line=line) for line in range(1, 202)],
        sales=[sold(line=line) for line in (*lines, 200)],
        rejects=[rejected(line=70)],
        only="trusted/sales",
    )

    assert failures(results) == {
        SOLD_ONCE: [{"sale_date": DAY_1, "cart_id": "1", "line_number": "200", "times": "2"}]
    }


def test_a_known_product_without_any_price_period_is_shown(judged):
    assert failures(judged(products=[known(5), known(6, "Cap")])) == {
        HISTORY: [{"product_id": "6", "product_title": "Cap"}]
    }


def test_a_rule_whose_other_table_was_never_made_warns_and_does_not_block(tmp_path):
    items = (captured(), captured(line=2))
    write_parquet(tmp_path, "raw/relational/cart_items", relational.CART_ITEMS, *items)
    write_delta(tmp_path, "trusted/sales", schemas.SALES, sold(), sold(line=2))

    result = judge(tmp_path, trusted_checks, DAY_1, only="trusted/sales")[RECONCILED]

    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.WARN
    assert "rejected_sales does not exist" in result.description


def test_a_line_neither_sold_nor_rejected_is_shown_by_its_day(judged):
    results = judged(items=[*GOOD["items"], captured(DAY_2, line=2)])

    assert failures(results) == {
        RECONCILED: [{"day": DAY_2, "captured": "2", "sold": "1", "rejected": "0"}]
    }
    assert results[RECONCILED].description == "1 row breaks the rule."
    assert results[RECONCILED].metadata["breaking"].value == 1


def test_a_day_that_lost_all_its_lines_is_shown(judged):
    assert failures(judged(sales=[sold()])) == {
        RECONCILED: [{"day": DAY_2, "captured": "1", "sold": "0", "rejected": "0"}]
    }


def test_a_line_that_was_never_captured_is_shown_by_its_day(judged):
    assert failures(judged(rejects=[rejected(), rejected(DAY_2)])) == {
        RECONCILED: [{"day": DAY_2, "captured": "1", "sold": "1", "rejected": "1"}]
    }


def test_a_line_sold_on_a_day_without_captured_lines_is_shown(judged):
    results = judged(items=[captured(), captured(line=2)], rejects=[rejected()])

    assert failures(results) == {
        RECONCILED: [{"day": DAY_2, "captured": "0", "sold": "1", "rejected": "0"}]
    }


def test_a_line_sold_twice_is_shown(judged):
    results = judged(sales=[sold(), sold()], rejects=[], items=[captured(), captured(line=2)])

    assert failures(results) == {
        SOLD_ONCE: [{"sale_date": DAY_1, "cart_id": "1", "line_number": "1", "times": "2"}]
    }


@pytest.mark.parametrize(
    ("price", "quantity", "revenue"),
    [
        ("1.10", 2, "2.21"),
        ("-1.10", 2, "-2.20"),
        ("1.10", 0, "0.00"),
        ("1.10", -1, "-1.10"),
        (None, 2, "2.20"),
        ("1.10", None, "2.20"),
        ("1.10", 2, None),
    ],
)
def test_a_wrong_revenue_is_shown(judged, price, quantity, revenue):
    sales = [sold(price=price, quantity=quantity, revenue=revenue), sold(DAY_2)]

    assert failures(judged(sales=sales)) == {
        REVENUE: [
            {
                "sale_date": DAY_1,
                "cart_id": "1",
                "line_number": "1",
                "unit_price": str(price),
                "quantity": str(quantity),
                "revenue": str(revenue),
            }
        ]
    }


def test_a_price_of_zero_is_right(judged):
    assert failures(judged(sales=[sold(price="0.00", revenue="0.00"), sold(DAY_2)])) == {}


@pytest.mark.parametrize("reason", ["too expensive", None])
def test_an_unknown_reason_is_shown(judged, reason):
    assert failures(judged(rejects=[rejected(reason=reason)])) == {
        REASON: [{"reason": str(reason), "lines": "1"}]
    }


@pytest.mark.parametrize("reason", schemas.REJECTION_REASONS)
def test_every_reason_of_the_contract_is_known(judged, reason):
    assert failures(judged(rejects=[rejected(reason=reason)])) == {}


@pytest.mark.parametrize(
    ("periods", "starts"),
    [
        ([priced(until=JAN_1), priced(since=JAN_2)], ["None"]),
        ([priced(until=JAN_2), priced(since=JAN_1)], ["None"]),
        ([priced(until=None), priced(since=JAN_1)], ["None"]),
        ([priced(since=JAN_1)], ["2024-01-01 06:00:00+00:00"]),
        ([priced(until=JAN_1)], ["None"]),
        ([priced(), priced()], ["None", "None"]),
        (
            [priced(until=JAN_1), priced(since=JAN_1, until=JAN_1), priced(since=JAN_1)],
            ["2024-01-01 06:00:00+00:00"],
        ),
    ],
    ids=["gap", "overlap", "no end", "no beginning", "ended", "twice", "no time"],
)
def test_periods_that_do_not_join_are_shown(judged, periods, starts):
    examples = failures(judged(prices=[*periods, priced(product_id=6)]))[ONE_PRICE]

    assert {example["product_id"] for example in examples} == {"5"}
    assert [example["valid_from"] for example in examples] == starts


def test_a_negative_price_is_shown(judged):
    assert failures(judged(prices=[priced("-0.01")])) == {
        NO_NEGATIVE: [{"product_id": "5", "valid_from": "None", "unit_price": "-0.01"}]
    }


def test_only_ten_rows_are_shown_of_many(judged):
    results = judged(prices=[priced("-1.00", product_id=number) for number in range(11)])

    assert len(failures(results)[NO_NEGATIVE]) == 10
    assert results[NO_NEGATIVE].metadata["breaking"].value == 11


def test_days_outside_of_the_run_are_not_judged(judged):
    results = judged(
        DAY_2,
        items=[captured(), captured(DAY_2), captured(DAY_3)],
        sales=[sold(revenue="7.00"), sold(revenue="7.00"), sold(DAY_2)],
        rejects=[rejected(DAY_3, reason="?"), rejected(DAY_3, reason="?")],
    )

    assert set(results) == ALL
    assert failures(results) == {}


@pytest.mark.parametrize(
    ("asset", "checks"),
    [
        ("trusted/sales", {RECONCILED, SOLD_ONCE, REVENUE, FEW_REJECTED, NOT_NEARLY_ALL}),
        ("trusted/rejected_sales", {REASON, WITH_CART}),
    ],
)
def test_the_checks_of_one_asset_run_alone(judged, asset, checks):
    assert set(judged(only=asset)) == checks


def test_the_checks_of_prices_need_no_days(tmp_path):
    write_parquet(tmp_path, "raw/relational/products", relational.PRODUCTS, known(5))
    write_delta(tmp_path, "trusted/product_prices", schemas.PRODUCT_PRICES, priced("-1.00"))

    results = judge(tmp_path, trusted_checks, only="trusted/product_prices")

    assert set(results) == {HISTORY, ONE_PRICE, NO_NEGATIVE}
    assert set(failures(results)) == {NO_NEGATIVE}
