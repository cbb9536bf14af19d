"""How production starts its runs, and notices those whose process is gone.

Runs are processes of the code server, as Dagster's default has it. It watches none of them: a run
that was ended with its server (a reboot, a new container) would stay "started", and keep the tables
from the others, until its time is up. This launcher lets the daemon ask the code server.
"""

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import deserialize_value

SECONDS_TO_ANSWER = 10


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with an answer to run monitoring's question."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Tell whether the code server that started this run still runs it.

        A server that does not answer may only be busy: its runs count as running until it, or its
        successor, does. So do the runs of commands, which no server started.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "No code server started it.")
        try:
            reply = client.can_cancel_execution(
                CanCancelExecutionRequest(run_id=run.run_id), timeout=SECONDS_TO_ANSWER
            )
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "Its code server does not answer.")
        if deserialize_value(reply, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND, "The code server has started again since, and the run is gone."
        )
