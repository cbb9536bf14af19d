"""Days with the same trouble in one line, with the command that mends them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph

from storepipe_dagster.standing.troubles import (
    Day,
    Kind,
    State,
    Trouble,
    Troubles,
    among,
    first_line,
)

Graph = BaseAssetGraph[Any]


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


@dataclass
class Lines:
    """Joins the days that have the same trouble, and finds what mends them."""

    graph: Graph
    days: Sequence[str]
    troubles: Troubles
    _ancestors: dict[dg.AssetKey, frozenset[dg.AssetKey]] = field(default_factory=dict)
    _selections: dict[Any, str] = field(default_factory=dict)
    _ill_ones: dict[tuple[str, ...], frozenset[dg.AssetKey]] = field(default_factory=dict)

    def lines(self) -> Iterator[Line]:
        """In the order of the graph."""
        places = {day: place for place, day in enumerate(self.days)}
        for key in self.graph.toposorted_asset_keys:
            troubles = self.troubles.get(key, {})
            if None in troubles:
                yield self._without_days(key, troubles[None])
                continue
            joined: list[tuple[str, Trouble, str]] = []
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

    def _line(self, key: dg.AssetKey, joined: Sequence[tuple[str, Trouble, str]]) -> Line:
        first, (last, trouble, selection) = joined[0][0], joined[-1]
        return self._told(
            key, (first, last), len(joined), trouble, _command(selection, first, last)
        )

    def _without_days(self, key: dg.AssetKey, trouble: Trouble) -> Line:
        """A table that has no days is made for those of the run that did not make it."""
        asked = among(trouble.span, self.days)
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
        key: dg.AssetKey, span: tuple[Day, Day], days: int, trouble: Trouble, repair: str
    ) -> Line:
        state, kind, reason = trouble.state, trouble.kind, trouble.reason
        return Line(key, *span, days, state, kind, reason, trouble.run_id, repair)

    def _in_this_light(self, trouble: Trouble, *days: str) -> Trouble:
        """A day that waits for another that is well by now can just be made."""
        slots = [(key, day) for key in trouble.culprits for day in (*days, None)]
        if not trouble.culprits or any(day in self.troubles.get(key, {}) for key, day in slots):
            return trouble
        reason = first_line(f"It did not get its turn, and can by now. {trouble.reason}")
        return replace(trouble, reason=reason, kind=Kind.PASSING)

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

    def _selection(self, key: dg.AssetKey, ill: frozenset[dg.AssetKey], trouble: Trouble) -> str:
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
