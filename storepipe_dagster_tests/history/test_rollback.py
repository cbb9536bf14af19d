"""Tests of rolling a table back, as the job that does it."""

import logging
import signal
from contextlib import contextmanager

import dagster as dg
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from storepipe_dagster.asset_metadata import ROW_COUNT, SIZE
from storepipe_dagster.history.judging import JUDGES
from storepipe_dagster.history.ops import RollBackError, RulesBrokenError
from storepipe_dagster.history.rollback import NothingToRollBackError
from storepipe_dagster.history.tables import NoSuchTableError, NoSuchVersionError
from storepipe_dagster.partitions import FIRST_DAY, LAST_DAY
from storepipe_dagster_tests.history.conftest import PRODUCTS, REJECTED, SALES
from storepipe_dagster_tests.history.small_graph import ROLL_BACK_TABLE
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)


def told(metadata, *names):
    return tuple(metadata[name].value for name in names)


def materialized(instance, key):
    """What the history of an asset in Dagster tells of roll backs, by day."""
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
        if "rolled_back_from" in record.asset_materialization.metadata
    }


def taken_away(instance, key):
    """The days of which the history tells that a version did not have them."""
    records = instance.fetch_observations(key, limit=100).records
    return {record.partition_key: record.asset_observation.description for record in records}


def wrote(instance, *written):
    """A run that tells of (table, day, version) that it wrote; gives its id."""

    @dg.op
    def write(context):
        for key, day, version in written:
            event = dg.AssetMaterialization(key, partition=day, metadata={"delta_version": version})
            context.log_event(event)

    return (
        dg.GraphDefinition("w", node_defs=[write])
        .to_job()
        .execute_in_process(instance=instance)
        .run_id
    )


def warnings_of(instance, run_id):
    return [
        entry.user_message for entry in instance.all_logs(run_id) if entry.level == logging.WARNING
    ]


def judged(instance):
    """The spans of the runs that judged, and what they found of each check."""
    runs = instance.get_runs(dg.RunsFilter(tags=JUDGES))
    spans = sorted((run.tags.get(FIRST_DAY), run.tags.get(LAST_DAY)) for run in runs)
    found = {
        evaluation.check_name: evaluation.passed
        for run in reversed(runs)
        for entry in instance.all_logs(
            run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION
        )
        for evaluation in [entry.dagster_event.asset_check_evaluation_data]
    }
    return spans, found


@on_both
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
    assert materialized(instance, SALES) == {"2020-01-02": (new, old, new + 1, 1)}


def test_what_the_ui_plots_of_a_table_goes_on_with_a_roll_back(tables, run, instance):
    old = tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (1, "1.10"), (2, "2.20"))
    run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    (record,) = instance.fetch_materializations(SALES, limit=1).records
    rows, size = told(record.asset_materialization.metadata, ROW_COUNT, SIZE)
    assert (rows, size > 0) == (1, True)


def test_a_day_that_the_version_does_not_have_is_told_to_be_missing(tables, run, instance):
    old = tables.sell("2020-01-01", (1, "1.10"))
    for day in ("2020-01-02", "2020-01-03"):
        new = tables.sell(day, (2, "2.20"))
    done = run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    told = f"Rolled back from version {new} to version {old}, which does not have it."
    assert materialized(instance, SALES) == {}
    assert taken_away(instance, SALES) == {"2020-01-02": told, "2020-01-03": told}
    assert warnings_of(instance, done.run_id)[:2] == [
        f"trusted.sales is as it was at version {old}.",
        (
            "It did not have 2 of the days from 2020-01-02 to 2020-01-03, which are missing now. "
            "To make them: storepipe run --from 2020-01-02 --to 2020-01-03 "
            "--select 'key:\"trusted/sales\"+'"
        ),
    ]
    assert judged(instance) == ([], {})


def test_a_day_that_had_been_made_without_rows_comes_back_without_rows(tables, run, instance):
    old = tables.sell_nothing("2020-01-02")
    wrote(instance, (SALES, "2020-01-02", old))
    new = tables.sell("2020-01-02", (2, "2.20"))
    wrote(instance, (SALES, "2020-01-02", new))
    run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    assert materialized(instance, SALES)["2020-01-02"] == (new, old, new + 1, 0)
    assert taken_away(instance, SALES) == {}


def test_a_version_that_a_roll_back_made_does_not_have_what_that_took_away(tables, run, instance):
    first = tables.sell("2020-01-01", (1, "1.10"))
    wrote(instance, (SALES, "2020-01-01", first))
    second = tables.sell("2020-01-02", (2, "2.20"))
    wrote(instance, (SALES, "2020-01-02", second))
    run(ROLL_BACK_TABLE, table="trusted.sales", version=first)
    third = tables.sell("2020-01-02", (2, "9.90"))
    wrote(instance, (SALES, "2020-01-02", third))
    run(ROLL_BACK_TABLE, table="trusted.sales", version=second + 1)
    assert {*taken_away(instance, SALES)} == {"2020-01-02"}
    assert len(instance.fetch_observations(SALES, limit=9).records) == 2


def test_what_comes_back_is_judged_and_only_that(tables, run, instance):
    tables.sell("2019-12-31", (9, "-1.00"))
    for day in ("2020-01-01", "2020-01-02", "2020-01-04"):
        old = tables.sell(day, (1, "1.10"))
    for day in ("2020-01-01", "2020-01-02", "2020-01-04"):
        tables.sell(day, (1, "9.90"))
    tables.sell("2020-01-03", (1, "9.90"))
    run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    assert judged(instance) == (
        [("2020-01-01", "2020-01-02"), ("2020-01-04", "2020-01-04")],
        {"no_revenue_is_negative": True, "no_cart_is_rejected_and_sold": True},
    )


def test_rows_that_break_a_rule_come_back_and_the_run_fails_and_says_so(tables, run, instance):
    old = tables.sell("2020-01-01", (1, "-1.10"))
    new = tables.sell("2020-01-01", (1, "1.10"))
    message = (
        rf"^trusted\.sales is as it was at version {old}, and not well: trusted/sales: "
        r"no_revenue_is_negative failed\. 1 row breaks the rule\. To take the roll back back: "
        rf"storepipe rollback trusted\.sales --to-version {new}$"
    )
    with pytest.raises(RulesBrokenError, match=message):
        run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    assert tables.rows(SALES) == [("2020-01-01", "1", "-1.10")]
    assert judged(instance)[1]["no_revenue_is_negative"] is False
    assert {*materialized(instance, SALES)} == {"2020-01-01"}


def test_a_table_that_agrees_no_more_with_its_sibling_is_told(tables, run):
    old = tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (2, "1.10"))
    tables.reject("2020-01-01", (1, "1.10"))
    with pytest.raises(RulesBrokenError, match="no_cart_is_rejected_and_sold failed"):
        run(ROLL_BACK_TABLE, table="trusted.sales", version=old)


@only_in_a_folder
def test_rows_that_could_not_be_judged_are_no_success(tables, run, lake):
    old = tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (2, "1.10"))
    tables.reject("2020-01-01", (3, "1.10"))
    for file in tables.delta(REJECTED).file_uris():
        lake.files.rm_file(file.removeprefix("file://"))
    with pytest.raises(RulesBrokenError, match="Not judged: the log of run"):
        run(ROLL_BACK_TABLE, table="trusted.sales", version=old)


def test_the_sibling_and_what_follows_are_named_with_their_commands(tables, run, instance):
    old = (
        tables.sell("2020-01-01", (1, "1.10"), run="old"),
        tables.reject("2020-01-01", (2, "1.10"), run="old"),
    )
    new = (
        tables.sell("2020-01-01", (3, "1.10"), run="new"),
        tables.reject("2020-01-01", (4, "1.10"), run="new"),
    )
    wrote(instance, (SALES, "2020-01-01", new[0]), (REJECTED, "2020-01-01", new[1]))

    done = run(ROLL_BACK_TABLE, table="trusted.sales", version=old[0])
    sibling = (
        "Made together with it: trusted/rejected_sales. "
        f"storepipe rollback trusted.rejected_sales --to-version {old[1]}"
    )
    follows = (
        "Made from it: refined/sales_by_day, refined/sales_by_product. storepipe run "
        "--from 2020-01-01 --to 2020-01-01 "
        '--select \'key:"trusted/sales"+ and not key:"trusted/sales"\''
    )
    assert warnings_of(instance, done.run_id)[1:] == [sibling, follows]
    newest = instance.get_latest_materialization_event(SALES).asset_materialization
    assert newest.metadata["to_bring_along"].value == f"{sibling}\n{follows}"

    done = run(ROLL_BACK_TABLE, table="trusted.rejected_sales", version=old[1])
    assert warnings_of(instance, done.run_id)[1:] == []


def test_a_sibling_whose_version_is_not_known_is_to_be_looked_up(tables, run, instance):
    old = tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (2, "1.10"))
    done = run(ROLL_BACK_TABLE, table="trusted.sales", version=old)
    assert warnings_of(instance, done.run_id)[1] == (
        "Made together with it: trusted/rejected_sales. Which version goes with trusted.sales, "
        "tells: storepipe history trusted.rejected_sales"
    )


@only_in_a_folder
def test_a_table_that_is_in_no_graph_any_more_goes_back_too(tables, run, instance, lake):
    path = lake.path(dg.AssetKey(["refined", "old"]))
    lake.files.makedirs(path)
    for number in (1, 2):
        write_deltalake(path, pa.table({"number": [number]}), mode="overwrite")
    done = run(ROLL_BACK_TABLE, table="refined.old", version=0)
    assert DeltaTable(path).to_pyarrow_table().to_pylist() == [{"number": 1}]
    assert warnings_of(instance, done.run_id) == ["refined.old is as it was at version 0."]


def test_the_selection_of_what_follows_is_all_that_is_made_from_a_table():
    from storepipe_dagster.graph import GRAPH  # noqa: PLC0415  # slow
    from storepipe_dagster.runs import selected_assets  # noqa: PLC0415  # slow

    following = dg.AssetSelection.assets(SALES).downstream(include_self=False).resolve(GRAPH)
    chosen = selected_assets('key:"trusted/sales"+ and not key:"trusted/sales"')
    assert {*chosen} == following
    assert len(following) == 10


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


@contextmanager
def at_most(seconds):
    """Ends what would wait for ever by an exception."""

    def give_up(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@only_in_a_folder
def test_its_validation_does_not_wait_for_the_slot_that_it_holds_itself(tables, lake):
    version = tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (1, "2.20"))
    pools = {"concurrency": {"pools": {"granularity": "op", "default_limit": 1}}}
    config = {
        "ops": {"roll_back_table": {"config": {"table": "trusted.sales", "version": version}}}
    }
    with dg.instance_for_test(overrides=pools) as instance, at_most(60):
        done = ROLL_BACK_TABLE.execute_in_process(config, instance, resources={"lake": lake})
        assert done.success
        assert len(judged(instance)[0]) == 1
