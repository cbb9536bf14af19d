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

import dagster as dg
from dagster._core.errors import raise_execution_interrupts
from dagster._core.events import EngineEventData
from dagster._core.execution.context.system import StepExecutionContext
from dagster._serdes import deserialize_value
from dagster_shared.error import SerializableErrorInfo
from databricks.sdk.service.jobs import Run

from storepipe_dagster.resources.databricks.endings import (
    UNREACHABLE,
    DatabricksRunError,
    describe,
    has_ended,
)

LINK = "databricks_run"
LAST = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_UP_FOR_RETRY,
}


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

    def events(self, poll_seconds: float, most_seconds: float) -> Iterator[dg.DagsterEvent]:
        """The events of the step, as they come; raises ``DatabricksRunError`` at the time limit."""
        deadline = time.monotonic() + most_seconds
        failures: list[dg.EventLogEntry] = []
        reachable = True
        while not has_ended(self.run):
            page = self.run.run_page_url
            if time.monotonic() > deadline:
                raise DatabricksRunError(
                    f"Databricks run {self._id} has not ended after {most_seconds:.0f} s, and is "
                    f"cancelled. Run page: {page}",
                    passing=True,
                )
            with raise_execution_interrupts():
                time.sleep(poll_seconds)
                try:
                    run = self._ask(self._id)
                    entries = self._new_entries()
                except UNREACHABLE as error:
                    if reachable:
                        self._context.log.warning(
                            "Databricks cannot be asked about run %s, which goes on meanwhile: %s",
                            self._id,
                            error,
                        )
                    reachable = False
                    continue
            self.run, reachable = run, True
            if run.run_page_url and not page:
                yield self._waiting()
            for entry in entries:
                # Errors wait for what Databricks has to say about the run.
                if failures or self._is_failure(entry):
                    failures.append(entry)
                else:
                    yield from self._hand_over(entry)
        for entry in failures:
            yield from self._hand_over(entry)

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

    def _is_failure(self, entry: dg.EventLogEntry) -> bool:
        event = entry.dagster_event
        return event is not None and event.event_type == dg.DagsterEventType.STEP_FAILURE

    def _hand_over(self, entry: dg.EventLogEntry) -> Iterator[dg.DagsterEvent]:
        event = entry.dagster_event
        if event is not None:
            event = self._with_link(event)
            entry = entry._replace(dagster_event=event)
            if event.event_type in LAST:
                self.last = event.event_type
        self._context.instance.handle_new_event(entry)
        if event is not None:
            yield event

    def _with_link(self, event: dg.DagsterEvent) -> dg.DagsterEvent:
        data: Any = event.event_specific_data
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            told = data.materialization
            page = dg.MetadataValue.url(str(self.run.run_page_url))
            linked = told.with_metadata({**told.metadata, LINK: page})
            return event._replace(event_specific_data=data._replace(materialization=linked))
        if event.event_type == dg.DagsterEventType.STEP_FAILURE and data.error:
            words = (
                f"\nDatabricks run {self._id} ended as {describe(self.run)}\n"
                f"Run page: {self.run.run_page_url}\n"
            )
            error = _with_words(data.error, words)
            return event._replace(event_specific_data=data._replace(error=error))
        return event


def read_events(content: bytes) -> Sequence[dg.EventLogEntry]:
    """The events in the script's file, zipped and pickled text; none while it is being written."""
    if not content:
        return []
    try:
        text = _TextUnpickler(io.BytesIO(gzip.decompress(content))).load()
    except (pickle.UnpicklingError, OSError, EOFError, zlib.error):
        return []
    entries = deserialize_value(text, list)
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
