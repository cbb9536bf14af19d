"""Tests of rolling a table back, as the job that does it."""

import dagster as dg
import pytest

from storepipe_dagster.history.ops import RollBackError
from storepipe_dagster.history.rollback import NothingToRollBackError
from storepipe_dagster.history.tables import NoSuchTableError, NoSuchVersionError
from storepipe_dagster.jobs import ROLL_BACK_TABLE
from storepipe_dagster_tests.history.conftest import PRODUCTS, SALES
from storepipe_dagster_tests.io_managers.lakes import only_in_a_folder


def told(metadata, *names):
    return tuple(metadata[name].value for name in names)


def materialized(instance, key):
    """What the history of an asset in Dagster tells, by day."""
    records = instance.fetch_materializations(key, limit=100).records
    return {
        record.partition_key: told(
            record.asset_materialization.metadata,
            "rolled_back_from",
            "rolled_back_to",
            "delta_version",
            "dagster/row_count",
        )
        for record in records
    }


def test_a_table_is_what_it_was_as_a_new_version_and_nothing_is_lost(tables, run, instance):
    old = tables.sell("2020-01-01", (1, "1.10"), (2, "2.20"))
    new = tables.sell("2020-01-01", (1, "9.90"))
    done = run(ROLL_BACK_TABLE, table="trusted/sales", version=old)
    assert tables.rows(SALES) == [("2020-01-01", "1", "1.10"), ("2020-01-01", "2", "2.20")]
    assert tables.rows(SALES, new) == [("2020-01-01", "1", "9.90")]
    newest = tables.versions(SALES)[-1]
    assert (newest.number, newest.operation, newest.run) == (new + 1, "RESTORE", done.run_id)


def test_the_history_of_the_asset_shows_it_for_each_day_that_changed(tables, run, instance):
    tables.sell("2020-01-01", (1, "1.10"))
    old = tables.sell("2020-01-02", (2, "2.20"))
    tables.sell("2020-01-02", (2, "9.90"), (3, "3.30"))
    new = tables.sell("2020-01-03", (4, "4.40"))
    run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    assert materialized(instance, SALES) == {
        "2020-01-02": (new, old, new + 1, 1),
        "2020-01-03": (new, old, new + 1, 0),
    }


def test_a_table_without_days_is_one_entry_in_the_history(tables, run, instance):
    old = tables.rank((1, "Shirt"))
    new = tables.rank((1, "Hat"), (2, "Cap"))
    run(ROLL_BACK_TABLE, table="refined/sales_by_product", version=old)
    assert tables.rows(PRODUCTS) == [("1", "Shirt")]
    assert materialized(instance, PRODUCTS) == {None: (new, old, new + 1, 1)}


@only_in_a_folder
def test_the_refined_tables_follow_a_roll_back_of_the_sales(tables, run, instance):
    from storepipe_dagster.definitions import defs  # noqa: PLC0415  # slow

    def requested(cursor):
        return dg.evaluate_automation_conditions(defs=defs, instance=instance, cursor=cursor)

    old = tables.sell("2020-01-02", (1, "1.10"))
    tables.sell("2020-01-02", (1, "9.90"))
    before = requested(None)
    run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    after = requested(before.cursor)
    by_day = dg.AssetKey(["refined", "sales_by_day"])
    assert before.total_requested == 0
    assert after.get_requested_partitions(by_day) == {"2020-01-02"}


def test_a_table_goes_back_to_a_time(tables, run):
    tables.rank((1, "Shirt"))
    then = tables.versions(PRODUCTS)[-1].time.isoformat()
    tables.rank((1, "Hat"))
    run(ROLL_BACK_TABLE, table="refined.sales_by_product", time=then)
    assert tables.rows(PRODUCTS) == [("1", "Shirt")]


def test_a_roll_back_can_be_rolled_back(tables, run):
    old, new = tables.rank((1, "Shirt")), tables.rank((1, "Hat"))
    run(ROLL_BACK_TABLE, table="refined.sales_by_product", version=old)
    run(ROLL_BACK_TABLE, table="refined.sales_by_product", version=new)
    assert tables.rows(PRODUCTS) == [("1", "Hat")]


@only_in_a_folder
@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"version": 1}, NoSuchVersionError, r"cannot be read at version 1: 1 of its files were"),
        ({"version": 9}, NoSuchVersionError, r"has no version 9; it has 0, 2-3\."),
        ({"version": 3}, NothingToRollBackError, "already as it was at version 3"),
        ({"time": "2001-01-01"}, NoSuchVersionError, "was not there at 2001-01-01"),
        ({"version": 1, "time": "2001-01-01"}, RollBackError, "either a version or a time"),
        ({}, RollBackError, "either a version or a time"),
        ({"version": 1, "table": "trusted.nope"}, NoSuchTableError, "not a Delta table"),
    ],
)
def test_what_cannot_be_done_is_an_error_and_changes_nothing(
    tables, run, instance, config, error, message
):
    for title in ("Shirt", "Hat", "Cap"):
        tables.rank((1, title))
    tables.lose(PRODUCTS, 1)
    with pytest.raises(error, match=message):
        run(ROLL_BACK_TABLE, **{"table": "refined.sales_by_product", **config})
    assert tables.delta(PRODUCTS).version() == 3
    assert tables.rows(PRODUCTS) == [("1", "Cap")]
    assert materialized(instance, PRODUCTS) == {}
