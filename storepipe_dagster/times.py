"""UTC times: what the API writes, and the stamp that a capture carries in its file name.

No partitions here: which days exist is in ``partitions``.
"""

import re
from datetime import datetime, timezone

CAPTURE_STAMP = "%Y%m%dT%H%M%S.%fZ"
STAMP_PATTERN = r"\d{8}T\d{6}\.\d{6}Z"
# What Python reads by itself differs from version to version.
TIME = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"([T ](?P<minute>([01]\d|2[0-3]):[0-5]\d)(:(?P<second>[0-5]\d)([.,](?P<fraction>\d{1,9}))?)?"
    r"(?P<zone>[Zz]|[+-]\d\d(:?[0-5]\d)?)?)?",
    re.ASCII,
)


def utc_time(text: str) -> datetime:
    """Read an ISO 8601 time as the API writes it, such as ``2020-03-02T00:00:00.000Z``.

    A time without an offset is UTC, a date alone is its midnight. Raises ``ValueError``.
    """
    found = TIME.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:64]!r} is no ISO 8601 time")
    zone = (found["zone"] or "Z").upper().replace("Z", "+00").replace(":", "")
    time = datetime.fromisoformat(
        f"{found['day']}T{found['minute'] or '00:00'}:{found['second'] or '00'}"
        f".{(found['fraction'] or '').ljust(6, '0')[:6]}{zone[:3]}:{zone[3:] or '00'}"
    )
    try:
        return time.astimezone(timezone.utc)
    except OverflowError:
        raise ValueError(f"{text!r} is no time of the years 1 to 9999") from None


def capture_stamp(time: datetime) -> str:
    """The sortable stamp of a capture, such as ``20200302T013000.000000Z``."""
    return time.astimezone(timezone.utc).strftime(CAPTURE_STAMP)


def stamped_time(stamp: str) -> datetime:
    """The time of a capture's stamp. Raises ``ValueError``."""
    return datetime.strptime(stamp, CAPTURE_STAMP).replace(tzinfo=timezone.utc)
