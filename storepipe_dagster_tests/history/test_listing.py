"""Tests of `storepipe_dagster.history.listing`: versions for people."""

from datetime import datetime, timezone

from storepipe_dagster.history import listing
from storepipe_dagster.history.versions import Version

TIME = datetime(2020, 1, 1, 12, tzinfo=timezone.utc)
FOUR_DAYS = ("2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04")


def version(number, operation="WRITE", days=(), missing=0, run=None):
    return Version(number, TIME, operation, 5, None, days, 7, missing, run)


def listed(versions, *names):
    rows = [dict(zip(listing.COLUMNS, row, strict=True)) for row in listing.as_rows(versions)]
    return [tuple(row[name] for name in names) for row in rows]


def test_the_newest_version_comes_first_with_what_it_did():
    versions = [version(0, "CREATE TABLE"), version(1, days=FOUR_DAYS[:2], missing=1)]
    names = ("version", "time", "operation", "rows_added", "rows_removed", "rows", "readable")
    assert listed(versions, *names) == [
        (1, TIME, "WRITE", 5, None, 7, False),
        (0, TIME, "CREATE TABLE", 5, None, 7, True),
    ]


def test_few_days_are_named_and_many_counted():
    versions = [version(0), version(1, days=FOUR_DAYS[:2]), version(2, days=FOUR_DAYS)]
    assert listed(versions, "days") == [
        ("4 days, 2020-01-01 to 2020-01-04",),
        ("2020-01-01, 2020-01-02",),
        ("",),
    ]


def test_a_version_has_the_run_that_its_commit_names():
    versions = [version(0, "CREATE TABLE"), version(1, run="mine")]
    assert listed(versions, "run_id") == [("mine",), (None,)]
