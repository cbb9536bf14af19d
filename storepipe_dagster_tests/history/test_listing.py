"""Tests of `storepipe_dagster.history.listing`: versions for people, and the runs behind them."""

from datetime import datetime, timezone

import dagster as dg

from storepipe_dagster.history import listing
from storepipe_dagster.history.versions import Version
from storepipe_dagster_tests.history.conftest import SALES

TIME = datetime(2020, 1, 1, 12, tzinfo=timezone.utc)
FOUR_DAYS = ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04")


def version(number, operation="WRITE", days=(), missing=0, run=None):
    return Version(number, TIME, operation, 5, None, days, 7, missing, run)


def listed(versions, runs, *names):
    rows = listing.as_table(versions, runs).to_pylist()
    return [tuple(row[name] for name in names) for row in rows]


def test_the_newest_version_comes_first_with_what_it_did():
    versions = [version(0, "CREATE TABLE"), version(1, days=FOUR_DAYS[:2], missing=1)]
    names = ("version", "time", "operation", "rows_added", "rows_removed", "rows", "readable")
    assert listed(versions, {}, *names) == [
        (1, TIME, "WRITE", 5, None, 7, False),
        (0, TIME, "CREATE TABLE", 5, None, 7, True),
    ]


def test_few_days_are_named_and_many_counted():
    versions = [version(0), version(1, days=FOUR_DAYS[:2]), version(2, days=FOUR_DAYS)]
    assert listed(versions, {}, "days") == [
        ("4 days, 2020-01-01 to 2020-01-04",),
        ("2020-01-01, 2020-01-02",),
        ("",),
    ]


def test_a_version_has_the_run_that_it_names_or_else_the_run_that_told_of_it():
    versions = [version(0, "CREATE TABLE"), version(1), version(2, run="mine"), version(3)]
    assert listed(versions, {1: "first", 2: "not this"}, "run_id") == [
        (None,),
        ("mine",),
        ("first",),
        (None,),
    ]


def test_the_runs_are_those_of_the_newest_materialisations(instance, monkeypatch):
    monkeypatch.setattr(listing, "EVENTS_AT_A_TIME", 1)

    def materialize(day, number):
        @dg.op
        def tell(context):
            metadata = {} if number is None else {"delta_version": number}
            context.log_event(dg.AssetMaterialization(SALES, partition=day, metadata=metadata))

        @dg.job
        def run():
            tell()

        return run.execute_in_process(instance=instance).run_id

    materialize("2020-01-01", 1)
    first, second = materialize("2020-01-02", 1), materialize("2020-01-01", 2)
    materialize("2020-01-03", None)
    assert listing.runs_by_version(instance, SALES, 9) == {1: first, 2: second}
    assert listing.runs_by_version(instance, SALES, 1) == {2: second}
