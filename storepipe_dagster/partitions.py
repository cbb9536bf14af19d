"""The day partitions that carts and everything computed per day share."""

import warnings
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone

import dagster as dg

from storepipe_dagster.errors import UserError
from storepipe_dagster.settings import settings

# Dagster calls these beta; its version is pinned, and our tests use them.
warnings.filterwarnings("ignore", "Parameter `backfill_policy`", dg.BetaWarning)
warnings.filterwarnings("ignore", "Parameter `include_sources`", dg.BetaWarning)

DAYS = dg.DailyPartitionsDefinition(start_date=settings().storepipe_start_date.isoformat())
SINGLE_RUN = dg.BackfillPolicy.single_run()


# Dagster's names for the days of a run: one, or a range of them.
ONE_DAY = "dagster/partition"
FIRST_DAY, LAST_DAY = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


class DaysError(UserError):
    """The days that were asked for do not exist as partitions."""


def days_of(run: dg.DagsterRun) -> Sequence[str]:
    """The days that a run is about; a run that names none is about all of them.

    Checks go by this, and have no partitions of their own: Dagster would show the days of a range
    as skipped, as one result has room for one partition.
    """
    first = run.tags.get(FIRST_DAY, run.tags.get(ONE_DAY))
    if first is None:
        return DAYS.get_partition_keys()
    return DAYS.get_partition_keys_in_range(
        dg.PartitionKeyRange(first, run.tags.get(LAST_DAY, first))
    )


def first_recent_day() -> date:
    """The first of the last seven whole days.

    Warnings are about these days too, whichever days a run is about: a check shows its last result
    only, and yesterday's warning must not go with a backfill of another day.
    """
    return date.fromisoformat(str(DAYS.get_last_partition_key())) - timedelta(days=6)


def ranges(days: Iterable[str]) -> list[tuple[str, str]]:
    """Days as closed ranges of days that follow upon each other, oldest first."""
    found: list[tuple[date, date]] = []
    for day in sorted(map(date.fromisoformat, days)):
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return [(str(first), str(last)) for first, last in found]


def due_day(now: datetime, deadline: time) -> date:
    """The newest day whose deadline, on the day after it, has passed."""
    return now.date() - timedelta(days=1 if now.time() >= deadline else 2)


def day_due_now() -> date:
    """The day that is due by the clock and STOREPIPE_DAY_DEADLINE, both in UTC."""
    return due_day(datetime.now(timezone.utc), settings().storepipe_day_deadline)


def day_range(first: date, last: date) -> Sequence[str]:
    """The partition keys of a closed range of days; raises ``DaysError``."""
    if last < first:
        raise DaysError(f"The range ends before it starts: {first} to {last}.")
    known = (DAYS.get_first_partition_key(), DAYS.get_last_partition_key())
    if known[0] is None or known[1] is None:
        raise DaysError("No day is over yet since STOREPIPE_START_DATE: set an earlier one.")
    if first.isoformat() < known[0]:
        raise DaysError(
            f"{first} is before the first day, {known[0]}: set STOREPIPE_START_DATE to an earlier "
            "date, here and for the webserver."
        )
    if last.isoformat() > known[1]:
        raise DaysError(f"{last} is not over yet (UTC): the last whole day is {known[1]}.")
    return DAYS.get_partition_keys_in_range(
        dg.PartitionKeyRange(first.isoformat(), last.isoformat())
    )
