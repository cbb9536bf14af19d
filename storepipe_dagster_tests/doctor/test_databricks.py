"""Tests of `storepipe_dagster.doctor.databricks`, on a workspace of this machine.

What is no workspace, or not all of one, is a server that answers as it is told.
"""

import json
import time

import pytest

from storepipe_dagster.doctor import TroubleError, databricks, examination
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources.databricks.step_launcher import secret_key
from storepipe_dagster.resources.deployments import step_launcher
from storepipe_dagster.settings import Settings
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server
from storepipe_dagster_tests.servers.databricks.workspace import Workspace

SECRET = "hunter2"
DISCOVERY = "/oidc/.well-known/oauth-authorization-server"
LOGIN = "/oidc/v1/token"
ME = "/api/2.0/preview/scim/v2/Me"
VOLUME = "/Volumes/main/storepipe/staging"
ACCOUNT = "AccountName=lake;AccountKey=aHVudGVyMg==;EndpointSuffix=core.windows.net"
PRINCIPAL_KEYS = ["azure-tenant-id", "azure-client-id", "azure-client-secret"]


@pytest.fixture(scope="module")
def served():
    with Workspace({}) as workspace:
        yield workspace


@pytest.fixture
def workspace(served, monkeypatch):
    """A workspace that is well; what a test changes in it is undone."""
    monkeypatch.setattr(served, "secrets", {("shop", "azure-storage-connection-string"): SECRET})
    monkeypatch.setattr(served, "cluster", {})
    monkeypatch.setattr(served, "closed_scopes", set())
    monkeypatch.setattr(served, "dbfs_enabled", True)
    return served


def settings_of(workspace, **others):
    values = {
        "databricks_host": workspace.host,
        "databricks_token": workspace.token,
        "databricks_staging": "dbfs:/staging",
        "azure_storage_connection_string": ACCOUNT,
        **others,
    }
    return Settings(_env_file=None, dagster_deployment="databricks", **values)


def told(workspace, **others):
    return databricks.check(settings_of(workspace, **others))


def trouble(workspace, **others):
    with pytest.raises(TroubleError) as caught:
        told(workspace, **others)
    message = str(caught.value)
    assert not any(secret in message for secret in (SECRET, workspace.token, "token="))
    return message


# --- the login


def test_a_user_is_known(workspace):
    assert told(workspace).startswith(f"{workspace.host} knows ana@example.com; ")


def test_a_service_principal_is_known(workspace):
    login = {
        "databricks_token": None,
        "databricks_client_id": workspace.client_id,
        "databricks_client_secret": workspace.client_secret,
    }

    assert told(workspace, **login).startswith(f"{workspace.host} knows {workspace.client_id}; ")


def test_a_wrong_token_is_refused(workspace):
    message = trouble(workspace, databricks_token=f"{SECRET}-token")

    assert message.startswith(f"{workspace.host} refuses our login (Invalid access token. [ReqId: ")
    assert message.endswith("]). Check DATABRICKS_TOKEN.")


def test_a_wrong_secret_of_a_service_principal_is_refused(workspace):
    login = {
        "databricks_token": None,
        "databricks_client_id": workspace.client_id,
        "databricks_client_secret": SECRET,
    }

    assert trouble(workspace, **login) == (
        f"{workspace.host} refuses our login (invalid_client: Client authentication failed). "
        "Check DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET."
    )


def test_two_logins_in_the_environment_are_told(workspace, monkeypatch):
    monkeypatch.setenv("ARM_CLIENT_SECRET", SECRET)

    assert "(validate: more than one authorization method configured: azure and pat)" in (
        trouble(workspace)
    )


# --- the existing cluster


def test_a_cluster_that_is_there_is_well(workspace):
    message = told(workspace, databricks_cluster_id=workspace.cluster_id)

    assert f"cluster {workspace.cluster_id} is RUNNING (18.0.x-scala2.13)" in message


def test_an_unknown_cluster(workspace):
    assert trouble(workspace, databricks_cluster_id="0101-abc") == (
        f"{workspace.host} has no cluster 0101-abc. Check DATABRICKS_CLUSTER_ID."
    )


@pytest.mark.parametrize("mode", ["USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD"])
def test_a_shared_cluster_is_wrong(workspace, mode):
    workspace.cluster["data_security_mode"] = mode

    assert trouble(workspace, databricks_cluster_id=workspace.cluster_id) == (
        f"The cluster {workspace.cluster_id} is a shared one ({mode}). Use a cluster in dedicated "
        "access mode (SINGLE_USER), or unset DATABRICKS_CLUSTER_ID."
    )


@pytest.mark.parametrize("mode", ["SINGLE_USER", "DATA_SECURITY_MODE_DEDICATED"])
def test_a_dedicated_cluster_is_well_with_each_staging_area(workspace, mode):
    workspace.cluster["data_security_mode"] = mode

    for staging in ("dbfs:/staging", VOLUME):
        told(workspace, databricks_cluster_id=workspace.cluster_id, databricks_staging=staging)


@pytest.mark.parametrize("mode", ["NONE", "LEGACY_SINGLE_USER"])
def test_a_cluster_without_unity_catalog_stages_in_dbfs_only(workspace, mode):
    workspace.cluster["data_security_mode"] = mode
    cluster = {"databricks_cluster_id": workspace.cluster_id}

    told(workspace, **cluster)

    assert f"reaches no volumes ({mode}), and DATABRICKS_STAGING is in one" in (
        trouble(workspace, databricks_staging=VOLUME, **cluster)
    )


@pytest.mark.parametrize("version", ["15.4.x-scala2.12", "17.2.x-photon-scala2.13"])
def test_a_cluster_with_an_old_runtime_is_wrong(workspace, version):
    workspace.cluster["spark_version"] = version

    assert trouble(workspace, databricks_cluster_id=workspace.cluster_id) == (
        f"The cluster {workspace.cluster_id} has the runtime {version}, which is too old. "
        "Give it a newer one: 17.3 or later."
    )


@pytest.mark.parametrize("version", ["17.3.x-scala2.13", "18.x-scala2.13", "custom:ours"])
def test_a_cluster_with_another_runtime_is_well(workspace, version):
    workspace.cluster["spark_version"] = version

    assert f"({version})" in told(workspace, databricks_cluster_id=workspace.cluster_id)


# --- a new cluster


def test_what_a_new_cluster_is_made_of_is_there(workspace):
    assert "; new clusters of 18.x-scala2.13 on Standard_D4ds_v5, " in told(workspace)


def test_a_runtime_that_is_not_offered(workspace):
    assert trouble(workspace, databricks_spark_version="18.x-scala2.12") == (
        f"{workspace.host} has no runtime 18.x-scala2.12. Set DATABRICKS_SPARK_VERSION to one that "
        "`databricks clusters spark-versions` lists."
    )


def test_a_runtime_that_is_too_old(workspace):
    assert "too old. Set it to a newer one: 17.3 or later." in (
        trouble(workspace, databricks_spark_version="16.4.x-scala2.13")
    )


@pytest.mark.parametrize(
    ("node_type", "reason"),
    [("Standard_D4", "unknown"), ("Standard_M128s", "NotAvailableInRegion")],
)
def test_a_node_type_that_is_not_offered(workspace, node_type, reason):
    assert trouble(workspace, databricks_node_type=node_type) == (
        f"{workspace.host} has no nodes {node_type} ({reason}). Set DATABRICKS_NODE_TYPE to one "
        "that `databricks clusters list-node-types` lists."
    )


def test_a_pool_decides_of_the_nodes(workspace):
    pool = {"databricks_instance_pool_id": "pool-1", "databricks_node_type": "Standard_D4"}

    assert "new clusters of 18.x-scala2.13 from the pool pool-1" in told(workspace, **pool)
    assert "has no runtime 19" in trouble(workspace, databricks_spark_version="19", **pool)


def test_a_policy_decides_of_both(workspace):
    policy = {"databricks_policy_id": "ABC", "databricks_node_type": "Standard_D4"}

    assert "new clusters of auto:latest-lts by the policy ABC" in (
        told(workspace, databricks_spark_version="auto:latest-lts", **policy)
    )


# --- the staging area


@pytest.mark.parametrize("staging", ["dbfs:/staging", VOLUME, f"{VOLUME}/some/folder"])
def test_a_staging_area_that_is_there(workspace, staging):
    assert told(workspace, databricks_staging=staging).endswith(f", staging in {staging}")


def test_a_volume_that_is_not_there(workspace):
    assert trouble(workspace, databricks_staging="/Volumes/main/storepipe/other/folder") == (
        f"{workspace.host} has no volume /Volumes/main/storepipe/other. Make it, or check "
        "DATABRICKS_STAGING."
    )


def test_a_volume_that_we_may_not_write_to(workspace):
    message = trouble(workspace, databricks_staging="/Volumes/main/storepipe/readonly")

    assert "does not have WRITE VOLUME on Volume 'main.storepipe.readonly'). Give this" in message
    assert message.endswith("USE CATALOG, USE SCHEMA, READ VOLUME and WRITE VOLUME.")


def test_a_workspace_without_dbfs(workspace):
    workspace.dbfs_enabled = False

    message = trouble(workspace)

    assert "has no DBFS for us to stage in (" in message
    assert "Set DATABRICKS_STAGING to a folder in a Unity Catalog volume, /Volumes/" in message


# --- the secrets


def test_a_scope_with_the_keys_is_well(workspace):
    message = told(workspace, databricks_secret_scope="shop")

    assert message.endswith(", staging in dbfs:/staging, secrets in the scope shop")
    assert SECRET not in message


def test_keys_that_the_launcher_will_ask_for_are_missing(workspace):
    named = {
        "azure_storage_connection_string": None,
        "azure_storage_account_name": "lake",
        "databricks_secret_scope": "shop",
    }
    workspace.secrets["shop", "azure-client-id"] = SECRET

    message = trouble(workspace, **named)

    assert message == (
        "The secret scope shop has no azure-tenant-id and no azure-client-secret. Put it there: "
        "`databricks secrets put-secret shop azure-tenant-id`, "
        "`databricks secrets put-secret shop azure-client-secret`."
    )
    workspace.secrets.update({("shop", key): SECRET for key in PRINCIPAL_KEYS})
    assert told(workspace, **named).endswith("secrets in the scope shop")


@pytest.mark.parametrize(
    ("account", "keys"),
    [
        ({}, ["azure-storage-connection-string"]),
        (
            {"azure_storage_connection_string": None, "azure_storage_account_name": "lake"},
            PRINCIPAL_KEYS,
        ),
    ],
)
def test_the_keys_are_those_of_the_launcher(workspace, account, keys, monkeypatch):
    monkeypatch.setenv("DATABRICKS_TOKEN", "")  # the launcher sets it, and this takes it back
    launcher = step_launcher(
        settings_of(workspace, databricks_secret_scope="none", **account), Lake(root="/nowhere")
    )

    workspace.secrets.clear()
    workspace.secrets["shop", "other"] = SECRET
    message = trouble(workspace, databricks_secret_scope="shop", **account)

    assert [secret_key(name) for name in launcher.secrets] == keys
    assert f"has no {' and no '.join(keys)}. " in message


def test_an_unknown_scope(workspace):
    assert trouble(workspace, databricks_secret_scope="lake") == (
        f"{workspace.host} has no secret scope lake. Make it: `databricks secrets create-scope "
        "lake`, or check DATABRICKS_SECRET_SCOPE."
    )


def test_a_scope_that_we_may_not_list_is_told_and_is_well(workspace):
    workspace.closed_scopes.add("shop")

    assert told(workspace, databricks_secret_scope="shop").endswith(
        ", secrets in the scope shop, which we may not list"
    )


def test_nothing_is_changed_there(workspace):
    before = len(workspace.calls)
    files = sorted(workspace.folder.rglob("*"))

    told(workspace, databricks_staging=VOLUME, databricks_secret_scope="shop")

    asked = [(call.method, call.status) for call in workspace.calls[before:]]
    assert {method for method, _ in asked} <= {"GET", "HEAD", "DELETE"}
    assert [status for method, status in asked if method == "DELETE"] == [404]
    assert sorted(workspace.folder.rglob("*")) == files


# --- what is no workspace, or not all of one


class Elsewhere:
    """Another address than a workspace's, with a login of the same kind."""

    token = f"{SECRET}-token"

    def __init__(self, host):
        self.host = host


def answer(body, status=200, **headers):
    return Step(json.dumps(body).encode(), status, headers)


@pytest.fixture
def server():
    with scripted_server() as server:
        server.steps[DISCOVERY] = [answer({"token_endpoint": f"{server.url}{LOGIN}"})]
        server.steps[ME] = [answer({"userName": "clerk"})]
        yield server


PAGE = f"<html><title>{SECRET}</title></html>".encode()


@pytest.mark.parametrize(
    "step",
    [
        Step(PAGE, 404),
        Step(b"", 303, {"Location": "/login"}),
        Step(PAGE),
        answer(["token_endpoint"]),
        answer({"issuer": "another"}),
        Step(PAGE, 403),
    ],
    ids=["not found", "login page", "page for people", "array", "other JSON", "not let in"],
)
def test_what_is_no_workspace(server, step):
    server.steps[DISCOVERY] = [step]

    message = trouble(Elsewhere(server.url))

    assert f"does not answer as a workspace does ({step.status} " in message
    assert "Check that DATABRICKS_HOST is the address of a workspace" in message


@pytest.mark.parametrize(
    "step",
    [Step(PAGE), Step(b"", 303, {"Location": "/page"})],
    ids=["page for people", "login page"],
)
def test_a_page_for_people_in_place_of_the_api(server, step):
    server.steps[ME], server.steps["/page"] = [step], [Step(PAGE)]

    assert "does not answer as a workspace does (JSONDecodeError)" in (
        trouble(Elsewhere(server.url))
    )


def test_a_page_for_people_that_refuses(server):
    server.steps[ME] = [Step(b"<html>\n" + SECRET.encode() * 1000, 400)]

    assert trouble(Elsewhere(server.url)) == (
        f"{server.url} refuses: with a page for people. Check the DATABRICKS_ settings."
    )


@pytest.mark.parametrize("status", [200, 502])
def test_a_page_for_people_in_place_of_a_token(server, monkeypatch, status):
    handler = server.RequestHandlerClass
    monkeypatch.setattr(handler, "do_POST", handler.do_GET, raising=False)
    server.steps[LOGIN] = [Step(PAGE, status, {"Content-Type": "text/html"})]
    login = {
        "databricks_token": None,
        "databricks_client_id": "me",
        "databricks_client_secret": f"{SECRET}-secret",
    }

    assert "does not answer as a workspace does (no access token)" in (
        trouble(Elsewhere(server.url), **login)
    )


def test_a_workspace_behind_a_private_link(server):
    place = "/login.html?error=private-link-validation-error%3A12"
    server.steps[DISCOVERY] = [Step(b"", 302, {"Location": place})]

    assert "through Private Link only. Run this in its network." in (trouble(Elsewhere(server.url)))


def test_a_secret_that_comes_back_is_not_told(server):
    echo = {"error_code": "PERMISSION_DENIED", "message": f"No: Bearer {Elsewhere.token}"}
    server.steps[ME] = [answer(echo, 403)]

    assert "refuses our login (No: Bearer ***). Check" in trouble(Elsewhere(server.url))


def test_a_workspace_that_is_busy(server):
    busy = {"error_code": "TEMPORARILY_UNAVAILABLE", "message": SECRET}
    server.steps[ME] = [answer(busy, 503, **{"Retry-After": "1"})]

    assert "cannot answer at present (TemporarilyUnavailable). Try again later." in (
        trouble(Elsewhere(server.url))
    )


def test_a_cluster_that_we_may_not_use(server):
    denied = {"error_code": "PERMISSION_DENIED", "message": "You have no Attach permission"}
    server.steps["/api/2.1/clusters/get"] = [answer(denied, 403)]

    message = trouble(Elsewhere(server.url), databricks_cluster_id="0101-abc")

    assert "does not let us use the cluster 0101-abc (You have no Attach permission). " in message
    assert message.endswith("the right Can Restart on it.")


def test_an_unknown_host():
    message = trouble(Elsewhere("adb.invalid"))

    assert "'adb.invalid'" in message
    assert "DATABRICKS_HOST" in message


def test_a_refused_connection(nobody):
    assert "nobody listens there. Check DATABRICKS_HOST" in (
        trouble(Elsewhere(f"http://127.0.0.1:{nobody}"))
    )


@pytest.mark.parametrize("address", ["black_hole", "silent"])
def test_no_answer(address, request, monkeypatch):
    monkeypatch.setattr(databricks, "CONNECT_SECONDS", 0.3)
    monkeypatch.setattr(databricks, "SECONDS", 0.3)
    port = request.getfixturevalue(address)

    assert "no answer. Check DATABRICKS_HOST" in trouble(Elsewhere(f"http://127.0.0.1:{port}"))


def test_no_answer_of_the_api(server, monkeypatch):
    monkeypatch.setattr(databricks, "SECONDS", 0.3)
    server.steps[ME] = [Step(wait=60)]

    assert "cannot answer at present (ReadTimeout)" in trouble(Elsewhere(server.url))


# --- the command


@pytest.fixture
def home(tmp_path, nobody):
    """A home of the databricks deployment, of which only the workspace is of interest."""
    nowhere = f"127.0.0.1:{nobody}"
    extra = {
        "DAGSTER_DEPLOYMENT": "databricks",
        "MYSQL_HOST": "127.0.0.1",
        "MYSQL_PORT": str(nobody),
        "MYSQL_USER": "clerk",
        "MYSQL_PASSWORD": SECRET,
        "MYSQL_DATABASE": "store",
        "AZURE_STORAGE_CONNECTION_STRING": f"{ACCOUNT};BlobEndpoint=http://{nowhere}/lake",
        "DATABRICKS_STAGING": "dbfs:/staging",
    }
    return Home(tmp_path / "home", f"http://{nowhere}", extra)


def test_the_workspace_is_one_line_of_the_examination(home, workspace, monkeypatch):
    home.extra["DATABRICKS_HOST"], home.extra["DATABRICKS_TOKEN"] = workspace.host, workspace.token
    monkeypatch.setattr(examination, "DEADLINE_SECONDS", 60.0)
    for name, value in home.environment.items():
        monkeypatch.setenv(name, value)
    lines = []

    assert not examination.examine(Settings(_env_file=None), lines.append)  # the rest is nowhere

    assert lines[-1].startswith(f"Databricks  ok     {workspace.host} knows ana@example.com; ")
    assert not any(workspace.token in line for line in lines)


def test_the_command_ends_soon_where_nothing_answers(home, black_hole):
    """As a service principal: the SDK would wait for its token without an end."""
    home.extra["DATABRICKS_HOST"] = f"http://127.0.0.1:{black_hole}"
    home.extra.update(DATABRICKS_CLIENT_ID="me", DATABRICKS_CLIENT_SECRET=SECRET)

    started = time.monotonic()
    done = home.command("doctor")
    seconds = time.monotonic() - started

    (line,) = [line for line in done.stdout.splitlines() if line.startswith("Databricks  WRONG  ")]
    assert "that no firewall in between holds it back" in line
    assert seconds < 30  # the start of a process included, on a busy machine
    assert SECRET not in done.stdout + done.stderr
