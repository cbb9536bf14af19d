"""How these tests ask the workspace: its client, and runs that they submit and await."""

import io
import time

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config, pat_auth
from databricks.sdk.service import jobs

MEBIBYTE = 1 << 20
STAGING = "/Volumes/main/storepipe/staging"
NEW_CLUSTER = {
    "spark_version": "18.0.x-scala2.13",
    "node_type_id": "Standard_D4ds_v5",
    "num_workers": 1,
}
WRITES_EVENTS_AND_WAITS = """
import pathlib, subprocess, sys, time
subprocess.Popen(["sleep", "60"])
pathlib.Path(sys.argv[1]).with_name("0_events.pkl").touch()
time.sleep(60)
"""
SECONDS_TO_END = 120  # an environment may have to be built first


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
