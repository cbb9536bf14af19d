"""Whether the clock of a server differs from this machine's."""

import datetime as dt

TOLERATED = dt.timedelta(minutes=5)


def skew_from(theirs: dt.datetime) -> str:
    """A warning to end a line with, if their time is far from ours; else nothing."""
    if theirs.tzinfo is None:  # as servers tell the UTC time
        theirs = theirs.replace(tzinfo=dt.timezone.utc)
    off = theirs - dt.datetime.now(dt.timezone.utc)
    if abs(off) <= TOLERATED:
        return ""
    minutes = round(abs(off).total_seconds() / 60)
    way = "ahead of" if off > dt.timedelta(0) else "behind"
    return f", but its clock is {minutes} minutes {way} this machine's: check both"
