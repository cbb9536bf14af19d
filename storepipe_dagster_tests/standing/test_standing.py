"""Tests of `storepipe_dagster.standing.standing`: what counts of all that an instance knows."""

import json

import pytest

from storepipe_dagster.standing.standing import Standing
from storepipe_dagster.standing.troubles import State
from storepipe_dagster_tests.standing.small_graph import (
    ALL,
    AWAY,
    DEFS,
    REFUSED,
    Book,
    carts,
    day,
    sales,
    sales_by_city,
)


def test_nothing_stands_where_every_day_was_made(book):
    assert book.list() == []


def test_days_are_unfit_if_rows_that_are_there_broke_a_rule(book):
    book.run(4, check=True)
    book.run(5, sales=REFUSED)  # the rows of the run before are there
    assert book.standing().unfit_days(sales.key) == {"2020-01-04"}
    assert book.standing().unfit_days(carts.key) == set()

    book.run(4)
    assert book.standing().unfit_days(sales.key) == set()


def test_a_repaired_day_is_no_more_in_the_list(book):
    book.run(4, carts=AWAY)
    book.run(4)

    assert book.list() == []


def test_a_failed_check_is_no_more_in_the_list_once_the_day_was_made_well(book):
    book.run(4, check=True)
    book.run(4)

    assert book.list() == []


def test_a_failure_after_a_success_stands_and_the_last_failure_is_the_reason(book):
    book.run(4, sales_by_day=AWAY)
    book.run(4, sales_by_day=REFUSED)

    assert [line[3:] for line in book.told()] == [("permanent", "The database refuses: no.")]


def test_a_cancelled_run_does_not_hide_an_earlier_failure(book):
    book.run(4, sales_by_day=AWAY)
    book.instance.report_run_canceled(book.waiting(4))

    assert [line[:4] for line in book.told()] == [
        ("refined/sales_by_day", "04-04", "failed", "passing")
    ]


def test_a_run_that_waits_or_was_cancelled_in_the_queue_hides_no_check_that_failed_since(book):
    waiting = []
    book.run(4, sales=lambda: waiting.append(book.waiting(4)), check=True)
    why = "every_line_is_sold_once failed. 2 rows break the rule."
    failed = ("trusted/sales", "04-04", "failed", "permanent", why)

    assert failed in book.told()
    assert book.standing().unfit_days(sales.key) == {"2020-01-04"}
    book.instance.report_run_canceled(*waiting)
    assert failed in book.told()
    assert book.standing().unfit_days(sales.key) == {"2020-01-04"}


def test_rows_that_broke_a_rule_are_unfit_until_they_are_made_again_and_not_only_asked_for(book):
    book.run(4, check=True)
    book.waiting(4)

    assert ("trusted/sales", "04-04", "in progress") in [line[:3] for line in book.told()]
    assert book.standing().unfit_days(sales.key) == {"2020-01-04"}


def test_of_an_instance_without_runs_everything_is_missing(empty_book):
    assert [line[:3] for line in empty_book.told()] == [
        ("raw/carts", "01-10", "missing"),
        ("trusted/sales", "01-10", "missing"),
        ("refined/sales_by_city", "", "missing"),
        ("refined/sales_by_day", "01-10", "missing"),
    ]
    assert set(empty_book.repairs()) == {
        f"storepipe run --from 2020-01-01 --to 2020-01-10 --select '{ALL}'"
    }


def test_the_first_day_is_the_first_that_was_made_or_asked_for(empty_book):
    graph = DEFS.resolve_asset_graph()
    assert Standing(empty_book.instance, graph).first_day == "2020-01-01"
    empty_book.run(6)
    assert Standing(empty_book.instance, graph).first_day == "2020-01-06"
    empty_book.run(4, carts=AWAY)
    assert Standing(empty_book.instance, graph).days_until("2020-01-05") == [
        "2020-01-04",
        "2020-01-05",
    ]


def test_a_day_that_a_roll_back_took_away_is_missing_until_it_is_made_again(book):
    book.roll_back(4)

    assert [line[:3] for line in book.told()] == [("trusted/sales", "04-04", "missing")]
    assert book.told()[0][4] == "A roll back went to a version without it."
    assert set(book.repairs()) == {
        "storepipe run --from 2020-01-04 --to 2020-01-04 --select 'key:\"trusted/sales\"'"
    }
    book.run(4)
    assert book.list() == []


def test_what_failed_before_a_roll_back_is_no_reason_and_what_failed_after_it_is(empty_book):
    empty_book.run(4, only=["trusted/sales"], sales=REFUSED)
    empty_book.run(1, 10)
    empty_book.roll_back(4)
    assert [line[4] for line in empty_book.told()] == ["A roll back went to a version without it."]

    empty_book.run(4, only=["trusted/sales"], sales=REFUSED)
    assert [line[2:] for line in empty_book.told()] == [
        ("failed", "permanent", "The database refuses: no.")
    ]


def test_a_day_that_came_back_and_broke_a_rule_stands_until_it_is_judged_to_be_well(book):
    book.judge(4, 5, check=True)
    assert [line[:3] for line in book.told()] == [("trusted/sales", "04-05", "failed")]
    assert book.standing().unfit_days(sales.key) == {"2020-01-04", "2020-01-05"}

    book.judge(5)
    assert [line[:3] for line in book.told()] == [("trusted/sales", "04-04", "failed")]


POSTGRES = {
    "username": {"env": "DAGSTER_POSTGRES_USER"},
    "password": {"env": "DAGSTER_POSTGRES_PASSWORD"},
    "hostname": {"env": "DAGSTER_POSTGRES_HOST"},
    "port": {"env": "DAGSTER_POSTGRES_PORT"},
    "db_name": {"env": "DAGSTER_POSTGRES_DB"},
}


@pytest.fixture
def production_book(postgres, tmp_path, monkeypatch, open_home):
    """A book on the storage of production, PostgreSQL."""
    for name, value in postgres.create_database().environment().items():
        monkeypatch.setenv(name, value)
    configuration = {"storage": {"postgres": {"postgres_db": POSTGRES}}}
    (tmp_path / "dagster.yaml").write_text(json.dumps(configuration))
    with open_home(tmp_path) as instance:
        yield Book(instance)


def test_it_is_told_from_the_history_of_production(production_book):
    production_book.run(1, 3, check=True)
    production_book.run(1, 3)
    production_book.run(1, 3, only=["refined/sales_by_day"], sales_by_day=AWAY)
    production_book.run(2, only=["refined/sales_by_day"])

    assert [line[:4] for line in production_book.told(1, 3)] == [
        ("refined/sales_by_day", "01-01", "failed", "passing"),
        ("refined/sales_by_day", "03-03", "failed", "passing"),
    ]


def test_what_was_materialized_and_does_not_exist_any_more_is_missing(book):
    days = {day(number) for number in range(1, 11)}
    existing = {carts.key: {*days}, sales.key: days - {day(4)}, sales_by_city.key: set()}

    lines = Standing(book.instance, DEFS.resolve_asset_graph(), existing).lines(sorted(days))

    gone = "It was materialized, and does not exist any more."
    assert [
        (line.asset, line.first, line.state, line.reason, line.repair.partition("--select ")[2])
        for line in lines
    ] == [
        (sales.key, day(4), State.MISSING, gone, "'key:\"trusted/sales\"+'"),
        (sales_by_city.key, None, State.MISSING, gone, "'key:\"refined/sales_by_city\"'"),
    ]


def test_a_failure_that_came_later_counts_more_than_that_a_day_does_not_exist(book):
    book.run(4, sales=REFUSED)
    existing = {sales.key: {day(number) for number in range(1, 11)} - {day(4)}}

    (line, *_) = Standing(book.instance, DEFS.resolve_asset_graph(), existing).lines([day(4)])

    assert (line.asset, line.state) == (sales.key, State.FAILED)


def test_a_day_that_was_not_materialized_again_is_missing_if_it_does_not_exist(book):
    book.run(4, carts=AWAY)
    existing = {sales.key: {day(number) for number in range(1, 11)} - {day(4)}}

    lines = Standing(book.instance, DEFS.resolve_asset_graph(), existing).lines([day(4)])

    assert {line.asset: line.state for line in lines}[sales.key] is State.MISSING
