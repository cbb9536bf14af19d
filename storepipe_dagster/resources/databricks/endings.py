"""How Databricks runs end: what passes by itself, and what to tell people.

Pure functions of what the Jobs API answers; see TerminationCode in its reference.
"""

import requests
from databricks.sdk.errors import (
    BadRequest,
    NotFound,
    NotImplemented,  # noqa: A004
    PermissionDenied,
    ResourceConflict,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.jobs import (
    Run,
    RunLifeCycleState,
    RunLifecycleStateV2State,
    RunResultState,
    RunTask,
    TerminationCodeCode,
)

from storepipe_dagster.errors import PassingError, UserError

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
# What asking again does not get over; all else is the network, the workspace or a proxy in between.
REFUSALS = (
    Unauthenticated,
    PermissionDenied,
    NotFound,
    BadRequest,
    ResourceConflict,
    NotImplemented,
)
# The beginning of what the SDK's ValueError says of a login that is refused, not unreachable.
REFUSED_LOGIN = ("invalid_", "unauthorized", "access_denied", "validate:")


class DatabricksRunError(UserError):
    """A Databricks run ended before the step did."""


class DatabricksAwayError(DatabricksRunError, PassingError):
    """It ended so for no fault of ours, or the workspace cannot be reached."""


class WorkspaceError(UserError):
    """The workspace refuses what the launcher asks of it."""


def is_unreachable(error: Exception) -> bool:
    """Whether a call failed in a way that asking again may get over."""
    if isinstance(error, DatabricksError):
        return not isinstance(error, REFUSALS)
    if isinstance(error, ValueError) and not isinstance(error, requests.RequestException):
        return not str(error).startswith(REFUSED_LOGIN)  # a new access token could not be had
    return isinstance(error, (requests.RequestException, TimeoutError))


def has_ended(run: Run) -> bool:
    """Whether nothing more will come of a run."""
    if run.state is not None:
        return run.state.life_cycle_state in ENDED
    return run.status is not None and run.status.state is RunLifecycleStateV2State.TERMINATED


def succeeded(run: Run) -> bool:
    """Whether the script came to its end; the step may have failed all the same."""
    return run.state is not None and run.state.result_state in SUCCESSFUL


def code_of(run: Run | RunTask) -> TerminationCodeCode | None:
    """Why a run ended, where the workspace tells it."""
    details = run.status.termination_details if run.status else None
    return details.code if details else None


def passes(run: Run, *, silent: bool) -> bool:
    """Whether a run ended without our code's fault; ``silent``: its script did not get to its end.

    The task tells more than the run, which is an INTERNAL_ERROR whatever its task failed at.
    Workspaces that tell no code tell by their states only.
    """
    task = run.tasks[0] if run.tasks and run.tasks[0].state else run
    state = task.state
    if state is None:
        return False
    if RunResultState.TIMEDOUT in (state.result_state, run.state and run.state.result_state):
        return True
    if code := code_of(task) or code_of(run):
        return code in PASSING
    if task is run and state.life_cycle_state is RunLifeCycleState.INTERNAL_ERROR:
        return True
    return silent and state.result_state in (RunResultState.FAILED, None)


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


def explain_refusal(error: Exception, host: str, staging: str) -> WorkspaceError:
    """What to do about a request that the workspace refuses."""
    # A token that is wrong or has expired is 403 there, as a missing right is; of a secret that is
    # refused, and of two logins at once, the SDK makes a ValueError.
    if isinstance(error, (Unauthenticated, ValueError)) or "access token" in str(error):
        return WorkspaceError(
            f"Databricks at {host} refuses our login: {error}. "
            "Check DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET."
        )
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
