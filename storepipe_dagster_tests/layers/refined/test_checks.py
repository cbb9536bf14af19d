"""Tests of `storepipe_dagster.layers.refined.checks`."""

from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest

from storepipe_dagster import partitions
from storepipe_dagster.layers.refined import schemas
from storepipe_dagster.layers.refined.checks import (
    RULES,
    refined_checks,
    the_due_day_is_there,
)
from storepipe_dagster.layers.relational.schemas import CARTS
from storepipe_dagster.layers.trusted.schemas import SALES
from storepipe_dagster.partitions import DAYS
from storepipe_dagster.settings import read_settings
from storepipe_dagster_tests.layers.literal_lake import (
    failures,
    judge,
    write_delta,
    write_parquet,
)

DAY_1, DAY_2, DAY_3 = "2024-01-01", "2024-01-02", "2024-01-03"
EQUAL = "every_day_equals_trusted_sales"
BY_DAY = ("refined/sales_by_day", EQUAL)
FAR_BELOW = ("refined/sales_by_day", "no_day_is_far_below_the_week_before")
TOTALS = "the_totals_equal_trusted_sales"
ONCE = "every_key_stands_once"
MISSING = "no_day_is_missing"
OF_ALL_DAYS = {
    ("refined/sales_by_category", MISSING),
    ("refined/sales_by_product", MISSING),
    ("refined/sales_by_city", MISSING),
    ("refined/customer_segments", MISSING),
    ("refined/customer_cohorts", MISSING),
    ("refined/product_affinity", MISSING),
}
ALL = OF_ALL_DAYS | {
    BY_DAY,
    FAR_BELOW,
    ("refined/sales_by_cart", EQUAL),
    ("refined/sales_by_product_day", EQUAL),
    ("refined/sales_by_cart", ONCE),
    ("refined/sales_by_product_day", ONCE),
    ("refined/sales_by_category", TOTALS),
    ("refined/sales_by_product", TOTALS),
    ("refined/sales_by_city", TOTALS),
    ("refined/customer_segments", TOTALS),
    ("refined/sales_by_category", ONCE),
    ("refined/sales_by_product", ONCE),
    ("refined/sales_by_city", ONCE),
    ("refined/customer_segments", ONCE),
    ("refined/customer_cohorts", ONCE),
    ("refined/product_affinity", ONCE),
}


def sold(day, cart_id, user_id, product_id, quantity, revenue):
    at = f"{day} 06:00:00"
    product = (product_id, "Hat", "clothing", "1.10")
    return (day, cart_id, 1, at, user_id, "Rome", *product, quantity, revenue)


def of_cart(day, cart_id, lines, units, revenue):
    return (day, cart_id, 8, "Rome", lines, units, revenue, [5], ["clothing"])


def of_product_day(day, product_id, lines, units, revenue):
    return (day, product_id, "Hat", "clothing", lines, units, revenue)


def of_day(day, lines, units, revenue):
    return (day, 1, 1, lines, units, revenue, revenue)


def of_category(category, units, revenue):
    return (category, 1, 1, 1, units, revenue, 0.5)


def of_product(product_id, units, revenue):
    return (product_id, "Hat", "clothing", 1, units, revenue, 1, 0.5, 0.5, "A")


def of_city(city, units, revenue):
    return (city, 1, 1, units, revenue)


def of_user(user_id, revenue):
    return (user_id, DAY_1, DAY_2, 0, 1, revenue, 5, 5, 5, "champion")


def of_cohort(month, months_since):
    return (month, months_since, 2, 1, 0.5)


def of_pair(product_id, other):
    return (product_id, other, 2, 0.5, 0.5, 1.0)


TABLES = {
    "sales": ("trusted/sales", SALES),
    "carts": ("refined/sales_by_cart", schemas.SALES_BY_CART),
    "product_days": ("refined/sales_by_product_day", schemas.SALES_BY_PRODUCT_DAY),
    "days": ("refined/sales_by_day", schemas.SALES_BY_DAY),
    "categories": ("refined/sales_by_category", schemas.SALES_BY_CATEGORY),
    "products": ("refined/sales_by_product", schemas.SALES_BY_PRODUCT),
    "cities": ("refined/sales_by_city", schemas.SALES_BY_CITY),
    "users": ("refined/customer_segments", schemas.CUSTOMER_SEGMENTS),
    "cohorts": ("refined/customer_cohorts", schemas.CUSTOMER_COHORTS),
    "pairs": ("refined/product_affinity", schemas.PRODUCT_AFFINITY),
}
GOOD = {
    "sales": [sold(DAY_1, 1, 8, 5, 2, "2.20"), sold(DAY_2, 2, 9, 6, 1, "1.10")],
    "carts": [of_cart(DAY_1, 1, 1, 2, "2.20"), of_cart(DAY_2, 2, 1, 1, "1.10")],
    "product_days": [
        of_product_day(DAY_1, 5, 1, 2, "2.20"),
        of_product_day(DAY_2, 6, 1, 1, "1.10"),
    ],
    "days": [of_day(DAY_1, 1, 2, "2.20"), of_day(DAY_2, 1, 1, "1.10")],
    "categories": [of_category("clothing", 2, "2.20"), of_category("shoes", 1, "1.10")],
    "products": [of_product(5, 2, "2.20"), of_product(6, 1, "1.10")],
    "cities": [of_city("Rome", 2, "2.20"), of_city("Oslo", 1, "1.10")],
    "users": [of_user(8, "2.20"), of_user(9, "1.10")],
    "cohorts": [of_cohort(DAY_1, 0), of_cohort(DAY_1, 1), of_cohort("2024-02-01", 0)],
    "pairs": [of_pair(5, 6), of_pair(5, 7), of_pair(6, 7)],
}


@pytest.fixture
def judged(tmp_path):
    """The results on good tables, but for those that are given; made are the days with rows."""

    def results(*days, only=None, made=(), **tables):
        for name, rows in (GOOD | tables).items():
            write_delta(tmp_path, *TABLES[name], *rows)
        made = {*made, *(row[0] for row in (GOOD | tables)["days"])}
        return judge(tmp_path, refined_checks, *(days or (DAY_1, DAY_2)), only=only, made=made)

    return results


def test_every_rule_is_known_here_and_all_but_the_warnings_are_blocking():
    assert {(key.to_user_string(), name) for key, name in RULES} == ALL
    not_blocking = {spec.name for spec in refined_checks.check_specs if not spec.blocking}
    assert not_blocking == {FAR_BELOW[1], MISSING}


def test_a_day_between_others_that_was_never_materialized_is_a_warning_on_all_days(judged):
    results = judged(carts=[of_cart(DAY_1, 1, 1, 2, "2.20"), of_cart(DAY_3, 2, 1, 1, "1.10")])

    told = {rule: results[rule].description for rule in OF_ALL_DAYS}
    assert set(told.values()) == {
        f"refined/sales_by_cart lacks {DAY_2} to {DAY_2}: storepipe run --from {DAY_2} --to {DAY_2}"
    }
    assert {results[rule].passed for rule in OF_ALL_DAYS} == {False}
    assert {results[rule].severity for rule in OF_ALL_DAYS} == {dg.AssetCheckSeverity.WARN}


def test_a_day_that_was_extracted_and_not_sold_is_a_warning_on_all_days(judged, tmp_path):
    days = ("2023-12-31", DAY_1, DAY_2, DAY_3)
    carts = [(day, 1, 1, f"{day} 06:00:00", 8) for day in days]
    write_parquet(tmp_path, "raw/relational/carts", CARTS, *carts)

    assert judged()["refined/sales_by_city", MISSING].description == (
        "refined/sales_by_cart lacks 2023-12-31 to 2023-12-31: "
        "storepipe run --from 2023-12-31 --to 2023-12-31; "
        f"refined/sales_by_cart lacks {DAY_3} to {DAY_3}: storepipe run --from {DAY_3} --to {DAY_3}"
    )


def test_a_day_that_was_sold_and_not_summed_up_is_a_warning_on_all_days(judged):
    sales = [*GOOD["sales"], sold(DAY_3, 3, 9, 6, 1, "0.00")]

    assert judged(sales=sales)["refined/sales_by_city", MISSING].description == (
        f"refined/sales_by_cart lacks {DAY_3} to {DAY_3}: storepipe run --from {DAY_3} --to {DAY_3}"
    )


def test_good_tables_pass_every_check(judged):
    results = judged()

    assert set(results) == ALL
    assert failures(results) == {}


def test_tables_without_rows_pass_every_check(judged):
    results = judged(**dict.fromkeys(TABLES, ()))

    assert set(results) == ALL
    assert failures(results) == {}


def test_a_day_that_differs_from_its_sales_is_shown_beside_them(judged):
    wrong = [(2, 1, "1.10"), (1, 2, "1.10"), (1, 1, "1.11")]
    results = judged(
        *(DAY_1, DAY_3),
        only=BY_DAY[0],
        sales=[sold(day, 1, 8, 5, 1, "1.10") for day in (DAY_1, DAY_2, DAY_3)],
        days=[of_day(day, *of) for day, of in zip((DAY_1, DAY_2, DAY_3), wrong, strict=True)],
    )

    examples = {tuple(row.values()) for row in failures(results)[BY_DAY]}
    assert {day for day, *_ in examples} == {DAY_1, DAY_2, DAY_3}
    assert examples <= {
        *((day, "1", "1", "1.10") for day in (DAY_1, DAY_2, DAY_3)),
        (DAY_1, "2", "1", "1.10"),
        (DAY_2, "1", "2", "1.10"),
        (DAY_3, "1", "1", "1.11"),
    }


def with_week_before(revenue, *, carts_before=30, day=date(2024, 1, 8)):
    """A day's revenue, after 10.00 on the same weekday before."""
    days = {str(day - timedelta(days=7)): (carts_before, "10.00"), str(day): (1, revenue)}
    return {
        "days": [(day, carts, 1, 1, 1, total, total) for day, (carts, total) in days.items()],
        "sales": [sold(day, 1, 8, 5, 1, total) for day, (_, total) in days.items()],
    }


def test_a_day_of_less_than_half_of_the_week_before_is_a_warning_that_says_so(judged):
    results = judged("2024-01-08", only=BY_DAY[0], **with_week_before("4.99"))

    assert not results[FAR_BELOW].passed
    assert results[FAR_BELOW].severity == dg.AssetCheckSeverity.WARN
    assert results[FAR_BELOW].description == (
        "2024-01-08: revenue 4.99, 50 % below that of Monday 2024-01-01"
    )


WEEK_BEFORE = {"days": [("2024-01-01", 30, 1, 1, 1, "10.00", "10.00")]}


@pytest.mark.parametrize("made", [["2024-01-08"], []])
def test_a_day_without_any_sales_is_far_below_if_it_was_made(judged, made):
    found = judged("2024-01-08", only=BY_DAY[0], made=made, **WEEK_BEFORE)[FAR_BELOW]

    assert found.passed == (not made)
    if made:
        assert found.description == (
            "2024-01-08: revenue 0.00, 100 % below that of Monday 2024-01-01"
        )


def test_yesterday_s_warning_does_not_go_with_a_run_of_another_day(judged):
    yesterday = date.fromisoformat(DAYS.get_last_partition_key())
    low = with_week_before("1.00", day=yesterday)

    found = judged(DAY_1, only=BY_DAY[0], **low)[FAR_BELOW]
    assert f"{yesterday}: revenue 1.00" in found.description


@pytest.mark.parametrize(("revenue", "carts_before"), [("5.00", 30), ("0.01", 29)])
def test_half_of_the_week_before_or_few_carts_then_are_no_warning(judged, revenue, carts_before):
    week = with_week_before(revenue, carts_before=carts_before)
    results = judged("2024-01-08", only=BY_DAY[0], **week)

    assert results[FAR_BELOW].passed


# A row of a day with lines, units and revenue, in each of the tables by day.
ROW_OF = {
    "days": of_day,
    "carts": lambda day, *measures: of_cart(day, int(day[-1]), *measures),
    "product_days": lambda day, *measures: of_product_day(day, 4 + int(day[-1]), *measures),
}


@pytest.mark.parametrize("table", ROW_OF)
def test_a_day_that_is_missing_is_shown(judged, table):
    asset = TABLES[table][0]
    results = judged(only=asset, **{table: [ROW_OF[table](DAY_1, 1, 2, "2.20")]})

    assert failures(results) == {
        (asset, EQUAL): [{"sale_date": DAY_2, "lines": "1", "units": "1", "revenue": "1.10"}]
    }


@pytest.mark.parametrize("table", ROW_OF)
def test_a_day_that_is_there_twice_is_shown(judged, table):
    asset = TABLES[table][0]
    results = judged(only=asset, **{table: [*GOOD[table], ROW_OF[table](DAY_2, 1, 1, "1.10")]})

    shown = sorted(row["revenue"] for row in failures(results)[asset, EQUAL])
    assert shown == ["1.10", "2.20"]


@pytest.mark.parametrize("table", ROW_OF)
def test_a_day_without_sales_is_shown(judged, table):
    asset = TABLES[table][0]
    rows = [*GOOD[table], ROW_OF[table](DAY_3, 1, 1, "1.10")]
    results = judged(DAY_1, DAY_3, only=asset, **{table: rows})

    assert failures(results) == {
        (asset, EQUAL): [{"sale_date": DAY_3, "lines": "1", "units": "1", "revenue": "1.10"}]
    }


def test_days_outside_of_the_run_are_not_judged(judged):
    days = (DAY_1, DAY_1, DAY_2, DAY_3)
    rows = {table: [of(day, 1, 1, "1.10") for day in days] for table, of in ROW_OF.items()}
    results = judged(DAY_2, **rows)

    assert set(results) == ALL
    assert failures(results) == {}


def test_totals_that_miss_sales_are_shown(judged):
    results = judged(
        categories=[of_category("clothing", 2, "2.20")],
        products=[of_product(5, 2, "2.20")],
        cities=[of_city("Rome", 2, "2.20")],
        users=[of_user(8, "2.20")],
    )

    assert failures(results) == {
        ("refined/sales_by_category", TOTALS): [{"units": "2", "revenue": "2.20"}],
        ("refined/sales_by_product", TOTALS): [{"units": "2", "revenue": "2.20"}],
        ("refined/sales_by_city", TOTALS): [{"units": "2", "revenue": "2.20"}],
        ("refined/customer_segments", TOTALS): [{"revenue": "2.20"}],
    }


def test_totals_of_more_than_was_sold_fail(judged):
    results = judged(
        categories=[*GOOD["categories"], of_category("other", 0, "0.01")],
        products=[*GOOD["products"], of_product(7, 1, "0.00")],
        cities=[*GOOD["cities"], of_city("Bonn", 1, "0.01")],
    )

    assert set(failures(results)) == {
        ("refined/sales_by_category", TOTALS),
        ("refined/sales_by_product", TOTALS),
        ("refined/sales_by_city", TOTALS),
    }


def test_an_empty_table_of_a_shop_that_sold_is_shown(judged):
    assert failures(judged(only="refined/sales_by_city", cities=[])) == {
        ("refined/sales_by_city", TOTALS): [{"units": "0", "revenue": "0.00"}]
    }


def test_a_key_that_stands_twice_is_shown(judged):
    results = judged(
        carts=[of_cart(DAY_1, 1, 0, 0, "0.00"), of_cart(DAY_1, 1, 1, 2, "2.20"), GOOD["carts"][1]],
        product_days=[of_product_day(DAY_1, 5, 0, 0, "0.00"), *GOOD["product_days"]],
        categories=[of_category("shoes", 1, "1.10"), of_category("shoes", 2, "2.20")],
        products=[of_product(5, 1, "1.10"), of_product(5, 2, "2.20")],
        cities=[of_city("Rome", 1, "1.10"), of_city("Rome", 2, "2.20")],
        users=[of_user(8, "1.10"), of_user(8, "2.20")],
        cohorts=[of_cohort(DAY_1, 1), of_cohort(DAY_1, 1)],
        pairs=[of_pair(5, 6), of_pair(5, 6)],
    )

    assert failures(results) == {
        ("refined/sales_by_cart", ONCE): [{"sale_date": DAY_1, "cart_id": "1", "times": "2"}],
        ("refined/sales_by_product_day", ONCE): [
            {
                "sale_date": DAY_1,
                "product_id": "5",
                "product_title": "Hat",
                "category": "clothing",
                "times": "2",
            }
        ],
        ("refined/sales_by_category", ONCE): [{"category": "shoes", "times": "2"}],
        ("refined/sales_by_product", ONCE): [{"product_id": "5", "times": "2"}],
        ("refined/sales_by_city", ONCE): [{"city": "Rome", "times": "2"}],
        ("refined/customer_segments", ONCE): [{"user_id": "8", "times": "2"}],
        ("refined/customer_cohorts", ONCE): [
            {"cohort_month": DAY_1, "months_since_first": "1", "times": "2"}
        ],
        ("refined/product_affinity", ONCE): [
            {"product_id": "5", "other_product_id": "6", "times": "2"}
        ],
    }


@pytest.mark.parametrize(
    ("asset", "names"),
    [
        ("refined/sales_by_cart", {EQUAL, ONCE}),
        ("refined/sales_by_day", {BY_DAY[1], FAR_BELOW[1]}),
        ("refined/sales_by_city", {TOTALS, ONCE, MISSING}),
        ("refined/product_affinity", {ONCE, MISSING}),
    ],
)
def test_the_checks_of_one_asset_run_alone(judged, asset, names):
    assert set(judged(only=asset)) == {(asset, name) for name in names}


def test_the_check_of_a_table_without_days_needs_no_days_and_no_other_table(tmp_path):
    write_delta(tmp_path, *TABLES["pairs"], of_pair(5, 6), of_pair(5, 6))

    results = judge(tmp_path, refined_checks, only="refined/product_affinity")

    assert set(failures(results)) == {("refined/product_affinity", ONCE)}


@pytest.mark.parametrize(("deadline", "days"), [("00:00", 1), ("23:59:59.999999", 2)])
def test_the_day_judged_by_hand_is_the_one_that_is_due(tmp_path, monkeypatch, deadline, days):
    write_delta(tmp_path, "refined/sales_by_day", schemas.SALES_BY_DAY)
    monkeypatch.setenv("STOREPIPE_DAY_DEADLINE", deadline)
    monkeypatch.setattr(partitions, "settings", read_settings)

    (found,) = judge(tmp_path, the_due_day_is_there).values()

    due = datetime.now(timezone.utc).date() - timedelta(days=days)
    assert str(due) in found.description


def test_the_due_day_can_be_judged_by_hand_and_is_a_warning_only(tmp_path):
    write_delta(tmp_path, "refined/sales_by_day", schemas.SALES_BY_DAY)

    (found,) = judge(tmp_path, the_due_day_is_there).values()

    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert found.description.endswith(" are not there.")
