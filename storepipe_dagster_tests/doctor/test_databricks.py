"""Tests of `storepipe_dagster.doctor.databricks`, on a server that answers as Databricks does."""

import json

import pytest

from storepipe_dagster.doctor import TroubleError, databricks, http
from storepipe_dagster.settings import Settings
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

CLUSTER = "/api/2.0/clusters/get"
LOGIN = "/oidc/v1/token"
ME = "/api/2.0/preview/scim/v2/Me"


@pytest.fixture
def workspace():
    with scripted_server() as server:
        server.steps[CLUSTER] = [answer({"cluster_id": "0101-abc", "state": "TERMINATED"})]
        server.steps[ME] = [answer({"userName": "clerk"})]
        yield server


def answer(body, status=200):
    return Step(json.dumps(body).encode(), status)


def refusal(status, code):
    return answer({"error_code": code, "message": "hunter2"}, status)


def settings_of(host, **others):
    values = {
        "databricks_host": host,
        "databricks_token": "hunter2-token",
        "databricks_cluster_id": "0101-abc",
        "databricks_staging": "dbfs:/staging",
        **others,
    }
    return Settings(_env_file=None, dagster_deployment="databricks", **values)


def trouble(host, **others):
    with pytest.raises(TroubleError) as caught:
        databricks.check(settings_of(host, **others))
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def test_a_cluster_that_is_there_is_well(workspace):
    told = databricks.check(settings_of(workspace.url))

    assert told == f"{workspace.url}: cluster 0101-abc is TERMINATED"
    assert workspace.queries == [{"cluster_id": "0101-abc"}]
    assert workspace.headers[0]["Authorization"] == "Bearer hunter2-token"


def test_a_workspace_that_knows_us_is_well_without_a_cluster(workspace):
    told = databricks.check(settings_of(workspace.url, databricks_cluster_id=None))

    assert told == f"{workspace.url} knows us; a new job cluster will run the steps"


def test_a_token_that_is_refused(workspace):
    workspace.steps[CLUSTER] = [refusal(401, "UNAUTHENTICATED")]

    assert "refuses the token" in (told := trouble(workspace.url))
    assert "Check DATABRICKS_TOKEN" in told


def test_a_right_that_is_missing(workspace):
    workspace.steps[CLUSTER] = [refusal(403, "PERMISSION_DENIED")]

    assert "does not let us use the cluster 0101-abc" in (told := trouble(workspace.url))
    assert "Can Restart" in told


@pytest.mark.parametrize(
    ("status", "code"), [(400, "INVALID_PARAMETER_VALUE"), (404, "RESOURCE_DOES_NOT_EXIST")]
)
def test_an_unknown_cluster(workspace, status, code):
    workspace.steps[CLUSTER] = [refusal(status, code)]

    assert trouble(workspace.url) == (
        f"{workspace.url} has no cluster 0101-abc. Check DATABRICKS_CLUSTER_ID."
    )


@pytest.mark.parametrize(
    "step",
    [Step(b"<html>hunter2</html>", 404), Step(b"", 303, {"Location": "/login"})],
    ids=["not found", "login page"],
)
def test_what_is_no_workspace(workspace, step):
    workspace.steps[CLUSTER] = [step]

    assert "Check that DATABRICKS_HOST is the address of a workspace" in trouble(workspace.url)


def test_a_page_for_people_with_status_200(workspace):
    workspace.steps[CLUSTER] = [Step(b"<html>hunter2</html>")]

    assert "Check that DATABRICKS_HOST is the address of a workspace" in trouble(workspace.url)


def test_an_unknown_host():
    assert "'adb.invalid'" in (told := trouble("adb.invalid"))
    assert "DATABRICKS_HOST" in told


def test_a_refused_connection(nobody):
    assert "nobody listens there. Check DATABRICKS_HOST" in trouble(f"http://127.0.0.1:{nobody}")


def test_no_answer(black_hole, monkeypatch):
    monkeypatch.setattr(http, "SECONDS", 0.3)

    assert "no answer" in trouble(f"http://127.0.0.1:{black_hole}")


def test_a_staging_folder_that_is_none(workspace):
    told = trouble(workspace.url, databricks_staging="/tmp/staging")

    assert told == "DATABRICKS_STAGING has to begin with dbfs:/ or /Volumes/. Correct it."


@pytest.fixture
def principal(workspace, monkeypatch):
    """The settings of a service principal, which logs in with a POST."""
    handler = workspace.RequestHandlerClass
    monkeypatch.setattr(handler, "do_POST", handler.do_GET, raising=False)
    return {
        "databricks_token": None,
        "databricks_client_id": "me",
        "databricks_client_secret": "hunter2-secret",
    }


def test_a_service_principal_is_well(workspace, principal):
    workspace.steps[LOGIN] = [answer({"access_token": "hunter2-for-an-hour"})]

    told = databricks.check(settings_of(workspace.url, **principal))

    assert told == f"{workspace.url}: cluster 0101-abc is TERMINATED"
    assert workspace.headers[0]["Authorization"].startswith("Basic ")
    assert workspace.headers[1]["Authorization"] == "Bearer hunter2-for-an-hour"


@pytest.mark.parametrize(
    "step",
    [refusal(401, "invalid_client"), Step(b"<html>hunter2</html>")],
    ids=["refused", "page for people"],
)
def test_a_service_principal_that_is_refused(workspace, principal, step):
    workspace.steps[LOGIN] = [step]

    told = trouble(workspace.url, **principal)

    assert "refuses the service principal" in told
    assert "Check DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET" in told
