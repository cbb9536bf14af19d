"""What the daemon does by itself: the schedule's tick, the queue, sensors, tables that follow."""

from datetime import datetime, timezone

import pytest

from storepipe_dagster_tests.end_to_end.operated.dagster_services import DONE, made
from storepipe_dagster_tests.end_to_end.operated.test_backfills import BY_DAY, CHILDREN, SALES

FOLLOWING = "refined_follows_sales"
REPORT = "refined/store_report"


def test_a_late_day_is_noticed_until_it_comes(dagster, days, scheduled):
    due = ("refined/sales_by_day", "the_due_day_is_there")

    came = dagster.once(lambda: (found := dagster.check(*due)) and found[0] and found)

    assert scheduled.missing[0] is False
    assert days[-1] in scheduled.missing[1]
    assert "not there" in scheduled.missing[1]
    (sold,) = dagster.home.sql(
        f"SELECT carts FROM refined.sales_by_day WHERE sale_date = '{days[-1]}'"
    )
    assert f"{days[-1]} has {sold['carts']} carts" in came[1]


def test_the_schedule_queues_the_day_before_with_its_tags(days, scheduled):
    tags = scheduled.tags_in_queue

    assert tags["dagster/schedule_name"] == "store_pipeline_daily"
    assert tags["dagster/partition"] == days[-1]
    assert tags["dagster/priority"] == "10"


def test_the_scheduled_run_goes_before_a_backfill_that_waited_longer(dagster, scheduled):
    (first,) = [run for run in dagster.runs() if run["runId"] == scheduled.run]
    waited = dagster.runs(backfill=scheduled.backfill)

    assert [run["status"] for run in [first, *waited]] == ["SUCCESS"] * 3
    assert all(first["startTime"] < run["startTime"] for run in waited)
    assert len(made([first])) == 24  # the whole graph


def test_a_cancelled_run_ends_and_makes_room_for_the_next(dagster, scheduled):
    runs = {run["runId"]: run for run in dagster.runs()}

    assert runs[scheduled.held]["status"] == "CANCELED"
    assert made([runs[scheduled.held]]) == []
    assert runs[scheduled.run]["startTime"] > runs[scheduled.held]["startTime"]


@pytest.mark.slow
def test_refined_tables_follow_a_backfill_of_sales_once(dagster, days, scheduled):
    dagster.start_sensor(FOLLOWING)
    # What comes before the first look is no change; a tick that failed (a busy machine) is none.
    dagster.once(lambda: any(tick["status"] == "SKIPPED" for tick in dagster.ticks(FOLLOWING)))
    earlier = {run["runId"] for run in dagster.runs()}

    backfill = dagster.backfill([days[1]], SALES)
    assert dagster.backfilled(backfill) == "COMPLETED_SUCCESS"

    def followers():
        return [
            run
            for run in dagster.runs()
            if run["runId"] not in earlier and run["tags"].get("dagster/backfill") != backfill
        ]

    def is_over():
        runs = followers()
        states = {run["status"] for run in runs}
        reported = any(key == REPORT for key, _ in made(runs))
        return {"FAILURE", "CANCELED"} & states or (reported and states == {"SUCCESS"})

    dagster.once(followers)
    dagster.once(lambda: any(run["status"] in DONE for run in followers()))
    dagster.once(is_over)
    done = datetime.now(timezone.utc).timestamp()
    dagster.once(lambda: sum(tick["timestamp"] > done for tick in dagster.ticks(FOLLOWING)) > 2)

    assert {run["status"] for run in followers()} == {"SUCCESS"}
    assert made(followers()) == sorted(
        [(key, days[1] if key in BY_DAY else "") for key in CHILDREN] + [(REPORT, "")]
    )
