"""`runs/submit`: what a request must have, and what becomes of it.

The limits are those of the documentation. Messages are the real ones where they are known.
"""

import re
import secrets
from typing import TYPE_CHECKING, Any

from storepipe_dagster_tests.servers.databricks.dbfs import normalised
from storepipe_dagster_tests.servers.databricks.errors import invalid
from storepipe_dagster_tests.servers.databricks.exchange import Request
from storepipe_dagster_tests.servers.databricks.runs import Run

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

MAX_TOKEN = 64
MAX_NAME_BYTES = 4096
MAX_TASK_KEY = 100
MAX_TAGS = 45
MAX_TAG_KEY = 127
MAX_TAG_VALUE = 255
CLUSTERS = ("existing_cluster_id", "new_cluster", "job_cluster_key")
TASK_KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_TASK_KEY}}}")
# The one runtime there is here; its Scala is 2.13.
RUNTIME = re.compile(r"(18(?:\.\d+)?)\.x-([a-z0-9-]+-)?scala2\.13")
LIBRARIES = ("pypi", "requirements", "whl", "jar", "egg", "maven", "cran")


def submit(workspace: "Workspace", request: Request) -> dict[str, Any]:
    """Start a run; a token that was used before names the run it started."""
    body = request.json
    token = body.get("idempotency_token")
    if token is not None and len(token) > MAX_TOKEN:
        raise invalid(f"The idempotency_token must have at most {MAX_TOKEN} characters")
    with workspace.lock:
        if token and token in workspace.submitted:
            return {"run_id": workspace.submitted[token]}
        check(workspace, body)
        run = _new_run(workspace, body, request.user)
        workspace.runs[run.run_id] = run
        if token:
            workspace.submitted[token] = run.run_id
    workspace.live(run)
    return {"run_id": run.run_id}


def check(workspace: "Workspace", body: dict[str, Any]) -> None:
    if len((body.get("run_name") or "").encode()) > MAX_NAME_BYTES:
        raise invalid(f"The run_name must have at most {MAX_NAME_BYTES} bytes")
    _check_seconds(body)
    tasks = body.get("tasks")
    if not isinstance(tasks, list) or not tasks:
        raise invalid("Missing required field: settings.tasks")
    if len(tasks) > 1:
        raise invalid("This workspace runs one task at a time")
    (task,) = tasks
    key = task.get("task_key") or ""
    if not TASK_KEY.fullmatch(key):
        raise invalid(
            f"Invalid task_key {key!r}: it must have 1 to {MAX_TASK_KEY} letters, digits, - and _"
        )
    _check_seconds(task)
    _check_script(task)
    _check_libraries(task)
    _check_cluster(workspace, task)


def runtime_version(spec: dict[str, Any]) -> str:
    """The number of the runtime, as the driver's environment has it."""
    found = RUNTIME.fullmatch(spec.get("spark_version", ""))
    return found[1] if found else "18.0"


def _check_seconds(holder: dict[str, Any]) -> None:
    seconds = holder.get("timeout_seconds", 0)
    if not isinstance(seconds, int) or seconds < 0:
        raise invalid(f"Invalid timeout_seconds: {seconds}")


def _check_script(task: dict[str, Any]) -> None:
    given = [name for name in task if name.endswith("_task")]
    if given != ["spark_python_task"]:
        raise invalid(f"This workspace runs spark_python_task only, not {given or 'nothing'}")
    script = task["spark_python_task"]
    file = script.get("python_file")
    if not file:
        raise invalid("Missing required field: settings.task.spark_python_task.python_file")
    if not file.startswith(("dbfs:/", "/Volumes/")):
        raise invalid(f"Python file {file} must start with dbfs:/ or /Volumes/")
    normalised(file)
    parameters = script.get("parameters", [])
    if not all(isinstance(parameter, str) for parameter in parameters):
        raise invalid("The parameters must be texts")


def _check_libraries(task: dict[str, Any]) -> None:
    for library in task.get("libraries", []):
        if len(library) != 1 or next(iter(library)) not in LIBRARIES:
            raise invalid(f"Invalid library {library}: it must be one of {', '.join(LIBRARIES)}")
        if "pypi" in library and not library["pypi"].get("package"):
            raise invalid("Missing required field: library.pypi.package")


def _check_cluster(workspace: "Workspace", task: dict[str, Any]) -> None:
    given = [name for name in CLUSTERS if task.get(name)]
    if len(given) != 1 or given == ["job_cluster_key"]:
        raise invalid(
            "One of job_cluster_key, new_cluster, or existing_cluster_id must be specified."
            f" Given: {', '.join(given) or 'none'}"
        )
    if given == ["existing_cluster_id"]:
        if task["existing_cluster_id"] != workspace.cluster_id:
            raise invalid(f"Cluster {task['existing_cluster_id']} does not exist")
    else:
        _check_new_cluster(task["new_cluster"])


def _check_new_cluster(spec: dict[str, Any]) -> None:
    where = "Cluster validation error: Missing required field: settings.cluster_spec.new_cluster"
    version = spec.get("spark_version")
    if version is not None and not RUNTIME.fullmatch(version):
        raise invalid(
            f"Invalid spark version {version}. This workspace has the runtimes 18.*.x-scala2.13"
        )
    if not spec.get("policy_id"):  # whose defaults may bring what is missing
        if version is None:
            raise invalid(f"{where}.spark_version")
        if not (spec.get("node_type_id") or spec.get("instance_pool_id")):
            raise invalid(f"{where}.node_type_id")
        if "num_workers" not in spec and "autoscale" not in spec:
            raise invalid(f"{where}.size")
    if "num_workers" in spec and "autoscale" in spec:
        raise invalid("Cluster validation error: num_workers and autoscale are both given")
    _check_tags(spec.get("custom_tags", {}))


def _check_tags(tags: dict[str, str]) -> None:
    if len(tags) > MAX_TAGS:
        raise invalid(f"At most {MAX_TAGS} custom tags are allowed, not {len(tags)}")
    for key, value in tags.items():
        if not 1 <= len(key) <= MAX_TAG_KEY:
            raise invalid(f"The custom tag key {key!r} must have 1 to {MAX_TAG_KEY} characters")
        if len(value) > MAX_TAG_VALUE:
            raise invalid(f"The value of tag {key!r} must have at most {MAX_TAG_VALUE} characters")


def _new_run(workspace: "Workspace", body: dict[str, Any], creator: str) -> Run:
    run_id, task_run_id, job_id = (secrets.randbelow(9 * 10**14) + 10**14 for _ in range(3))
    folder = workspace.folder / "runs" / str(run_id)
    folder.mkdir(parents=True)
    return Run(
        run_id=run_id,
        task_run_id=task_run_id,
        job_id=job_id,
        request=body,
        creator=creator,
        folder=folder,
        ending=workspace.scripted.pop(0) if workspace.scripted else None,
    )
