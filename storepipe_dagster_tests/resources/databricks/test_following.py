"""Tests of `storepipe_dagster.resources.databricks.following`."""

import gzip
import itertools
import os
import pickle

import dagster as dg
import pytest
import requests
from dagster._core.events import StepMaterializationData
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData
from dagster._serdes import serialize_value
from dagster_shared.error import SerializableErrorInfo
from databricks.sdk.errors import (
    InternalError,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    TooManyRequests,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.jobs import Run

from storepipe_dagster.resources.databricks import following as module
from storepipe_dagster.resources.databricks.endings import (
    DatabricksAwayError,
    LoginError,
    LoginRefusedError,
)
from storepipe_dagster.resources.databricks.following import LINK, Following, read_events

PAGE = "https://adb.example/?o=1#job/2/run/3"
TYPES = dg.DagsterEventType


class Log:
    def __init__(self):
        self.warnings = []

    def warning(self, message, *values):
        self.warnings.append(message % values)


class Instance:
    def __init__(self):
        self.events, self.batches = [], []

    def handle_new_event(self, entry, batch_metadata):
        self.batches.append((batch_metadata.id, batch_metadata.is_end))
        self.events.append(entry)


class Context:
    """As much of a step's context as is used."""

    def __init__(self):
        self.log, self.instance = Log(), Instance()


def engine_event(_context, message, data):
    return dg.DagsterEvent("ENGINE_EVENT", "job", event_specific_data=data, message=message)


def entry(event_type, data=None):
    event = dg.DagsterEvent(event_type.value, "job", event_specific_data=data, step_key="step")
    return dg.EventLogEntry(None, "info", "", "run", 1.0, "step", "job", event)


def file_of(*entries):
    return gzip.compress(pickle.dumps(serialize_value(list(entries))))


def run(state, result=None, message=""):
    words = {"life_cycle_state": state, "result_state": result, "state_message": message}
    return Run.from_dict({"run_id": 3, "run_page_url": PAGE, "state": words})


RUNNING, DONE = run("RUNNING"), run("TERMINATED", "SUCCESS")
START = entry(TYPES.STEP_START)
FAILURE = entry(TYPES.STEP_FAILURE, StepFailureData(None, None))
SUCCESS = entry(TYPES.STEP_SUCCESS, StepSuccessData(duration_ms=1.0))


def follow(answers, files, monkeypatch, most_seconds=60):
    """Follow a run that answers one after the other; errors are raised."""
    monkeypatch.setattr(module.dg.DagsterEvent, "engine_event", engine_event)
    context, answers, files = Context(), iter(answers), iter(files)

    def ask(_):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    following = Following(context, 3, ask, lambda: next(files))
    events = [event.event_type for event in following.events(0.0, most_seconds)]
    return following, context, events


def test_events_are_handed_over_once_and_in_order(monkeypatch):
    files = [b"", file_of(START), file_of(START, SUCCESS)]
    following, context, events = follow([RUNNING, RUNNING, DONE], files, monkeypatch)
    assert events == [TYPES.ENGINE_EVENT, TYPES.STEP_START, TYPES.STEP_SUCCESS]
    assert context.instance.events == [START, SUCCESS]
    assert following.last == TYPES.STEP_SUCCESS
    assert following.run == DONE


def test_a_run_that_tells_no_end_of_its_step_has_none(monkeypatch):
    answers, files = itertools.repeat(DONE), itertools.repeat(file_of(START))
    following, _, _ = follow(answers, files, monkeypatch)
    assert following.last is None


def test_a_file_that_is_being_written_is_read_the_next_time(monkeypatch):
    whole = file_of(START, SUCCESS)
    following, context, _ = follow([RUNNING, DONE], [whole[:20], whole], monkeypatch)
    assert context.instance.events == [START, SUCCESS]
    assert following.last == TYPES.STEP_SUCCESS


def test_a_network_that_is_away_is_told_once_and_waited_for(monkeypatch):
    away = requests.ConnectionError("no route")
    answers = [RUNNING, away, away, DONE]
    following, context, _ = follow(answers, [b"", file_of(START, SUCCESS)], monkeypatch)
    assert following.last == TYPES.STEP_SUCCESS
    [told] = context.log.warnings
    assert "no route" in told


def test_the_last_events_are_waited_for_though_the_run_has_ended(monkeypatch):
    files = iter([requests.ConnectionError("cut"), file_of(SUCCESS)])
    context = Context()

    def read():
        content = next(files)
        if isinstance(content, Exception):
            raise content
        return content

    monkeypatch.setattr(module.dg.DagsterEvent, "engine_event", engine_event)
    following = Following(context, 3, lambda _: DONE, read)
    list(following.events(0.0, 60))
    assert following.last == TYPES.STEP_SUCCESS


@pytest.mark.parametrize(
    "trouble",
    [
        requests.exceptions.ChunkedEncodingError("cut in mid-body"),
        requests.exceptions.JSONDecodeError("a page for people", "", 0),
        TimeoutError("the SDK has given up"),
        DatabricksError("502 Bad Gateway"),
        TooManyRequests("slow down"),
        InternalError("a problem of ours"),
        LoginError("b'no access token today'"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_no_trouble_of_the_way_there_ends_a_healthy_run(monkeypatch, trouble):
    files = [b"", file_of(START, SUCCESS)]
    following, _, _ = follow([RUNNING, trouble, DONE], files, monkeypatch)
    assert following.last == TYPES.STEP_SUCCESS


@pytest.mark.parametrize(
    "refusal",
    [
        PermissionDenied("Invalid access token."),
        LoginRefusedError("invalid_client: no"),
        NotFound("gone"),
        ValueError("a fault of ours"),
    ],
    ids=lambda refusal: type(refusal).__name__,
)
def test_a_refusal_is_no_trouble_of_the_way(monkeypatch, refusal):
    with pytest.raises(type(refusal)):
        follow([RUNNING, refusal], [b""], monkeypatch)


@pytest.mark.parametrize("kind", [NotFound, InvalidParameterValue])
def test_a_new_run_may_be_unknown_for_a_while(monkeypatch, kind):
    unknown = kind("Run 3 does not exist.")
    files = [file_of(START, SUCCESS)]
    following, context, _ = follow([unknown, unknown, DONE], files, monkeypatch)
    assert following.last == TYPES.STEP_SUCCESS
    assert "Run 3 does not exist." in context.log.warnings[0]


def test_a_run_that_stays_unknown_is_refused(monkeypatch):
    monkeypatch.setattr(module, "UNKNOWN_SECONDS", 0)
    with pytest.raises(InvalidParameterValue):
        follow([InvalidParameterValue("Run 3 does not exist.")], [], monkeypatch)


def test_events_of_one_look_are_stored_in_one_batch(monkeypatch):
    _, context, _ = follow([DONE], [file_of(START, START, START, SUCCESS)], monkeypatch)
    first, second, third, last = context.instance.batches
    assert first[0] == second[0] == third[0] != last[0]
    assert [end for _, end in context.instance.batches] == [False, False, True, True]


def test_the_end_of_the_step_is_told_when_its_run_has_ended(monkeypatch):
    files = [file_of(START, SUCCESS)] * 2
    monkeypatch.setattr(module.dg.DagsterEvent, "engine_event", engine_event)
    answers, read = iter([RUNNING, DONE]), iter(files)
    following = Following(Context(), 3, lambda _: next(answers), lambda: next(read))
    told = [(event.event_type, following.run) for event in following.events(0.0, 60)]
    assert told == [
        (TYPES.ENGINE_EVENT, RUNNING),
        (TYPES.STEP_START, RUNNING),
        (TYPES.STEP_SUCCESS, DONE),
    ]


@pytest.mark.parametrize("end", [SUCCESS, FAILURE], ids=["success", "failure"])
@pytest.mark.parametrize("trouble", [PermissionDenied("not you any more"), "time"], ids=str)
def test_what_happens_to_a_run_after_its_step_changes_nothing(monkeypatch, end, trouble):
    answers = [RUNNING, trouble] if isinstance(trouble, Exception) else [RUNNING] * 99999
    files = itertools.repeat(file_of(START, end))
    seconds = 60 if isinstance(trouble, Exception) else 0.2
    following, context, _ = follow(answers, files, monkeypatch, most_seconds=seconds)
    assert following.last == end.dagster_event.event_type
    assert "had come to its end before this" in context.log.warnings[-1]


def test_the_last_words_of_a_run_that_succeeded_are_looked_for_again(monkeypatch):
    whole = file_of(START, SUCCESS)
    following, _, _ = follow([DONE] * 3, [whole[:30], whole[:30], whole], monkeypatch)
    assert following.last == TYPES.STEP_SUCCESS


def test_a_run_over_its_time_is_given_up(monkeypatch):
    with pytest.raises(DatabricksAwayError, match="has not ended after -1 s"):
        follow([RUNNING], [b""], monkeypatch, most_seconds=-1)


def test_a_materialisation_gets_the_link_beside_what_it_tells(monkeypatch):
    told = dg.AssetMaterialization("sales", metadata={"rows": 3}, partition="2020-01-01")
    data = StepMaterializationData(told, [])
    files = [file_of(entry(TYPES.ASSET_MATERIALIZATION, data), SUCCESS)]
    _, context, _ = follow([DONE], files, monkeypatch)
    linked = context.instance.events[0].dagster_event.event_specific_data.materialization
    assert linked.metadata == {
        "rows": dg.MetadataValue.int(3),
        LINK: dg.MetadataValue.url(PAGE),
    }
    assert linked.partition == "2020-01-01"


def test_an_error_waits_for_the_words_of_databricks_and_keeps_its_traceback(monkeypatch):
    cause = SerializableErrorInfo("ValueError: bad row\n", ["  File sales.py"], "ValueError")
    error = SerializableErrorInfo("Step failed\n", [], "StepError", cause)
    failure = entry(TYPES.STEP_FAILURE, StepFailureData(error, None))
    files = [file_of(START, failure), file_of(START, failure)]
    ended = run("TERMINATED", "SUCCESS", "Ended well.")
    following, context, events = follow([RUNNING, ended], files, monkeypatch)
    assert events[-1] == following.last == TYPES.STEP_FAILURE
    told = context.instance.events[-1].dagster_event.event_specific_data.error
    assert told.message == "Step failed\n"
    assert told.cause.stack == ["  File sales.py"]
    assert told.cause.message == (
        "ValueError: bad row\nDatabricks run 3 ended as TERMINATED, SUCCESS: Ended well.\n"
        f"Run page: {PAGE}\n"
    )


class Intruder:
    def __reduce__(self):
        return os.system, ("echo got in",)


def test_a_file_with_code_in_it_is_no_list_of_events(capfd):
    assert read_events(gzip.compress(pickle.dumps(Intruder()))) == []
    assert "got in" not in capfd.readouterr().out


@pytest.mark.parametrize("content", [b"", b"no gzip", gzip.compress(b"no pickle", mtime=0)])
def test_what_is_no_file_of_events_has_none(content):
    assert read_events(content) == []
