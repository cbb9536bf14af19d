"""What a run that did not end well left undone, and why; and runs that judged again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import dagster as dg
from dagster._core.execution.backfill import BULK_ACTION_TERMINAL_STATUSES
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
)

from storepipe_dagster import failures
from storepipe_dagster.history.judging import JUDGES
from storepipe_dagster.leases import GONE, lapsed
from storepipe_dagster.standing.made import Made
from storepipe_dagster.standing.plans import Plan
from storepipe_dagster.standing.troubles import Kind, Span, State, Trouble, first_line

TOLD = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.RUN_FAILURE,
}
NOT_WELL = (
    *NOT_FINISHED_STATUSES,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


@dataclass(frozen=True)
class Failure:
    """Where a run failed, what the error or the checks say, and whether that may pass."""

    where: str
    told: str
    kind: Kind
    is_check: bool = False


@dataclass
class Run:
    """A run: what it was to make or judge, and what it tells."""

    instance: dg.DagsterInstance
    record: RunRecord
    plan: Plan
    has_lapsed: bool = False

    @property
    def run_id(self) -> str:
        """Its id."""
        return self.record.dagster_run.run_id

    @property
    def began(self) -> float:
        """When it began, or was made, in seconds since the epoch."""
        return self.record.start_time or self.record.create_timestamp.timestamp()

    @property
    def goes_on(self) -> bool:
        """Whether its process works on it, or it starts again."""
        return not (self.has_lapsed or self.record.dagster_run.is_finished) or self._starts_again

    @cached_property
    def _starts_again(self) -> bool:
        """Whether Dagster's daemon does so: not with runs of commands, or of a backfill that ended.

        The tag of a failed run only tells that it has tries left.
        """
        run = self.record.dagster_run
        if not run.is_complete_and_waiting_to_retry or run.remote_job_origin is None:
            return False
        if (backfill_id := run.tags.get(BACKFILL_ID_TAG)) is None:
            return True
        backfill = self.instance.get_backfill(backfill_id)
        return backfill is not None and backfill.status not in BULK_ACTION_TERMINAL_STATUSES

    @property
    def is_well(self) -> bool:
        """Whether it succeeded."""
        return self.record.dagster_run.is_success

    @cached_property
    def span(self) -> Span | None:
        """The first and the last day that the run is about."""
        tags = self.record.dagster_run.tags
        first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
        last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
        return (first, last) if first and last else None

    @cached_property
    def _events(self) -> Sequence[dg.DagsterEvent]:
        log = self.instance.get_records_for_run(self.run_id, of_type=TOLD)
        events = (record.event_log_entry.dagster_event for record in log.records)
        return [event for event in events if event is not None]

    @cached_property
    def _failed_checks(self) -> Sequence[tuple[str, dg.AssetKey, str]]:
        """The step, the asset and the words of each check that failed, warnings aside."""
        return [
            (str(event.step_key), check.asset_key, told)
            for event in self._events
            if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
            for check in [event.asset_check_evaluation_data]
            if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
            for told in [f"{check.check_name} failed. {check.description or ''}".rstrip()]
        ]

    @cached_property
    def failed_steps(self) -> Mapping[str, Failure]:
        """The steps that failed, those of blocking checks too."""
        return {
            str(event.step_key): self._failure(event)
            for event in self._events
            if event.event_type == dg.DagsterEventType.STEP_FAILURE
        }

    def _failure(self, event: dg.DagsterEvent) -> Failure:
        step, error = str(event.step_key), event.step_failure_data.error
        checks = [(key, told) for of, key, told in self._failed_checks if of == step]
        if failures.is_check(error) and checks:
            assets = ", ".join(dict.fromkeys(key.to_user_string() for key, _ in checks))
            told = "; ".join(told for _, told in checks)
            return Failure(assets, told, Kind.PERMANENT, is_check=True)
        kind = Kind.PASSING if failures.passes(error) else Kind.PERMANENT
        return Failure(step.replace("__", "/"), failures.cause(error) or "It failed.", kind)

    def trouble(self, asset: dg.AssetKey, made: Made | None) -> Trouble | None:
        """What this run, the last one about it, left undone."""
        stopped = [
            told
            for step, key, told in self._failed_checks
            if key == asset and step in self.failed_steps
        ]
        if stopped:  # a blocking check: its step fails with it
            trouble = self._trouble(State.FAILED, "; ".join(stopped), Kind.PERMANENT)
            return replace(trouble, is_there=True)
        step = self.plan.steps.get(asset)
        if self.has_made(made):
            return self._unjudged(asset, step)
        if step is None:
            return None
        if failure := self.failed_steps.get(step):
            return self._trouble(State.FAILED, failure.told, failure.kind)
        if culprits := self.plan.culprits(step, self.failed_steps.keys()):
            return self._not_reached(culprits, made)
        return self._unfinished(made)

    def _unjudged(self, asset: dg.AssetKey, step: str | None) -> Trouble | None:
        """What this run has made, but a check on it did not come to an end."""
        ended = [
            failure
            for name, failure in self.failed_steps.items()
            if name != step and asset in self.plan.checked_by(name) and not failure.is_check
        ]
        if not ended:
            return None
        trouble = self._trouble(State.FAILED, f"Not judged: {ended[0].told}", ended[0].kind)
        return replace(trouble, is_there=True)

    def has_made(self, made: Made | None) -> bool:
        """Whether it was this run that made it."""
        return made is not None and made.run_id == self.run_id

    def _not_reached(self, culprits: Sequence[str], made: Made | None) -> Trouble:
        found = [self.failed_steps[step] for step in culprits]
        all_pass = all(failure.kind is Kind.PASSING for failure in found)
        return self._trouble(
            State.STALE if made else State.MISSING,
            "; ".join(f"{failure.where}: {failure.told}" for failure in found),
            Kind.PASSING if all_pass else Kind.PERMANENT,
            culprits,
        )

    def _unfinished(self, made: Made | None) -> Trouble | None:
        run = self.record.dagster_run
        if self.goes_on:
            status = run.status.value.lower().replace("_", " ")
            told = "The run starts again." if run.is_finished else f"The run is {status}."
            return self._trouble(State.IN_PROGRESS, told)
        if run.status == dg.DagsterRunStatus.CANCELED:
            told = "The run was cancelled before."
            return None if made else self._trouble(State.MISSING, told)
        if self.has_lapsed:
            return self._trouble(State.FAILED, GONE, Kind.PASSING)
        ends = (e.message for e in self._events if e.event_type == dg.DagsterEventType.RUN_FAILURE)
        end = next(ends, None) or "The run ended before."
        return self._trouble(State.FAILED, end, Kind.PASSING)

    def _trouble(
        self, state: State, reason: str, kind: Kind | None = None, steps: Sequence[str] = ()
    ) -> Trouble:
        culprits = frozenset(key for step in steps for key in self.plan.assets_of(step))
        return Trouble(state, first_line(reason), kind, self.run_id, self.span, culprits)


def runs_to_ask(instance: dg.DagsterInstance) -> list[Run]:
    """Those that failed, were cancelled or go on, and those that found well what a roll back made.

    First those that go on, then the newest.
    """
    judged = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags=JUDGES)
    plans: dict[str, Plan] = {}
    runs: list[Run] = []
    for of in (dg.RunsFilter(statuses=[*NOT_WELL]), judged):
        records = instance.get_run_records(of)
        gone = lapsed(instance, [record.dagster_run for record in records])
        for record in records:
            name = record.dagster_run.execution_plan_snapshot_id
            if name is None:
                continue
            if name not in plans:
                plans[name] = Plan(instance.get_execution_plan_snapshot(name))
            is_gone = record.dagster_run.run_id in gone
            runs.append(Run(instance, record, plans[name], has_lapsed=is_gone))
    return sorted(runs, key=lambda run: (not run.goes_on, -run.began))
