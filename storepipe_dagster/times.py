"""UTC times: what the API writes, and the stamp that a capture carries in its file name.

No partitions here: which days exist is in ``partitions``.
"""

from datetime import datetime, timezone

CAPTURE_STAMP = "%Y%m%dT%H%M%S.%fZ"
STAMP_PATTERN = r"\d{8}T\d{6}\.\d{6}Z"


def utc_time(text: str) -> datetime:
    """Read an ISO 8601 time as the API writes it, such as ``2020-03-02T00:00:00.000Z``.

    A time without an offset is UTC, a date alone is its midnight. Raises ``ValueError``.
    """
    time = datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in "Zz" else text)
    return (
        time.replace(tzinfo=timezone.utc) if time.tzinfo is None else time.astimezone(timezone.utc)
    )


def capture_stamp(time: datetime) -> str:
    """The sortable stamp of a capture, such as ``20200302T013000.000000Z``."""
    return time.astimezone(timezone.utc).strftime(CAPTURE_STAMP)


def stamped_time(stamp: str) -> datetime:
    """The time of a capture's stamp. Raises ``ValueError``."""
    return datetime.strptime(stamp, CAPTURE_STAMP).replace(tzinfo=timezone.utc)
