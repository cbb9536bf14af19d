"""The life of a run: a cluster, its libraries, the task, and the end of them."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from storepipe_dagster_tests.servers.databricks import clusters
from storepipe_dagster_tests.servers.databricks.environments import (
    Environment,
    LibraryError,
    make_environment,
)
from storepipe_dagster_tests.servers.databricks.runs import (
    CANCELLED,
    SUCCEEDED,
    TASK_FAILED,
    TIMED_OUT,
    Ending,
    Run,
)

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

POLL_SECONDS = 0.02
EVENTS = "*_events.pkl"


class Life:
    """Lives through one run, in a thread."""

    def __init__(self, workspace: "Workspace", run: Run) -> None:
        self.workspace = workspace
        self.run = run
        task, whole = run.task.get("timeout_seconds", 0), run.request.get("timeout_seconds", 0)
        seconds = min(filter(None, (task, whole)), default=None)
        self.deadline = None if seconds is None else time.monotonic() + seconds

    def __call__(self) -> None:
        try:
            ending = self._live()
        except Exception as error:  # noqa: BLE001 - the run must end, and the test must see why
            traceback.print_exc()
            ending = Ending(code="INTERNAL_ERROR", type="INTERNAL_ERROR", message=repr(error))
        self.run.end(ending)

    def _live(self) -> Ending:
        run, scripted = self.run, self.run.ending
        stopped = self._wait(lambda: False, seconds=self.workspace.start_seconds)
        if stopped:
            return stopped
        new_id = self.workspace.new_cluster_id()
        run.cluster_id = run.task.get("existing_cluster_id") or new_id
        if scripted and scripted.when == "before":
            return scripted
        if scripted and scripted.when == "never":
            self._begin()
            return self._wait(lambda: False) or scripted
        prepared = self._prepare()
        return prepared if isinstance(prepared, Ending) else self._run_task(prepared)

    def _prepare(self) -> Environment | Ending:
        """Install the libraries; what a cold cache costs is not the run's time."""
        self.run.state_message = "Installing libraries"
        before = time.monotonic()
        try:
            environment = make_environment(
                self.run.task.get("libraries", []),
                lambda path: clusters.mounted(
                    self.workspace, self.run, path.replace("dbfs:/Volumes/", "/Volumes/")
                ),
            )
            self.workspace.spark_address()
        except LibraryError as error:
            return _library_failure(error)
        finally:
            if self.deadline is not None:
                self.deadline += time.monotonic() - before
        self.run.environment = environment.python
        if self.run.task.get("libraries"):
            self.run.libraries = list(environment.installed)
        self.run.missing = list(environment.missing)
        return environment

    def _run_task(self, environment: Environment) -> Ending:
        run, scripted = self.run, self.run.ending
        script = clusters.script_of(self.workspace, run)
        if script is None:
            return Ending(
                code="RESOURCE_NOT_FOUND",
                type="CLIENT_ERROR",
                message="Cannot read the python file"
                f" {run.task['spark_python_task']['python_file']}. Please check driver logs for"
                " more details.",
            )
        started = time.time_ns()
        try:
            process = clusters.start_driver(self.workspace, run, script, environment)
        except clusters.SecretError as error:
            return Ending(
                type="CLIENT_ERROR",
                message="Unexpected failure while waiting for the cluster ({cluster_id}) to be"
                f" ready: SECRET_RESOLUTION_ERROR(CLIENT_ERROR): {error}",
            )
        run.process_id = process.pid
        self._begin()

        given = [
            one for one in clusters.parameters_of(self.workspace, run) if isinstance(one, Path)
        ]
        folders = {file.parent for file in (script, *given)}

        def has_events() -> bool:
            files = [file for folder in folders for file in folder.glob(EVENTS)]
            return any(file.stat().st_mtime_ns >= started for file in files)

        evicted = False

        def is_over() -> bool:
            nonlocal evicted
            evicted = bool(scripted and scripted.when == "during" and has_events())
            return evicted or process.poll() is not None

        stopped = self._wait(is_over)
        run.executed_until = time.time()
        run.life_cycle_state = "TERMINATING"
        clusters.end_driver(process)
        run.exit_code = process.returncode
        run.read_end()
        if stopped:
            return stopped
        if scripted and (evicted or scripted.when == "after"):
            return scripted
        return SUCCEEDED if run.exit_code == 0 else _task_failure()

    def _begin(self) -> None:
        self.run.executing_since = time.time()
        self.run.state_message = "In run"
        self.run.life_cycle_state = "RUNNING"

    def _wait(self, is_over: Callable[[], bool], seconds: float | None = None) -> Ending | None:
        """Wait until it is over; gives how the run ends if that comes first."""
        until = None if seconds is None else time.monotonic() + seconds
        while not is_over() and (until is None or time.monotonic() < until):
            if self.deadline is not None and time.monotonic() > self.deadline:
                return TIMED_OUT
            if self.run.cancelled.wait(POLL_SECONDS):
                self.run.life_cycle_state = "TERMINATING"
                self.workspace.closed.wait(self.workspace.cancel_seconds)
                return CANCELLED
        return None


def _task_failure() -> Ending:
    return Ending(
        life_cycle_state="TERMINATED",
        code="RUN_EXECUTION_ERROR",
        type="CLIENT_ERROR",
        message=TASK_FAILED,
    )


def _library_failure(error: LibraryError) -> Ending:
    ((kind, value),) = error.library.items()
    named = f'{kind} {{\n  package: "{value["package"]}"\n}}' if kind == "pypi" else value
    return Ending(
        code="LIBRARY_INSTALLATION_ERROR",
        type="CLIENT_ERROR",
        message=f"Library installation failed for library due to user error for {named}\n Error"
        " messages:\nLibrary installation attempted on the driver node of cluster {cluster_id} and"
        " failed. Please refer to the following error message to fix the library or contact"
        f" Databricks support. Error Code: DRIVER_LIBRARY_INSTALLATION_FAILURE. Error Message:"
        f" {error}",
    )
