"""What was captured before, for a capture to be later than it and to be compared with it.

Only the listing and the manifests are read, where there are manifests.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePosixPath

import dagster as dg

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.capture_files import ACCEPTED, FILES_AT_A_TIME, accepted_paths
from storepipe_dagster.io_managers.capture_manifests import (
    count_records,
    damaged,
    read_facts,
    verified,
)
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.times import stamped_time

MOST_AHEAD = timedelta(minutes=5)
MICROSECOND = timedelta(microseconds=1)


class CaptureAheadError(UserError):
    """The newest capture has a time that the clock has not reached: the clock went back."""


@dataclass(frozen=True)
class EarlierCaptures:
    """The time of the newest capture of some days, and the records of each day's newest one.

    A day, or ``None`` where there are none, is in ``records`` only if it was captured.
    """

    newest: datetime | None = None
    records: Mapping[str | None, int] = field(default_factory=dict)

    def later(self, time: datetime) -> datetime:
        """The time, or a microsecond after the newest capture if that is later."""
        return time if self.newest is None else max(time, self.newest + MICROSECOND)


def earlier_captures(
    lake: Lake, key: dg.AssetKey, column: str | None, days: Sequence[str | None], now: datetime
) -> EarlierCaptures:
    """What was captured of these days; raises ``CaptureAheadError`` and ``DamagedCaptureError``."""
    with lake.explained():
        accepted = accepted_paths(lake, key, column, days)
        newest = {day: paths[0] for day, paths in accepted.items() if paths}
        if not newest:
            return EarlierCaptures()
        times = {path: _time_of(key, path) for path in newest.values()}
        _expect_no_later(times, now)
        facts = read_facts(lake, key, newest.values())
    counts = {path: known.records for path, known in facts.items()}
    unknown = [path for path in newest.values() if path not in facts]
    for path, content in verified(lake, key, unknown, FILES_AT_A_TIME):
        counts[path] = count_records(key, path, content)
    return EarlierCaptures(max(times.values()), {day: counts[path] for day, path in newest.items()})


def _time_of(key: dg.AssetKey, path: str) -> datetime:
    try:
        return stamped_time(PurePosixPath(path).name.removesuffix(ACCEPTED))
    except ValueError:
        raise damaged(key, path, "its name is not a time") from None


def _expect_no_later(times: Mapping[str, datetime], now: datetime) -> None:
    """Allow for the small steps of a clock that is kept right."""
    ahead = {path: time for path, time in times.items() if time - now > MOST_AHEAD}
    if not ahead:
        return
    path = max(ahead, key=lambda path: ahead[path])
    others = f" (and {len(ahead) - 1} more)" if len(ahead) > 1 else ""
    raise CaptureAheadError(
        f"The newest capture {path}{others} is of {ahead[path]:%F %T} UTC, "
        f"but the clock says {now:%F %T} UTC: it went back, or was ahead then. A capture with the "
        "time of now would be passed over for that one, so nothing was captured. Set the clock "
        "right; or if the time in the file's name is wrong, rename the file to its true time."
    )
