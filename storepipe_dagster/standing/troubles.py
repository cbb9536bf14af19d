"""What can be the matter with a day of an asset, in plain values."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import dagster as dg

Day = str | None  # none: of an asset without days
Span = tuple[str, str]  # the first and the last day
LONGEST_REASON = 300


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
class Trouble:
    """How it is with a day, why, and the run that left it so: with its id and its days.

    ``culprits`` are the assets that the day waits for. ``is_there`` tells that rows of this run
    are, and that they broke a rule or nobody has judged them.
    """

    state: State
    reason: str
    kind: Kind | None = None
    run_id: str | None = None
    span: Span | None = None
    culprits: frozenset[dg.AssetKey] = frozenset()
    is_there: bool = False

    def equals(self, other: "Trouble") -> bool:
        """Whether people would call it the same."""
        return (self.state, self.reason, self.kind) == (other.state, other.reason, other.kind)


Troubles = dict[dg.AssetKey, dict[Day, Trouble]]


def among(span: Span | None, days: Sequence[str]) -> Sequence[str]:
    """The days of a span that are among these, which are in order."""
    if span is None:
        return ()
    return days[bisect_left(days, span[0]) : bisect_right(days, span[1])]


def first_line(reason: str) -> str:
    """A reason, short enough for a list."""
    line = reason.splitlines()[0]
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"
