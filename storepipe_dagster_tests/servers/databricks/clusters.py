"""Clusters: what they are told to be, what they have mounted, and the driver's process."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storepipe_dagster_tests.servers.databricks import bootstrap
from storepipe_dagster_tests.servers.databricks.accounts import USER
from storepipe_dagster_tests.servers.databricks.dbfs import normalised
from storepipe_dagster_tests.servers.databricks.environments import Environment
from storepipe_dagster_tests.servers.databricks.errors import invalid
from storepipe_dagster_tests.servers.databricks.exchange import Request
from storepipe_dagster_tests.servers.databricks.runs import FINAL, Run
from storepipe_dagster_tests.servers.databricks.submission import runtime_version
from storepipe_dagster_tests.servers.process import _LAUNCHER

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

SECRET = re.compile(r"\{\{secrets/([^/{}]+)/([^/{}]+)\}\}")
# Who may reach what, by the cluster's access mode: legacy modes know no Unity Catalog, and a
# standard (shared) cluster has no /dbfs.
NO_VOLUMES = ("NONE", "LEGACY_PASSTHROUGH", "LEGACY_SINGLE_USER", "LEGACY_TABLE_ACL")
NO_DBFS = ("USER_ISOLATION", "DATA_SECURITY_MODE_STANDARD")
MODE = "SINGLE_USER"  # what a job's cluster is when nothing else is asked for
RUNTIMES = {
    "18.x-scala2.13": "18 LTS (includes Apache Spark 4.1.0, Scala 2.13)",
    "18.0.x-scala2.13": "18.0 (includes Apache Spark 4.0.0, Scala 2.13)",
    "18.0.x-photon-scala2.13": "18.0 Photon (includes Apache Spark 4.0.0, Scala 2.13)",
}
# Each with what the cloud has against it here.
NODE_TYPES: dict[str, list[str]] = {
    "Standard_D4ds_v5": [],
    "Standard_D8ds_v5": [],
    "Standard_M128s": ["NotAvailableInRegion"],
}


class SecretError(Exception):
    """A secret that a cluster's configuration refers to is not there."""


def get(workspace: "Workspace", request: Request) -> dict[str, Any]:
    cluster_id = request.text("cluster_id")
    cluster = workspace.find_cluster(cluster_id)
    if cluster is None:
        raise invalid(f"Cluster {cluster_id} does not exist")
    return cluster


def list_runtimes(workspace: "Workspace", request: Request) -> dict[str, Any]:
    return {"versions": [{"key": key, "name": name} for key, name in RUNTIMES.items()]}


def list_node_types(workspace: "Workspace", request: Request) -> dict[str, Any]:
    return {
        "node_types": [
            {
                "node_type_id": name,
                "instance_type_id": name,
                "memory_mb": 16384,
                "num_cores": 4.0,
                "description": name,
                "category": "General Purpose",
                "is_deprecated": False,
                "node_info": {"status": obstacles} if obstacles else {},
            }
            for name, obstacles in NODE_TYPES.items()
        ]
    }


def existing(workspace: "Workspace") -> dict[str, Any]:
    """The cluster that is there without a run."""
    return {
        "cluster_id": workspace.cluster_id,
        "cluster_name": "shared by the tests",
        "spark_version": "18.0.x-scala2.13",
        "node_type_id": "Standard_D4ds_v5",
        "num_workers": 1,
        "data_security_mode": MODE,
        "cluster_source": "UI",
        "state": "RUNNING",
        "creator_user_name": USER,
        **workspace.cluster,
    }


def of_run(run: Run) -> dict[str, Any]:
    """The cluster that was made for a run."""
    return {
        "data_security_mode": MODE,
        **run.task["new_cluster"],
        "cluster_id": run.cluster_id,
        "cluster_name": f"job-{run.job_id}-run-{run.task_run_id}",
        "cluster_source": "JOB",
        "state": "TERMINATED" if run.life_cycle_state in FINAL else "RUNNING",
        "creator_user_name": run.creator,
    }


def spec_of(workspace: "Workspace", run: Run) -> dict[str, Any]:
    """What the cluster of a run is made of."""
    spec: dict[str, Any] = run.task.get("new_cluster") or existing(workspace)
    return spec


def mounted(workspace: "Workspace", run: Run, path: str) -> Path | None:
    """Where this machine has what the cluster has under `/dbfs` and `/Volumes`."""
    mode = spec_of(workspace, run).get("data_security_mode", MODE)
    if path.startswith("/Volumes/"):
        return None if mode in NO_VOLUMES else workspace.folder / normalised(path)[1:]
    if path.startswith("/dbfs/") and workspace.dbfs_enabled and mode not in NO_DBFS:
        return workspace.local_dbfs(normalised(path.removeprefix("/dbfs")))
    return None


def script_of(workspace: "Workspace", run: Run) -> Path | None:
    """The script on this machine, if the cluster can read it."""
    path = normalised(run.task["spark_python_task"]["python_file"])
    if path.startswith("/Volumes/"):
        script = mounted(workspace, run, path)
    else:
        script = workspace.local_dbfs(path) if workspace.dbfs_enabled else None
    return script if script and script.is_file() else None


def parameters_of(workspace: "Workspace", run: Run) -> list[Path | str]:
    """What the script is given; paths on the cluster are those of this machine."""
    return [
        mounted(workspace, run, parameter) or parameter
        for parameter in run.task["spark_python_task"].get("parameters", [])
    ]


def environment_of(workspace: "Workspace", run: Run, python: Path) -> dict[str, str]:
    """All that the driver's environment has; raises `SecretError`."""
    spec = spec_of(workspace, run)
    variables = {**workspace.cluster_environment, **spec.get("spark_env_vars", {})}
    return {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(run.folder / "home"),
        "TMPDIR": str(run.folder / "tmp"),
        "LANG": "C.UTF-8",
        "DATABRICKS_RUNTIME_VERSION": runtime_version(spec),
        "SPARK_REMOTE": workspace.spark_address(),
        **{name: _resolve(workspace, value) for name, value in variables.items()},
    }


def start_driver(
    workspace: "Workspace", run: Run, script: Path, environment: Environment
) -> "subprocess.Popen[bytes]":
    """Start the task in a process group of its own, which ends with the test run."""
    variables = environment_of(workspace, run, environment.python)
    for name in ("home", "tmp", "work"):
        (run.folder / name).mkdir()
    secrets = run.folder / "secrets.json"
    secrets.touch(mode=0o600)
    secrets.write_text(json.dumps([(*name, value) for name, value in workspace.secrets.items()]))
    start = run.folder / "bootstrap.py"
    shutil.copyfile(bootstrap.__file__, start)
    parameters = [str(parameter) for parameter in parameters_of(workspace, run)]
    with (run.folder / "stdout").open("wb") as stdout, (run.folder / "stderr").open("wb") as stderr:
        return _LAUNCHER.submit(
            subprocess.Popen,
            [
                *("setpriv", "--pdeathsig", "KILL", "--"),
                *(environment.python, "-I", "-u", start, run.folder, script, *parameters),
            ],
            cwd=run.folder / "work",
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        ).result()


def end_driver(process: "subprocess.Popen[bytes]") -> None:
    """Kill the task's whole process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _resolve(workspace: "Workspace", value: str) -> str:
    def find(reference: "re.Match[str]") -> str:
        scope, key = reference.groups()
        try:
            return workspace.secrets[scope, key]
        except KeyError:
            raise SecretError(f"Secret does not exist with scope: {scope} and key: {key}") from None

    return SECRET.sub(find, value)
