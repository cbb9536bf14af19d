"""Backfills of parts, started by GraphQL as the UI does: each touches what was asked for."""

from pathlib import PurePath

import pytest

from storepipe_dagster_tests.end_to_end.operated.dagster_services import made

SALES = "trusted/sales"
CHILDREN = [
    "refined/customer_cohorts",
    "refined/customer_segments",
    "refined/product_affinity",
    "refined/sales_by_cart",
    "refined/sales_by_category",
    "refined/sales_by_city",
    "refined/sales_by_day",
    "refined/sales_by_product",
    "refined/sales_by_product_day",
]
BY_DAY = {"refined/sales_by_cart", "refined/sales_by_day", "refined/sales_by_product_day"}


@pytest.fixture
def touched(dagster):
    """Tells in which folders of the lake files came, changed or went since the test began."""
    before = dagster.home.files()

    def folders():
        after = dagster.home.files()
        changed = [name for name in before | after if before.get(name) != after.get(name)]
        return {str(PurePath(name).parent) for name in changed}

    return folders


def folders_of(*days):
    return {f"{SALES}/_delta_log", *(f"{SALES}/sale_date={day}" for day in days)}


@pytest.mark.slow
def test_three_separate_days_of_one_asset_are_three_runs_of_just_these(dagster, days, touched):
    wanted = [days[0], days[2], days[4]]
    tables = dagster.home.tables()

    backfill = dagster.backfill(wanted, SALES)

    assert dagster.backfilled(backfill) == "COMPLETED_SUCCESS"
    runs = dagster.runs(backfill=backfill)
    assert [made([run]) for run in runs] == [[(SALES, day)] for day in wanted]
    assert touched() == folders_of(*wanted)
    assert dagster.home.tables() == tables


def test_a_range_of_days_is_one_run(dagster, days, touched):
    wanted = days[1:4]

    backfill = dagster.backfill(wanted, SALES)

    assert dagster.backfilled(backfill) == "COMPLETED_SUCCESS"
    (run,) = dagster.runs(backfill=backfill)
    assert made([run]) == [(SALES, day) for day in wanted]
    assert touched() == folders_of(*wanted)


def test_of_a_backfill_only_the_failed_day_is_made_again(dagster, days, touched):
    bad, good = days[1], days[3]
    extract = f"raw/relational/cart_items/cart_date={bad}/data.parquet"
    whole = dagster.home.read(extract)
    tables = dagster.home.tables()

    dagster.home.write(extract, b"not Parquet")
    backfill = dagster.backfill([bad, good], SALES)
    ended = dagster.backfilled(backfill)
    failed, counted = touched(), dagster.days(SALES)
    dagster.home.write(extract, whole)
    again = dagster.backfill_again(backfill)

    assert ended == "COMPLETED_FAILED"
    runs = {run["status"]: run for run in dagster.runs(backfill=backfill)}
    assert {status: made([run]) for status, run in runs.items()} == {
        "FAILURE": [],
        "SUCCESS": [(SALES, good)],
    }
    assert failed == folders_of(good) | {str(PurePath(extract).parent)}
    assert counted == {"numMaterialized": 5, "numFailed": 1}  # a day is either, though rows stay
    assert dagster.backfilled(again) == "COMPLETED_SUCCESS"
    assert made(dagster.runs(backfill=again)) == [(SALES, bad)]
    tried_again = [run["parentRunId"] for run in dagster.runs()]
    assert runs["FAILURE"]["runId"] not in tried_again  # by the daemon
    assert dagster.days(SALES) == {"numMaterialized": 6, "numFailed": 0}
    assert dagster.home.tables() == tables


@pytest.mark.slow
def test_what_follows_is_made_without_what_it_is_made_of(dagster, days, touched):
    backfill = dagster.backfill([days[2]], *CHILDREN)

    assert dagster.backfilled(backfill) == "COMPLETED_SUCCESS"
    assert made(dagster.runs(backfill=backfill)) == [
        (key, days[2] if key in BY_DAY else "") for key in CHILDREN
    ]
    tables = {PurePath(folder).parts[:2] for folder in touched()}
    assert tables == {tuple(key.split("/")) for key in CHILDREN}
