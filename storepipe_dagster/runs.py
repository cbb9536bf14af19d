"""Materialising a selection of the graph for a range of days, in one run, with progress.

The run is recorded in the Dagster instance that the webserver shows. What the commands print is
made in ``cli``; here it is only handed over, line by line.
"""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.events import RunFailureReason
from dagster._core.execution.api import execute_run_iterator
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
)

from storepipe_dagster import failures, open_files
from storepipe_dagster.definitions import defs
from storepipe_dagster.errors import UserError
from storepipe_dagster.instance import failure_recorded
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.leases import LOCK_TAG, lease, lock_name
from storepipe_dagster.printing import QUIET
from storepipe_dagster.resources.database import Database
from storepipe_dagster.standing.existing import existing
from storepipe_dagster.standing.standing import Standing
from storepipe_dagster.turns import take_turn, wait_for_tables

DEFINITIONS = "storepipe_dagster.definitions"
WARNING = 30
NOT_RUN = "Dependencies for step"
LINK = "databricks_run"  # in ``resources.databricks``, which is slow to import
INTERRUPTION = RunFailureReason.UNEXPECTED_TERMINATION
CAPTURES = "raw"  # the group of what calls the API


class SelectionError(UserError):
    """An asset selection is not one, or selects nothing."""


@dataclass
class Progress:
    """Follows the events of a run and tells each finished step and each problem in one line."""

    tell: Callable[[str], None]
    steps: int
    rows: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    was_interrupted: bool = False  # by Ctrl-C, or SIGTERM
    _done: int = 0
    _made: dict[str, list[str]] = field(default_factory=dict)

    def follow(self, entry: dg.EventLogEntry, _cursor: str = "") -> None:
        """Take in one entry of the event log."""
        event = entry.dagster_event
        if event is None:
            if int(entry.level) >= WARNING and not entry.user_message.startswith(NOT_RUN):
                self.tell(f"        {entry.user_message}")
        elif event.is_step_materialization:
            self._materialized(event)
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._checked(event.asset_check_evaluation_data)
        elif event.is_step_success:
            self._finished(event)
        elif event.is_step_up_for_retry:
            self._up_for_retry(event)
        elif event.is_step_failure:
            self._failed(event)
        elif event.is_run_failure:
            self.was_interrupted = event.job_failure_data.failure_reason is INTERRUPTION
        elif event.is_engine_event and LINK in event.engine_event_data.metadata:
            self.tell(f"        {event.message}")

    def _materialized(self, event: dg.DagsterEvent) -> None:
        materialization = event.step_materialization_data.materialization
        key = materialization.asset_key.to_user_string()
        self._made.setdefault(event.step_key or "", [])
        if key not in self._made[event.step_key or ""]:
            self._made[event.step_key or ""].append(key)
        rows = materialization.metadata.get("dagster/row_count")
        if rows is not None:
            self.rows[key] += int(rows.value)  # type: ignore[arg-type]

    def _checked(self, check: dg.AssetCheckEvaluation) -> None:
        if check.passed:
            return
        name = f"{check.asset_key.to_user_string()}: {check.check_name}"
        told = f"{name} failed. {check.description or ''}".rstrip()
        if check.severity == dg.AssetCheckSeverity.ERROR:
            self.problems.append(told)
        else:
            self.tell(f"        {told}")

    def _finished(self, event: dg.DagsterEvent) -> None:
        self._done += 1
        step = event.step_key or ""
        seconds = event.step_success_data.duration_ms / 1000
        first, *others = self._made.get(step) or [step]
        done = f"[{self._done:>2}/{self.steps}]"
        self.tell(f"{done} {first:<34} {seconds:6.2f} s  {self._rows(first)}".rstrip())
        for key in others:
            self.tell(f"{'':{len(done)}} {key:<34} {'':8}  {self._rows(key)}".rstrip())

    def _rows(self, key: str) -> str:
        return f"{self.rows[key]:,} rows" if key in self.rows else ""

    def _up_for_retry(self, event: dg.DagsterEvent) -> None:
        step = event.step_key or ""
        for key in self._made.pop(step, []):
            self.rows.pop(key, None)
        message = failures.cause(event.step_retry_data.error)
        self.tell(f"        {step.replace('__', '/')} starts again. {message or ''}".rstrip())

    def _failed(self, event: dg.DagsterEvent) -> None:
        self._done += 1
        step = (event.step_key or "").replace("__", "/")
        message = failures.cause(event.step_failure_data.error, open_files.limit())
        how = "interrupted" if message == failures.INTERRUPTED else "FAILED"
        self.tell(f"[{self._done:>2}/{self.steps}] {step} {how}")
        if message is not None and not any(told.endswith(message) for told in self.problems):
            self.problems.append(f"{step}: {message}")


def selected_assets(selection: str | None, *, offline: bool = False) -> list[dg.AssetKey]:
    """The asset keys of a Dagster asset selection; of all assets if there is none.

    Offline the captures are left out: nothing else calls the API.
    """
    graph = defs.resolve_asset_graph()
    wanted: dg.AssetSelection = dg.AssetSelection.all()
    if selection is not None:
        try:
            wanted = dg.AssetSelection.from_string(selection)
        except dg.DagsterError as error:
            raise SelectionError(
                f"{selection!r} is not an asset selection: {error} "
                "Examples: 'key:\"trusted/sales\"', 'group:refined', '+key:\"refined/*\"'."
            ) from None
    keys = wanted.required_multi_asset_neighbors().resolve(graph, allow_missing=True)
    if not keys:
        known = ", ".join(sorted(key.to_user_string() for key in graph.materializable_asset_keys))
        raise SelectionError(f"{selection!r} selects none of the assets, which are: {known}.")
    if offline:
        keys = {key for key in keys if graph.get(key).group_name != CAPTURES}
        if not keys:
            raise SelectionError(
                f"{selection!r} selects captures only, and --offline captures nothing."
            )
    return sorted(keys)


def accepting_shrinking(keys: Sequence[dg.AssetKey]) -> Mapping[str, Any]:
    """The run configuration that lets captures pass that lack much; raises ``SelectionError``."""
    graph = defs.resolve_asset_graph()
    captures = [key for key in keys if graph.get(key).group_name == CAPTURES]
    if not captures:
        raise SelectionError(
            "--accept-shrinking is about captures, and none is selected: leave it out, or select "
            "them, for example with --select 'group:raw'."
        )
    accepting = {"config": {"accept_shrinking": True}}
    return {"ops": {key.to_python_identifier(): accepting for key in captures}}


def materialize(
    instance: dg.DagsterInstance,
    days: Sequence[str],
    keys: Sequence[dg.AssetKey],
    tell: Callable[[str], None],
    run_config: Mapping[str, Any] | None = None,
) -> Progress:
    """Materialise assets for a closed range of days in one run; look at the problems it met."""
    if len(days) == 1:
        tags = {PARTITION_NAME_TAG: days[0]}
    else:
        tags = {ASSET_PARTITION_RANGE_START_TAG: days[0], ASSET_PARTITION_RANGE_END_TAG: days[-1]}
    return _execute(instance, "store_pipeline", run_config or {}, tell, frozenset(keys), tags)


def run_op_job(
    instance: dg.DagsterInstance,
    name: str,
    config: Mapping[str, Any],
    tell: Callable[[str], None],
) -> Progress:
    """Run a job of ops, as the launchpad does; look at the problems it met."""
    return _execute(instance, name, config, tell)


def standing(instance: dg.DagsterInstance, lake: Lake, database: Database) -> Standing:
    """What is failed or missing of the graph, by its history and by what exists."""
    graph = defs.resolve_asset_graph()
    return Standing(instance, graph, existing(graph, lake, database))


def _execute(
    instance: dg.DagsterInstance,
    job_name: str,
    config: Mapping[str, Any],
    tell: Callable[[str], None],
    keys: frozenset[dg.AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Progress:
    repository = ReconstructableRepository.for_module(DEFINITIONS, "defs")
    job, run_id = repository.get_reconstructable_job(job_name), str(uuid.uuid4())
    with lease(instance, run_id):
        wait_for_tables(instance, tell)
        run = instance.create_run_for_job(
            run_id=run_id,
            job_def=job.get_definition(),
            run_config={**QUIET, **config},
            # It holds the home's lock, and only a person starts it again.
            tags={LOCK_TAG: lock_name() or "", MAX_RETRIES_TAG: "0", **(tags or {})},
            asset_selection=keys,
            job_code_origin=job.get_python_origin(),
        )
        try:
            run = take_turn(instance, run, tell)
        except BaseException:  # Ctrl-C, for example: nothing was begun
            instance.report_run_canceled(run)
            raise
    plan = instance.get_execution_plan_snapshot(str(run.execution_plan_snapshot_id))
    progress = Progress(tell, len(plan.steps))
    instance.add_event_listener(run_id, progress.follow)
    with failure_recorded(instance, run, tell):
        for _ in execute_run_iterator(job, run, instance):
            pass
    if progress.was_interrupted:
        tell("What is finished is complete: run the same command again for the rest.")
        raise KeyboardInterrupt
    finished = instance.get_run_by_id(run_id)
    if (finished is None or not finished.is_success) and not progress.problems:
        progress.problems.append(
            f"Run {run_id} was ended in Dagster before it was complete: run the command again."
            if finished and finished.status is dg.DagsterRunStatus.CANCELED
            else f"Run {run_id} did not succeed; its log tells why: make dev."
        )
    return progress
