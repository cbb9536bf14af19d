"""Tests of `storepipe_dagster.automation`: what asks for the refined tables, and what does not."""

import time

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill

from storepipe_dagster.automation import AFTER_ALL_CHANGES, AFTER_CHANGES
from storepipe_dagster.definitions import build_definitions
from storepipe_dagster.sensors import REFINED_FOLLOWS_SALES
from storepipe_dagster.settings import read_settings

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-02-01")
SINGLE_RUN = dg.BackfillPolicy.single_run()
REFINED = ["by_day", "by_city", "report"]
OF_ONE_DAY = {"by_day": {"2020-01-02"}, "by_city": {None}}


def days_of(first, last):
    return {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }


class Shop:
    """A graph in the shape of ours, its history, and the sensor's ticks on it."""

    def __init__(self):
        self.instance = dg.DagsterInstance.ephemeral()
        self.rows_are_good = True
        self.cursor = None
        self.fails = None

        @dg.asset(partitions_def=DAYS, backfill_policy=SINGLE_RUN)
        def sales() -> None:
            pass

        @dg.multi_asset_check(
            name="rules",
            specs=[dg.AssetCheckSpec("are_good", asset="sales", blocking=True)],
        )
        def rules():
            if self.rows_are_good is None:
                raise ConnectionError
            yield dg.AssetCheckResult(passed=self.rows_are_good)

        @dg.asset(
            partitions_def=DAYS,
            backfill_policy=SINGLE_RUN,
            deps=[sales],
            automation_condition=AFTER_CHANGES,
        )
        def by_day() -> None:
            pass

        @dg.asset(deps=[sales], automation_condition=AFTER_CHANGES)
        def by_city() -> None:
            if self.fails == "by_city":
                raise ConnectionError

        @dg.asset(deps=[by_day, by_city], automation_condition=AFTER_ALL_CHANGES)
        def report() -> None:
            pass

        self.defs = dg.Definitions([sales, by_day, by_city, report], asset_checks=[rules])
        assert self.tick() == {}

    def run(self, *assets, first="2020-01-02", last=None):
        job = self.defs.resolve_implicit_global_asset_job_def()
        keys = {dg.AssetKey(asset) for asset in assets}
        tags = days_of(first, last) if last else {"dagster/partition": first}
        return job.get_subset(asset_selection=keys).execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        )

    def tick(self):
        """What is asked for now, by asset."""
        done = dg.evaluate_automation_conditions(self.defs, self.instance, cursor=self.cursor)
        self.cursor = done.cursor
        asked = {key: done.get_requested_partitions(dg.AssetKey(key)) for key in REFINED}
        return {key: partitions for key, partitions in asked.items() if partitions}


@pytest.fixture
def shop():
    shop = Shop()
    yield shop
    shop.instance.dispose()


def test_refined_tables_follow_sales_of_a_past_day_and_then_the_report_follows_them(shop):
    shop.run("sales")

    assert shop.tick() == OF_ONE_DAY
    shop.run("by_day")
    shop.run("by_city")
    assert shop.tick() == {"report": {None}}
    shop.run("report")
    assert shop.tick() == {}


def test_a_range_of_days_is_asked_for_at_once(shop):
    shop.run("sales", first="2020-01-02", last="2020-01-03")

    assert shop.tick() == {"by_day": {"2020-01-02", "2020-01-03"}, "by_city": {None}}


def test_what_is_asked_for_is_not_asked_for_again(shop):
    shop.run("sales")
    shop.tick()

    assert set(shop.tick()) <= {"report"}


@pytest.mark.parametrize("selected", [True, False])
def test_a_run_that_made_both_asks_for_nothing(shop, selected):
    everything = ["sales", *REFINED]
    if selected:
        assert shop.run(*everything).success
    else:  # as a schedule's run, which selects nothing in particular
        job = shop.defs.resolve_implicit_global_asset_job_def()
        job.execute_in_process(instance=shop.instance, tags={"dagster/partition": "2020-01-02"})

    assert [shop.tick(), shop.tick()] == [{}, {}]


def test_days_that_were_never_made_hold_nothing_up(shop):
    assert len(shop.instance.get_materialized_partitions(dg.AssetKey("sales"))) == 0
    shop.run("sales", first="2020-01-31")

    assert shop.tick() == {"by_day": {"2020-01-31"}, "by_city": {None}}


def test_sales_that_break_a_rule_are_not_passed_on_until_they_are_mended(shop):
    shop.rows_are_good = False
    shop.run("sales")
    assert [shop.tick(), shop.tick()] == [{}, {}]

    shop.rows_are_good = True
    shop.run("sales")
    assert shop.tick() == OF_ONE_DAY


def test_sales_that_nobody_has_judged_are_not_passed_on(shop):
    shop.rows_are_good = None
    shop.run("sales")
    assert shop.tick() == {}

    shop.rows_are_good = True
    shop.run("sales")
    assert shop.tick() == OF_ONE_DAY


@pytest.mark.parametrize("good", [False, None])
def test_a_day_that_broke_a_rule_or_was_not_judged_waits_when_another_day_is_good(shop, good):
    shop.rows_are_good = good
    shop.run("sales")
    shop.rows_are_good = True
    shop.run("sales", first="2020-01-05")
    assert shop.tick() == {"by_day": {"2020-01-05"}}  # by_city would have the bad day in it

    shop.run("sales")
    assert shop.tick() == OF_ONE_DAY


def test_a_table_that_failed_does_not_hold_the_report_up(shop):
    shop.run("sales")
    shop.tick()
    shop.run("by_day")
    shop.fails = "by_city"
    shop.run("by_city")

    assert shop.tick() == {"report": {None}}


def test_the_runs_of_a_backfill_ask_only_once_it_has_ended(shop):
    backfill = backfill_of(shop, "sales", ["2020-01-02", "2020-01-03"])
    shop.instance.add_backfill(backfill)
    shop.run("sales", first="2020-01-02")
    assert shop.tick() == {}

    shop.run("sales", first="2020-01-03")
    shop.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    asked = shop.tick()
    assert asked == {"by_day": {"2020-01-02", "2020-01-03"}, "by_city": {None}}


def backfill_of(shop, asset, days):
    """A backfill that has been asked for and has materialised nothing yet."""
    graph, key = shop.defs.resolve_asset_graph(), dg.AssetKey(asset)
    return PartitionBackfill.from_asset_partitions(
        "abc",
        graph,
        partition_names=days,
        asset_selection=[key],
        backfill_timestamp=time.time(),
        tags={},
        dynamic_partitions_store=shop.instance,
        all_partitions=False,
        title=None,
        description=None,
        run_config=None,
    )


@pytest.fixture(scope="module")
def graph():
    return build_definitions(read_settings()).resolve_asset_graph()


def test_every_refined_table_and_nothing_else_follows_by_itself(graph):
    following = {
        key.to_user_string(): graph.get(key).automation_condition
        for key in graph.get_all_asset_keys()
        if graph.get(key).automation_condition
    }
    refined = {
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).group_name == "refined"
    }

    assert set(following) == refined
    assert following.pop("refined/store_report") == AFTER_ALL_CHANGES
    assert set(following.values()) == {AFTER_CHANGES}


def test_one_sensor_looks_after_them_all_and_is_off_until_it_is_switched_on(graph):
    sensor = REFINED_FOLLOWS_SALES

    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED
    assert sensor.asset_selection.resolve(graph) == {
        key for key in graph.get_all_asset_keys() if graph.get(key).group_name == "refined"
    }
