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
SUCCESSFUL = {
    RunResultState.SUCCESS,
    RunResultState.SUCCESS_WITH_FAILURES,
    TerminationCodeCode.SUCCESS,
    TerminationCodeCode.SUCCESS_WITH_FAILURES,
}
# The cluster, the platform or the cloud failed; not the code, the request or a person's wish.
PASSING = {
    TerminationCodeCode.CANCELED,  # by the platform, which a time limit makes do so
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


class DatabricksRunError(UserError):
    """A Databricks run ended before the step did."""


class DatabricksAwayError(DatabricksRunError, PassingError):
    """It ended so for no fault of ours, or the workspace cannot be reached."""


class WorkspaceError(UserError):
    """The workspace refuses what the launcher asks of it."""


class LoginError(Exception):
    """No access token is to be had at the moment."""


class LoginRefusedError(Exception):
    """There is no access token for us."""


def is_unreachable(error: Exception) -> bool:
    """Whether a call failed in a way that asking again may get over."""
    if isinstance(error, DatabricksError):
        return not isinstance(error, REFUSALS)
    return isinstance(error, (requests.RequestException, TimeoutError, LoginError))


def has_ended(run: Run) -> bool:
    """Whether nothing more will come of a run."""
    if run.state is not None:
        return run.state.life_cycle_state in ENDED
    return run.status is not None and run.status.state is RunLifecycleStateV2State.TERMINATED


def succeeded(run: Run) -> bool:
    """Whether the script came to its end; the step may have failed all the same."""
    return (result_of(run) or code_of(run)) in SUCCESSFUL


def result_of(run: Run | RunTask) -> RunResultState | None:
    """How a run ended, where the workspace tells it: the field is deprecated."""
    return run.state.result_state if run.state else None


def code_of(run: Run | RunTask) -> TerminationCodeCode | None:
    """Why a run ended, where the workspace tells it."""
    details = run.status.termination_details if run.status else None
    return details.code if details else None


def passes(run: Run, *, silent: bool) -> bool:
    """Whether a run ended without our code's fault; ``silent``: its script did not get to its end.

    The task tells more than the run, which is an INTERNAL_ERROR whatever its task failed at.
    Workspaces that tell no code tell by their states only.
    """
    told = run.tasks[0] if run.tasks and (run.tasks[0].state or run.tasks[0].status) else run
    if RunResultState.TIMEDOUT in (result_of(told), result_of(run)):
        return True
    if code := code_of(told) or code_of(run):
        return code in PASSING
    state = told.state
    if state is None:
        return False
    if told is run and state.life_cycle_state is RunLifeCycleState.INTERNAL_ERROR:
        return True
    return silent and state.result_state in (RunResultState.FAILED, None)


def describe(run: Run) -> str:
    """The states and the message of a run, in one line."""
    state, status = run.state, run.status
    details = status.termination_details if status else None
    life_cycle = state.life_cycle_state if state else status and status.state
    told = [getattr(part, "value", None) for part in (life_cycle, result_of(run), code_of(run))]
    words = ", ".join(dict.fromkeys(word for word in told if word))
    message = (state and state.state_message) or (details and details.message) or ""
    return f"{words}: {message.strip()}" if message.strip() else words


def explain_refusal(error: Exception, host: str, staging: str) -> WorkspaceError:
    """What to do about a request that the workspace refuses."""
    # A token that is wrong or has expired is 403 there, as a missing right is.
    if isinstance(error, (Unauthenticated, LoginRefusedError)) or "access token" in str(error):
        return WorkspaceError(
            f"Databricks at {host} refuses our login: {error}. "
            "Check DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET; and "
            "whether DATABRICKS_HOST is their workspace."
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
