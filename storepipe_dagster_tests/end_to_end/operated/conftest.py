"""Dagster's own services on a week of days: started once for the tests here, ended after them."""

from datetime import datetime, time, timedelta, timezone

import pytest

from storepipe_dagster.store.server import running_store
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.end_to_end.operated.dagster_services import (
    Scheduled,
    ShopWithABadDay,
    dagster_services,
)


@pytest.fixture(scope="package")
def tick():
    """When the daily schedule was due last."""
    two = datetime.combine(datetime.now(timezone.utc), time(2), timezone.utc)
    return two if two <= datetime.now(timezone.utc) else two - timedelta(days=1)


@pytest.fixture(scope="package")
def days(tick):
    """A week of days; the last one is what the schedule's tick is for, and was not made yet."""
    return [str(tick.date() - timedelta(days=ago)) for ago in range(7, 0, -1)]


@pytest.fixture(scope="package")
def dagster(days, tick, tmp_path_factory):
    """Dagster's services on a home where the first six days were made by a command."""
    first_day = tick.date() - timedelta(days=7)
    shop = ShopWithABadDay(carts=420, days=7, seed=3, first_day=first_day)
    shop.opened.set()
    with running_store(shop) as url:
        extra = {"STOREPIPE_START_DATE": days[0], "STOREPIPE_DAY_DEADLINE": "02:00"}
        home = Home(tmp_path_factory.mktemp("operated"), url, extra)
        home.run(days[0], days[-2])
        with dagster_services(home) as services:
            yield services


@pytest.fixture(scope="package")
def scheduled(dagster, days, tick):
    """The schedule is due and its day late; a run holds up it and a backfill, and is cancelled."""
    dagster.start_sensor("late_day")
    due = ("refined/sales_by_day", "the_due_day_is_there")
    missing = dagster.once(lambda: dagster.check(*due))
    ShopWithABadDay.opened.clear()
    held = dagster.materialise(None, "raw/users")
    dagster.run(held, "STARTED")
    backfill = dagster.backfill([days[0], days[2]], "trusted/sales")
    dagster.once(
        lambda: [run["status"] for run in dagster.runs(backfill=backfill)] == ["QUEUED"] * 2
    )
    dagster.switch_on_in_time("store_pipeline_daily", "0 2 * * *", tick - timedelta(minutes=5))
    (run,) = dagster.once(lambda: dagster.runs(schedule_name="store_pipeline_daily"))
    dagster.run(run["runId"], "QUEUED")
    dagster.terminate(held)
    ShopWithABadDay.opened.set()
    dagster.run(run["runId"])
    dagster.backfilled(backfill)
    return Scheduled(held, backfill, run["runId"], run["tags"], missing)
