"""Which runs count as gone; that the daemon starts them again is in `production/test_services`."""

import json
import sys
import time

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._grpc.server import GrpcServerProcess

from storepipe_dagster.leases import ENDS_AFTER, GONE
from storepipe_dagster.run_launcher import WatchedRunLauncher
from storepipe_dagster_tests.servers.process import free_port

LAUNCHER = {"module": WatchedRunLauncher.__module__, "class": WatchedRunLauncher.__name__}


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "dagster.yaml").write_text(json.dumps({"run_launcher": LAUNCHER}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def health_of_a_run(instance, age, **server):
    """Of a run that has renewed its lease so many seconds ago, if it has one."""
    tags = {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", **server})} if server else {}
    run = create_run_for_test(instance, tags=tags, status=dg.DagsterRunStatus.STARTED)
    if age is not None:
        lease = {f"storepipe/lease/{run.run_id}": str(time.time() - age)}
        instance.daemon_cursor_storage.set_cursor_values(lease)
    health = instance.run_launcher.check_run_worker_health(run)
    return health.status, health.msg


@pytest.mark.parametrize(
    ("age", "status", "message"),
    [
        (0.0, WorkerStatus.RUNNING, None),
        (ENDS_AFTER + 1, WorkerStatus.NOT_FOUND, GONE),
        (None, WorkerStatus.RUNNING, None),
    ],
)
def test_a_run_is_gone_once_its_lease_has_ended(instance, age, status, message):
    assert instance.run_launcher.supports_check_run_worker_health
    assert health_of_a_run(instance, age) == (status, message)


def test_a_laptop_s_code_server_is_another_each_time(instance, tmp_path):
    health = health_of_a_run(instance, ENDS_AFTER + 1, socket=str(tmp_path / "gone"))

    assert health == (WorkerStatus.NOT_FOUND, GONE)


def test_a_run_is_not_gone_before_its_code_server_is_back_to_start_it_again(instance, tmp_path):
    away = health_of_a_run(instance, ENDS_AFTER + 1, port=free_port())
    code = tmp_path / "code.py"
    code.write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    origin = LoadableTargetOrigin(executable_path=sys.executable, python_file=str(code))
    with GrpcServerProcess(
        instance.get_ref(),
        loadable_target_origin=origin,
        force_port=True,
        startup_timeout=120,
        wait_on_exit=True,
    ) as server:
        back = health_of_a_run(instance, ENDS_AFTER + 1, port=server.port)

    assert away == (WorkerStatus.RUNNING, "Its code server does not answer.")
    assert back == (WorkerStatus.NOT_FOUND, GONE)
