"""Following a Databricks run: what its far end tells becomes part of this Dagster run.

The script there writes all its events to one file, again and again; it is read until the run has
ended. Materialisations and errors get the link to the page of the run.
"""

import gzip
import io
import pickle
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import dagster as dg
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import DagsterEventBatchMetadata, EngineEventData
from dagster._core.execution.context.system import StepExecutionContext
from dagster._serdes import deserialize_value
from dagster_shared.check import CheckError
from dagster_shared.error import SerializableErrorInfo
from dagster_shared.serdes.errors import DeserializationError
from databricks.sdk.errors import InvalidParameterValue, NotFound
from databricks.sdk.service.jobs import Run

from storepipe_dagster.resources.databricks.endings import (
    DatabricksAwayError,
    describe,
    has_ended,
    is_unreachable,
    succeeded,
)

LINK = "databricks_run"
LAST = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
}
LATE_READS = 5
# For how long a new run may be unknown to the workspace that has started it.
UNKNOWN_SECONDS = 60
UNREADABLE = (pickle.UnpicklingError, OSError, EOFError, zlib.error, ValueError)


class Following:
    """Follows one run; afterwards ``run`` tells how it ended and ``last`` how the step did."""

    def __init__(
        self,
        context: StepExecutionContext,
        databricks_run: int,
        ask: Callable[[int], Run],
        read: Callable[[], bytes],
    ) -> None:
        """``ask`` tells how the run is, ``read`` gives the file of events, empty before it is."""
        self.run = Run(run_id=databricks_run)
        self.last: dg.DagsterEventType | None = None
        self._context, self._id = context, databricks_run
        self._ask, self._read = ask, read
        self._seen = 0
        self._held: list[dg.EventLogEntry] = []

    def events(self, poll_seconds: float, most_seconds: float) -> Iterator[dg.DagsterEvent]:
        """The events of the step, as they come; raises ``DatabricksAwayError`` at the time limit.

        How the step ended is told last, when all is known of the run; once it is known, nothing
        that happens to the run changes it.
        """
        try:
            yield from self._until_the_end(poll_seconds, most_seconds)
        except Exception as error:
            if not self._held:
                raise
            self._context.log.warning("The step had come to its end before this: %s", error)
        yield from self._hand_over(self._held)

    def _until_the_end(self, poll_seconds: float, most_seconds: float) -> Iterator[dg.DagsterEvent]:
        started = time.monotonic()
        deadline, patience = started + most_seconds, started + UNKNOWN_SECONDS
        reachable, late_reads = True, LATE_READS
        while not has_ended(self.run) or (succeeded(self.run) and not self._held and late_reads):
            page = self.run.run_page_url
            if time.monotonic() > deadline:
                raise DatabricksAwayError(
                    f"Databricks run {self._id} has not ended after {most_seconds:.0f} s, and is "
                    f"cancelled. Run page: {page}"
                )
            with raise_execution_interrupts():
                time.sleep(poll_seconds)
                try:
                    run = self._ask(self._id)
                    entries = self._new_entries()
                except Exception as error:
                    if not (is_unreachable(error) or self._is_unknown_yet(error, patience)):
                        raise
                    if reachable:
                        self._context.log.warning(
                            "Databricks cannot be asked about run %s, which goes on meanwhile: %s",
                            self._id,
                            error,
                        )
                    reachable = False
                    continue
            self.run, reachable = run, True
            late_reads -= has_ended(run)
            if run.run_page_url and not page:
                yield self._waiting()
            yield from self._hand_over(self._before_the_last(entries))

    def _is_unknown_yet(self, error: Exception, patience: float) -> bool:
        never_seen = self.run.state is None and self.run.status is None
        unknown = isinstance(error, (NotFound, InvalidParameterValue))
        return never_seen and unknown and time.monotonic() < patience

    def _new_entries(self) -> Sequence[dg.EventLogEntry]:
        entries = read_events(self._read())[self._seen :]
        self._seen += len(entries)
        return entries

    def _waiting(self) -> dg.DagsterEvent:
        message = f"Waiting for Databricks run {self._id}: {self.run.run_page_url}"
        link = dg.MetadataValue.url(str(self.run.run_page_url))
        return dg.DagsterEvent.engine_event(
            self._context, message, EngineEventData(metadata={LINK: link})
        )

    def _before_the_last(self, entries: Sequence[dg.EventLogEntry]) -> list[dg.EventLogEntry]:
        """What can be handed over now; from the end of the step on all is held."""
        now = []
        for entry in entries:
            if self._held or (entry.dagster_event and entry.dagster_event.event_type in LAST):
                self._held.append(entry)
            else:
                now.append(entry)
        return now

    def _hand_over(self, entries: Sequence[dg.EventLogEntry]) -> Iterator[dg.DagsterEvent]:
        """Store the events of the far end here, in one batch: a range of days has thousands."""
        batch = str(uuid4())
        linked = [self._with_link(entry) for entry in entries]
        for number, entry in enumerate(linked, 1):
            self._context.instance.handle_new_event(
                entry, batch_metadata=DagsterEventBatchMetadata(batch, number == len(linked))
            )
        for event in (entry.dagster_event for entry in linked):
            if event is not None:
                self.last = event.event_type if event.event_type in LAST else self.last
                yield event

    def _with_link(self, entry: dg.EventLogEntry) -> dg.EventLogEntry:
        event = entry.dagster_event
        if event is None:
            return entry
        data: Any = event.event_specific_data
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            told = data.materialization
            page = dg.MetadataValue.url(str(self.run.run_page_url))
            data = data._replace(materialization=told.with_metadata({**told.metadata, LINK: page}))
        elif event.event_type == dg.DagsterEventType.STEP_FAILURE and data.error:
            words = (
                f"\nDatabricks run {self._id} ended as {describe(self.run)}\n"
                f"Run page: {self.run.run_page_url}\n"
            )
            data = data._replace(error=_with_words(data.error, words))
        return entry._replace(dagster_event=event._replace(event_specific_data=data))


def read_events(content: bytes) -> Sequence[dg.EventLogEntry]:
    """The events in the script's file, zipped and pickled text; none while it is being written."""
    if not content:
        return []
    try:
        text = _TextUnpickler(io.BytesIO(gzip.decompress(content))).load()
        entries = deserialize_value(text, list)
    except (*UNREADABLE, CheckError, DeserializationError):
        return []
    return [entry for entry in entries if isinstance(entry, dg.EventLogEntry)]


class _TextUnpickler(pickle.Unpickler):
    """Takes plain values only: who may write to the staging area runs no code here."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        raise pickle.UnpicklingError(f"{module_name}.{global_name} is no event")


def _with_words(error: SerializableErrorInfo, words: str) -> SerializableErrorInfo:
    """The error with more to say, there where Dagster shows it: in the cause, if it has one."""
    if error.cause:
        return error._replace(cause=_with_words(error.cause, words))
    return error._replace(message=error.message.rstrip("\n") + words)
