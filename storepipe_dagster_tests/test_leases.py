"""Tests of `storepipe_dagster.leases`: which runs are alive, and what becomes of the others."""

import gc
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.test_utils import create_run_for_test

from storepipe_dagster import leases
from storepipe_dagster.definitions import defs
from storepipe_dagster.settings import settings

STARTED, STARTING = dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING
FAILURE, CANCELED = dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED
HOLD = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def instance():
    with dg.instance_for_test() as instance:
        yield instance


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home of its own, in which a command has run before."""
    monkeypatch.setenv("STOREPIPE_HOME", str(tmp_path))
    settings.cache_clear()
    with leases.one_run_at_a_time(print):
        pass
    yield settings().dagster_home
    settings.cache_clear()


@pytest.fixture
def other_command(home):
    """Another process that holds the home's lock; ``kill`` ends it."""
    command = [sys.executable, "-c", HOLD, str(home / leases.LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        yield process
        process.kill()


def lease_of(instance, run, seconds_ago):
    """The lease of a run whose process renewed it some time ago."""
    then = {f"storepipe/lease/{run.run_id}": str(time.time() - seconds_ago)}
    instance.daemon_cursor_storage.set_cursor_values(then)
    return run


def of_a_command(instance, status=STARTED):
    tags = {leases.LOCK_TAG: leases.lock_name()}
    return create_run_for_test(instance, status=status, tags=tags)


@pytest.mark.parametrize(("seconds_ago", "is_gone"), [(0, False), (100, False), (130, True)])
@pytest.mark.parametrize("status", [dg.DagsterRunStatus.NOT_STARTED, STARTING, STARTED])
def test_a_run_lapses_two_minutes_after_its_last_sign_of_life(
    instance, home, seconds_ago, is_gone, status
):
    run = lease_of(instance, create_run_for_test(instance, status=status), seconds_ago)

    assert leases.lapsed(instance, [run]) == ({run.run_id} if is_gone else set())


@pytest.mark.parametrize(
    "status", [dg.DagsterRunStatus.SUCCESS, FAILURE, CANCELED, dg.DagsterRunStatus.MANAGED]
)
def test_what_has_ended_or_is_not_ours_does_not_lapse(instance, home, status):
    run = lease_of(instance, create_run_for_test(instance, status=status), 1000)

    assert leases.lapsed(instance, [run]) == set()


def test_a_run_of_another_executor_is_left_to_dagster(instance, home):
    run = create_run_for_test(instance, status=STARTED)

    assert leases.lapsed(instance, [run]) == set()


def test_a_command_that_holds_the_home_s_lock_is_alive(instance, other_command):
    run = lease_of(instance, of_a_command(instance), 0)

    assert leases.lapsed(instance, [run]) == set()


def test_a_command_that_was_killed_is_known_at_once_in_its_home(instance, other_command):
    run = lease_of(instance, of_a_command(instance), 0)
    other_command.kill()
    other_command.wait()

    assert leases.lapsed(instance, [run]) == {run.run_id}


def test_so_it_is_for_the_next_command_which_has_the_lock_by_then(instance, home):
    run = lease_of(instance, of_a_command(instance), 0)

    with leases.one_run_at_a_time(print):
        assert leases.lapsed(instance, [run]) == {run.run_id}


def test_a_command_of_another_home_is_known_by_its_lease_alone(instance, home, monkeypatch):
    run = lease_of(instance, of_a_command(instance), 0)
    monkeypatch.setenv("STOREPIPE_HOME", str(home / "another"))
    settings.cache_clear()
    with leases.one_run_at_a_time(print):
        pass

    assert leases.lapsed(instance, [run]) == set()
    assert leases.lapsed(instance, [lease_of(instance, run, 130)]) == {run.run_id}


def test_where_no_command_has_run_there_is_no_lock_and_looking_makes_none(
    instance, tmp_path, monkeypatch
):
    monkeypatch.setenv("STOREPIPE_HOME", str(tmp_path))
    settings.cache_clear()
    run = lease_of(instance, create_run_for_test(instance, status=STARTED), 0)

    assert leases.lapsed(instance, [run]) == set()
    assert list(tmp_path.rglob(leases.LOCK)) == []


def test_runs_that_lapsed_are_marked_as_failed_and_others_are_not(instance, home):
    gone = lease_of(instance, create_run_for_test(instance, status=STARTED), 130)
    alive = lease_of(instance, create_run_for_test(instance, status=STARTED), 10)

    leases.close_lapsed_runs(instance)

    assert instance.get_run_by_id(gone.run_id).status is FAILURE
    assert instance.get_run_by_id(alive.run_id).status is STARTED
    assert leases.GONE in [entry.message for entry in instance.all_logs(gone.run_id)]


def run_of(instance, body):
    """A run, of one op, of our executor."""

    @dg.op
    def work(context):
        body(context.run_id)

    job = dg.GraphDefinition("a_job", node_defs=[work]).to_job(executor_def=leases.leasing_executor)
    run = instance.create_run_for_job(job)
    return execute_run(InMemoryJob(job), run, instance, raise_on_error=False), run.run_id


def test_a_run_renews_its_lease_for_as_long_as_it_works(instance, home, monkeypatch):
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    monkeypatch.setattr(leases, "_own", Forgetful())  # as another process sees it
    seen = []

    def work(run_id):
        run = lease_of(instance, instance.get_run_by_id(run_id), 1000)
        deadline = time.monotonic() + 10
        while leases.lapsed(instance, [run]) and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append(leases.lapsed(instance, [run]))

    result, _ = run_of(instance, work)

    assert result.success
    assert seen == [set()]


class Forgetful(set):
    """A set to which nothing can be added."""

    def add(self, _):
        pass


def test_a_run_is_alive_to_itself_whatever_its_lease(instance, home):
    seen = []

    def work(run_id):
        run = lease_of(instance, instance.get_run_by_id(run_id), 1000)
        seen.append(leases.lapsed(instance, [run]))

    run_of(instance, work)

    assert seen == [set()]


@pytest.mark.parametrize("end", ["report_run_failed", "report_run_canceled"])
def test_a_run_that_was_ended_meanwhile_stops(instance, home, monkeypatch, end):
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    worked_on = []

    def work(run_id):
        getattr(instance, end)(instance.get_run_by_id(run_id))
        time.sleep(10)
        worked_on.append(run_id)

    began = time.monotonic()
    result, run_id = run_of(instance, work)

    assert time.monotonic() - began < 8
    assert not worked_on
    assert not result.success
    expected = FAILURE if end == "report_run_failed" else CANCELED
    assert instance.get_run_by_id(run_id).status is expected


def test_an_instance_that_is_away_for_a_while_does_not_end_the_run(instance, home, monkeypatch):
    monkeypatch.setattr(leases, "RENEWED_EVERY", 0.01)
    asked = []

    def away(*_):
        asked.append(True)
        raise OSError("the database is away")

    def work(_):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(instance), "get_run_by_id", away)
            deadline = time.monotonic() + 10
            while len(asked) < 3 and time.monotonic() < deadline:
                time.sleep(0.01)

    result, _ = run_of(instance, work)

    assert result.success
    assert len(asked) >= 3


def test_what_is_loaded_before_a_run_is_not_looked_through_by_the_collector(instance, home):
    seen = []
    run_of(instance, lambda _: seen.append(gc.get_freeze_count()))

    assert seen[0] > 100_000


def test_all_jobs_have_the_executor_that_keeps_a_lease():
    executors = {job.executor_def for job in defs.get_repository_def().get_all_jobs()}

    assert executors == {leases.leasing_executor}
