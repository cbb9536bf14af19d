"""Tests of `storepipe_dagster.resources.databricks.endings`."""

import pytest
from databricks.sdk.errors import PermissionDenied, Unauthenticated
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.jobs import Run

from storepipe_dagster.resources.databricks.endings import (
    describe,
    explain_refusal,
    has_ended,
    passes,
    succeeded,
)


def run(life_cycle="TERMINATED", result=None, code=None, message=""):
    status = {"state": "TERMINATED", "termination_details": {"code": code}} if code else None
    state = {"life_cycle_state": life_cycle, "result_state": result, "state_message": message}
    return Run.from_dict({"run_id": 7, "state": state, **({"status": status} if status else {})})


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
    assert succeeded(run(result=result))


@pytest.mark.parametrize("result", ["FAILED", "CANCELED", "TIMEDOUT", "EXCLUDED", None])
def test_these_runs_did_not(result):
    assert not succeeded(run(result=result))


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
    assert passes(run(result="FAILED", code=code), silent=False)


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
    assert passes(run(result="TIMEDOUT", code="CANCELED"), silent=True)


def test_without_a_code_the_states_tell():
    assert passes(run("INTERNAL_ERROR"), silent=False)
    assert not passes(run(result="CANCELED"), silent=True)


def test_without_a_code_a_script_that_said_nothing_was_killed_and_one_that_did_failed():
    assert passes(run(result="FAILED"), silent=True)
    assert not passes(run(result="FAILED"), silent=False)


def test_an_ending_is_told_in_one_line():
    told = describe(run("TERMINATED", "FAILED", "CLUSTER_ERROR", "Spot instances were evicted.\n"))
    assert told == "TERMINATED, FAILED, CLUSTER_ERROR: Spot instances were evicted."
    assert describe(run("INTERNAL_ERROR", code="INTERNAL_ERROR")) == "INTERNAL_ERROR"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (Unauthenticated("Invalid access token."), "Check DATABRICKS_TOKEN"),
        (PermissionDenied("Public DBFS root is disabled."), "Set DATABRICKS_STAGING to a folder"),
        (PermissionDenied("No right to restart."), "Give this user or service principal the right"),
        (DatabricksError("Cluster 7 does not exist"), "refuses: Cluster 7 does not exist"),
    ],
)
def test_a_refusal_names_the_workspace_and_the_remedy(error, remedy):
    told = str(explain_refusal(error, "https://adb.example", "/Volumes/a/b/c"))
    assert "https://adb.example" in told
    assert str(error) in told
    assert remedy in told
