"""Tests of `storepipe_dagster.resources.databricks.launch`, on a workspace of this machine.

No script runs here: how each Databricks run ends is told beforehand. Those of the whole way are in
`end_to_end/test_databricks`.
"""

import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple

import dagster as dg
import pytest

from storepipe_dagster.resources.databricks import launch as module
from storepipe_dagster.resources.databricks.clients import ImpatientClient, JobRunner
from storepipe_dagster.resources.databricks.endings import DatabricksAwayError, DatabricksRunError
from storepipe_dagster.resources.databricks.launch import Launch
from storepipe_dagster.resources.databricks.run_request import NewCluster, run_request
from storepipe_dagster_tests.servers.databricks.runs import (
    CLUSTER_DOES_NOT_START,
    NEVER,
    SUCCEEDED,
)
from storepipe_dagster_tests.servers.databricks.workspace import Workspace

SMALL = NewCluster(spark_version="18.x-scala2.13", node_type="Standard_D4ds_v5", workers="0")
SUBMIT = "/api/2.2/jobs/runs/submit"
STEP = "trusted__sales"


class Part(NamedTuple):
    repository: Any = None
    job_code_origin: Any = None
    remote_job_origin: Any = None


class Reference(NamedTuple):
    recon_job: Part = Part()
    dagster_run: Part = Part()


class Log:
    def __init__(self):
        self.warnings = []

    def warning(self, message, *values):
        self.warnings.append(message % values)

    def debug(self, *_):
        """Nobody reads it here."""


def step(run_id="f00d", *, attempt=0, parent=None, root=None):
    """As much of a step's context as a launch uses."""
    return SimpleNamespace(
        run_id=run_id,
        step=SimpleNamespace(key=STEP),
        previous_attempt_count=attempt,
        dagster_run=SimpleNamespace(parent_run_id=parent, root_run_id=root),
        log=Log(),
    )


def engine_event(_context, message, data):
    return dg.DagsterEvent("ENGINE_EVENT", "job", event_specific_data=data, message=message)


def request_of(run_id="f00d", attempt=0, cluster=SMALL, assets="trusted/sales"):
    tags = {"assets": assets, "days": "all days", "dagster_run": run_id, "dagster_job": "job"}
    return run_request(cluster, tags, f"{run_id} {assets} {attempt}", 3600)


@pytest.fixture(scope="module")
def served():
    with Workspace({}) as workspace:
        yield workspace


@pytest.fixture
def workspace(served, monkeypatch):
    """A workspace without runs, and contexts that need no Dagster."""
    served.runs.clear()
    served.submitted.clear()
    served.scripted.clear()
    served.calls.clear()
    monkeypatch.setattr(served, "cancel_seconds", 0.0)
    monkeypatch.setattr(module, "step_context_to_step_run_ref", lambda *_: Reference())
    monkeypatch.setattr(dg.DagsterEvent, "engine_event", engine_event)
    return served


@pytest.fixture
def launch(workspace):
    def make(run_id="f00d", attempt=0, most_seconds=60.0):
        return Launch(
            login={"host": workspace.host, "token": workspace.token},
            staging="dbfs:/staging",
            viewers=[],
            run_config=request_of(run_id, attempt),
            env_variables={},
            secrets=[],
            poll_seconds=0.05,
            most_seconds=most_seconds,
        )

    return make


def submit(workspace, **of):
    """A run that somebody launched before, which goes on until it is cancelled."""
    workspace.scripted.append(NEVER)
    client = ImpatientClient(workspace.host, workspace.token)
    script = {"spark_python_task": {"python_file": "dbfs:/staging/script.py"}}
    run = workspace.runs[JobRunner(client).submit_run(request_of(**of), script)]
    until(lambda: run.life_cycle_state == "RUNNING")
    return run


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_run_over_our_time_limit_has_ended_before_the_step_may_start_again(workspace, launch):
    workspace.scripted.append(NEVER)
    workspace.cancel_seconds = 1.0
    with pytest.raises(DatabricksAwayError, match="has not ended after 0 s"):
        list(launch(most_seconds=0.4).launch_step(step()))
    [run] = workspace.runs.values()
    assert run.finished.is_set()
    assert run.result_state == "CANCELED"


def test_a_run_that_does_not_end_is_told_and_nothing_is_launched_beside_it(
    workspace, launch, monkeypatch
):
    monkeypatch.setattr(module, "CANCEL_SECONDS", 0.3)
    workspace.scripted.append(NEVER)
    workspace.cancel_seconds = 3600.0
    context = step()
    with pytest.raises(DatabricksRunError, match="nothing is launched beside it") as caught:
        list(launch(most_seconds=0.4).launch_step(context))
    assert not isinstance(caught.value, DatabricksAwayError)
    assert "it is still TERMINATING" in context.log.warnings[-1]


def test_whatever_ends_the_step_here_ends_its_run_there(workspace, launch):
    workspace.scripted.append(NEVER)
    workspace.cancel_seconds = 0.5
    events = launch().launch_step(step())
    assert next(events).message.startswith("Waiting for Databricks run")
    with pytest.raises(KeyboardInterrupt):
        events.throw(KeyboardInterrupt)
    [run] = workspace.runs.values()
    assert run.finished.is_set()


def test_a_run_that_waits_for_its_cluster_is_cancelled_too(workspace, launch, monkeypatch):
    monkeypatch.setattr(workspace, "start_seconds", 60)
    events = launch().launch_step(step())
    next(events)
    [run] = workspace.runs.values()
    assert run.life_cycle_state == "PENDING"
    events.close()
    assert run.result_state == "CANCELED"


@pytest.mark.parametrize("of", [{"parent": "dead"}, {"parent": "later", "root": "dead"}])
def test_a_run_that_repeats_another_ends_what_that_one_has_left(workspace, launch, of):
    orphan = submit(workspace, run_id="dead", assets="trusted/product_prices")
    stranger = submit(workspace, run_id="alive")
    workspace.scripted.append(CLUSTER_DOES_NOT_START)
    context = step(**of)
    with pytest.raises(DatabricksAwayError):
        list(launch().launch_step(context))
    assert orphan.result_state == "CANCELED"
    assert not stranger.finished.is_set()
    assert str(orphan.run_id) in context.log.warnings[0]
    *_, mine = workspace.runs.values()
    assert mine.started >= orphan.ended
    stranger.cancelled.set()


def test_a_step_that_starts_again_ends_what_it_has_launched_unheard(workspace, launch):
    orphan = submit(workspace, attempt=0)
    beside = submit(workspace, assets="trusted/product_prices")
    workspace.scripted.append(CLUSTER_DOES_NOT_START)
    with pytest.raises(DatabricksAwayError):
        list(launch(attempt=1).launch_step(step(attempt=1)))
    assert orphan.result_state == "CANCELED"
    assert not beside.finished.is_set()
    beside.cancelled.set()


def test_beside_an_orphan_that_does_not_end_nothing_is_launched(workspace, launch, monkeypatch):
    monkeypatch.setattr(module, "CANCEL_SECONDS", 0.3)
    orphan = submit(workspace, run_id="dead")
    workspace.cancel_seconds = 3600.0
    with pytest.raises(DatabricksRunError, match=f"{orphan.run_id} was left behind"):
        list(launch().launch_step(step(parent="dead")))
    assert list(workspace.runs.values()) == [orphan]


def test_a_first_try_asks_for_no_orphans(workspace, launch):
    workspace.scripted.append(CLUSTER_DOES_NOT_START)
    with pytest.raises(DatabricksAwayError):
        list(launch().launch_step(step()))
    assert not any(call.path.endswith("/runs/list") for call in workspace.calls)


def test_a_lost_answer_to_a_request_is_asked_for_again_and_names_the_same_run(workspace, launch):
    workspace.scripted.append(CLUSTER_DOES_NOT_START)
    failures = []

    def go():
        try:
            list(launch().launch_step(step()))
        except DatabricksAwayError as error:
            failures.append(str(error))

    asking = threading.Thread(target=go)
    with workspace.lock:  # the request waits
        asking.start()
        until(lambda: sum(call.path.endswith("/dbfs/close") for call in workspace.calls) == 6)
        time.sleep(0.3)
        workspace.outage(0.2)
    asking.join()
    [run] = workspace.runs.values()
    assert [call.run_id for call in workspace.calls if call.path == SUBMIT] == [run.run_id] * 2
    assert f"Databricks run {run.run_id} ended before the step did" in failures[0]


def test_a_request_that_the_sdk_gives_up_is_sent_again_with_the_same_token(launch, monkeypatch):
    launcher, sent = launch(), []

    def submit_run(request, task):
        sent.append((request, task))
        if len(sent) < 3:
            raise TimeoutError("the SDK has given up")
        return 7

    monkeypatch.setattr(launcher.databricks_runner, "submit_run", submit_run)
    assert launcher._submit(launcher.run_config, "f00d", STEP) == 7
    assert sent == [sent[0]] * 3
    assert sent[0][0]["idempotency_token"] == request_of()["idempotency_token"]


def test_a_run_that_ended_well_without_the_end_of_its_step_is_a_failure(workspace, launch):
    workspace.scripted.append(SUCCEEDED)
    with pytest.raises(DatabricksRunError, match="as TERMINATED, SUCCESS") as caught:
        list(launch().launch_step(step()))
    assert not isinstance(caught.value, DatabricksAwayError)


@pytest.mark.parametrize(
    ("settings", "asked"),
    [
        ({"workers": "3"}, {"num_workers": 3}),
        ({"workers": "2-8"}, {"autoscale": {"min_workers": 2, "max_workers": 8}}),
        ({"instance_pool_id": "pool-1"}, {"instance_pool_id": "pool-1", "num_workers": 0}),
        ({"policy_id": "policy-1"}, {"policy_id": "policy-1", "num_workers": 0}),
        ({"single_user_name": "ana@example.com"}, {"single_user_name": "ana@example.com"}),
    ],
    ids=lambda settings: next(iter(settings)),
)
def test_the_workspace_takes_each_kind_of_cluster(workspace, settings, asked):
    run = submit(workspace, cluster=replace(SMALL, **settings))
    run.cancelled.set()
    assert run.cluster.items() >= asked.items()
    assert ("node_type_id" in run.cluster) is ("instance_pool_id" not in settings)
    assert "nodes" not in run.cluster
    assert "size" not in run.cluster
