"""Runs as the Jobs API shows them, and endings that a test prescribes."""

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal

from storepipe_dagster_tests.servers.databricks.errors import invalid
from storepipe_dagster_tests.servers.databricks.exchange import Request

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

PAGE = 25
FINAL = ("TERMINATED", "SKIPPED", "INTERNAL_ERROR")
LOG_BYTES = 5 << 20
TASK_FAILED = "Workload failed, see run output for details"


@dataclass(frozen=True)
class Ending:
    """How a run ends; `{cluster_id}` in the message is replaced.

    before: without the task. during: the task's processes are killed as soon as its events file
    is there. after: the task runs to its end first. never: nothing happens until it is cancelled
    or times out, and the other fields mean nothing.
    """

    life_cycle_state: str = "INTERNAL_ERROR"
    result_state: str | None = "FAILED"
    code: str = "CLUSTER_ERROR"
    type: str = "CLOUD_FAILURE"
    message: str = "The cluster {cluster_id} was terminated."
    when: Literal["before", "during", "after", "never"] = "before"


CLUSTER_DOES_NOT_START = Ending(
    message="Unexpected failure while waiting for the cluster ({cluster_id}) to be ready: Cluster"
    " {cluster_id} is in unexpected state Terminated: CLOUD_PROVIDER_LAUNCH_FAILURE(CLOUD_FAILURE)"
)
SPOT_EVICTION = Ending(
    message="Cluster {cluster_id} was terminated during the run. Reason:"
    " SPOT_INSTANCE_TERMINATION(CLOUD_FAILURE)",
    when="during",
)
NEVER = Ending(when="never")
CANCELLED = Ending(
    life_cycle_state="TERMINATED",
    result_state="CANCELED",
    code="USER_CANCELED",
    type="SUCCESS",
    message="Run cancelled.",
)
TIMED_OUT = Ending(
    life_cycle_state="TERMINATED",
    result_state="TIMEDOUT",
    code="CANCELED",
    type="CLIENT_ERROR",
    message="Run timed out.",
)
SUCCEEDED = Ending(
    life_cycle_state="TERMINATED",
    result_state="SUCCESS",
    code="SUCCESS",
    type="SUCCESS",
    message="",
)


@dataclass
class Run:
    """A submitted run with its one task."""

    run_id: int
    task_run_id: int
    job_id: int
    request: dict[str, Any]
    creator: str
    folder: Path = field(repr=False)
    ending: Ending | None = None
    started: float = field(default_factory=time.time)
    ended: float | None = None
    executing_since: float | None = None
    executed_until: float | None = None
    life_cycle_state: str = "PENDING"
    result_state: str | None = None
    state_message: str = "Waiting for cluster"
    termination_code: str | None = None
    termination_type: str | None = None
    permissions: list[dict[str, str]] = field(default_factory=list)
    exit_code: int | None = None
    code_file: str | None = None
    libraries: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    environment: Path | None = None
    cluster_id: str | None = None
    process_id: int | None = None
    error: str | None = None
    error_trace: str | None = None
    cancelled: Event = field(default_factory=Event, repr=False)
    finished: Event = field(default_factory=Event, repr=False)

    @property
    def task(self) -> dict[str, Any]:
        return self.request["tasks"][0]

    @property
    def cluster(self) -> dict[str, Any] | str:
        """What the task asked for: the new cluster, or the identity of an existing one."""
        return self.task.get("new_cluster") or self.task["existing_cluster_id"]

    @property
    def stdout(self) -> str:
        return self._written("stdout")

    @property
    def stderr(self) -> str:
        return self._written("stderr")

    def _written(self, name: str) -> str:
        file = self.folder / name
        return file.read_text(errors="replace") if file.exists() else ""

    def end(self, ending: Ending) -> None:
        """Take over how it ends; the last state comes last, as a client waits for it."""
        self.result_state = ending.result_state
        self.state_message = ending.message.replace("{cluster_id}", self.cluster_id or "")
        self.termination_code = ending.code
        self.termination_type = ending.type
        self.ended = time.time()
        self.life_cycle_state = ending.life_cycle_state
        self.finished.set()

    def read_end(self) -> None:
        """Take over what the driver told when its script ended."""
        file = self.folder / "end.json"
        if file.exists():
            end = json.loads(file.read_text())
            self.code_file, self.error = end["code_file"], end["error"]
            self.error_trace = end["error_trace"]


def get(workspace: "Workspace", request: Request) -> dict[str, Any]:
    run = find(workspace, request.number("run_id"))
    shown = _show(workspace, run)
    if request.number("run_id") == run.task_run_id:
        return {**shown, **shown["tasks"][0], "job_id": run.job_id, "job_run_id": run.run_id}
    return shown


def get_output(workspace: "Workspace", request: Request) -> dict[str, Any]:
    run = find(workspace, request.number("run_id"))
    if request.number("run_id") == run.run_id:
        raise invalid(
            "Retrieving the output of runs with multiple tasks is not supported. Please retrieve"
            " the output of each individual task run instead."
        )
    written = run.stdout.encode()
    output: dict[str, Any] = {
        "metadata": get(workspace, request),
        "logs": written[-LOG_BYTES:].decode(errors="replace"),
        "logs_truncated": len(written) > LOG_BYTES,
    }
    failure = run.error or (run.state_message if run.result_state == "FAILED" else None)
    if failure:
        output["error"] = failure
    if run.error_trace:
        output["error_trace"] = run.error_trace
    return output


def list_runs(workspace: "Workspace", request: Request) -> dict[str, Any]:
    """One page, newest first, without the tasks; all runs here were submitted."""
    size = request.number("limit", PAGE - 5)
    if not 0 <= size <= PAGE:
        raise invalid(f"The limit must be between 0 and {PAGE}, not {size}")
    start = request.number("page_token", 0)
    active = request.flag("active_only")
    found = [run for run in reversed(workspace.runs.values()) if not (active and run.ended)]
    shown = [_show(workspace, run) for run in found[start : start + (size or PAGE)]]
    listed: dict[str, Any] = {"has_more": start + len(shown) < len(found)}
    if shown:
        listed["runs"] = [{**run, "tasks": []} for run in shown]
    if listed["has_more"]:
        listed["next_page_token"] = str(start + len(shown))
    return listed


def cancel(workspace: "Workspace", request: Request) -> dict[str, Any]:
    """Ask for it; a run that has ended stays as it is."""
    find(workspace, request.number("run_id")).cancelled.set()
    return {}


def find(workspace: "Workspace", run_id: int) -> Run:
    """By its own number or its task's."""
    for run in list(workspace.runs.values()):
        if run_id in (run.run_id, run.task_run_id):
            return run
    raise invalid(f"Run {run_id} does not exist.")


def _show(workspace: "Workspace", run: Run) -> dict[str, Any]:
    life_cycle_state = run.life_cycle_state  # once: what it goes with is there before it
    common = {
        "start_time": _milliseconds(run.started),
        "end_time": _milliseconds(run.ended) if run.ended else 0,
        "attempt_number": 0,
        **_durations(run),
    }
    task: dict[str, Any] = {
        **run.task,
        "run_id": run.task_run_id,
        "run_if": "ALL_SUCCESS",
        **common,
        **_state(run, life_cycle_state, run.state_message),
    }
    if run.cluster_id:
        task["cluster_instance"] = {"cluster_id": run.cluster_id}
        if run.executing_since:
            task["cluster_instance"]["spark_context_id"] = str(run.task_run_id)
    message, state_of_all = run.state_message, life_cycle_state
    if life_cycle_state in FINAL and run.result_state == "FAILED":
        state_of_all = "INTERNAL_ERROR"  # of the run, whatever its task failed at
        message = f"Task {run.task['task_key']} failed with message: {message.rstrip('.')}."
    page = f"{workspace.host}/?o={workspace.workspace_id}#job/{run.job_id}/run/{run.run_id}"
    return {
        "job_id": run.job_id,
        "run_id": run.run_id,
        "number_in_job": run.run_id,
        "original_attempt_run_id": run.run_id,
        "creator_user_name": run.creator,
        "run_name": run.request.get("run_name") or "Untitled",
        "run_page_url": page,
        "run_type": "SUBMIT_RUN",
        "format": "MULTI_TASK",
        "tasks": [task],
        **common,
        **_state(run, state_of_all, message),
    }


def _state(run: Run, life_cycle_state: str, message: str) -> dict[str, Any]:
    over = life_cycle_state in FINAL
    state: dict[str, Any] = {
        "life_cycle_state": life_cycle_state,
        "state_message": message,
        "user_cancelled_or_timedout": over and run.result_state in ("CANCELED", "TIMEDOUT"),
    }
    status: dict[str, Any] = {"state": "TERMINATED" if over else life_cycle_state}
    if over:
        status["termination_details"] = {
            "code": run.termination_code,
            "type": run.termination_type,
            "message": message,
        }
        if run.result_state:
            state["result_state"] = run.result_state
    return {"state": state, "status": status}


def _durations(run: Run) -> dict[str, int]:
    now = run.ended or time.time()
    executing = run.executing_since or now
    executed = run.executed_until or now
    return {
        "setup_duration": _milliseconds(executing - run.started),
        "execution_duration": _milliseconds(executed - executing),
        "cleanup_duration": _milliseconds(now - executed),
        "run_duration": _milliseconds(now - run.started),
    }


def _milliseconds(seconds: float) -> int:
    return int(seconds * 1000)
