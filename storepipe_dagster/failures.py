"""What a failure in Dagster's event log was about, and whether it may pass by itself.

An error of ours tells by its class: ``errors.PassingError`` or another one. Of foreign errors only
those below are known to pass; bad data, bad settings and what nobody knows stay.
"""

from functools import cache
from importlib import import_module

from dagster_shared.error import SerializableErrorInfo

from storepipe_dagster import local_disks, open_files
from storepipe_dagster.errors import PassingError
from storepipe_dagster.io_managers.lake import PASSING

OWN_ERROR = "storepipe_dagster."
CHECK_FAILED = "DagsterAssetCheckFailedError"
INTERRUPTION = "DagsterExecutionInterruptedError"
INTERRUPTED = "It was interrupted."
# By the name of the class: the network's, delta-rs's when another commit came first, and Dagster's
# for a process that was told to end.
PASSING_CLASSES = {
    "BrokenPipeError",
    "ChildProcessCrashException",
    "ChunkedEncodingError",
    "CommitFailedError",
    "ConnectionAbortedError",
    "ConnectionError",
    "ConnectionRefusedError",
    "ConnectionResetError",
    INTERRUPTION,
    "TimeoutError",
}


def cause_of(error: SerializableErrorInfo | None) -> SerializableErrorInfo | None:
    """What a step stumbled over, without what Dagster wraps around it."""
    return error.cause if error and error.cause else error


def is_check(error: SerializableErrorInfo | None) -> bool:
    """Whether a step failed because a blocking check did."""
    found = cause_of(error)
    return found is not None and found.cls_name == CHECK_FAILED


def cause(error: SerializableErrorInfo | None, file_limit: int | None = None) -> str | None:
    """What a step stumbled over, in words; nothing for a check, which tells for itself.

    ``file_limit`` is how many files its process may have open, where that is known.
    """
    found = cause_of(error)
    if found is None or is_check(error):
        return None
    if found.cls_name == INTERRUPTION:
        return INTERRUPTED
    message = found.message.strip()
    told = message.split(": ", 1)[-1] if message.startswith(OWN_ERROR) else message
    return local_disks.with_remedy(open_files.with_remedy(told, file_limit))


def passes(error: SerializableErrorInfo | None) -> bool:
    """Whether doing it again may succeed though nobody has mended anything."""
    found = cause_of(error)
    if found is None:
        return False
    name = found.message.strip().split(":", 1)[0]
    if name.startswith(OWN_ERROR):
        return _is_passing(name)
    return found.cls_name in PASSING_CLASSES or any(sign in found.message for sign in PASSING)


@cache
def _is_passing(name: str) -> bool:
    """Whether this class of ours is a ``PassingError``; one that is no more there is not."""
    module, _, own = name.rpartition(".")
    try:
        kind = getattr(import_module(module), own, None)
    except ModuleNotFoundError:
        return False
    return isinstance(kind, type) and issubclass(kind, PassingError)
