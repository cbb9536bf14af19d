"""One Dagster step as one Databricks run: staged, submitted, followed, and cleaned up after.

dagster-databricks' launcher stages the step, and its script runs it there. Here is what differs
from it: only the package is shipped, a volume will do for staging, and staged files are removed.
"""

import contextlib
import hashlib
import io
import pickle
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import dagster as dg
import tenacity
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.definitions.step_launcher import StepRunRef
from dagster._core.errors import raise_execution_interrupts
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.external_step import (
    PICKLED_EVENTS_FILE_NAME,
    PICKLED_STEP_RUN_REF_FILE_NAME,
    step_context_to_step_run_ref,
)
from dagster._core.log_manager import DagsterLogManager
from dagster_databricks.databricks_pyspark_step_launcher import (
    CODE_ZIP_NAME,
    PICKLED_CONFIG_FILE_NAME,
    DatabricksPySparkStepLauncher,
)
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import NotFound
from databricks.sdk.service.iam import AccessControlRequest, PermissionLevel
from databricks.sdk.service.jobs import Run, RunType

from storepipe_dagster.resources.databricks import shipped
from storepipe_dagster.resources.databricks.clients import (
    VOLUMES,
    ImpatientClient,
    JobRunner,
    VolumesClient,
)
from storepipe_dagster.resources.databricks.endings import (
    DatabricksAwayError,
    DatabricksRunError,
    describe,
    has_ended,
    is_unreachable,
    passes,
    succeeded,
)
from storepipe_dagster.resources.databricks.following import Following
from storepipe_dagster.resources.databricks.run_request import mark_of

CODE = ModuleCodePointer("storepipe_dagster.definitions", "defs")
SUBMIT_TRIES = 3
CANCEL_SECONDS = 120
STILL_THERE = (
    "It may still write, so nothing is launched beside it. End it on its page, then run again."
)
UNREACHABLE = tenacity.retry_if_exception(lambda error: is_unreachable(cast("Exception", error)))
TRACE_LENGTH = 8000
BOILERPLATE = ("Running dagster job", "Exporting ")  # what the script prints of itself


class Launch(DatabricksPySparkStepLauncher):
    """dagster-databricks' launcher, for one step."""

    def __init__(
        self,
        *,
        login: Mapping[str, Any],
        staging: str,
        viewers: Sequence[str],
        run_config: Mapping[str, Any],
        env_variables: Mapping[str, str],
        secrets: Sequence[Mapping[str, Any]],
        poll_seconds: float,
        most_seconds: float,
    ) -> None:
        """Stage in ``staging``, dbfs:/… or /Volumes/…; let ``viewers`` look at the run.

        Logs in, and raises what ``ImpatientClient`` does.
        """
        # What its methods here need; its own constructor would log in, with the SDK's patience.
        self.run_config = run_config
        self.env_variables, self.add_dagster_env_variables = env_variables, False
        self.secrets, self.storage = secrets, {}
        self.staging_prefix = staging.removeprefix("dbfs:")
        self.viewers = viewers
        self.poll_seconds, self.most_seconds = poll_seconds, most_seconds
        self.in_volume = staging.startswith(VOLUMES)
        client = VolumesClient if self.in_volume else ImpatientClient
        self.databricks_runner = JobRunner(client(**login))

    @property
    def workspace(self) -> WorkspaceClient:
        """The SDK's client of the workspace."""
        return self.databricks_runner.client.workspace_client

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[dg.DagsterEvent]:
        """Run the step on Databricks.

        Raises ``DatabricksRunError`` for a run that ended before the step did, and what the SDK
        raises for what the workspace refuses.
        """
        run_id, step_key = step_context.run_id, step_context.step.key
        reference = step_context_to_step_run_ref(step_context, str(shipped.PACKAGE.parent))
        with raise_execution_interrupts():
            self.workspace.config.authenticate()
            self._end_orphans(step_context)
            self._upload_artifacts(step_context.log, reference, run_id, step_key)
            libraries = self._libraries()
        # An interrupt waits until it is known what to cancel.
        databricks_run = self._submit({**self.run_config, "libraries": libraries}, run_id, step_key)
        events = f"{step_context.previous_attempt_count}_{PICKLED_EVENTS_FILE_NAME}"
        following = Following(
            step_context,
            databricks_run,
            self.workspace.jobs.get_run,
            lambda: self._staged(run_id, step_key, events),
        )
        late: DatabricksAwayError | None = None
        try:
            self._let_people_see(step_context.log, databricks_run)
            yield from following.events(self.poll_seconds, self.most_seconds)
        except DatabricksAwayError as error:
            late = error
        finally:
            ended = has_ended(following.run) or self._cancel(step_context.log, databricks_run)
            self.log_compute_logs(step_context.log, run_id, step_key)
        if late:
            raise late if ended else DatabricksRunError(f"{late}\n{STILL_THERE}") from None
        if following.last is None:
            raise self._failure(step_context.log, following.run, run_id, step_key)
        if not succeeded(following.run):
            step_context.log.warning(
                "The step had come to its end when Databricks run %s ended as %s. Run page: %s",
                databricks_run,
                describe(following.run),
                following.run.run_page_url,
            )
        if following.last == dg.DagsterEventType.STEP_SUCCESS:
            self._remove_staged(step_context.log, run_id, step_key)

    def _end_orphans(self, context: StepExecutionContext) -> None:
        """End what earlier tries have left: ours, and of the Dagster runs that this one repeats.

        Their process has died, or never learnt that its request was heard; what they launched
        would write beside ours.
        """
        run = context.dagster_run
        repeated = tuple(mark_of(one) for one in (run.parent_run_id, run.root_run_id) if one)
        if not repeated and not context.previous_attempt_count:
            return
        for one in self.workspace.jobs.list_runs(active_only=True, run_type=RunType.SUBMIT_RUN):
            name = str(one.run_name)
            if name != self.run_config["run_name"] and not name.endswith(repeated):
                continue
            context.log.warning("Databricks run %s was left behind: %s", one.run_id, name)
            if not self._cancel(context.log, cast("int", one.run_id)):
                raise DatabricksRunError(
                    f"Databricks run {one.run_id} was left behind by an earlier try, and does not "
                    f"end. {STILL_THERE} Run page: {one.run_page_url}"
                )

    def _submit(self, request: dict[str, Any], run_id: str, step_key: str) -> int:
        """Start the run. Where the answer is lost, asking again finds what was started."""
        task = self._get_databricks_task(run_id, step_key)
        for attempt in tenacity.Retrying(
            retry=UNREACHABLE,
            stop=tenacity.stop_after_attempt(SUBMIT_TRIES),
            reraise=True,
        ):
            with attempt:
                databricks_run = self.databricks_runner.submit_run(request, task)
        return databricks_run

    def _failure(
        self, log: DagsterLogManager, run: Run, run_id: str, step_key: str
    ) -> DatabricksRunError:
        """The error for a run that ended before its step did, with the traceback from there."""
        said = trace = ""
        with _told(log, "What the script wrote cannot be read"):
            said = trace = self._staged(run_id, step_key, "stderr").decode(errors="replace").strip()
        with _told(log, "The output of the run cannot be read"):
            task = (run.tasks and run.tasks[0].run_id) or run.run_id
            output = self.workspace.jobs.get_run_output(cast("int", task))
            trace = output.error_trace or said or output.error or ""
        there = f"\nWhat it told there:\n{trace[-TRACE_LENGTH:]}" if trace else ""
        kind = DatabricksAwayError if passes(run, silent=not said) else DatabricksRunError
        return kind(
            f"Databricks run {run.run_id} ended before the step did, as {describe(run)}\n"
            f"Run page: {run.run_page_url}{there}"
        )

    def _cancel(self, log: DagsterLogManager, databricks_run: int) -> bool:
        """Cancel a run and wait until it has ended, for a while; tells whether it has."""
        jobs = self.workspace.jobs

        @tenacity.retry(
            retry=UNREACHABLE,
            stop=tenacity.stop_after_delay(CANCEL_SECONDS),
            wait=tenacity.wait_fixed(self.poll_seconds),
            reraise=True,
        )
        def cancel() -> None:
            jobs.cancel_run(databricks_run)
            run = jobs.get_run(databricks_run)
            if not has_ended(run):
                raise TimeoutError(f"it is still {describe(run)}")

        with _told(log, f"Databricks run {databricks_run} could not be cancelled"):
            cancel()
            return True
        return False

    def _let_people_see(self, log: DagsterLogManager, databricks_run: int) -> None:
        """Let others than its owner look at the run; where that fails, the run goes on."""
        if not self.viewers:
            return
        rights = [
            AccessControlRequest(user_name=name, permission_level=PermissionLevel.CAN_VIEW)
            if "@" in name
            else AccessControlRequest(group_name=name, permission_level=PermissionLevel.CAN_VIEW)
            for name in self.viewers
        ]
        who = ", ".join(self.viewers)
        with _told(log, f"{who} cannot see Databricks run {databricks_run} (DATABRICKS_VIEWERS)"):
            job = self.workspace.jobs.get_run(databricks_run).job_id
            self.workspace.permissions.update("jobs", str(job), access_control_list=rights)

    def log_compute_logs(self, log: DagsterLogManager, run_id: str, step_key: str) -> None:
        """Add what the script printed there to what the step printed here."""
        for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
            with _told(log, f"The {name} of the script cannot be read"):
                text = self._staged(run_id, step_key, name).decode(errors="replace")
                lines = text.splitlines(keepends=True)
                stream.writelines(line for line in lines if not line.startswith(BOILERPLATE))

    def _staged(self, run_id: str, step_key: str, name: str) -> bytes:
        """A file that the script writes; empty as long as it is not there."""
        try:
            return self.databricks_runner.client.read_file(self._dbfs_path(run_id, step_key, name))
        except NotFound:
            return b""

    def _upload_artifacts(
        self, log: DagsterLogManager, step_run_ref: StepRunRef, run_id: str, step_key: str
    ) -> None:
        """Stage the script, the package, the step and the environment."""
        # Where the code is on this machine, and what runs it, is nothing to the far end.
        reference = step_run_ref._replace(
            recon_job=step_run_ref.recon_job._replace(repository=ReconstructableRepository(CODE)),
            dagster_run=step_run_ref.dagster_run._replace(
                job_code_origin=None, remote_job_origin=None
            ),
        )
        staged = {
            self._main_file_name(): Path(self._main_file_local_path()).read_bytes(),
            CODE_ZIP_NAME: shipped.code_zip(),
            PICKLED_STEP_RUN_REF_FILE_NAME: pickle.dumps(reference),
            PICKLED_CONFIG_FILE_NAME: pickle.dumps(self.create_remote_config()),
            # Not those of an earlier attempt, should this one not get to write its own.
            "stdout": b"",
            "stderr": b"",
        }
        folder = self._dbfs_path(run_id, step_key, "").rstrip("/")
        log.debug("Staging in %s: %s", folder, ", ".join(staged))
        if self.in_volume:
            self.workspace.files.create_directory(folder)
        for name, content in staged.items():
            path = self._dbfs_path(run_id, step_key, name)
            self.databricks_runner.client.put_file(io.BytesIO(content), path, overwrite=True)

    def _libraries(self) -> list[dict[str, Any]]:
        """What the cluster installs: at once from a file, which it takes from volumes only.

        The same content has the same name, so that a cluster that lives on does not install it
        again.
        """
        if not self.in_volume:
            return shipped.libraries()
        pins = shipped.requirements().encode()
        folder = f"{self.staging_prefix}/libraries"
        path = f"{folder}/{hashlib.sha256(pins).hexdigest()[:16]}.txt"
        try:
            self.workspace.files.get_metadata(path)
        except NotFound:
            self.workspace.files.create_directory(folder)
            self.databricks_runner.client.put_file(io.BytesIO(pins), path, overwrite=True)
        return [{"requirements": path}]

    def _remove_staged(self, log: DagsterLogManager, run_id: str, step_key: str) -> None:
        """Remove the folder of the step, and that of the run if nothing else is in it."""
        folder = self._dbfs_path(run_id, step_key, "").rstrip("/")
        files = self.workspace.dbfs  # which serves volumes as well
        with _told(log, f"Staged files stay in {folder}"):
            files.delete(folder, recursive=True)
            parent = folder.rpartition("/")[0]
            if not any(files.list(parent)):
                files.delete(parent, recursive=True)

    def _dbfs_path(self, run_id: str, step_key: str, filename: str) -> str:
        path: str = super()._dbfs_path(run_id, step_key, filename)
        return path.removeprefix("dbfs://") if self.in_volume else path

    def _internal_dbfs_path(self, run_id: str, step_key: str, filename: str) -> str:
        path: str = super()._internal_dbfs_path(run_id, step_key, filename)
        return path.removeprefix("/dbfs/") if self.in_volume else path


@contextlib.contextmanager
def _told(log: DagsterLogManager, trouble: str) -> Iterator[None]:
    """Tell what goes wrong and go on: it is not what the step depends on."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  # whatever it is, the step has its own end
        log.warning("%s: %s", trouble, error)
