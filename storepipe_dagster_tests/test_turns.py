"""Tests of `storepipe_dagster.turns`, on a SQLite instance: who waits for whom on the tables."""

import os
import socket
import subprocess
import sys
import threading
import time

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.events import DagsterEventType
from dagster._core.execution.api import execute_run
from dagster._core.op_concurrency_limits_counter import GlobalOpConcurrencyLimitsCounter
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES
from dagster._daemon.types import DaemonHeartbeat
from dagster._record import copy

from storepipe_dagster import runs, turns
from storepipe_dagster.definitions import defs
from storepipe_dagster.instance import CONFIGURATION
from storepipe_dagster.pools import TABLES
from storepipe_dagster.runs import PROCESS_TAG, close_abandoned_runs

INTERVAL = 2
RAW = "raw/products"
SALES = "trusted/sales"


@pytest.fixture
def instance(tmp_path, monkeypatch):
    """The instance of a laptop."""
    (tmp_path / "dagster.yaml").write_text(CONFIGURATION)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setattr(QueuedRunCoordinator, "dequeue_interval_seconds", INTERVAL)
    monkeypatch.setattr(turns, "SECONDS_BETWEEN_LOOKS", 0.02)
    with dg.DagsterInstance.get() as instance:
        yield instance


def new_run(instance, *assets, status=dg.DagsterRunStatus.NOT_STARTED, tags=None):
    """A run of some assets of our graph, as ``storepipe run`` makes it."""
    keys = frozenset(dg.AssetKey(asset.split("/")) for asset in assets)
    return instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def().get_subset(asset_selection=keys),
        asset_selection=keys,
        status=status,
        tags={"dagster/partition": "2020-01-02", **(tags or {})},
    )


def started(instance, *assets):
    return new_run(instance, *assets, status=dg.DagsterRunStatus.STARTED)


def queue_is_alive(instance):
    instance.add_daemon_heartbeat(DaemonHeartbeat(time.time(), turns.QUEUE, "a daemon", []))


def ends_soon(instance, run):
    """End a run in a moment; gives when."""
    ended = []

    def end():
        time.sleep(0.3)
        ended.append(time.monotonic())
        instance.report_run_failed(run)

    threading.Thread(target=end).start()
    return ended


def test_every_step_on_tables_is_in_the_pool_and_no_capture_is(instance):
    pools = {
        node.name: node.definition.pool for node in defs.resolve_job_def("store_pipeline").nodes
    }

    assert {name for name, pool in pools.items() if pool is None} == {
        "raw__products",
        "raw__users",
        "raw__carts",
    }
    assert set(pools.values()) == {None, TABLES}


def test_a_command_waits_for_a_run_that_has_the_tables_and_says_so(instance):
    other, told = started(instance, SALES), []
    ended = ends_soon(instance, other)

    turns.wait_for_tables(instance, told.append)

    assert time.monotonic() > ended[0]
    assert [other.run_id in line for line in told] == [True]


@pytest.mark.parametrize("assets", [[RAW], []])
def test_a_command_does_not_wait_for_captures_or_nothing(instance, assets):
    if assets:
        started(instance, *assets)

    told = []
    turns.wait_for_tables(instance, told.append)
    assert told == []


def test_a_command_does_not_wait_for_what_waits_itself(instance):
    of_the_queue(instance, SALES, status=dg.DagsterRunStatus.QUEUED)

    told = []
    turns.wait_for_tables(instance, told.append)
    assert told == []


def test_without_a_daemon_a_command_starts_at_once(instance):
    mine = new_run(instance, SALES)

    assert turns.take_turn(instance, mine, print) == mine


def test_with_a_daemon_a_command_announces_its_run_before_it_starts(instance):
    queue_is_alive(instance)
    mine = turns.take_turn(instance, new_run(instance, SALES), print)

    assert mine.status is dg.DagsterRunStatus.STARTING
    assert mine.status in ACTIVE_RUN_STATUSES


def test_a_command_waits_for_what_the_queue_started_while_it_announced_itself(instance):
    queue_is_alive(instance)
    mine, told = new_run(instance, SALES), []
    other = of_the_queue(instance, SALES, status=dg.DagsterRunStatus.STARTED)
    ended = ends_soon(instance, other)

    turns.take_turn(instance, mine, told.append)

    assert time.monotonic() > ended[0]
    assert [other.run_id in line for line in told] == [True]


def test_a_command_waits_for_what_the_queue_is_about_to_start(instance):
    queue_is_alive(instance)
    mine, told = new_run(instance, SALES), []
    other = of_the_queue(instance, SALES, status=dg.DagsterRunStatus.QUEUED)

    def start_and_end():
        time.sleep(0.3)
        starting = dg.DagsterEvent(DagsterEventType.PIPELINE_STARTING.value, other.job_name)
        instance.report_dagster_event(starting, other.run_id)
        ends_soon(instance, other)

    threading.Thread(target=start_and_end).start()
    turns.take_turn(instance, mine, told.append)

    assert instance.get_run_by_id(other.run_id).status is dg.DagsterRunStatus.FAILURE
    assert [other.run_id in line for line in told] == [True]


@pytest.mark.parametrize(("assets", "waits"), [([SALES], True), ([RAW], False), ([], False)])
def test_a_command_waits_an_interval_only_if_something_in_the_queue_is_for_tables(
    instance, assets, waits
):
    queue_is_alive(instance)
    if assets:
        of_the_queue(instance, *assets, status=dg.DagsterRunStatus.QUEUED)
    mine, began = new_run(instance, SALES), time.monotonic()

    turns.take_turn(instance, mine, print)

    assert (time.monotonic() - began >= INTERVAL) is waits


def test_of_two_commands_the_first_goes_first(instance):
    queue_is_alive(instance)
    first, second = new_run(instance, SALES), new_run(instance, SALES)
    went = []

    def go(run):
        turns.take_turn(instance, run, lambda _: None)
        went.append(run.run_id)
        time.sleep(0.1)
        instance.report_run_failed(run)

    threads = [threading.Thread(target=go, args=(run,)) for run in (second, first)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert went == [first.run_id, second.run_id]


def test_an_announced_run_executes(instance):
    queue_is_alive(instance)

    @dg.op
    def work():
        pass

    job = dg.GraphDefinition("a_job", node_defs=[work]).to_job(executor_def=dg.in_process_executor)
    mine = turns.take_turn(instance, instance.create_run_for_job(job), print)

    assert execute_run(InMemoryJob(job), mine, instance).success


@pytest.mark.parametrize(("assets", "blocked"), [([SALES], True), ([RAW], False)])
def test_the_queue_holds_back_runs_on_tables_while_a_command_has_them(instance, assets, blocked):
    new_run(instance, "mysql/users", status=dg.DagsterRunStatus.STARTED)
    queued = of_the_queue(instance, *assets, status=dg.DagsterRunStatus.QUEUED)

    assert counter(instance, queued).is_blocked(queued) is blocked


def counter(instance, *queued):
    """What Dagster's queue asks whether a run may leave it."""
    records = instance.get_run_records(dg.RunsFilter(statuses=ACTIVE_RUN_STATUSES))
    log, pools = instance.event_log_storage, instance.get_concurrency_config().pool_config
    for _ in range(2):  # the first look gives a pool its default limit
        found = GlobalOpConcurrencyLimitsCounter(
            instance,
            queued,
            records,
            log.get_concurrency_keys(),
            log.get_pool_limits(),
            pool_granularity=pools.pool_granularity,
        )
    return found


def of_the_queue(instance, *assets, status):
    """A run that has an origin in a code location, as those of the daemon have."""
    run = new_run(instance, *assets)
    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("storepipe"), "__repository__"),
        run.job_name,
    )
    instance.delete_run(run.run_id)
    return instance.add_run(copy(run, remote_job_origin=origin, status=status))


def closed(instance, process, status=dg.DagsterRunStatus.STARTING):
    """Whether a run of that process of this machine counts as abandoned."""
    tags = {PROCESS_TAG: f"{socket.gethostname()}:{process}"}
    run = new_run(instance, SALES, status=status, tags=tags)
    close_abandoned_runs(instance)
    return instance.get_run_by_id(run.run_id).status is dg.DagsterRunStatus.FAILURE


def test_a_command_that_was_killed_while_it_waited_holds_up_no_other(instance):
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()

    assert closed(instance, f"{gone.pid}:1")
    # One that ended while its run was made: on a full disk, for example.
    assert closed(instance, f"{gone.pid}:1", dg.DagsterRunStatus.NOT_STARTED)


def test_another_process_that_has_its_id_by_now_does_not_pass_for_it(instance):
    me = runs._process()[PROCESS_TAG].partition(":")[2]

    assert closed(instance, f"{os.getpid()}:1")
    assert not closed(instance, me)
    assert not closed(instance, f"{os.getpid()}")  # where no start is known


def test_nobody_but_a_person_starts_a_command_s_run_again(instance):
    run = new_run(instance, SALES, tags=runs._process())
    instance.report_run_failed(run)

    assert instance.get_run_by_id(run.run_id).tags["dagster/will_retry"] == "false"


def test_the_start_of_a_process_is_told_by_the_system():
    hertz, booted = os.sysconf("SC_CLK_TCK"), psutil.boot_time()

    started = booted + int(runs._start_of(os.getpid())) / hertz
    assert started == pytest.approx(psutil.Process().create_time(), abs=2)


def test_a_command_whose_run_was_ended_meanwhile_does_not_wait_on(instance):
    started(instance, SALES)
    mine = new_run(instance, SALES, status=dg.DagsterRunStatus.FAILURE)

    with pytest.raises(turns.TurnLostError, match=f"^Run {mine.run_id} was ended in Dagster"):
        turns._wait(instance, mine, print)
