"""Tests of `storepipe_dagster.resources.databricks.clients`, on servers of this machine."""

import base64
import json
import time

import pytest
import requests
from databricks.sdk.errors import NotFound
from databricks.sdk.errors.base import DatabricksError

from storepipe_dagster.resources.databricks import clients
from storepipe_dagster.resources.databricks.clients import ImpatientClient, VolumesClient
from storepipe_dagster.resources.databricks.endings import (
    LoginError,
    LoginRefusedError,
    is_unreachable,
)
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server
from storepipe_dagster_tests.servers.databricks.workspace import Workspace
from storepipe_dagster_tests.servers.process import free_port

DISCOVERY = "/oidc/.well-known/oauth-authorization-server"
TOKEN = "/oidc/v1/token"
READ = "/api/2.0/dbfs/read"
PRINCIPAL = {"client_id": "robot", "client_secret": "hunter2"}
VOLUME = "/Volumes/main/storepipe/staging"


@pytest.fixture
def server():
    with scripted_server() as server:
        server.steps[DISCOVERY] = [json_of(token_endpoint=f"{server.url}{TOKEN}")]
        yield server


@pytest.fixture(scope="module")
def workspace():
    with Workspace({}) as workspace:
        yield workspace


def json_of(status=200, **content):
    return Step(json.dumps(content).encode(), status, {"Content-Type": "application/json"})


def blocks(*contents, **others):
    return [
        json_of(bytes_read=len(content), data=base64.b64encode(content).decode(), **others)
        for content in contents
    ]


def test_a_dead_port_is_told_after_our_patience_not_the_sdks(monkeypatch):
    monkeypatch.setattr(clients, "RETRY_SECONDS", 1)
    started = time.monotonic()
    with pytest.raises(TimeoutError) as caught:
        ImpatientClient(f"http://127.0.0.1:{free_port()}", **PRINCIPAL)
    assert time.monotonic() - started < 10
    assert is_unreachable(caught.value)


@pytest.mark.parametrize("headers", [{}, {"Retry-After": "1"}], ids=["at once", "after a while"])
def test_a_workspace_that_is_down_may_be_asked_again(server, monkeypatch, headers):
    monkeypatch.setattr(clients, "RETRY_SECONDS", 1)
    server.steps[DISCOVERY] = [Step(b"down", 503, headers)]
    with pytest.raises((DatabricksError, TimeoutError)) as caught:
        ImpatientClient(server.url, **PRINCIPAL)
    assert is_unreachable(caught.value)


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (404, "ENDPOINT_NOT_FOUND", "No API found for that"),
        (403, "PERMISSION_DENIED", "Your address is blocked"),
    ],
)
def test_an_address_that_gives_out_no_tokens_refuses_our_login(server, status, code, message):
    server.steps[DISCOVERY] = [json_of(status, error_code=code, message=message)]
    with pytest.raises(LoginRefusedError, match=message) as caught:
        ImpatientClient(server.url, **PRINCIPAL)
    assert not is_unreachable(caught.value)


def test_a_page_for_people_is_no_workspace_for_now(server):
    server.steps[DISCOVERY] = [Step(b"<html>in maintenance</html>")]
    with pytest.raises(LoginError):
        ImpatientClient(server.url, **PRINCIPAL)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (json_of(401, error="invalid_client", error_description="no"), LoginRefusedError),
        (json_of(500, error="server_error", error_description="later"), LoginError),
        (json_of(nothing="of use"), LoginError),
    ],
    ids=["refused", "down", "without sense"],
)
def test_a_token_that_is_not_had_is_an_error_of_the_login(server, answer, kind):
    server.steps[TOKEN] = [answer]
    client = ImpatientClient(server.url, **PRINCIPAL)
    with pytest.raises(kind):
        client.workspace_client.config.authenticate()


def test_a_token_endpoint_that_is_away_is_the_networks_trouble(server):
    server.steps[TOKEN] = [Step(status=0)]
    client = ImpatientClient(server.url, **PRINCIPAL)
    with pytest.raises(requests.ConnectionError):
        client.workspace_client.config.authenticate()


def test_a_token_is_asked_for_again_when_it_has_run_out(server):
    token = {"token_type": "Bearer", "expires_in": 0}
    server.steps[TOKEN] = [json_of(access_token=name, **token) for name in ("first", "second")]
    config = ImpatientClient(server.url, **PRINCIPAL).workspace_client.config
    assert config.authenticate() == {"Authorization": "Bearer first"}
    assert config.authenticate() == {"Authorization": "Bearer second"}


def test_two_logins_at_once_are_refused_without_a_question(server):
    with pytest.raises(LoginRefusedError, match="more than one authorization method"):
        ImpatientClient(server.url, "dapi-token", **PRINCIPAL)
    assert server.seen == {}


@pytest.mark.parametrize("kind", [ImpatientClient, VolumesClient])
def test_every_call_ends_after_our_patience(server, kind):
    config = kind(server.url, "dapi-token").workspace_client.config
    assert config.retry_timeout_seconds == clients.RETRY_SECONDS


def test_a_file_is_read_block_by_block(server):
    server.steps[READ] = blocks(b"abc", b"def", b"g")
    client = ImpatientClient(server.url, "dapi-token")
    assert client.read_file("dbfs:///staging/events", block_size=3) == b"abcdefg"
    assert [query.get("offset", "0") for query in server.queries] == ["0", "3", "6"]
    assert server.queries[0]["path"] == "/staging/events"


@pytest.mark.parametrize("answer", [{"bytes_read": 0}, {}, {"bytes_read": 0, "data": ""}])
def test_an_empty_file_may_come_without_data(server, answer):
    server.steps[READ] = [json_of(**answer)]
    assert ImpatientClient(server.url, "dapi-token").read_file("dbfs:///staging/stderr") == b""


@pytest.mark.parametrize(
    ("kind", "path"),
    [(ImpatientClient, "dbfs:///staging/missing"), (VolumesClient, f"{VOLUME}/missing")],
)
def test_a_file_that_is_not_there_is_not_found(workspace, kind, path):
    with pytest.raises(NotFound):
        kind(workspace.host, workspace.token).read_file(path)
