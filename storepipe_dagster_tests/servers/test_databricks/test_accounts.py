"""Who asks, and who may: tokens, service principals, names of secrets, rights on jobs."""

import time

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config, oauth_service_principal
from databricks.sdk.errors import (
    InvalidParameterValue,
    PermissionDenied,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service import iam

from storepipe_dagster_tests.servers.databricks.runs import SUCCEEDED
from storepipe_dagster_tests.servers.test_databricks.asking import connect, finish, submit


def test_nobody_is_let_in_without_a_token(workspace):
    answer = requests.get(f"{workspace.host}/api/2.0/clusters/get", timeout=10)
    assert (answer.status_code, answer.json()["error_code"]) == (401, 401)
    with pytest.raises(Unauthenticated, match="Credential was not sent"):
        WorkspaceClient(
            config=Config(host=workspace.host, credentials_strategy=NoCredentials())
        ).current_user.me()


class NoCredentials:
    def auth_type(self):
        return "none"

    def __call__(self, config):
        return dict


def test_a_wrong_token_is_refused(workspace):
    with pytest.raises(PermissionDenied, match="Invalid access token"):
        connect(workspace, token="dapi0").current_user.me()


def test_a_service_principal_gets_a_token(workspace):
    def log_in(secret):
        config = Config(
            host=workspace.host,
            client_id=workspace.client_id,
            client_secret=secret,
            credentials_strategy=oauth_service_principal,
        )
        return WorkspaceClient(config=config).current_user.me().user_name

    assert log_in(workspace.client_secret) == workspace.client_id
    with pytest.raises(ValueError, match="invalid_client: Client authentication failed"):
        log_in("wrong")


def test_an_access_token_expires(workspace):
    workspace.access_tokens["eyJold"] = time.time() - 1
    with pytest.raises(PermissionDenied):
        connect(workspace, token="eyJold").current_user.me()


def test_names_of_secrets_are_told_but_no_values(client):
    assert [scope.name for scope in client.secrets.list_scopes()] == ["shop"]
    assert [secret.key for secret in client.secrets.list_secrets("shop")] == ["password"]
    with pytest.raises(ResourceDoesNotExist, match="Scope nothing does not exist"):
        list(client.secrets.list_secrets("nothing"))


def test_secrets_of_a_closed_scope_are_not_listed(workspace, client, monkeypatch):
    monkeypatch.setattr(workspace, "closed_scopes", {"shop"})
    with pytest.raises(PermissionDenied, match="does not have READ permission on scope shop"):
        list(client.secrets.list_secrets("shop"))


def test_rights_on_a_job_are_given(workspace, client):
    workspace.scripted.append(SUCCEEDED)
    run_id = submit(client, "")
    run = finish(workspace, run_id)

    def give(level, **who):
        entry = iam.AccessControlRequest(permission_level=iam.PermissionLevel[level], **who)
        return client.permissions.update("jobs", str(run.job_id), access_control_list=[entry])

    give("CAN_VIEW", group_name="users")
    given = give("CAN_MANAGE_RUN", group_name="engineers")
    assert [
        (entry.user_name or entry.group_name, entry.all_permissions[0].permission_level.value)
        for entry in given.access_control_list
    ] == [
        ("ana@example.com", "IS_OWNER"),
        ("users", "CAN_VIEW"),
        ("engineers", "CAN_MANAGE_RUN"),
        ("admins", "CAN_MANAGE"),
    ]
    assert {"group_name": "users", "permission_level": "CAN_VIEW"} in run.permissions
    with pytest.raises(ResourceDoesNotExist, match=r"Principal: GroupName\(nobody\) does not"):
        give("CAN_VIEW", group_name="nobody")
    with pytest.raises(InvalidParameterValue, match="CAN_RESTART is not one of"):
        give("CAN_RESTART", group_name="users")
    with pytest.raises(ResourceDoesNotExist, match="Job 5 does not exist"):
        client.permissions.get("jobs", "5")
    cluster = client.permissions.get("clusters", run.cluster_id)
    assert cluster.object_type == "cluster"
