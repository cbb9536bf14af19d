"""A command's run waits for its turn on the tables.

Dagster's queue lets one run at a time have the pool of the tables, and sees a command's run among
those in progress. A command's run is in no queue, so it looks for itself, before it starts.
"""

import time
from collections.abc import Callable

import dagster as dg
from dagster._core.events import DagsterEventType
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES

from storepipe_dagster.errors import UserError
from storepipe_dagster.leases import ENDS_AFTER, close_lapsed_runs
from storepipe_dagster.pools import TABLES

SECONDS_BETWEEN_LOOKS = 0.5
QUEUE = "QUEUED_RUN_COORDINATOR"
SECONDS_OF_SILENCE = 120.0


class TurnLostError(UserError):
    """A run was ended by somebody else, or by Dagster's monitoring, before it began."""


def wait_for_tables(instance: dg.DagsterInstance, tell: Callable[[str], None]) -> None:
    """Wait, before a command's run is made, until no run has the pool of the tables."""
    _wait(instance, None, tell)


def take_turn(
    instance: dg.DagsterInstance, run: dg.DagsterRun, tell: Callable[[str], None]
) -> dg.DagsterRun:
    """Announce a command's run to the daemon's queue; wait for what the queue began meanwhile."""
    queue = instance.run_coordinator
    if not isinstance(queue, QueuedRunCoordinator) or not _queue_is_alive(instance):
        return run
    starting = dg.DagsterEvent(DagsterEventType.PIPELINE_STARTING.value, run.job_name)
    instance.report_dagster_event(starting, run.run_id)
    _let_the_queue_look(instance, queue.dequeue_interval_seconds)
    _wait(instance, run, tell)
    return instance.get_run_by_id(run.run_id) or run


def _let_the_queue_look(instance: dg.DagsterInstance, interval: float) -> None:
    """Wait for what the queue may be about to start: it looked before the run was announced.

    That is a run that waits for the tables. Once in an interval the queue looks anew, and knows.
    """
    deadline = time.monotonic() + interval
    time.sleep(SECONDS_BETWEEN_LOOKS)
    while _waits_in_queue(instance) and time.monotonic() < deadline:
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _wait(
    instance: dg.DagsterInstance, mine: dg.DagsterRun | None, tell: Callable[[str], None]
) -> None:
    told: set[str] = set()
    while other := _in_front(instance, mine):
        if mine and (run := instance.get_run_by_id(mine.run_id)) and run.is_finished:
            raise TurnLostError(
                f"Run {mine.run_id} was ended in Dagster while it waited for run {other.run_id}. "
                "Nothing was made: run the command again."
            )
        if other.run_id not in told:
            told.add(other.run_id)
            tell(
                f"Waiting for run {other.run_id} ({other.job_name}) to end. If its process is "
                f"gone, that is known within {ENDS_AFTER:.0f} seconds."
            )
        time.sleep(SECONDS_BETWEEN_LOOKS)


def _in_front(instance: dg.DagsterInstance, mine: dg.DagsterRun | None) -> dg.DagsterRun | None:
    """A run that has the pool; of two commands on two machines, the first one goes first."""
    close_lapsed_runs(instance)
    records = instance.get_run_records(dg.RunsFilter(statuses=ACTIVE_RUN_STATUSES), ascending=True)
    earlier = True
    for run in (record.dagster_run for record in records):
        if mine and run.run_id == mine.run_id:
            earlier = False
            continue
        of_the_queue = run.remote_job_origin is not None
        if _needs_tables(run) and (earlier or of_the_queue):
            return run
    return None


def _waits_in_queue(instance: dg.DagsterInstance) -> bool:
    queued = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    return any(_needs_tables(run) for run in queued)


def _needs_tables(run: dg.DagsterRun) -> bool:
    pools = run.run_op_concurrency.all_pools if run.run_op_concurrency else None
    return TABLES in (pools or ())


def _queue_is_alive(instance: dg.DagsterInstance) -> bool:
    heartbeat = instance.get_daemon_heartbeats().get(QUEUE)
    return heartbeat is not None and time.time() - heartbeat.timestamp < SECONDS_OF_SILENCE
