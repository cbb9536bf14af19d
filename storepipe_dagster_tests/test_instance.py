"""Tests of `storepipe_dagster.instance`: the quicker event log tells what Dagster's own tells."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
import yaml

from storepipe_dagster.instance import (
    BATCH_SIZE,
    CONFIGURATION,
    RESERVE,
    RESERVED_BYTES,
    SENSOR_SECONDS,
    BatchingSqliteEventLogStorage,
    InstanceError,
    failure_recorded,
    is_configured,
    open_instance,
    use_dagster_home,
)
from storepipe_dagster.local_disks import DiskError

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-02-01")
RANGE = {
    "dagster/asset_partition_range_start": "2020-01-01",
    "dagster/asset_partition_range_end": "2020-01-03",
}
CARTS, TOTALS = dg.AssetKey("carts"), dg.AssetKey("totals")
CHECK = dg.AssetCheckKey(CARTS, "rows_are_few")
RUN_IN_A_PROCESS = """
from pathlib import Path
from storepipe_dagster.instance import open_instance
from storepipe_dagster_tests.test_instance import run_three_days
print("loaded", flush=True)
for _ in range(3):
    assert run_three_days(open_instance(Path("unused"))).success
"""


@dg.asset(
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    check_specs=[dg.AssetCheckSpec("rows_are_few", asset="carts")],
)
def carts(context: dg.AssetExecutionContext):
    for number, day in enumerate(context.partition_keys):
        context.add_asset_metadata({"rows": number}, asset_key="carts", partition_key=day)
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=False)])


@dg.asset(deps=[carts])
def totals():
    return dg.MaterializeResult(metadata={"total": 3}, tags={"kind": "sum"})


def run_three_days(instance):
    return dg.materialize([carts, totals], instance=instance, tags=RANGE)


@pytest.fixture
def open_with(tmp_path, monkeypatch):
    """Open an instance of its own with a configuration."""
    opened = []

    def open_it(configuration):
        home = tmp_path / str(len(opened))
        home.mkdir()
        (home / "dagster.yaml").write_text(configuration)
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        opened.append(dg.DagsterInstance.get())
        return opened[-1]

    yield open_it
    for instance in opened:
        instance.dispose()


@pytest.fixture
def batching(open_with, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))
    return open_with(CONFIGURATION)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """What an instance on Dagster's own storage answers after the same run."""
    home = tmp_path_factory.mktemp("expected")
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with pytest.MonkeyPatch.context() as here:
        here.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
        here.setenv("DAGSTER_HOME", str(home))
        instance = dg.DagsterInstance.get()
    with instance:
        assert not isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        run_three_days(instance)
        return answers(instance)


def answers(instance):
    """What an instance tells of its runs, without what differs from one run to the next."""
    storage = instance.event_log_storage
    (run,) = instance.get_run_records()
    check = storage.get_asset_check_execution_history(CHECK, limit=9)
    summary = storage.get_asset_check_summary_records([CHECK])[CHECK]
    return {
        "run": (run.dagster_run.status, run.end_time > run.start_time > 0),
        "assets": sorted(instance.all_asset_keys()),
        "partitions": {
            key: sorted(instance.get_materialized_partitions(key)) for key in (CARTS, TOTALS)
        },
        "materializations": [
            (record.partition_key, record.asset_materialization.metadata)
            for key in (CARTS, TOTALS)
            for record in instance.fetch_materializations(key, limit=9).records
        ],
        "latest": [
            (found.asset_key, found.partition, found.metadata, sorted(found.tags))
            for key in (CARTS, TOTALS)
            for found in [instance.get_latest_materialization_event(key).asset_materialization]
        ],
        "by day": instance.get_status_by_partition(CARTS, ["2020-01-03", "2020-01-04"], DAYS),
        "tags": instance.get_event_tags_for_asset(TOTALS, {"kind": "sum"}),
        "checks": [(record.status, record.event.dagster_event_type) for record in check],
        "check": summary.last_check_execution_record.status,
        "log": [
            (entry.dagster_event_type, entry.step_key)
            for entry in instance.all_logs(run.dagster_run.run_id)
        ],
        "status changes": [
            record.event_log_entry.dagster_event_type
            for kind in (dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_SUCCESS)
            for record in instance.fetch_run_status_changes(kind, limit=9).records
        ],
    }


def test_a_run_is_told_as_dagsters_own_storage_tells_it(batching, expected):
    assert isinstance(batching.event_log_storage, BatchingSqliteEventLogStorage)
    run_three_days(batching)
    assert answers(batching) == expected
    assert expected["partitions"][CARTS] == ["2020-01-01", "2020-01-02", "2020-01-03"]


def test_events_are_stored_in_batches(batching, monkeypatch):
    sizes = []
    store = BatchingSqliteEventLogStorage.store_event_batch

    def watched(self, events):
        sizes.append(len(events))
        store(self, events)

    monkeypatch.setattr(BatchingSqliteEventLogStorage, "store_event_batch", watched)
    run_three_days(batching)
    assert max(sizes) >= 3


def test_a_batch_that_fails_is_stored_event_by_event_without_loss_or_repetition(
    batching, expected, monkeypatch, capfd
):
    store = BatchingSqliteEventLogStorage._store_asset_events

    def fail_once_some_are_stored(self, events):
        store(self, events)
        if any(entry.dagster_event.partition == "2020-01-02" for entry in events):
            raise OSError("no space left on device")

    monkeypatch.setattr(
        BatchingSqliteEventLogStorage, "_store_asset_events", fail_once_some_are_stored
    )
    run_three_days(batching)
    assert "no space left on device" in capfd.readouterr().err
    assert answers(batching) == expected


def test_threads_store_batches_side_by_side(batching):
    # Whole runs in threads would deadlock in Dagster's own logging.config.dictConfig.
    run = run_three_days(batching)
    log = batching.event_log_storage
    made = {dg.DagsterEventType.ASSET_MATERIALIZATION}
    events = log.get_logs_for_run(run.run_id, of_type=made)

    def store(run_id):
        for _ in range(5):
            log.store_event_batch([entry._replace(run_id=run_id) for entry in events])

    threads = [threading.Thread(target=store, args=(f"run-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(events) == 4
    assert [len(log.get_logs_for_run(f"run-{number}")) for number in range(4)] == [20] * 4
    assert len(batching.fetch_materializations(CARTS, limit=99).records) == 3 + 60


def test_a_large_batch_keeps_its_order(batching):
    run = run_three_days(batching)
    log = batching.event_log_storage
    made = {dg.DagsterEventType.ASSET_MATERIALIZATION}
    events = [e for e in log.get_logs_for_run(run.run_id, of_type=made) if e.step_key == "carts"]
    log.store_event_batch([entry._replace(run_id="another") for entry in events * 400])
    newest = batching.fetch_materializations(CARTS, limit=1203).records
    days = [entry.dagster_event.partition for entry in events]
    assert [record.partition_key for record in newest] == [*reversed(days)] * 401
    in_run = log.get_logs_for_run("another")
    assert [entry.dagster_event.partition for entry in in_run] == days * 400


def test_two_processes_store_their_runs_side_by_side(batching):
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", RUN_IN_A_PROCESS]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "loaded\n"
        for _ in range(3):
            assert run_three_days(batching).success
        assert other.wait(60) == 0
    assert len(batching.get_run_records()) == 6
    assert len(batching.fetch_materializations(CARTS, limit=99).records) == 18
    assert len(batching.fetch_materializations(TOTALS, limit=99).records) == 6


def test_dagsters_own_storage_reads_what_was_stored(batching, expected, monkeypatch):
    run_three_days(batching)
    home = Path(batching.root_directory)
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    with dg.DagsterInstance.from_config(str(home)) as plain:
        assert not isinstance(plain.event_log_storage, BatchingSqliteEventLogStorage)
        assert answers(plain) == expected


# --- the home -------------------------------------------------------------------------------


@pytest.fixture
def no_home(monkeypatch):
    for name in (
        "DAGSTER_HOME",
        "DAGSTER_EVENT_BATCH_SIZE",
        "DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS",
    ):
        monkeypatch.setenv(name, "to be put back")
        monkeypatch.delenv(name)


def test_a_home_is_made_with_its_configuration(no_home, tmp_path):
    use_dagster_home(tmp_path / "new" / "dagster")
    assert os.environ["DAGSTER_HOME"] == str(tmp_path / "new" / "dagster")
    assert (tmp_path / "new" / "dagster" / "dagster.yaml").read_text() == CONFIGURATION
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == str(BATCH_SIZE)
    assert os.environ["DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"] == str(SENSOR_SECONDS)


def test_a_configuration_that_is_there_is_kept(no_home, tmp_path):
    mine = CONFIGURATION.replace("max_retries: 2", "max_retries: 1")
    (tmp_path / "dagster.yaml").write_text(mine)
    use_dagster_home(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == mine


@pytest.mark.parametrize("left", ["", " \n\t\n", "\0" * 900], ids=repr)
def test_an_empty_configuration_is_written_anew(no_home, tmp_path, left):
    (tmp_path / "dagster.yaml").write_text(left)
    use_dagster_home(tmp_path)
    assert (tmp_path / "dagster.yaml").read_text() == CONFIGURATION


@pytest.mark.parametrize(
    ("left", "problem"),
    [
        ("# mine\n", f"lacks {', '.join(yaml.safe_load(CONFIGURATION))}"),
        (CONFIGURATION.split("nux:")[0], "lacks nux, telemetry"),
        (CONFIGURATION.split("telemetry:")[0] + "telemetry:\n", "lacks telemetry"),
        (CONFIGURATION.replace("run_retries", "retries"), "lacks run_retries"),
        (CONFIGURATION[:-3], "ends in the middle of telemetry"),
        (CONFIGURATION.split("# A run that")[0], "lacks run_monitoring, nux, telemetry"),
        (CONFIGURATION[: CONFIGURATION.index("class: Batch") + 3], "is not YAML"),
        ("- nux\n", f"lacks {', '.join(yaml.safe_load(CONFIGURATION))}"),
    ],
)  # fmt: skip
def test_a_configuration_that_was_cut_is_one_error(no_home, tmp_path, left, problem):
    file = tmp_path / "dagster.yaml"
    file.write_text(left)
    with pytest.raises(InstanceError) as caught:
        use_dagster_home(tmp_path)
    assert str(caught.value) == (
        f"{file} {problem}: a write of it may have been cut off. Remove it, and the next command "
        "writes it anew, or add what is lacking."
    )
    assert file.read_text() == left
    assert "DAGSTER_HOME" not in os.environ


@pytest.mark.parametrize("step", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_our_configuration_cut_anywhere_is_noticed(no_home, tmp_path, step):
    file = tmp_path / "dagster.yaml"
    whole = CONFIGURATION.rstrip()
    for length in range(0, len(whole), step):
        file.write_text(whole[:length])
        if whole[:length].strip():
            with pytest.raises(InstanceError):
                is_configured(file)
        else:
            assert not is_configured(file)
    file.write_text(whole)
    assert is_configured(file)


def test_a_named_home_whose_configuration_is_not_yaml_is_an_error_that_names_it(
    no_home, tmp_path, monkeypatch
):
    (tmp_path / "dagster.yaml").write_text("storage: [")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    with pytest.raises(InstanceError, match=f"DAGSTER_HOME={tmp_path} cannot be used: "):
        open_instance(tmp_path / "default")


def test_a_home_that_is_named_already_is_used_as_it_is(no_home, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    use_dagster_home(tmp_path / "default")
    assert os.environ["DAGSTER_HOME"] == str(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("size", ["abc", "-1", "1.5", "", "²"])
def test_a_batch_size_that_is_no_number_is_named(no_home, tmp_path, monkeypatch, size):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", size)
    with pytest.raises(InstanceError, match=f"DAGSTER_EVENT_BATCH_SIZE={size} is no number"):
        use_dagster_home(tmp_path)


def test_a_batch_size_that_is_set_already_is_kept(no_home, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "7")
    use_dagster_home(tmp_path)
    assert os.environ["DAGSTER_EVENT_BATCH_SIZE"] == "7"


def test_the_instance_of_the_home_batches_and_sends_no_telemetry(no_home, tmp_path):
    with open_instance(tmp_path) as instance:
        assert isinstance(instance.event_log_storage, BatchingSqliteEventLogStorage)
        assert not instance.telemetry_enabled
        assert instance.root_directory == str(tmp_path)


def test_who_watches_a_run_in_another_process_sees_its_events_as_they_come(batching, tmp_path):
    folder = batching.event_log_storage._base_dir
    watching = BatchingSqliteEventLogStorage(folder)
    seen, arrived = [], threading.Condition()

    def see(entry, _cursor):
        with arrived:
            seen.append(entry.dagster_event.message)
            arrived.notify()

    run = run_three_days(batching).dagster_run
    watching.watch(run.run_id, None, see)
    for number in range(3):
        batching.report_engine_event(f"event {number}", run)
        with arrived:
            assert arrived.wait_for(lambda last=f"event {number}": last in seen, timeout=30)
    assert seen[-3:] == ["event 0", "event 1", "event 2"]
    watching.dispose()


# --- the end of a run on a full disk ------------------------------------------------------------


@pytest.fixture
def begun(batching):
    run = batching.create_run_for_job(
        dg.define_asset_job("all").resolve(
            asset_graph=dg.Definitions(assets=[carts, totals]).resolve_asset_graph()
        )
    )
    batching.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id
    )
    return run


def status_of(instance, run):
    return instance.get_run_by_id(run.run_id).status.value


def test_a_run_that_a_full_disk_ends_is_recorded_as_failed_with_the_reason(batching, begun):
    reserve, told = Path(batching.root_directory) / RESERVE, []

    def fill():
        assert reserve.stat().st_size == RESERVED_BYTES
        raise OSError(errno.ENOSPC, "No space left on device")

    with (
        pytest.raises(DiskError, match="is full"),
        failure_recorded(batching, begun, told.append),
    ):
        fill()
    assert not reserve.exists()
    assert status_of(batching, begun) == "FAILURE"
    ends = batching.get_records_for_run(begun.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    (end,) = [record.event_log_entry.dagster_event.message for record in ends.records]
    assert end == f"The disk of {batching.root_directory} is full. Make room there, then run again."
    assert told == ["What is finished is complete; everything else is as it was before."]


def test_a_run_whose_end_cannot_be_written_either_ends_with_the_same_message(
    batching, begun, monkeypatch
):
    def full(*_):
        raise sa.exc.OperationalError("", {}, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr(BatchingSqliteEventLogStorage, "store_event", full)
    with pytest.raises(DiskError, match="is full"), failure_recorded(batching, begun, print):
        full()


def test_another_error_of_a_run_stays_as_it_is(batching, begun):
    with pytest.raises(ValueError, match=r"^No\.$"), failure_recorded(batching, begun, print):
        raise ValueError("No.")
    assert status_of(batching, begun) == "STARTED"
    assert not (Path(batching.root_directory) / RESERVE).exists()
