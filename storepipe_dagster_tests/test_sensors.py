"""Tests of `storepipe_dagster.sensors`, on a SQLite instance and a real server for the webhook."""

import json
from datetime import date, datetime, time, timedelta, timezone

import dagster as dg
import deltalake
import pyarrow as pa
import pytest

from storepipe_dagster.definitions import build_definitions
from storepipe_dagster.instance import CONFIGURATION
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.layers.refined.checks import SALES_BY_DAY, THE_DUE_DAY
from storepipe_dagster.partitions import due_day
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.webhook import Webhook
from storepipe_dagster.sensors import late_day, tell_of_changes, tell_of_failures
from storepipe_dagster.settings import read_settings
from storepipe_dagster.times import utc_time
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

SECRET = "hunter2"
PATH = f"/services/{SECRET}"
DEADLINE = time(4)
DAY, WEEK_BEFORE = date(2020, 3, 9), date(2020, 3, 2)
NOON = datetime(2020, 3, 10, 12, tzinfo=timezone.utc)


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def webhook(server):
    return Webhook(
        url=server.url + PATH,
        dagster_url="https://dagster.example",
        first_wait=0,
        longest_wait=0,
    )


@pytest.fixture
def instance(tmp_path, monkeypatch):
    """The instance of a laptop."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(CONFIGURATION)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        yield instance


@pytest.fixture
def lake(tmp_path):
    return Lake(root=str(tmp_path / "lake"))


def texts(server):
    return [json.loads(body)["text"] for body in server.bodies]


# --- late days ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ("2020-03-10T03:59:00Z", date(2020, 3, 8)),
        ("2020-03-10T04:00:00Z", date(2020, 3, 9)),
        ("2020-03-10T23:59:00Z", date(2020, 3, 9)),
        ("2020-03-01T04:00:00Z", date(2020, 2, 29)),
    ],
)
def test_a_day_is_due_at_the_deadline_of_the_day_after_it(now, day):
    assert due_day(utc_time(now), DEADLINE) == day


class Watch:
    """The sensor for late days, its cursor and the days that there are."""

    def __init__(self, instance, lake, webhook):
        self.instance, self.lake, self.webhook = instance, lake, webhook
        self.cursor = None
        self.now = NOON

    def made(self, carts):
        """Write a row for each day with carts; record all of them as materialised."""
        rows = {day: number for day, number in carts.items() if number}
        table = pa.table(
            {
                "sale_date": pa.array(list(rows), pa.date32()),
                "carts": pa.array(list(rows.values()), pa.int64()),
            }
        )
        deltalake.write_deltalake(self.lake.path(SALES_BY_DAY), table, mode="overwrite")
        for day in carts:
            self.instance.report_runless_asset_event(
                dg.AssetMaterialization(SALES_BY_DAY, partition=str(day))
            )

    def tick(self):
        """Evaluate the sensor; gives the results of checks that it reports."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            resources={"lake_sql": LakeSql(lake=self.lake), "webhook": self.webhook},
        ) as context:
            found = late_day(DEADLINE, lambda: self.now).evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        return [(event.passed, event.description) for event in found.asset_events]


@pytest.fixture
def watch(instance, lake, webhook):
    return Watch(instance, lake, webhook)


def test_a_day_that_did_not_come_is_told_once_and_stands_at_the_asset(watch, server, instance):
    missing = "The sales of Monday 2020-03-09 are not there."

    assert [watch.tick(), watch.tick()] == [[(False, missing)], []]
    assert texts(server) == [f"{missing} It was due at 04:00 UTC."]
    (record,) = instance.event_log_storage.get_asset_check_execution_history(THE_DUE_DAY, limit=9)
    evaluation = record.event.dagster_event.asset_check_evaluation_data
    assert (evaluation.passed, evaluation.severity) == (False, dg.AssetCheckSeverity.WARN)


def test_a_day_that_failed_is_told_so(watch, instance):
    run = instance.create_run_for_job(
        dg.Definitions([sales_by_day(fails=True)]).resolve_implicit_global_asset_job_def(),
        tags={"dagster/partition": str(DAY)},
    )
    instance.report_run_failed(run)

    ((_, description),) = watch.tick()
    assert description == "The sales of Monday 2020-03-09 are not there (failed)."


def test_a_day_without_carts_is_told_if_there_were_some_a_week_before(watch, server):
    watch.made({WEEK_BEFORE: 7, DAY: 0})

    assert watch.tick() == [(False, "Monday 2020-03-09 has 0 carts, 2020-03-02 has 7.")]
    assert len(texts(server)) == 1


@pytest.mark.parametrize("carts", [{WEEK_BEFORE: 7, DAY: 1}, {WEEK_BEFORE: 0, DAY: 0}, {DAY: 1}])
def test_a_day_that_came_in_time_passes_the_check_and_is_no_news(watch, server, carts):
    watch.made(carts)

    ((passed, _),) = watch.tick()
    assert passed
    assert watch.tick() == []
    assert texts(server) == []


def test_a_late_day_that_comes_after_all_is_told(watch, server):
    watch.tick()
    watch.made({DAY: 3})

    assert watch.tick() == [(True, "Monday 2020-03-09 has 3 carts, 2020-03-02 has 0.")]
    assert watch.tick() == []
    assert len(texts(server)) == 2


def test_a_day_that_is_missing_and_then_empty_is_told_twice(watch, server):
    watch.tick()
    watch.made({WEEK_BEFORE: 7, DAY: 0})
    watch.tick()
    watch.tick()

    assert [text.split(" It")[0] for text in texts(server)] == [
        "The sales of Monday 2020-03-09 are not there.",
        "Monday 2020-03-09 has 0 carts, 2020-03-02 has 7.",
    ]


def test_before_the_deadline_the_day_before_yesterday_is_judged(watch, server):
    watch.made({date(2020, 3, 8): 1})
    watch.now = NOON.replace(hour=3)

    assert [passed for passed, _ in watch.tick()] == [True]


def test_each_day_is_told_of(watch, server):
    watch.tick()
    watch.now = NOON.replace(day=11)
    watch.tick()

    assert ["Monday" in texts(server)[0], "Tuesday" in texts(server)[1]] == [True, True]


def test_what_the_webhook_did_not_take_is_told_a_minute_later(watch, server):
    server.steps[PATH] = [Step(status=404), Step()]

    assert len(watch.tick()) == 1
    assert watch.tick() == []
    assert len(texts(server)) == 1
    for _ in range(2):
        watch.now += timedelta(minutes=1)
        assert watch.tick() == []
    assert len(texts(server)) == 2


def test_a_webhook_that_refuses_is_told_again_after_growing_pauses_of_an_hour_at_most(
    watch, server
):
    server.steps[PATH] = [Step(status=410)] * 20
    minutes, told = [], 0
    for minute in range(200):
        watch.now = NOON + timedelta(minutes=minute)
        watch.tick()
        if len(texts(server)) > told:
            told = len(texts(server))
            minutes.append(minute)

    assert minutes == [0, 1, 3, 7, 15, 31, 63, 123, 183]


def test_news_do_not_wait_for_a_webhook_that_refused_what_was_before(watch, server):
    server.steps[PATH] = [Step(status=404)] * 3 + [Step()]
    for minute in (0, 1, 3):
        watch.now = NOON + timedelta(minutes=minute)
        watch.tick()
    watch.made({DAY: 3})

    assert len(watch.tick()) == 1
    assert len(texts(server)) == 4
    assert watch.tick() == []
    assert len(texts(server)) == 4


def test_without_a_webhook_a_late_day_stands_at_the_asset_all_the_same(instance, lake):
    watch = Watch(instance, lake, Webhook())

    assert [passed for passed, _ in watch.tick()] == [False]
    assert watch.tick() == []


# --- runs -----------------------------------------------------------------------------------


def sales_by_day(*, fails):
    @dg.asset(
        key=SALES_BY_DAY,
        partitions_def=dg.DailyPartitionsDefinition("2020-01-01"),
    )
    def sales_by_day() -> None:
        if fails:
            raise DatabaseError("The database is not there. Check MYSQL_HOST.")

    return sales_by_day


class Runs:
    """A job of our name, its runs, and a sensor's ticks after them."""

    def __init__(self, instance, sensor, lake, webhook):
        self.instance, self.sensor = instance, sensor
        self.resources = {"lake_sql": LakeSql(lake=lake), "webhook": webhook}
        self.cursor = None
        self.tick()

    def run(self, *, fails=False, **tags):
        job = dg.define_asset_job("store_pipeline")
        defs = dg.Definitions([sales_by_day(fails=fails)], jobs=[job])
        return defs.resolve_job_def("store_pipeline").execute_in_process(
            instance=self.instance,
            raise_on_error=False,
            tags={"dagster/partition": str(DAY), **tags},
        )

    def tick(self):
        defs = dg.Definitions(
            [sales_by_day(fails=False)],
            jobs=[dg.define_asset_job("store_pipeline")],
            sensors=[self.sensor],
        )
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=defs.get_repository_def(),
            resources=self.resources,
        ) as context:
            found = self.sensor.evaluate_tick(context)
        self.cursor = found.cursor
        return found


@pytest.fixture
def after_failures(instance, lake, webhook):
    return Runs(instance, tell_of_failures, lake, webhook)


@pytest.fixture
def after_successes(instance, lake, webhook):
    return Runs(instance, tell_of_changes, lake, webhook)


def test_a_failed_run_is_told_with_its_steps_and_its_link(after_failures, server):
    run = after_failures.run(fails=True)
    after_failures.tick()
    after_failures.tick()

    (text,) = texts(server)
    assert text.splitlines() == [
        "store_pipeline failed: 2020-03-09",
        "• refined/sales_by_day: The database is not there. Check MYSQL_HOST.",
        f"https://dagster.example/runs/{run.run_id}",
    ]


def test_a_run_that_succeeded_is_no_failure(after_failures, server):
    after_failures.run()
    after_failures.tick()

    assert texts(server) == []


def test_a_webhook_that_fails_fails_nothing(after_failures, server):
    server.steps[PATH] = [Step(status=404)]
    after_failures.run(fails=True)
    found = after_failures.tick()

    assert [reaction.error for reaction in found.dagster_run_reactions] == [None]
    after_failures.tick()
    assert server.seen[PATH] == 1


def test_a_scheduled_run_tells_what_it_made(after_successes, server, lake):
    day = pa.array([DAY], pa.date32())
    revenue = pa.array([1234.5]).cast(pa.decimal128(18, 2))
    table = pa.table({"sale_date": day, "revenue": revenue})
    deltalake.write_deltalake(lake.path(SALES_BY_DAY), table)
    run = after_successes.run(**{"dagster/schedule_name": "store_pipeline_daily"})
    after_successes.tick()
    after_successes.tick()

    (text,) = texts(server)
    assert text.splitlines() == [
        "store_pipeline made 2020-03-09",
        "Revenue 1,234.50; Monday 2020-03-02: 0.00",
        "No table has changed.",
        f"https://dagster.example/runs/{run.run_id}",
    ]


def test_other_runs_are_no_news(after_successes, server):
    after_successes.run()
    after_successes.tick()

    assert texts(server) == []


# --- which there are ------------------------------------------------------------------------


ALWAYS = {"refined_follows_sales", "late_day", "standing_list"}


def names(**settings):
    return {sensor.name for sensor in build_definitions(read_settings(**settings)).sensors}


def test_without_a_webhook_there_is_nothing_to_tell_by():
    assert names() == ALWAYS


def test_with_a_webhook_runs_are_told_of(monkeypatch):
    monkeypatch.setenv("STOREPIPE_WEBHOOK_URL", f"https://hooks.example{PATH}")

    assert names() - ALWAYS == {"tell_of_failures", "tell_of_changes"}


def test_every_sensor_is_off_until_it_is_switched_on(monkeypatch):
    monkeypatch.setenv("STOREPIPE_WEBHOOK_URL", f"https://hooks.example{PATH}")
    sensors = build_definitions(read_settings()).sensors

    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.STOPPED}
