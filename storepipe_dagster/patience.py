"""Steps of a scheduled run that wait for what passes: at night nobody is there to run them again.

A run that a person started fails instead, and tells. So does every failure that does not pass.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from dagster._core.storage.tags import SCHEDULE_NAME_TAG

from storepipe_dagster.errors import PassingError

MOST_WAITS, FIRST_WAIT = 5, 60.0  # doubled each time: half an hour in all


@contextmanager
def patience(context: dg.AssetExecutionContext) -> Iterator[None]:
    """A place for what may be away; raises ``RetryRequested`` for a ``PassingError``."""
    try:
        yield
    except PassingError as error:
        if SCHEDULE_NAME_TAG not in context.run.tags:
            raise
        wait = FIRST_WAIT * 2**context.retry_number
        raise dg.RetryRequested(MOST_WAITS, wait) from error
