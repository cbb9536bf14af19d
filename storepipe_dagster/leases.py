"""Which runs are alive, wherever their process is: a run renews a lease that ends by itself.

Host names and process ids say nothing across containers, new addresses or scheduled pods; what all
processes of a deployment share is Dagster's instance, so the leases are there. Clocks may differ by
a minute. A run without a lease, of another executor, is left to Dagster's own monitoring.

A run of a command also holds the lock of its home: who shares that home knows at once that the
process is gone.
"""

import gc
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.in_process import InProcessExecutor
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES
from filelock import BaseFileLock, FileLock, Timeout

from storepipe_dagster.settings import settings

RENEWED_EVERY = 20.0  # seconds
ENDS_AFTER = 120.0  # seconds; Spark's and delta-rs's calls let other threads run meanwhile
ALIVE = [dg.DagsterRunStatus.NOT_STARTED, *ACTIVE_RUN_STATUSES]  # or they say so
LOCK = "run.lock"
LOCK_TAG = "storepipe/lock"
GONE = "The process of this run ended before the run did."
BOOT = Path("/proc/sys/kernel/random/boot_id")

_own: set[str] = set()  # the runs of this process


@contextmanager
def lease(instance: dg.DagsterInstance, run_id: str) -> Iterator[None]:
    """Renew the lease of a run of this process; interrupts the process if the run is ended."""
    done = threading.Event()
    renewing = threading.Thread(target=_renew, args=(instance, run_id, done), daemon=True)
    _write(instance, run_id)
    _own.add(run_id)
    renewing.start()
    try:
        yield
    finally:
        done.set()
        renewing.join()
        _own.discard(run_id)


def _renew(instance: dg.DagsterInstance, run_id: str, done: threading.Event) -> None:
    main = int(threading.main_thread().ident or 0)
    while not done.wait(RENEWED_EVERY):
        # A database that is away may be back for the next time: the run itself goes on.
        with suppress(Exception):
            run = instance.get_run_by_id(run_id)
            if run and run.is_finished:
                # A person ended it; or this machine slept, and another process did.
                signal.pthread_kill(main, signal.SIGINT)
                return
            _write(instance, run_id)


def _write(instance: dg.DagsterInstance, run_id: str) -> None:
    cursors = instance.daemon_cursor_storage
    cursors.set_cursor_values({_key(run_id): f"{time.time():.0f}"})


def _key(run_id: str) -> str:
    return f"storepipe/lease/{run_id}"


def lapsed(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> set[str]:
    """The ids of those runs that did not end, and whose process is gone."""
    others = [run for run in runs if run.status in ALIVE and run.run_id not in _own]
    if not others:
        return set()
    found = instance.daemon_cursor_storage.get_cursor_values({_key(run.run_id) for run in others})
    free = _free_lock()
    oldest = time.time() - ENDS_AFTER
    return {
        run.run_id
        for run in others
        if (free and run.tags.get(LOCK_TAG) == free)
        or float(found.get(_key(run.run_id), "inf")) < oldest
    }


def close_lapsed_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs as failed whose process is gone, so that they hold up no other."""
    runs = instance.get_runs(dg.RunsFilter(statuses=ALIVE))
    gone = lapsed(instance, runs)
    for run in runs:
        if run.run_id in gone:
            instance.report_run_failed(run, GONE)


@contextmanager
def one_run_at_a_time(tell: Callable[[str], None]) -> Iterator[None]:
    """Wait until no other command runs in this home: two would read each other's half-done work."""
    settings().dagster_home.mkdir(parents=True, exist_ok=True)
    lock = _lock()
    try:
        lock.acquire(timeout=0)
    except Timeout:
        tell(f"Waiting for another run in {settings().storepipe_home} to end.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _lock() -> BaseFileLock:
    """The lock of the home, which this process may take more than once."""
    return FileLock(settings().dagster_home / LOCK, is_singleton=True)


def lock_name() -> str | None:
    """What names the lock's file on this machine, until it starts again; nothing without one."""
    try:
        file = (settings().dagster_home / LOCK).stat()
    except FileNotFoundError:
        return None
    machine = BOOT.read_text().strip() if BOOT.exists() else f"{uuid.getnode():x}"
    return f"{machine}:{file.st_dev}:{file.st_ino}"


def _free_lock() -> str | None:
    """The name of the home's lock, if no other process holds it."""
    name = lock_name()
    if name is None:
        return None
    try:
        _lock().acquire(timeout=0).lock.release()
    except (Timeout, OSError):  # of a home that can only be read: the leases tell
        return None
    return name


class LeasingExecutor(InProcessExecutor):
    """Dagster's executor of one process, which renews the lease of its run."""

    def execute(self, plan_context: Any, execution_plan: Any) -> Iterable[Any]:  # type: ignore[override]
        """Execute the steps as the parent does."""
        # What is loaded by now is kept to the end. Python's collector would look through all of it
        # each time that some records have been read, which took longer than to read them.
        gc.freeze()
        with lease(plan_context.instance, plan_context.run_id):
            yield from super().execute(plan_context, execution_plan)


@dg.executor(name="in_process")
def leasing_executor(_: dg.InitExecutorContext) -> LeasingExecutor:
    """All steps in one process, which says in Dagster's instance that it is alive."""
    return LeasingExecutor(RetryMode.ENABLED)
