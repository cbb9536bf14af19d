"""How runs end, by themselves or otherwise."""

import time

import psutil
from databricks.sdk.service import jobs

from storepipe_dagster_tests.servers.databricks.runs import (
    CLUSTER_DOES_NOT_START,
    NEVER,
    SPOT_EVICTION,
    Ending,
)
from storepipe_dagster_tests.servers.test_databricks.asking import (
    WRITES_EVENTS_AND_WAITS,
    finish,
    submit,
    until,
)


def test_a_cluster_may_fail_to_start(workspace, client):
    workspace.scripted.append(CLUSTER_DOES_NOT_START)
    run_id = submit(client, "print('never')")
    run = finish(workspace, run_id)
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.INTERNAL_ERROR
    assert "CLOUD_PROVIDER_LAUNCH_FAILURE" in told.state.state_message
    assert told.status.termination_details.type is jobs.TerminationTypeType.CLOUD_FAILURE
    assert run.process_id is None


def test_a_run_may_be_evicted_in_its_middle(workspace, client):
    workspace.scripted.append(SPOT_EVICTION)
    run = finish(workspace, submit(client, WRITES_EVENTS_AND_WAITS, "HERE"))
    assert (run.life_cycle_state, run.result_state) == ("INTERNAL_ERROR", "FAILED")
    assert run.cluster_id in run.state_message
    assert run.exit_code == -9
    assert run.code_file is None


def test_a_run_may_end_badly_after_its_task(workspace, client):
    workspace.scripted.append(
        Ending(code="DRIVER_ERROR", type="INTERNAL_ERROR", message="Lost the driver", when="after")
    )
    run = finish(workspace, submit(client, "print('all of it')"))
    assert (run.exit_code, run.stdout, run.result_state) == (0, "all of it\n", "FAILED")


def test_a_cancelled_run_leaves_no_process(workspace, client):
    run_id = submit(client, WRITES_EVENTS_AND_WAITS, "HERE")
    run = workspace.runs[run_id]
    until(lambda: run.process_id and psutil.Process(run.process_id).children())
    (child,) = psutil.Process(run.process_id).children()
    client.jobs.cancel_run(run_id)
    finish(workspace, run_id)
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.TERMINATED
    assert told.state.result_state is jobs.RunResultState.CANCELED
    assert told.status.termination_details.code is jobs.TerminationCodeCode.USER_CANCELED
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert not psutil.pid_exists(run.process_id)
    client.jobs.cancel_run(run_id)  # once more is no error


def test_a_run_that_takes_too_long_is_stopped(workspace, client):
    workspace.scripted.append(NEVER)
    run_id = submit(client, "print('never')", timeout_seconds=1)
    until(lambda: workspace.runs[run_id].life_cycle_state == "RUNNING")
    run = finish(workspace, run_id)
    assert (run.life_cycle_state, run.result_state) == ("TERMINATED", "TIMEDOUT")
    assert run.ended - run.started < 3
    assert client.jobs.get_run(run_id).state.user_cancelled_or_timedout


def test_the_states_of_a_run_follow_each_other(workspace, client):
    run_id = submit(client, "import time; time.sleep(0.5)")
    seen = []
    while "TERMINATED" not in seen:
        state = client.jobs.get_run(run_id).state
        assert (state.result_state is not None) == (state.life_cycle_state.value == "TERMINATED")
        if state.life_cycle_state.value not in seen:
            seen.append(state.life_cycle_state.value)
        time.sleep(0.02)
    in_order = ["PENDING", "RUNNING", "TERMINATING", "TERMINATED"]
    # TERMINATING is short: a poll may miss it.
    assert seen in (in_order, [*in_order[:2], in_order[3]])
