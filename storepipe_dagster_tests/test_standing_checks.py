"""Tests of `storepipe_dagster.standing_checks`, and of the sensor that keeps them."""

from datetime import date, datetime, time, timezone

import dagster as dg
import deltalake
import pyarrow as pa
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.execution.api import execute_run_iterator

from storepipe_dagster import standing_checks as module
from storepipe_dagster.definitions import defs
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.jobs import CALENDAR, JOBS
from storepipe_dagster.layers.mysql import schemas
from storepipe_dagster.resources.database import DatabaseBusyError
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster.sensors import standing_list
from storepipe_dagster.standing_checks import NAME, WITH_DAYS, standing_checks

DEADLINE = time(4)
SALES_BY_DAY = dg.AssetKey(["refined", "sales_by_day"])
CHECK = dg.AssetCheckKey(SALES_BY_DAY, NAME)
MARCH_10 = datetime(2020, 3, 10, 12, tzinfo=timezone.utc)
GRAPH = defs.resolve_asset_graph()
FILES = {
    "capture_files": "20200310T010000.000000Z.json",
    "pages": "index.html",
    "parquet": "data.parquet",
}


class Watch:
    """An instance in which days are made or fail, what exists, and the ticks of the sensor."""

    def __init__(self, instance, home):
        self.instance = instance
        self.lake = Lake(root=str(home / "lake"))
        self.database = SqliteDatabase(path=str(home / "store.db"))
        self.now, self.cursor = MARCH_10, None

    def made(self, *days, keys=WITH_DAYS):
        for day in days:
            for key in keys:
                self.instance.report_runless_asset_event(
                    dg.AssetMaterialization(key, partition=day)
                )
                self._make(key, day)
            rows = {schemas.CARTS: [], schemas.CART_ITEMS: []}
            self.database.replace_day(
                day, "cart_date", rows, capture="20200310T010000.000000Z.json"
            )

    def made_without_days(self):
        for key in GRAPH.materializable_asset_keys - {*WITH_DAYS}:
            self.instance.report_runless_asset_event(dg.AssetMaterialization(key))
            self._make(key)
        for table in (schemas.PRODUCTS, schemas.USERS):
            self.database.upsert(table, [], capture=FILES["capture_files"])

    def _make(self, key, day=None):
        manager = GRAPH.get(key).assets_def.get_io_manager_key_for_asset_key(key)
        if manager == "delta":
            dates = pa.array([day or "2020-03-08"], pa.string()).cast(pa.date32())
            deltalake.write_deltalake(
                self.lake.path(key),
                pa.table({"sale_date": dates, "revenue": [1]}),
                partition_by=["sale_date"] if day else None,
                mode="append",
            )
        elif manager in FILES:
            path = self.lake.day_path(key, "cart_date", day, FILES[manager])
            with self.lake.write(path) as file:
                file.write(b"[]")

    def failed(self, day):
        """A run of refined/sales_by_day that does not get to its end."""

        @dg.asset(key=SALES_BY_DAY, partitions_def=GRAPH.get(SALES_BY_DAY).partitions_def)
        def sales_by_day() -> None:
            raise DatabaseBusyError("The database is away. Run again.")

        job = dg.Definitions([sales_by_day]).resolve_implicit_global_asset_job_def()
        tags = {"dagster/partition": day}
        return job.execute_in_process(
            instance=self.instance, tags=tags, raise_on_error=False
        ).run_id

    def tick(self):
        """What the sensor reports, by asset."""
        with dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            definitions=defs,
            resources={"lake": self.lake, "database": self.database},
        ) as context:
            found = standing_list(DEADLINE, lambda: self.now).evaluate_tick(context)
        self.cursor = found.cursor or self.cursor
        for event in found.asset_events:
            self.instance.report_runless_asset_event(event)
        return {event.asset_key: event for event in found.asset_events}


@pytest.fixture
def watch(tmp_path):
    with dg.DagsterInstance.ephemeral() as instance:
        watch = Watch(instance, tmp_path)
        watch.made_without_days()
        yield watch


def test_every_asset_with_days_has_its_list():
    with_days = {key for key in GRAPH.materializable_asset_keys if GRAPH.get(key).partitions_def}

    assert {*WITH_DAYS} == with_days == {key.asset_key for key in standing_checks.check_keys}


def test_the_list_is_in_no_job():
    made = [defs.resolve_job_def(job.name) for job in JOBS]
    checks = {key for job in made for key in job.asset_layer.asset_graph.asset_check_keys}

    assert checks
    assert not checks & {*standing_checks.check_keys}
    assert {*standing_checks.check_keys} <= CALENDAR.resolve_checks(GRAPH)


def test_where_every_day_is_there_the_list_is_empty_and_said_once(watch):
    watch.made("2020-03-08", "2020-03-09")

    told = watch.tick()
    assert {*told} == {*WITH_DAYS}
    assert {(event.passed, event.description) for event in told.values()} == {
        (True, "Every day is there.")
    }
    assert watch.tick() == {}


def test_a_failed_day_is_a_warning_on_its_asset_with_the_reason_the_repair_and_the_run(watch):
    watch.made("2020-03-08", "2020-03-09")
    watch.tick()
    run_id = watch.failed("2020-03-08")

    (event,) = watch.tick().values()
    assert (event.asset_key, event.check_name) == (SALES_BY_DAY, NAME)
    assert (event.passed, event.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert event.description == (
        "Days: 1 failed. 2020-03-08 to 2020-03-08 failed: The database is away. Run again."
    )
    (record,) = event.metadata["list"].records
    assert record.data == {
        "first_day": "2020-03-08",
        "last_day": "2020-03-08",
        "days": 1,
        "state": "failed",
        "failure": "passing",
        "reason": "The database is away. Run again.",
        "run_id": run_id,
        "repair": "storepipe run --from 2020-03-08 --to 2020-03-08 "
        "--select 'key:\"refined/sales_by_day\"'",
    }
    links = [value for value in event.metadata.values() if hasattr(value, "run_id")]
    assert [link.run_id for link in links] == [run_id]


def test_a_repaired_day_leaves_the_list(watch):
    watch.made("2020-03-08", "2020-03-09")
    watch.failed("2020-03-08")
    assert not watch.tick()[SALES_BY_DAY].passed
    watch.made("2020-03-08", keys=[SALES_BY_DAY])

    assert [event.passed for event in watch.tick().values()] == [True]
    history = watch.instance.event_log_storage.get_asset_check_execution_history(CHECK, limit=9)
    assert len(history) == 2


def test_a_day_is_missing_only_once_it_is_due(watch):
    watch.made("2020-03-08")
    watch.now = MARCH_10.replace(hour=3)
    assert watch.tick()[SALES_BY_DAY].passed

    watch.now = MARCH_10.replace(hour=4)
    told = watch.tick()
    assert {*told} == {*WITH_DAYS}
    assert told[SALES_BY_DAY].description == (
        "Days: 1 missing. 2020-03-09 to 2020-03-09 missing: No run was to make it."
    )


def test_a_day_that_does_not_exist_any_more_is_missing(watch):
    watch.made("2020-03-08", "2020-03-09")
    watch.tick()
    watch.lake.files.rm(watch.lake.path(SALES_BY_DAY), recursive=True)

    (event,) = watch.tick().values()
    assert event.asset_key == SALES_BY_DAY
    assert event.description == (
        "Days: 2 missing. 2020-03-08 to 2020-03-09 missing: "
        "It was materialized, and does not exist any more."
    )


def by_hand(instance):
    """What the check of one asset finds in a run of its own."""
    loaded = ReconstructableRepository.for_module("storepipe_dagster.definitions", "defs")
    job = loaded.get_reconstructable_job("__ASSET_JOB").get_subset(
        asset_selection=frozenset(), asset_check_selection={CHECK}
    )
    run = instance.create_run_for_job(
        job.get_definition(),
        asset_selection=frozenset(),
        job_code_origin=job.get_python_origin(),
    )
    events = [*execute_run_iterator(job, run, instance)]
    assert events[-1].event_type == dg.DagsterEventType.RUN_SUCCESS
    (evaluation,) = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    assert evaluation.asset_check_key == CHECK
    return evaluation


@pytest.fixture
def kept_watch(tmp_path):
    with dg.instance_for_test(temp_dir=str(tmp_path)) as instance:
        yield Watch(instance, tmp_path / "home")


def test_the_check_can_be_run_by_hand_for_one_asset(kept_watch):
    assert not by_hand(kept_watch.instance).passed


def test_by_hand_the_last_day_judged_is_the_one_that_is_due(kept_watch, monkeypatch):
    kept_watch.made("2020-03-08")
    monkeypatch.setattr(module, "existing", lambda *_: {})  # the home of the tests is another

    told = []
    for day in (8, 9):
        monkeypatch.setattr(module, "day_due_now", lambda day=day: date(2020, 3, day))
        told.append(by_hand(kept_watch.instance).description)

    assert told == [
        "Every day is there.",
        "Days: 1 missing. 2020-03-09 to 2020-03-09 missing: No run was to make it.",
    ]
