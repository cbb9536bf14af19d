"""How runs are started, and how the daemon notices those whose process is gone.

Runs are processes of the code server, as Dagster's default has it, which watches none of them: a
run that was killed, or went down with its machine, would keep the tables from the others until its
time is up. This launcher lets run monitoring look at the leases.
"""

from dagster import DagsterRun
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher.base import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher

from storepipe_dagster.leases import GONE, lapsed


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with an answer to run monitoring's question."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Whether run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Tell whether the process of a run is alive, those of commands included.

        The daemon starts a run again at the moment it is found gone, or never; so it is not found
        gone before its code server is back.
        """
        if not lapsed(self._instance, [run]):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        server = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        try:
            if server is not None and server.port:  # a laptop's has a new socket each time
                server.ping("")
        except DagsterUserCodeUnreachableError:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "Its code server does not answer.")
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, GONE)
