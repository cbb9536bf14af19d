"""Runs: what a driver has around it, and what is told of it."""

import io
from pathlib import Path

import psutil
import pytest
from databricks.sdk.errors import InvalidParameterValue
from databricks.sdk.service import jobs

from storepipe_dagster_tests.servers.databricks.runs import NEVER, SUCCEEDED
from storepipe_dagster_tests.servers.test_databricks.asking import (
    NEW_CLUSTER,
    STAGING,
    finish,
    submit,
)

LAST_RUN = """
import sys
print(sys.argv[1:], dbutils.secrets.get(scope="shop", key="password"), flush=True)
print("rows", spark.range(3).count())
"""


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


def test_a_shared_cluster_that_is_there_has_no_dbfs(workspace, client, monkeypatch):
    monkeypatch.setitem(workspace.cluster, "data_security_mode", "USER_ISOLATION")
    cluster = {"existing_cluster_id": workspace.cluster_id}
    run = finish(
        workspace, submit(client, "open(__import__('sys').argv[1])", "HERE", cluster=cluster)
    )
    assert "No such file or directory: '/dbfs/scripts/" in run.stderr


def test_runs_are_listed_newest_first_and_those_that_go_on_by_themselves(workspace, client):
    workspace.scripted += [SUCCEEDED] * 21
    ended = [submit(client, "", run_name=f"number {number}") for number in range(21)]
    for run_id in ended:
        finish(workspace, run_id)
    workspace.scripted.append(NEVER)
    going = submit(client, "", run_name="the last")
    listed = list(client.jobs.list_runs(run_type=jobs.RunType.SUBMIT_RUN))
    assert [run.run_id for run in listed[:22]] == [going, *reversed(ended)]
    assert listed[1].run_name == "number 20"
    assert listed[1].tasks == []
    assert [run.run_id for run in client.jobs.list_runs(active_only=True)] == [going]
    client.jobs.cancel_run(going)
    finish(workspace, going)
    assert list(client.jobs.list_runs(active_only=True)) == []
