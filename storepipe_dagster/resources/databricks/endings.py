"""How Databricks runs end: what passes by itself, and what to tell people.

Pure functions of what the Jobs API answers; see TerminationCode in its reference.
"""

import requests
from databricks.sdk.errors import (
    DeadlineExceeded,
    InternalError,
    PermissionDenied,
    TemporarilyUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.jobs import (
    Run,
    RunLifeCycleState,
    RunResultState,
    TerminationCodeCode,
)

from storepipe_dagster.errors import UserError

ENDED = {
    RunLifeCycleState.TERMINATED,
    RunLifeCycleState.INTERNAL_ERROR,
    RunLifeCycleState.SKIPPED,
}
SUCCESSFUL = {RunResultState.SUCCESS, RunResultState.SUCCESS_WITH_FAILURES}
# The cluster, the platform or the cloud failed; not the code, the request or a person's wish.
PASSING = {
    TerminationCodeCode.CLOUD_FAILURE,
    TerminationCodeCode.CLUSTER_ERROR,
    TerminationCodeCode.CLUSTER_REQUEST_LIMIT_EXCEEDED,
    TerminationCodeCode.DRIVER_ERROR,
    TerminationCodeCode.INTERNAL_ERROR,
    TerminationCodeCode.LIBRARY_INSTALLATION_ERROR,
    TerminationCodeCode.MAX_CONCURRENT_RUNS_EXCEEDED,
    TerminationCodeCode.MAX_JOB_QUEUE_SIZE_EXCEEDED,
    TerminationCodeCode.MAX_SPARK_CONTEXTS_EXCEEDED,
    TerminationCodeCode.STORAGE_ACCESS_ERROR,
    TerminationCodeCode.WORKSPACE_RUN_LIMIT_EXCEEDED,
}
# What asking again gets over: nobody answers, or the workspace is busy or has a problem of its own.
UNREACHABLE = (
    requests.ConnectionError,
    requests.Timeout,
    TimeoutError,  # the SDK's own tries, for five minutes
    TemporarilyUnavailable,
    TooManyRequests,
    InternalError,
    DeadlineExceeded,
)


class DatabricksRunError(UserError):
    """A Databricks run ended before the step did."""

    def __init__(self, message: str, *, passing: bool) -> None:
        self.passing = passing
        super().__init__(message)


class WorkspaceError(UserError):
    """The workspace refuses what the launcher asks of it."""


def has_ended(run: Run) -> bool:
    """Whether nothing more will come of a run."""
    return run.state is not None and run.state.life_cycle_state in ENDED


def succeeded(run: Run) -> bool:
    """Whether the script came to its end; the step may have failed all the same."""
    return run.state is not None and run.state.result_state in SUCCESSFUL


def code_of(run: Run) -> TerminationCodeCode | None:
    """Why a run ended, where the workspace tells it."""
    details = run.status.termination_details if run.status else None
    return details.code if details else None


def passes(run: Run, *, silent: bool) -> bool:
    """Whether a run ended without our code's fault; ``silent``: its script did not get to its end.

    Workspaces that tell no code tell by their states only.
    """
    if run.state is None:
        return False
    if run.state.result_state is RunResultState.TIMEDOUT:
        return True
    if code := code_of(run):
        return code in PASSING
    if run.state.life_cycle_state is RunLifeCycleState.INTERNAL_ERROR:
        return True
    return silent and run.state.result_state is RunResultState.FAILED


def describe(run: Run) -> str:
    """The states and the message of a run, in one line."""
    state = run.state
    told = [
        getattr(value, "value", None)
        for value in (state and state.life_cycle_state, state and state.result_state, code_of(run))
    ]
    message = ((state and state.state_message) or "").strip()
    words = ", ".join(dict.fromkeys(word for word in told if word))
    return f"{words}: {message}" if message else words


def refused_login(host: str, error: Exception) -> WorkspaceError:
    """What to do about a login that the workspace refuses."""
    return WorkspaceError(
        f"Databricks at {host} refuses our login: {error}. "
        "Check DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET."
    )


def explain_refusal(error: DatabricksError, host: str, staging: str) -> WorkspaceError:
    """What to do about a request that the workspace refuses."""
    # A token that is wrong or has expired is 403 there, as a missing right is.
    if isinstance(error, Unauthenticated) or "access token" in str(error):
        return refused_login(host, error)
    if "DBFS" in str(error):
        return WorkspaceError(
            f"Databricks at {host} has no DBFS to stage in ({error}). Set DATABRICKS_STAGING to a "
            "folder in a Unity Catalog volume, /Volumes/CATALOG/SCHEMA/VOLUME/FOLDER."
        )
    if isinstance(error, PermissionDenied):
        return WorkspaceError(
            f"Databricks at {host} does not allow us that: {error}. Give this user or service "
            f"principal the right, on the staging area {staging} and on the cluster or its policy."
        )
    return WorkspaceError(f"Databricks at {host} refuses: {error}")
