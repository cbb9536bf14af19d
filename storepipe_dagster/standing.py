"""The standing list: which days of which assets are failed or missing, why, and what mends it.

It is made anew from Dagster's instance each time, so a day that was repaired is no more in it. What
counts is the last run that was to make a day, and whether another has made it since:

- ``failed``: its own step failed, or a blocking check on it did or was not made, or the run's
  process ended.
- ``missing``: it was never made; no run was to, or a run did not come to it.
- ``stale``: it is there, but the last run that was to make it again did not come to it.
- ``in progress``: a run that has not ended is to make it.

What a failure means is in ``failures``; how the list is shown, in
``status_command`` and ``standing_checks``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timezone
from enum import Enum
from functools import cached_property
from typing import Any

import dagster as dg
import sqlalchemy as sa
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.snap import ExecutionPlanSnapshot
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES, RunRecord
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable as Events
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from storepipe_dagster import failures

Graph = BaseAssetGraph[Any]
Day = str | None  # none: of an asset without days
LONGEST_REASON = 300
NEVER_ASKED = "No run was to make it."
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


class State(Enum):
    """How it is with a day of an asset that is not well."""

    FAILED = "failed"
    MISSING = "missing"
    STALE = "stale"
    IN_PROGRESS = "in progress"


class Kind(Enum):
    """Whether a failure may be over when the same is done again."""

    PASSING = "passing"
    PERMANENT = "permanent"


@dataclass(frozen=True)
class Line:
    """Days of an asset that follow upon each other and have the same trouble; none: has no days."""

    asset: dg.AssetKey
    first: Day
    last: Day
    days: int
    state: State
    kind: Kind | None
    reason: str
    run_id: str | None
    repair: str


@dataclass(frozen=True)
class _Failure:
    """Where a run failed, what the error or the checks say, and whether that may pass."""

    where: str
    told: str
    kind: Kind
    is_check: bool = False


@dataclass(frozen=True)
class _Trouble:
    state: State
    reason: str
    kind: Kind | None = None
    run: "_Run | None" = None
    culprits: frozenset[dg.AssetKey] = frozenset()
    is_there: bool = False  # rows of this run are, and they broke a rule or nobody has judged them

    def equals(self, other: "_Trouble") -> bool:
        return (self.state, self.reason, self.kind) == (other.state, other.reason, other.kind)


@dataclass(frozen=True)
class _Made:
    """The last materialisation of something."""

    run_id: str
    at: float


Troubles = dict[dg.AssetKey, dict[Day, _Trouble]]


@dataclass
class _Run:
    """A run that failed, was cancelled or goes on: what it was to make and what it tells."""

    instance: dg.DagsterInstance
    record: RunRecord
    plan: "_Plan"

    @property
    def run_id(self) -> str:
        return self.record.dagster_run.run_id

    @property
    def began(self) -> float:
        return self.record.start_time or self.record.create_timestamp.timestamp()

    @property
    def goes_on(self) -> bool:
        run = self.record.dagster_run
        return not run.is_finished or run.is_complete_and_waiting_to_retry

    @cached_property
    def span(self) -> tuple[str, str] | None:
        """The first and the last day that the run is about."""
        tags = self.record.dagster_run.tags
        first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
        last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
        return (first, last) if first and last else None

    def among(self, days: Sequence[str]) -> Sequence[str]:
        """The days of the run that are among these, which are in order."""
        if self.span is None:
            return ()
        return days[bisect_left(days, self.span[0]) : bisect_right(days, self.span[1])]

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
    def failed_steps(self) -> Mapping[str, _Failure]:
        """The steps that failed, those of blocking checks too."""
        return {
            str(event.step_key): self._failure(event)
            for event in self._events
            if event.event_type == dg.DagsterEventType.STEP_FAILURE
        }

    def _failure(self, event: dg.DagsterEvent) -> _Failure:
        step, error = str(event.step_key), event.step_failure_data.error
        checks = [(key, told) for of, key, told in self._failed_checks if of == step]
        if failures.is_check(error) and checks:
            assets = ", ".join(dict.fromkeys(key.to_user_string() for key, _ in checks))
            told = "; ".join(told for _, told in checks)
            return _Failure(assets, told, Kind.PERMANENT, is_check=True)
        kind = Kind.PASSING if failures.passes(error) else Kind.PERMANENT
        return _Failure(step.replace("__", "/"), failures.cause(error) or "It failed.", kind)

    def trouble(self, asset: dg.AssetKey, made: _Made | None) -> _Trouble | None:
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

    def _unjudged(self, asset: dg.AssetKey, step: str | None) -> _Trouble | None:
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

    def has_made(self, made: _Made | None) -> bool:
        """Whether it was this run that made it."""
        return made is not None and made.run_id == self.run_id

    def _not_reached(self, culprits: Sequence[str], made: _Made | None) -> _Trouble:
        found = [self.failed_steps[step] for step in culprits]
        all_pass = all(failure.kind is Kind.PASSING for failure in found)
        return self._trouble(
            State.STALE if made else State.MISSING,
            "; ".join(f"{failure.where}: {failure.told}" for failure in found),
            Kind.PASSING if all_pass else Kind.PERMANENT,
            culprits,
        )

    def _unfinished(self, made: _Made | None) -> _Trouble | None:
        run = self.record.dagster_run
        if self.goes_on:
            status = run.status.value.lower().replace("_", " ")
            told = "The run starts again." if run.is_finished else f"The run is {status}."
            return self._trouble(State.IN_PROGRESS, told)
        if run.status == dg.DagsterRunStatus.CANCELED:
            told = "The run was cancelled before."
            return None if made else self._trouble(State.MISSING, told)
        ends = (e.message for e in self._events if e.event_type == dg.DagsterEventType.RUN_FAILURE)
        end = next(ends, None) or "The run ended before."
        return self._trouble(State.FAILED, end, Kind.PASSING)

    def _trouble(
        self, state: State, reason: str, kind: Kind | None = None, steps: Sequence[str] = ()
    ) -> _Trouble:
        culprits = frozenset(key for step in steps for key in self.plan.assets_of(step))
        return _Trouble(state, _first_line(reason), kind, self, culprits)


class _Plan:
    """What the steps of a run make, and which they wait for."""

    def __init__(self, plan: ExecutionPlanSnapshot) -> None:
        self.steps: dict[dg.AssetKey, str] = {}
        self._checked: dict[str, set[dg.AssetKey]] = {}
        self._before = plan.step_deps
        self._assets: dict[str, set[dg.AssetKey]] = {}
        for step in plan.steps:
            if step.key not in plan.step_keys_to_execute:
                continue
            for key in step.entity_keys:
                if isinstance(key, dg.AssetKey):
                    self.steps[key] = step.key
                    self._assets.setdefault(step.key, set()).add(key)
                else:
                    self._checked.setdefault(step.key, set()).add(key.asset_key)
                    self._assets.setdefault(step.key, set()).add(key.asset_key)

    @property
    def touched(self) -> set[dg.AssetKey]:
        """All assets that are to be made or checked."""
        return self.steps.keys() | set().union(*self._checked.values())

    def checked_by(self, step: str) -> set[dg.AssetKey]:
        """The assets whose checks a step runs."""
        return self._checked.get(step, set())

    def assets_of(self, step: str) -> set[dg.AssetKey]:
        """What a step makes or checks."""
        return self._assets.get(step, set())

    def culprits(self, step: str, failed: Any) -> list[str]:
        """The failed steps that a step waited for, directly or through others."""
        found: set[str] = set()
        seen, waiting = {step}, [step]
        while waiting:
            for before in self._before.get(waiting.pop(), ()):
                if before in failed:
                    found.add(before)
                elif before not in seen:
                    seen.add(before)
                    waiting.append(before)
        return sorted(found)


class Standing:
    """What an instance knows by now: what was made when, and which runs did not end well."""

    def __init__(self, instance: dg.DagsterInstance, graph: Graph) -> None:
        self._instance, self._graph = instance, graph
        self._plans: dict[str, _Plan] = {}
        keys = graph.materializable_asset_keys
        self._with_days = {key for key in keys if graph.get(key).partitions_def is not None}
        self._made: dict[dg.AssetKey, dict[Day, _Made]] = {
            key: self._made_days(key) for key in self._with_days
        }
        without = [key for key in keys if key not in self._with_days]
        self._made |= {key: {} for key in without}
        for record in instance.get_asset_records(without):
            entry = record.asset_entry
            if (last := entry.last_materialization) is not None:
                self._made[entry.asset_key] = {None: _Made(last.run_id, last.timestamp)}
        self._runs = self._runs_that_are_not_well()

    def _made_days(self, key: dg.AssetKey) -> dict[Day, _Made]:
        """The last materialisation of each day, read without its event, which takes far longer."""
        storage: Any = self._instance.event_log_storage
        kind = dg.DagsterEventType.ASSET_MATERIALIZATION
        newest = storage.get_latest_storage_id_by_partition(key, kind)
        if not newest:
            return {}
        query = sa.select(Events.c.id, Events.c.partition, Events.c.run_id, Events.c.timestamp)
        query = query.where(
            Events.c.asset_key == key.to_string(),
            Events.c.dagster_event_type == kind.value,
            Events.c.id >= min(newest.values()),
        )
        wanted = set(newest.values())
        with storage.index_connection() as connection:
            return {
                row.partition: _Made(row.run_id, _seconds(row.timestamp))
                for row in connection.execute(query)
                if row.id in wanted
            }

    def _runs_that_are_not_well(self) -> list[_Run]:
        """Those that failed, were cancelled or go on, the newest first."""
        records = self._instance.get_run_records(dg.RunsFilter(statuses=[*NOT_WELL]))
        runs = [
            _Run(self._instance, record, plan)
            for record in records
            if (plan := self._plan_of(record.dagster_run)) is not None
        ]
        return sorted(runs, key=lambda run: (not run.goes_on, -run.began))

    def _plan_of(self, run: dg.DagsterRun) -> _Plan | None:
        name = run.execution_plan_snapshot_id
        if name is None:
            return None
        if name not in self._plans:
            self._plans[name] = _Plan(self._instance.get_execution_plan_snapshot(name))
        return self._plans[name]

    @cached_property
    def all_days(self) -> Sequence[str]:
        """The days of the partitioned assets, which all have the same."""
        known = (self._graph.get(key).partitions_def for key in self._with_days)
        partitions = next(known, None)
        return [*partitions.get_partition_keys()] if partitions else []

    @property
    def first_day(self) -> str | None:
        """The first day that was ever made or asked for; the first of all days, if none was."""
        made = (str(day) for key in self._with_days for day in self._made[key])
        asked = (run.span[0] for run in self._runs if run.span)
        begun = min((*made, *asked), default="")
        return next((day for day in self.all_days if day >= begun), None)

    def days_until(self, last: str) -> Sequence[str]:
        """The days from the first that was ever made or asked for."""
        first = self.first_day or ""
        return [day for day in self.all_days if first <= day <= last]

    def lines(self, days: Sequence[str]) -> list[Line]:
        """All that is failed, missing, stale or in progress of a closed range of days.

        In the order of the graph; what has no days comes with every range.
        """
        return [*_Lines(self._graph, days, self._troubles(days)).lines()]

    def unfit_days(self, key: dg.AssetKey) -> set[Day]:
        """The days of an asset whose rows broke a blocking rule, or that nobody has judged."""
        troubles = self._troubles(self.all_days)[key]
        return {day for day, trouble in troubles.items() if trouble.is_there}

    def _troubles(self, days: Sequence[str]) -> Troubles:
        """The trouble of each asset and day, where there is one."""
        found: Troubles = {key: {} for key in self._made}
        open_days: dict[dg.AssetKey, set[Day]] = {
            key: {*days} if key in self._with_days else {None} for key in self._made
        }
        for run in self._runs:
            its_days: set[Day] = {*run.among(days)}
            for key in run.plan.touched & open_days.keys():
                about = its_days if key in self._with_days else {None}
                for day in open_days[key] & about:
                    made = self._made[key].get(day)
                    if made and made.run_id != run.run_id and made.at >= run.began:
                        open_days[key].discard(day)
                    elif (trouble := run.trouble(key, made)) is not None:
                        found[key][day] = trouble
                        open_days[key].discard(day)
                    elif run.has_made(made):
                        open_days[key].discard(day)
                if not open_days[key]:
                    del open_days[key]
        never = _Trouble(State.MISSING, NEVER_ASKED)
        for key, left in open_days.items():
            found[key] |= {day: never for day in left if day not in self._made[key]}
        return found


@dataclass
class _Lines:
    """Joins the days that have the same trouble, and finds what mends them."""

    graph: Graph
    days: Sequence[str]
    troubles: Troubles
    _ancestors: dict[dg.AssetKey, frozenset[dg.AssetKey]] = field(default_factory=dict)
    _selections: dict[Any, str] = field(default_factory=dict)
    _ill_ones: dict[tuple[str, ...], frozenset[dg.AssetKey]] = field(default_factory=dict)

    def lines(self) -> Iterator[Line]:
        places = {day: place for place, day in enumerate(self.days)}
        for key in self.graph.toposorted_asset_keys:
            troubles = self.troubles.get(key, {})
            if None in troubles:
                yield self._without_days(key, troubles[None])
                continue
            joined: list[tuple[str, _Trouble, str]] = []
            for day in sorted(day for day in troubles if day is not None):
                trouble = self._in_this_light(troubles[day], day)
                selection = self._selection(key, self._ill(day), trouble)
                if joined and not (
                    places[joined[-1][0]] + 1 == places[day]
                    and joined[-1][1].equals(trouble)
                    and joined[-1][2] == selection
                ):
                    yield self._line(key, joined)
                    joined = []
                joined.append((day, trouble, selection))
            if joined:
                yield self._line(key, joined)

    def _line(self, key: dg.AssetKey, joined: Sequence[tuple[str, _Trouble, str]]) -> Line:
        first, (last, trouble, selection) = joined[0][0], joined[-1]
        return self._told(
            key, (first, last), len(joined), trouble, _command(selection, first, last)
        )

    def _without_days(self, key: dg.AssetKey, trouble: _Trouble) -> Line:
        """A table that has no days is made for those of the run that did not make it."""
        asked = trouble.run.among(self.days) if trouble.run else ()
        trouble = self._in_this_light(trouble, *asked)
        ill = self._ill(*asked) if asked else self._ill_on_all_days()
        selection = self._selection(key, ill, trouble)
        span = asked or self.days
        if '"+' not in selection:  # nothing that has days waits for it
            span = span[-1:]
        command = _command(selection, span[0], span[-1]) if span else ""
        return self._told(key, (None, None), 0, trouble, command)

    @staticmethod
    def _told(
        key: dg.AssetKey, span: tuple[Day, Day], days: int, trouble: _Trouble, repair: str
    ) -> Line:
        run_id = trouble.run.run_id if trouble.run else None
        state, kind, reason = trouble.state, trouble.kind, trouble.reason
        return Line(key, *span, days, state, kind, reason, run_id, repair)

    def _in_this_light(self, trouble: _Trouble, *days: str) -> _Trouble:
        """A day that waits for another that is well by now can just be made."""
        slots = [(key, day) for key in trouble.culprits for day in (*days, None)]
        if not trouble.culprits or any(day in self.troubles.get(key, {}) for key, day in slots):
            return trouble
        reason = _first_line(f"It did not get its turn, and can by now. {trouble.reason}")
        return _Trouble(trouble.state, reason, Kind.PASSING, trouble.run, trouble.culprits)

    def _ill(self, *days: str) -> frozenset[dg.AssetKey]:
        """What is not well on one of these days; tables that have no days are of all days."""
        if days not in self._ill_ones:
            self._ill_ones[days] = frozenset(
                key
                for key, troubles in self.troubles.items()
                for trouble in [troubles.get(day) for day in (*days, None)]
                if trouble is not None and trouble.state is not State.IN_PROGRESS
            )
        return self._ill_ones[days]

    def _ill_on_all_days(self) -> frozenset[dg.AssetKey]:
        return frozenset(
            key
            for key, troubles in self.troubles.items()
            if None in troubles or (self.days and len(troubles) == len(self.days))
        )

    def _selection(self, key: dg.AssetKey, ill: frozenset[dg.AssetKey], trouble: _Trouble) -> str:
        """What to make so that this gets well: the first that are not, and all that wait for them.

        Empty where a run is at it.
        """
        if trouble.state is State.IN_PROGRESS:
            return ""
        if (key, ill) not in self._selections:
            with_it = (ill & self._above(key)) | {key}
            roots = sorted(root for root in with_it if not self._above(root) & with_it)
            self._selections[key, ill] = " or ".join(
                f'key:"{root.to_user_string()}"'
                + ("+" if any(root in self._above(other) for other in ill) else "")
                for root in roots
            )
        return self._selections[key, ill]

    def _above(self, key: dg.AssetKey) -> frozenset[dg.AssetKey]:
        if key not in self._ancestors:
            parents = self.graph.get(key).parent_keys
            self._ancestors[key] = frozenset(parents).union(*map(self._above, parents))
        return self._ancestors[key]


def _command(selection: str, first: str, last: str) -> str:
    return f"storepipe run --from {first} --to {last} --select '{selection}'" if selection else ""


def _first_line(reason: str) -> str:
    line = reason.splitlines()[0]
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def _seconds(moment: Any) -> float:
    """Since the epoch; the event log has UTC without saying so."""
    return float(moment.replace(tzinfo=timezone.utc).timestamp())
