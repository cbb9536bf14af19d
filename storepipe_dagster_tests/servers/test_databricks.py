"""The workspace as its own SDK sees it: files, limits, runs and their endings, accounts."""

import base64
import io
import os
import threading
import time
from pathlib import Path

import psutil
import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config, oauth_service_principal, pat_auth
from databricks.sdk.errors import (
    AlreadyExists,
    BadRequest,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
    Unauthenticated,
)
from databricks.sdk.service import iam, jobs

from storepipe_dagster_tests.servers.databricks.runs import (
    CLUSTER_DOES_NOT_START,
    NEVER,
    SPOT_EVICTION,
    SUCCEEDED,
    Ending,
)
from storepipe_dagster_tests.servers.databricks.workspace import Workspace

MEBIBYTE = 1 << 20
STAGING = "/Volumes/main/storepipe/staging"
NEW_CLUSTER = {
    "spark_version": "18.0.x-scala2.13",
    "node_type_id": "Standard_D4ds_v5",
    "num_workers": 1,
}
LAST_RUN = """
import sys
print(sys.argv[1:], dbutils.secrets.get(scope="shop", key="password"), flush=True)
print("rows", spark.range(3).count())
"""
WRITES_EVENTS_AND_WAITS = """
import pathlib, subprocess, sys, time
subprocess.Popen(["sleep", "60"])
pathlib.Path(sys.argv[1]).with_name("0_events.pkl").touch()
time.sleep(60)
"""
SECONDS_TO_END = 120  # an environment may have to be built first


@pytest.fixture(scope="module")
def workspace():
    with Workspace({"STORAGE_OF_THE_LAKE": "mine"}) as workspace:
        workspace.secrets["shop", "password"] = "s3cr3t"
        yield workspace


@pytest.fixture(scope="module")
def client(workspace):
    return connect(workspace)


def connect(workspace, **changed):
    given = {"host": workspace.host, "token": workspace.token, "auth_type": "pat"} | changed
    return WorkspaceClient(config=Config(credentials_strategy=pat_auth, **given))


def submit(client, script, *parameters, libraries=(), cluster=None, name="main.py", **settings):
    """Upload a script and run it; gives the run's number."""
    path = f"/scripts/{time.monotonic_ns()}/{name}"
    client.dbfs.upload(path, io.BytesIO(script.encode()), overwrite=True)
    task = {
        "task_key": "dagster-task",
        "spark_python_task": {
            "python_file": f"dbfs:{path}",
            "parameters": [p.replace("HERE", f"/dbfs{path}") for p in parameters],
        },
        "libraries": list(libraries),
        **(cluster or {"new_cluster": NEW_CLUSTER}),
    }
    return client.jobs.submit(tasks=[jobs.SubmitTask.from_dict(task)], **settings).run_id


def finish(workspace, run_id):
    run = workspace.runs[run_id]
    assert run.finished.wait(SECONDS_TO_END)
    return run


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def post(workspace, path, **body):
    headers = {"Authorization": f"Bearer {workspace.token}"}
    return requests.post(f"{workspace.host}{path}", json=body, headers=headers, timeout=10)


# Files in DBFS


def test_a_file_of_several_blocks_comes_back_whole(workspace, client):
    data = os.urandom(2 * MEBIBYTE + 7)
    client.dbfs.upload("/blocks/code.zip", io.BytesIO(data))
    assert client.dbfs.download("/blocks/code.zip").read() == data
    last = client.dbfs.read("dbfs:///blocks/code.zip", offset=2 * MEBIBYTE, length=MEBIBYTE)
    assert (last.bytes_read, base64.b64decode(last.data)) == (7, data[-7:])
    assert (workspace.folder / "dbfs" / "blocks" / "code.zip").read_bytes() == data
    (listed,) = client.dbfs.list("/blocks")
    assert (listed.path, listed.file_size, listed.is_dir) == ("/blocks/code.zip", len(data), False)


def test_a_file_appears_when_its_handle_is_closed(client):
    handle = client.dbfs.create("/late/events.pkl").handle
    client.dbfs.add_block(handle, base64.b64encode(b"events").decode())
    assert not client.dbfs.exists("/late/events.pkl")
    client.dbfs.close(handle)
    assert client.dbfs.get_status("/late/events.pkl").file_size == 6
    with pytest.raises(ResourceDoesNotExist, match="handle"):
        client.dbfs.add_block(handle, "")


def test_an_empty_read_has_empty_data(client):
    client.dbfs.upload("/empty", io.BytesIO(b""))
    for offset in (0, 10):
        read = client.dbfs.read("/empty", offset=offset, length=MEBIBYTE)
        assert (read.bytes_read, read.data) == (0, "")


def test_blocks_and_reads_have_limits(client):
    handle = client.dbfs.create("/too-big").handle
    block = base64.b64encode(bytes(MEBIBYTE + 1)).decode()
    with pytest.raises(BadRequest) as refused:
        client.dbfs.add_block(handle, block)
    assert refused.value.error_code == "MAX_BLOCK_SIZE_EXCEEDED"
    with pytest.raises(BadRequest) as refused:
        client.dbfs.read("/too-big", length=MEBIBYTE + 1)
    assert refused.value.error_code == "MAX_READ_SIZE_EXCEEDED"
    with pytest.raises(InvalidParameterValue, match="negative"):
        client.dbfs.read("/too-big", offset=-1)


def test_what_is_not_in_dbfs_is_missing(client):
    with pytest.raises(ResourceDoesNotExist, match=r"on path dbfs:/nowhere\.") as refused:
        client.dbfs.read("/nowhere")
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_file_of_dbfs_is_overwritten_on_demand_only(client):
    client.dbfs.upload("/once", io.BytesIO(b"1"))
    with pytest.raises(ResourceAlreadyExists):
        client.dbfs.create("/once")
    client.dbfs.upload("/once", io.BytesIO(b"2"), overwrite=True)
    assert client.dbfs.download("/once").read() == b"2"


def test_a_directory_of_dbfs_is_deleted_with_all_in_it_on_demand_only(client):
    client.dbfs.upload("/full/one", io.BytesIO(b"1"))
    client.dbfs.mkdirs("/full/inner")
    with pytest.raises(BadRequest) as refused:
        client.dbfs._dbfs_api.delete("/full")
    assert refused.value.error_code == "IO_ERROR"
    client.dbfs._dbfs_api.delete("/full", recursive=True)
    client.dbfs._dbfs_api.delete("/full")  # what is gone already is no error
    assert not client.dbfs.exists("/full")


def test_dbfs_knows_no_volumes(client):
    with pytest.raises(PermissionDenied, match="No operations allowed on this path"):
        client.dbfs.create(f"dbfs:{STAGING}/main.py")


def test_a_new_workspace_has_no_dbfs(workspace, client):
    workspace.dbfs_enabled = False
    try:
        with pytest.raises(PermissionDenied, match=r"root is disabled. .* on path: /staging"):
            client.dbfs.create("/staging")
    finally:
        workspace.dbfs_enabled = True


# Files in volumes


def test_a_file_in_a_volume_comes_back_whole(workspace, client):
    data = os.urandom(2 * MEBIBYTE + 7)
    client.files.create_directory(f"{STAGING}/run 1/step")
    path = f"{STAGING}/run 1/step/code.zip"
    client.files.upload(path, io.BytesIO(data))
    assert client.files.download(path).contents.read() == data
    assert client.files.get_metadata(path).content_length == len(data)
    assert (workspace.folder / path[1:]).read_bytes() == data
    client.files.delete(path)
    with pytest.raises(NotFound, match="file being accessed is not found") as refused:
        client.files.download(path)
    assert refused.value.error_code == "NOT_FOUND"
    with pytest.raises(NotFound):
        client.files.get_metadata(path)


def test_an_empty_file_in_a_volume_is_a_file(client):
    client.files.upload(f"{STAGING}/empty", io.BytesIO(b""), overwrite=True)
    assert client.files.download(f"{STAGING}/empty").contents.read() == b""


def test_a_file_in_a_volume_is_overwritten_on_demand_only(client):
    client.files.upload(f"{STAGING}/once", io.BytesIO(b"1"))
    with pytest.raises(AlreadyExists, match="already exists"):
        client.files.upload(f"{STAGING}/once", io.BytesIO(b"2"), overwrite=False)
    client.files.upload(f"{STAGING}/once", io.BytesIO(b"2"), overwrite=True)
    assert client.files.download(f"{STAGING}/once").contents.read() == b"2"


def test_a_directory_is_listed_page_by_page(client):
    client.files.create_directory(f"{STAGING}/pages/inner")
    for name in ("a", "b", "c"):
        client.files.upload(f"{STAGING}/pages/{name}", io.BytesIO(b"12"))
    listed = list(client.files.list_directory_contents(f"{STAGING}/pages", page_size=2))
    assert [(entry.name, entry.is_directory, entry.file_size) for entry in listed] == [
        ("a", False, 2),
        ("b", False, 2),
        ("c", False, 2),
        ("inner", True, None),
    ]
    assert listed[0].path == f"{STAGING}/pages/a"


def test_only_an_empty_directory_is_deleted(client):
    client.files.create_directory(f"{STAGING}/full")
    client.files.upload(f"{STAGING}/full/one", io.BytesIO(b"1"))
    with pytest.raises(BadRequest, match="not empty") as refused:
        client.files.delete_directory(f"{STAGING}/full")
    assert refused.value.get_error_details().error_info.reason == "FILES_API_DIRECTORY_IS_NOT_EMPTY"
    client.files.delete(f"{STAGING}/full/one")
    client.files.delete_directory(f"{STAGING}/full")
    with pytest.raises(NotFound):
        client.files.get_directory_metadata(f"{STAGING}/full")


@pytest.mark.parametrize(
    "path", ["/Volumes/main/storepipe/other/x", f"{STAGING}/no-such-directory/x"]
)
def test_an_upload_needs_a_volume_and_a_directory(client, path):
    with pytest.raises(NotFound):
        client.files.upload(path, io.BytesIO(b"1"))


def test_a_volume_may_be_closed_to_writers(client):
    path = "/Volumes/main/storepipe/readonly"
    client.files.get_directory_metadata(path)
    with pytest.raises(PermissionDenied, match="WRITE VOLUME") as refused:
        client.files.upload(f"{path}/x", io.BytesIO(b"1"))
    assert refused.value.error_code == "PERMISSION_DENIED"


# Who asks


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


def test_an_address_without_an_api_is_told(workspace):
    answer = post(workspace, "/api/2.0/jobs/dance")
    assert answer.json()["message"] == "No API found for 'POST /jobs/dance'"


def test_a_cluster_is_described_or_missing(workspace, client):
    assert client.clusters.get(workspace.cluster_id).state.value == "RUNNING"
    with pytest.raises(ResourceDoesNotExist):
        client.clusters.get("1125-000000-nowhere0")


# Runs


def test_a_run_has_spark_secrets_and_parameters(workspace, client):
    run_id = submit(client, LAST_RUN, "HERE", "--flag", run_name="first")
    run = finish(workspace, run_id)
    assert run.exit_code == 0, run.stderr
    script = next((workspace.folder / "dbfs" / "scripts").glob("*/main.py"))
    shown, counted = run.stdout.splitlines()
    assert shown.endswith("/main.py', '--flag'] s3cr3t")
    assert str(script.parents[2]) in shown
    assert counted == "rows 3"
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.TERMINATED
    assert told.state.result_state is jobs.RunResultState.SUCCESS
    assert told.status.termination_details.code is jobs.TerminationCodeCode.SUCCESS
    assert told.run_name == "first"
    assert told.run_page_url.endswith(f"#job/{told.job_id}/run/{run_id}")
    (task,) = told.tasks
    assert client.jobs.get_run_output(task.run_id).logs == run.stdout
    cluster = client.clusters.get(task.cluster_instance.cluster_id)
    assert cluster.spark_version == "18.0.x-scala2.13"
    with pytest.raises(InvalidParameterValue, match="each individual task run"):
        client.jobs.get_run_output(run_id)
    assert not psutil.pid_exists(run.process_id)


def test_a_driver_has_nothing_of_this_repository_and_no_key_of_the_lake(workspace, client):
    script = """
import importlib.util, os
print(importlib.util.find_spec("storepipe_dagster"), os.getcwd(), os.listdir())
print(sorted(name for name in os.environ if "LAKE" in name or "PYTEST" in name))
print(os.environ["DATABRICKS_RUNTIME_VERSION"], os.environ["GREETING"], os.environ["PASSWORD"])
print(importlib.util.find_spec("storepipe_dagster_tests"), "__file__" in globals())
"""
    workspace.cluster_environment["GREETING"] = "hello"
    variables = {"PASSWORD": "{{secrets/shop/password}}"}
    cluster = {"new_cluster": NEW_CLUSTER | {"spark_env_vars": variables}}
    run = finish(workspace, submit(client, script, cluster=cluster))
    assert run.stdout.splitlines() == [
        f"None {run.folder / 'work'} []",
        "[]",
        "18.0 hello s3cr3t",
        "None False",
    ], run.stderr
    assert run.code_file is None
    spark = psutil.Process(workspace._spark._process.pid)
    assert spark.environ()["STORAGE_OF_THE_LAKE"] == "mine"
    assert (run.folder / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_code_that_a_script_brings_is_told(workspace, client, tmp_path):
    package = tmp_path / "storepipe_dagster"
    package.mkdir()
    (package / "__init__.py").touch()
    script = "import sys; sys.path.insert(0, sys.argv[1]); import storepipe_dagster"
    run = finish(workspace, submit(client, script, str(tmp_path)))
    assert Path(run.code_file) == package / "__init__.py"


def test_a_script_that_fails_tells_why(workspace, client):
    script = "def main():\n    dbutils.secrets.get('shop', 'nothing')\n\nmain()\n"
    run_id = submit(client, script, cluster={"existing_cluster_id": workspace.cluster_id})
    run = finish(workspace, run_id)
    assert run.exit_code == 1
    told = client.jobs.get_run(run_id)
    assert told.state.result_state is jobs.RunResultState.FAILED
    assert told.state.state_message == (
        "Task dagster-task failed with message: Workload failed, see run output for details."
    )
    assert told.status.termination_details.code is jobs.TerminationCodeCode.RUN_EXECUTION_ERROR
    output = client.jobs.get_run_output(told.tasks[0].run_id)
    assert output.error.endswith("Secret does not exist with scope: shop and key: nothing")
    assert ", line 2, in main" in output.error_trace


def test_spark_context_is_refused_where_there_is_none(workspace, client):
    run = finish(workspace, submit(client, "sc._jsc"))
    assert "has Spark Connect only" in run.stderr


def test_a_run_from_a_volume_reads_the_volume(workspace, client):
    client.files.create_directory(f"{STAGING}/run")
    script = "import sys; print(open(sys.argv[1]).read())"
    client.files.upload(f"{STAGING}/run/main.py", io.BytesIO(script.encode()))
    client.files.upload(f"{STAGING}/run/data", io.BytesIO(b"from the volume"))
    python = {"python_file": f"{STAGING}/run/main.py", "parameters": [f"{STAGING}/run/data"]}

    def read(**cluster):
        task = {"task_key": "read", "spark_python_task": python}
        task["new_cluster"] = NEW_CLUSTER | cluster
        task = jobs.SubmitTask.from_dict(task)
        return finish(workspace, client.jobs.submit(tasks=[task]).run_id)

    assert read(data_security_mode="SINGLE_USER").stdout == "from the volume\n"
    assert "Cannot read the python file" in read(data_security_mode="NONE").state_message


def test_the_same_token_is_the_same_run(workspace, client):
    workspace.scripted.append(SUCCEEDED)
    before = workspace.launches
    first = submit(client, "print(1)", idempotency_token="once")
    assert submit(client, "print(2)", idempotency_token="once") == first
    assert workspace.launches == before + 1
    finish(workspace, first)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({}, "must be specified"),
        ({"new_cluster": NEW_CLUSTER, "existing_cluster_id": "x"}, "must be specified"),
        ({"existing_cluster_id": "1125-x"}, "Cluster 1125-x does not exist"),
        ({"new_cluster": {"num_workers": 1, "node_type_id": "x"}}, r"new_cluster\.spark_version"),
        ({"new_cluster": NEW_CLUSTER | {"spark_version": "1.0.x"}}, "Invalid spark version"),
        (
            {"new_cluster": {"spark_version": "18.0.x-scala2.13", "num_workers": 1}},
            r"new_cluster\.node_type_id",
        ),
        (
            {"new_cluster": {"spark_version": "18.0.x-scala2.13", "node_type_id": "x"}},
            r"Missing required field: settings\.cluster_spec\.new_cluster\.size",
        ),
        ({"new_cluster": NEW_CLUSTER | {"custom_tags": {"k" * 128: ""}}}, "127 characters"),
        ({"new_cluster": NEW_CLUSTER | {"custom_tags": {"k": "v" * 256}}}, "255 characters"),
        (
            {"new_cluster": NEW_CLUSTER | {"custom_tags": {f"k{n}": "" for n in range(46)}}},
            "At most 45 custom tags",
        ),
        ({"new_cluster": NEW_CLUSTER, "spark_python_task": {"python_file": "/x.py"}}, "dbfs:/"),
    ],
)
def test_a_wrong_task_is_refused(workspace, client, task, told):
    before = workspace.launches
    python = {"spark_python_task": {"python_file": "dbfs:/x.py"}}
    given = jobs.SubmitTask.from_dict({"task_key": "one", **python, **task})
    with pytest.raises(InvalidParameterValue, match=told):
        client.jobs.submit(tasks=[given])
    assert workspace.launches == before


def test_a_policy_may_bring_what_a_cluster_lacks(workspace, client):
    workspace.scripted.append(SUCCEEDED)
    run_id = submit(client, "", cluster={"new_cluster": {"policy_id": "ABC"}})
    assert finish(workspace, run_id).result_state == "SUCCESS"


@pytest.mark.parametrize("settings", [{"idempotency_token": "t" * 65}, {"run_name": "n" * 4097}])
def test_names_have_limits(client, settings):
    with pytest.raises(InvalidParameterValue, match="at most"):
        submit(client, "", **settings)


def test_an_unknown_run_is_missing(client):
    with pytest.raises(ResourceDoesNotExist, match=r"Run 12 does not exist\."):
        client.jobs.get_run(12)
    with pytest.raises(InvalidParameterValue):
        client.jobs.cancel_run(12)


def test_a_script_that_is_not_there_fails_the_run(workspace, client):
    task = {"task_key": "lost", "spark_python_task": {"python_file": "dbfs:/lost.py"}}
    given = jobs.SubmitTask.from_dict({**task, "new_cluster": NEW_CLUSTER})
    run = finish(workspace, client.jobs.submit(tasks=[given]).run_id)
    assert run.state_message.startswith("Cannot read the python file dbfs:/lost.py.")
    assert run.process_id is None


# Libraries


def test_libraries_are_installed(workspace, client):
    library = {"pypi": {"package": "six==1.16.0"}}
    script = "import six; print(six.__version__, six.__file__)"
    run = finish(workspace, submit(client, script, libraries=[library]))
    version, file = run.stdout.split()
    assert version == "1.16.0"
    assert Path(file).is_relative_to(run.environment.parents[1])
    assert run.libraries == ["six==1.16.0"]
    assert run.missing == []


def test_what_libraries_need_is_not_installed_but_told(workspace, client):
    client.files.upload(
        f"{STAGING}/requirements.txt", io.BytesIO(b"python-dateutil==2.9.0\ncoloredlogs==15.0\n")
    )
    library = {"requirements": f"{STAGING}/requirements.txt"}
    run = finish(workspace, submit(client, "import coloredlogs", libraries=[library]))
    assert run.libraries == ["coloredlogs==15.0", "python-dateutil==2.9.0"]
    assert run.missing == ["humanfriendly"]
    assert run.error == "ModuleNotFoundError: No module named 'humanfriendly'"


def test_a_library_that_is_not_there_fails_the_run(workspace, client):
    library = {"pypi": {"package": "six==0.0.999"}}
    run_id = submit(client, "print('never')", libraries=[library])
    run = finish(workspace, run_id)
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.INTERNAL_ERROR
    assert told.state.result_state is jobs.RunResultState.FAILED
    details = told.status.termination_details
    assert details.code is jobs.TerminationCodeCode.LIBRARY_INSTALLATION_ERROR
    assert 'package: "six==0.0.999"' in details.message
    assert run.process_id is None


# Endings


def test_a_cluster_may_fail_to_start(workspace, client):
    workspace.scripted.append(CLUSTER_DOES_NOT_START)
    run_id = submit(client, "print('never')")
    run = finish(workspace, run_id)
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.INTERNAL_ERROR
    assert "CLOUD_PROVIDER_LAUNCH_FAILURE" in told.state.state_message
    assert told.status.termination_details.type is jobs.TerminationTypeType.CLOUD_FAILURE
    assert run.process_id is None


def test_a_run_may_be_evicted_in_its_middle(workspace, client):
    workspace.scripted.append(SPOT_EVICTION)
    run = finish(workspace, submit(client, WRITES_EVENTS_AND_WAITS, "HERE"))
    assert (run.life_cycle_state, run.result_state) == ("INTERNAL_ERROR", "FAILED")
    assert run.cluster_id in run.state_message
    assert run.exit_code == -9
    assert run.code_file is None


def test_a_run_may_end_badly_after_its_task(workspace, client):
    workspace.scripted.append(
        Ending(code="DRIVER_ERROR", type="INTERNAL_ERROR", message="Lost the driver", when="after")
    )
    run = finish(workspace, submit(client, "print('all of it')"))
    assert (run.exit_code, run.stdout, run.result_state) == (0, "all of it\n", "FAILED")


def test_a_cancelled_run_leaves_no_process(workspace, client):
    run_id = submit(client, WRITES_EVENTS_AND_WAITS, "HERE")
    run = workspace.runs[run_id]
    until(lambda: run.process_id and psutil.Process(run.process_id).children())
    (child,) = psutil.Process(run.process_id).children()
    client.jobs.cancel_run(run_id)
    finish(workspace, run_id)
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.TERMINATED
    assert told.state.result_state is jobs.RunResultState.CANCELED
    assert told.status.termination_details.code is jobs.TerminationCodeCode.USER_CANCELED
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    assert not psutil.pid_exists(run.process_id)
    client.jobs.cancel_run(run_id)  # once more is no error


def test_a_run_that_takes_too_long_is_stopped(workspace, client):
    workspace.scripted.append(NEVER)
    run_id = submit(client, "print('never')", timeout_seconds=1)
    until(lambda: workspace.runs[run_id].life_cycle_state == "RUNNING")
    run = finish(workspace, run_id)
    assert (run.life_cycle_state, run.result_state) == ("TERMINATED", "TIMEDOUT")
    assert run.ended - run.started < 3
    assert client.jobs.get_run(run_id).state.user_cancelled_or_timedout


def test_the_states_of_a_run_follow_each_other(workspace, client):
    run_id = submit(client, "import time; time.sleep(0.5)")
    seen = []
    while not workspace.runs[run_id].finished.is_set():
        state = client.jobs.get_run(run_id).state
        assert state.result_state is None or seen[-1:] == ["TERMINATING"]
        if state.life_cycle_state.value not in seen:
            seen.append(state.life_cycle_state.value)
        time.sleep(0.02)
    assert seen[:2] == ["PENDING", "RUNNING"]


# Rights


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


# Faults


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
