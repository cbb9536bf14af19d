"""What an instance knows by now of all days of all assets."""

from collections.abc import Mapping, Sequence
from functools import cached_property

import dagster as dg

from storepipe_dagster.standing.existing import Existing
from storepipe_dagster.standing.lines import Graph, Line, Lines
from storepipe_dagster.standing.made import Made, made_days, made_whole
from storepipe_dagster.standing.runs import runs_to_ask
from storepipe_dagster.standing.troubles import Day, State, Trouble, Troubles, among

NEVER_ASKED = "No run was to make it."
LOST = "It was materialized, and does not exist any more."
TAKEN_AWAY = "A roll back went to a version without it."


class Standing:
    """What an instance knows by now: what was made when, and which runs did not end well."""

    def __init__(
        self, instance: dg.DagsterInstance, graph: Graph, existing: Existing | None = None
    ) -> None:
        """Go by the history alone, or also by what exists, if that is given."""
        self._graph = graph
        self._existing = existing or {}
        keys = graph.materializable_asset_keys
        self._with_days = {key for key in keys if graph.get(key).partitions_def is not None}
        self._made = {key: made_days(instance, key) for key in self._with_days}
        self._made |= made_whole(instance, keys - self._with_days)
        self._runs = runs_to_ask(instance)

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
        return [*Lines(self._graph, days, self._troubles(days)).lines()]

    def unfit_days(self, key: dg.AssetKey) -> set[Day]:
        """The days of an asset whose rows broke a blocking rule, or that nobody has judged."""
        troubles = self._troubles(self.all_days, besides=State.IN_PROGRESS)[key]
        return {day for day, trouble in troubles.items() if trouble.is_there}

    def _troubles(self, days: Sequence[str], besides: State | None = None) -> Troubles:
        """The trouble of each asset and day, where there is one, besides those in one state."""
        found = {key: self._taken_away(key, days) for key in self._made}
        open_days: dict[dg.AssetKey, set[Day]] = {
            key: {*days} if key in self._with_days else {None} for key in self._made
        }
        for run in self._runs:
            its_days: set[Day] = {*among(run.span, days)}
            for key in run.plan.touched & open_days.keys():
                about = its_days if key in self._with_days else {None}
                for day in open_days[key] & about:
                    made = self._made[key].get(day)
                    if made and made.run_id != run.run_id and made.at >= run.began:
                        continue  # that other run, if it did not end well, tells of the day
                    trouble = run.trouble(key, _if_there(made))
                    if trouble is not None and trouble.state is not besides:
                        found[key][day] = trouble
                        open_days[key].discard(day)
                    elif run.has_made(made) or run.is_well:
                        open_days[key].discard(day)
                if not open_days[key]:
                    del open_days[key]
        never = Trouble(State.MISSING, NEVER_ASKED)
        for key, left in open_days.items():
            found[key] |= {day: never for day in left if day not in self._made[key]}
        for key, exist in self._existing.items():
            found[key] |= self._lost(key, exist, days, found[key])
        return found

    def _lost(
        self,
        key: dg.AssetKey,
        exist: set[Day],
        days: Sequence[str],
        known: Mapping[Day, Trouble],
    ) -> dict[Day, Trouble]:
        """The days that were materialized and do not exist any more, unless they failed since."""
        lost: dict[Day, Trouble] = {}
        for day in days if key in self._with_days else [None]:
            made, trouble = self._made[key].get(day), known.get(day)
            is_open = trouble is None or trouble.state is State.STALE
            if made and not made.is_gone and is_open and day not in exist:
                lost[day] = Trouble(State.MISSING, LOST, run_id=made.run_id)
        return lost

    def _taken_away(self, key: dg.AssetKey, days: Sequence[str]) -> dict[Day, Trouble]:
        """The days that a roll back took away; later runs may have more to tell of them."""
        known = ((day, self._made[key].get(day)) for day in days)
        return {
            day: Trouble(State.MISSING, TAKEN_AWAY, run_id=made.run_id)
            for day, made in known
            if made and made.is_gone
        }


def _if_there(made: Made | None) -> Made | None:
    return None if made and made.is_gone else made
