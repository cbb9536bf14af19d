"""Tests of `storepipe_dagster.resources.databricks.step_launcher`.

Most launches here are not made: they end at once, as a test says.
"""

import os
import signal
import threading
from types import SimpleNamespace

import dagster as dg
import pydantic
import pytest
import requests
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts
from databricks.sdk.errors import InternalError, NotFound, PermissionDenied

from storepipe_dagster.io_managers.delta import LostTableError
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.partitions import DAYS
from storepipe_dagster.resources.databricks import clients, launch
from storepipe_dagster.resources.databricks import step_launcher as module
from storepipe_dagster.resources.databricks.endings import (
    DatabricksAwayError,
    DatabricksRunError,
    LoginError,
    LoginRefusedError,
    WorkspaceError,
)
from storepipe_dagster.resources.databricks.run_request import NewCluster
from storepipe_dagster.resources.databricks.step_launcher import DatabricksStepLauncher
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server
from storepipe_dagster_tests.servers.process import free_port

TAGS = {"assets": "trusted/sales", "days": "all days", "dagster_run": "f00d", "dagster_job": "job"}
DISCOVERY = "/oidc/.well-known/oauth-authorization-server"


def launcher(**settings):
    given = {
        "lake": Lake(root="/nowhere"),
        "host": "https://adb.example",
        "token": "dapi-token",
        "staging": "dbfs:/staging",
        "new_cluster": NewCluster(spark_version="18.x-scala2.13", node_type="small", workers="0"),
        "env_variables": {},
        "secrets": ["AZURE_CLIENT_ID"],
        "secret_scope": "storepipe",
        "viewers": [],
        "timeout_seconds": 60,
        "poll_seconds": 0.1,
        "max_retries": 2,
        "retry_seconds": 3.0,
    }
    return DatabricksStepLauncher(**{**given, **settings})


def step(attempt=0):
    """As much of a step's context as the launcher itself uses."""
    key = SimpleNamespace(key="trusted__sales")
    return SimpleNamespace(previous_attempt_count=attempt, run_id="f00d", step=key, assets_def=None)


def run(step_launcher, attempt=0):
    return list(step_launcher.launch_step(step(attempt)))


@pytest.fixture(autouse=True)
def tags(monkeypatch):
    monkeypatch.setattr(module, "launch_tags", lambda _: TAGS)


@pytest.fixture
def launches(monkeypatch):
    """Each launch does what the test says; gives the options of those that were made."""

    class Launches(list):
        outcome: BaseException | None = None

        def __call__(self, **options):
            self.append(options)
            return self

        def launch_step(self, _):
            if self.outcome:
                raise self.outcome
            yield "an event"

    launches = Launches()
    monkeypatch.setattr(launch, "Launch", launches)
    return launches


def test_events_of_the_launch_are_those_of_the_step(launches):
    assert run(launcher()) == ["an event"]
    [options] = launches
    assert options["login"]["host"] == "https://adb.example"
    assert options["run_config"]["timeout_seconds"] == 60
    assert options["most_seconds"] == 360
    assert options["secrets"] == [
        {"name": "AZURE_CLIENT_ID", "key": "azure-client-id", "scope": "storepipe"}
    ]


def test_without_a_scope_no_secret_is_asked_for(launches):
    run(launcher(secret_scope=None))
    assert launches[0]["secrets"] == []


@pytest.mark.parametrize(("attempt", "seconds"), [(0, 3), (1, 6), (2, 12)])
def test_a_launch_that_failed_for_no_fault_of_ours_waits_twice_as_long_each_time(
    launches, attempt, seconds
):
    launches.outcome = DatabricksAwayError("spot eviction")
    with pytest.raises(dg.RetryRequested) as caught:
        run(launcher(), attempt)
    assert (caught.value.max_retries, caught.value.seconds_to_wait) == (2, seconds)
    assert caught.value.__cause__ is launches.outcome


@pytest.mark.parametrize(
    "trouble",
    [
        requests.ConnectionError("no route"),
        TimeoutError("the SDK has given up"),
        InternalError("a problem of ours"),
        LoginError("no access token today"),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
def test_a_workspace_that_is_away_is_asked_again(launches, trouble):
    launches.outcome = trouble
    with pytest.raises(dg.RetryRequested) as caught:
        run(launcher())
    away = caught.value.__cause__
    assert isinstance(away, DatabricksAwayError)
    assert str(away) == (
        f"Databricks at https://adb.example cannot be reached: {trouble}. Check DATABRICKS_HOST."
    )


@pytest.mark.parametrize(
    "refusal",
    [PermissionDenied("no"), NotFound("no"), LoginRefusedError("invalid_client: no")],
    ids=lambda refusal: type(refusal).__name__,
)
def test_a_refusal_is_told_with_its_remedy_and_not_tried_again(launches, refusal):
    launches.outcome = refusal
    with pytest.raises(WorkspaceError, match=r"Databricks at https://adb\.example"):
        run(launcher())


class Strict(pydantic.BaseModel):
    number: int


def invalid():
    try:
        Strict(number="many")
    except pydantic.ValidationError as error:
        return error


@pytest.mark.parametrize(
    "fault",
    [ValueError("a day that is none"), invalid(), DatabricksRunError("it failed")],
    ids=lambda fault: type(fault).__name__,
)
def test_an_error_of_ours_comes_out_as_it_is(launches, fault):
    launches.outcome = fault
    with pytest.raises(type(fault)) as caught:
        run(launcher())
    assert caught.value is fault


def test_a_fault_before_the_launch_comes_out_as_it_is(launches, monkeypatch):
    def no_tags(_):
        raise ValueError("a day that is none")

    monkeypatch.setattr(module, "launch_tags", no_tags)
    with pytest.raises(ValueError, match="a day that is none"):
        run(launcher())


PRINCIPAL = {"token": None, "client_id": "robot", "client_secret": "hunter2"}


def test_a_login_at_a_dead_port_is_tried_again(monkeypatch):
    monkeypatch.setattr(clients, "RETRY_SECONDS", 1)
    with pytest.raises(dg.RetryRequested):
        run(launcher(host=f"http://127.0.0.1:{free_port()}", **PRINCIPAL))


@pytest.mark.parametrize("status", [403, 404])
def test_a_login_that_is_refused_names_its_variables(status):
    with scripted_server() as server:
        server.steps[DISCOVERY] = [Step(b"{}", status)]
        with pytest.raises(WorkspaceError, match="DATABRICKS_CLIENT_SECRET"):
            run(launcher(host=server.url, **PRINCIPAL))


def test_a_login_that_takes_long_can_be_interrupted():
    interrupt = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    with capture_interrupts():
        interrupt.start()
        with pytest.raises(DagsterExecutionInterruptedError):
            run(launcher(host=f"http://127.0.0.1:{free_port()}", **PRINCIPAL))


def test_a_table_that_lost_its_folder_is_noticed_before_a_launch(launches, tmp_path):
    sales = dg.AssetKey(["trusted", "sales"])
    days = dg.PartitionKeyRange("2020-01-02", "2020-01-03")
    with dg.DagsterInstance.ephemeral() as instance:
        instance.report_runless_asset_event(dg.AssetMaterialization(sales, partition="2020-01-01"))
        context = SimpleNamespace(
            **vars(step()) | {"assets_def": SimpleNamespace(partitions_def=DAYS)},
            partition_key_range=days,
            instance=instance,
            get_output_asset_keys=lambda: {sales},
        )
        with pytest.raises(LostTableError, match="--from 2020-01-01 --to 2020-01-03"):
            list(launcher(lake=Lake(root=str(tmp_path))).launch_step(context))

    assert launches == []
