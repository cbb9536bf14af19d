"""The step launcher as a resource: its settings, and which failures are worth another launch."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg
import requests
from dagster._core.definitions.step_launcher import StepLauncher
from dagster._core.errors import raise_execution_interrupts
from dagster._core.execution.context.system import StepExecutionContext
from dagster_shared.utils.warnings import SupersessionWarning
from databricks.sdk.errors.base import DatabricksError

from storepipe_dagster.io_managers.delta import expect_not_lost
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources.databricks.endings import (
    DatabricksAwayError,
    LoginError,
    LoginRefusedError,
    explain_refusal,
    is_unreachable,
)
from storepipe_dagster.resources.databricks.run_request import NewCluster, run_request

if TYPE_CHECKING:
    from storepipe_dagster.resources.databricks.launch import Launch

# Pipes, which supersedes it, has neither resources nor IO managers; no removal is planned.
warnings.filterwarnings("ignore", category=SupersessionWarning, message=".*StepLauncher.*")

# For Databricks to end a run that is over its time limit before we cancel it.
GRACE_SECONDS = 300
# What a call to the workspace raises; whatever else comes out of a launch is a failure as it is.
TROUBLES = (
    DatabricksError,
    LoginError,
    LoginRefusedError,
    requests.RequestException,
    TimeoutError,
)


@dataclass(frozen=True, kw_only=True)
class DatabricksStepLauncher(StepLauncher):
    """Runs each step that asks for it as a Databricks run of its own.

    ``cluster_id`` names an existing cluster; without it each run gets a ``new_cluster``.
    ``secrets`` are environment variables of the far end, each from the key of its name in
    ``secret_scope``: ``AZURE_CLIENT_ID`` from ``azure-client-id``.
    """

    lake: Lake
    host: str
    token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    staging: str
    cluster_id: str | None = None
    new_cluster: NewCluster
    env_variables: dict[str, str]
    secret_scope: str | None = None
    secrets: list[str]
    viewers: list[str]
    timeout_seconds: int
    poll_seconds: float
    max_retries: int
    retry_seconds: float

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[dg.DagsterEvent]:
        """Run the step there; ask Dagster to start it again if its run failed for no fault of ours.

        Raises ``WorkspaceError``, ``DatabricksRunError``, and ``RetryRequested`` from one of these.
        """
        attempt = step_context.previous_attempt_count
        self._expect_nothing_lost(step_context)
        try:
            with raise_execution_interrupts():
                launch = self._launch(step_context, attempt)
            yield from launch.launch_step(step_context)
        except DatabricksAwayError as failure:
            raise self._again(attempt) from failure
        except TROUBLES as error:
            if not is_unreachable(error):
                raise explain_refusal(error, self.host, self.staging) from None
            away = DatabricksAwayError(
                f"Databricks at {self.host} cannot be reached: {error}. Check DATABRICKS_HOST."
            )
            raise self._again(attempt) from away

    def _expect_nothing_lost(self, step_context: StepExecutionContext) -> None:
        """Look here, where the history is, whether a table has lost its folder."""
        if step_context.assets_def is None or step_context.assets_def.partitions_def is None:
            return
        partitions, span = step_context.assets_def.partitions_def, step_context.partition_key_range
        days = partitions.get_partition_keys_in_range(span)
        for key in step_context.get_output_asset_keys():
            expect_not_lost(self.lake, step_context.instance, key, days)

    def _launch(self, step_context: StepExecutionContext, attempt: int) -> "Launch":
        from storepipe_dagster.resources.databricks.launch import Launch  # noqa: PLC0415  # slow

        return Launch(
            login={
                "host": self.host,
                "token": self.token,
                "client_id": self.client_id,
                "client_secret": self.client_secret,
            },
            staging=self.staging,
            viewers=self.viewers,
            run_config=run_request(
                self.cluster_id or self.new_cluster,
                launch_tags(step_context),
                f"{step_context.run_id} {step_context.step.key} {attempt}",
                self.timeout_seconds,
            ),
            env_variables=self.env_variables,
            secrets=[
                {"name": name, "key": secret_key(name), "scope": self.secret_scope}
                for name in self.secrets
                if self.secret_scope
            ],
            poll_seconds=self.poll_seconds,
            most_seconds=self.timeout_seconds + GRACE_SECONDS,
        )

    def _again(self, attempt: int) -> dg.RetryRequested:
        wait = self.retry_seconds * 2**attempt
        return dg.RetryRequested(max_retries=self.max_retries, seconds_to_wait=wait)


def secret_key(variable: str) -> str:
    """The key in the secret scope under which a variable's value is kept."""
    return variable.lower().replace("_", "-")


def launch_tags(context: StepExecutionContext) -> Mapping[str, str]:
    """What a launch is for: the assets, the days and the Dagster run."""
    assets = sorted(key.to_user_string() for key in context.get_output_asset_keys())
    days = "all days"
    if context.assets_def and context.assets_def.partitions_def:
        span = context.partition_key_range
        days = span.start if span.start == span.end else f"{span.start} to {span.end}"
    return {
        "assets": " + ".join(assets),
        "days": days,
        "dagster_run": context.run_id,
        "dagster_job": context.job_name,
    }
