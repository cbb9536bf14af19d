"""Outages, unknown addresses, what is recorded, and that nothing is left."""

import threading
import time

import psutil
import pytest
import requests

from storepipe_dagster_tests.servers.databricks.runs import SUCCEEDED
from storepipe_dagster_tests.servers.databricks.workspace import Workspace
from storepipe_dagster_tests.servers.test_databricks.asking import (
    WRITES_EVENTS_AND_WAITS,
    connect,
    finish,
    post,
    submit,
    until,
)


def test_an_address_without_an_api_is_told(workspace):
    answer = post(workspace, "/api/2.0/jobs/dance")
    assert answer.json()["message"] == "No API found for 'POST /jobs/dance'"


def test_clients_outlive_an_outage(workspace, client):
    client.current_user.me()  # a connection is open
    workspace.outage(0.5)
    before = len(workspace.calls)
    with pytest.raises(requests.ConnectionError):
        requests.get(workspace.host, timeout=10)
    assert client.current_user.me().user_name == "ana@example.com"
    (call,) = workspace.calls[before:]
    assert (call.method, call.path, call.status) == ("GET", "/api/2.0/preview/scim/v2/Me", 200)


def test_an_answer_is_lost_in_an_outage_but_not_what_was_asked(workspace, client):
    """The run is there: only its token tells a client that asks again."""
    workspace.scripted.append(SUCCEEDED)
    answers = []
    with workspace.lock:  # the request waits
        asking = threading.Thread(
            target=lambda: answers.append(submit(client, "", idempotency_token="lost answer"))
        )
        asking.start()
        until(lambda: workspace.calls[-1].path == "/api/2.0/dbfs/close")
        time.sleep(0.2)
        workspace.outage(0.2)
    asking.join()
    (run_id,) = answers
    submits = [call for call in workspace.calls if call.path == "/api/2.2/jobs/runs/submit"]
    assert [call.run_id for call in submits[-2:]] == [run_id, run_id]
    finish(workspace, run_id)


def test_calls_tell_their_run(workspace, client):
    workspace.scripted.append(SUCCEEDED)
    run_id = submit(client, "")
    finish(workspace, run_id)
    client.jobs.get_run(run_id)
    mine = [(call.method, call.path) for call in workspace.calls if call.run_id == run_id]
    assert mine == [("POST", "/api/2.2/jobs/runs/submit"), ("GET", "/api/2.2/jobs/runs/get")]


def test_nothing_of_a_workspace_is_left():
    with Workspace({}) as workspace:
        client = connect(workspace)
        run_id = submit(client, WRITES_EVENTS_AND_WAITS, "HERE")
        until(lambda: workspace.runs[run_id].process_id)
        processes = [workspace.runs[run_id].process_id, workspace._spark._process.pid]
    assert not workspace.folder.exists()
    assert not any(psutil.pid_exists(process) for process in processes)
    with pytest.raises(requests.ConnectionError):
        requests.get(workspace.host, timeout=10)
