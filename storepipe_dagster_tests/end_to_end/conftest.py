"""Homes on each deployment, and the demo, made once for all tests that only look at it."""

import json
from datetime import datetime, time, timedelta, timezone

import pytest
from filelock import FileLock

from storepipe_dagster.store.process import store_process
from storepipe_dagster.store.server import running_store
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.end_to_end.dagster_services import (
    Scheduled,
    ShopWithABadDay,
    dagster_services,
)
from storepipe_dagster_tests.servers.mariadb import LEAST

NOBODY = "http://127.0.0.1:9"  # the discard port


@pytest.fixture(scope="session", params=["local", "azure"])
def new_home(request, tmp_path_factory):
    """Makes an empty home: a folder and SQLite, or Azurite and MariaDB with no right too many."""

    def make(api_url=NOBODY, **extra):
        path = tmp_path_factory.mktemp(request.param)
        if request.param == "local":
            return Home(path, api_url, extra)
        database = request.getfixturevalue("mariadb").create_database(grants=LEAST)
        account = request.getfixturevalue("azurite").new_account()
        variables = {
            "DAGSTER_DEPLOYMENT": "azure",
            "AZURE_STORAGE_CONNECTION_STRING": account.connection_string,
            **database.environment(),
        }
        return Home(path, api_url, variables | extra)

    return make


@pytest.fixture(scope="session")
def shop_url():
    """A synthetic store with carts on ten days."""
    with store_process(carts=1500, days=10, seed=3) as url:
        yield url


@pytest.fixture(scope="session")
def clean(shop_url, tmp_path_factory, worker_id):
    """The tables of a run over these days that nothing disturbed, on a laptop; made once."""
    own = tmp_path_factory.mktemp("clean")
    tables = (own if worker_id == "master" else own.parent.parent) / "clean.json"
    with FileLock(f"{tables}.lock"):
        if not tables.exists():
            home = Home(own, shop_url)
            home.run("2020-01-01", "2020-01-10")
            tables.write_text(json.dumps(home.tables()))
    return json.loads(tables.read_text())


@pytest.fixture(scope="session")
def demo(new_home):
    """A home that the demo made, and what the command said."""
    home = new_home()
    return home, home.command("demo", "--carts", "1200", "--days", "40", "--seed", "5")


@pytest.fixture(scope="session")
def tick():
    """When the daily schedule was due last."""
    two = datetime.combine(datetime.now(timezone.utc), time(2), timezone.utc)
    return two if two <= datetime.now(timezone.utc) else two - timedelta(days=1)


@pytest.fixture(scope="session")
def days(tick):
    """A week of days; the last one is what the schedule's tick is for, and was not made yet."""
    return [str(tick.date() - timedelta(days=ago)) for ago in range(7, 0, -1)]


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def scheduled(dagster, days, tick):
    """The schedule is due, the day is late, a run holds up the queue and is cancelled then."""
    dagster.start_sensor("late_day")
    due = ("refined/sales_by_day", "the_due_day_is_there")
    missing = dagster.once(lambda: dagster.check(*due))
    ShopWithABadDay.opened.clear()
    held = dagster.materialise(None, "raw/users")
    dagster.run(held, "STARTED")
    waiting = dagster.materialise(days[0], "trusted/sales")
    dagster.switch_on_in_time("store_pipeline_daily", "0 2 * * *", tick - timedelta(minutes=5))
    (run,) = dagster.once(lambda: dagster.runs(schedule_name="store_pipeline_daily"))
    dagster.run(run["runId"], "QUEUED")
    dagster.terminate(held)
    ShopWithABadDay.opened.set()
    dagster.run(run["runId"])
    dagster.run(waiting)
    return Scheduled(held, waiting, run["runId"], run["tags"], missing)
