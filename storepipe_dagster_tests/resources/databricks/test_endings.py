"""Tests of `storepipe_dagster.resources.databricks.endings`."""

import pytest
from databricks.sdk.errors import PermissionDenied, Unauthenticated
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.jobs import Run

from storepipe_dagster.resources.databricks.endings import (
    LoginRefusedError,
    describe,
    explain_refusal,
    has_ended,
    passes,
    succeeded,
)


def part(life_cycle="TERMINATED", result=None, code=None, message=""):
    status = {"state": "TERMINATED", "termination_details": {"code": code}} if code else None
    state = {"life_cycle_state": life_cycle, "result_state": result, "state_message": message}
    return {"run_id": 7, "state": state, **({"status": status} if status else {})}


def run(*words):
    return Run.from_dict(part(*words))


def run_with_task(life_cycle, result, code=None, *, task):
    return Run.from_dict({**part(life_cycle, result, code), "tasks": [{"task_key": "t", **task}]})


@pytest.mark.parametrize("state", ["TERMINATED", "INTERNAL_ERROR", "SKIPPED"])
def test_these_runs_have_ended(state):
    assert has_ended(run(state))


@pytest.mark.parametrize("state", ["PENDING", "QUEUED", "RUNNING", "TERMINATING", "BLOCKED"])
def test_these_runs_go_on(state):
    assert not has_ended(run(state))


def test_a_run_of_which_nothing_is_known_has_not_ended():
    assert not has_ended(Run(run_id=7))
    assert not succeeded(Run(run_id=7))
    assert not passes(Run(run_id=7), silent=True)


@pytest.mark.parametrize("result", ["SUCCESS", "SUCCESS_WITH_FAILURES"])
def test_these_runs_succeeded(result):
    assert succeeded(run("TERMINATED", result))


@pytest.mark.parametrize("result", ["FAILED", "CANCELED", "TIMEDOUT", "EXCLUDED", None])
def test_these_runs_did_not(result):
    assert not succeeded(run("TERMINATED", result))


@pytest.mark.parametrize(
    "code",
    [
        "CLOUD_FAILURE",
        "CLUSTER_ERROR",
        "CLUSTER_REQUEST_LIMIT_EXCEEDED",
        "DRIVER_ERROR",
        "INTERNAL_ERROR",
        "LIBRARY_INSTALLATION_ERROR",
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "STORAGE_ACCESS_ERROR",
        "WORKSPACE_RUN_LIMIT_EXCEEDED",
    ],
)
def test_what_the_platform_failed_at_passes(code):
    assert passes(run("TERMINATED", "FAILED", code), silent=False)


@pytest.mark.parametrize(
    "code",
    [
        "RUN_EXECUTION_ERROR",
        "USER_CANCELED",
        "INVALID_CLUSTER_REQUEST",
        "INVALID_RUN_CONFIGURATION",
        "UNAUTHORIZED_ERROR",
        "RESOURCE_NOT_FOUND",
        "FEATURE_DISABLED",
    ],
)
def test_what_is_our_fault_or_a_persons_wish_does_not_pass(code):
    assert not passes(run("INTERNAL_ERROR", "FAILED", code), silent=True)


def test_a_run_that_took_too_long_is_worth_another_try():
    assert passes(run("TERMINATED", "TIMEDOUT", "CANCELED"), silent=True)


def test_without_a_code_the_states_tell():
    assert passes(run("INTERNAL_ERROR"), silent=False)
    assert not passes(run("TERMINATED", "CANCELED"), silent=True)


def test_without_a_code_a_script_that_said_nothing_was_killed_and_one_that_did_failed():
    assert passes(run("TERMINATED", "FAILED"), silent=True)
    assert not passes(run("TERMINATED", "FAILED"), silent=False)


def test_the_task_tells_more_than_the_run():
    failed = part("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR")
    lost = part("INTERNAL_ERROR", "FAILED", "CLUSTER_ERROR")
    assert not passes(run_with_task("INTERNAL_ERROR", "FAILED", task=failed), silent=True)
    assert passes(
        run_with_task("TERMINATED", "FAILED", "RUN_EXECUTION_ERROR", task=lost), silent=False
    )


def test_a_task_that_failed_without_a_code_is_not_a_fault_of_the_platform():
    failed = part("TERMINATED", "FAILED")
    assert not passes(run_with_task("INTERNAL_ERROR", "FAILED", task=failed), silent=False)
    assert passes(run_with_task("INTERNAL_ERROR", "FAILED", task=failed), silent=True)


def told_by_status(state, code=None, message="", task_code=None):
    """A run as a workspace tells it that has given up the deprecated states."""

    def status(code):
        details = {"termination_details": {"code": code, "message": message}} if code else {}
        return {"run_id": 7, "status": {"state": state, **details}}

    tasks = {"tasks": [{"task_key": "t", **status(task_code)}]} if task_code else {}
    return Run.from_dict({**status(code), **tasks})


def test_a_workspace_that_tells_the_new_states_only_tells_whether_a_run_goes_on():
    assert has_ended(told_by_status("TERMINATED"))
    assert not has_ended(told_by_status("RUNNING"))
    assert not has_ended(told_by_status("TERMINATING", "USER_CANCELED"))


@pytest.mark.parametrize(
    ("code", "success", "passing"),
    [
        ("SUCCESS", True, False),
        ("SUCCESS_WITH_FAILURES", True, False),
        ("CLOUD_FAILURE", False, True),
        ("CANCELED", False, True),
        ("USER_CANCELED", False, False),
        ("RUN_EXECUTION_ERROR", False, False),
    ],
)
def test_a_workspace_that_tells_the_new_states_only_tells_how_a_run_ended(code, success, passing):
    ended = told_by_status("TERMINATED", code)
    assert succeeded(ended) is success
    assert passes(ended, silent=True) is passing


def test_the_task_tells_more_than_the_run_in_the_new_states_too():
    lost = told_by_status("TERMINATED", "RUN_EXECUTION_ERROR", task_code="CLUSTER_ERROR")
    assert passes(lost, silent=False)
    failed = told_by_status("TERMINATED", "INTERNAL_ERROR", task_code="RUN_EXECUTION_ERROR")
    assert not passes(failed, silent=True)


def test_the_new_states_are_told_in_one_line():
    told = describe(told_by_status("TERMINATED", "CLOUD_FAILURE", "No machine was left.\n"))
    assert told == "TERMINATED, CLOUD_FAILURE: No machine was left."


def test_an_ending_is_told_in_one_line():
    told = describe(run("TERMINATED", "FAILED", "CLUSTER_ERROR", "Spot instances were evicted.\n"))
    assert told == "TERMINATED, FAILED, CLUSTER_ERROR: Spot instances were evicted."
    assert describe(run("INTERNAL_ERROR", None, "INTERNAL_ERROR")) == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Unauthenticated("Invalid access token."), "Check DATABRICKS_TOKEN"),
        (PermissionDenied("Public DBFS root is disabled."), "Set DATABRICKS_STAGING to a folder"),
        (PermissionDenied("No right to restart."), "Give this user or service principal the right"),
        (LoginRefusedError("invalid_client: no"), "DATABRICKS_CLIENT_SECRET"),
        (DatabricksError("Cluster 7 does not exist"), "refuses: Cluster 7 does not exist"),
    ],
)
def test_a_refusal_names_the_workspace_and_the_remedy(error, remedy):
    told = str(explain_refusal(error, "https://adb.example", "/Volumes/a/b/c"))
    assert "https://adb.example" in told
    assert str(error) in told
    assert remedy in told
