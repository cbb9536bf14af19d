"""Which runs count as gone; that the daemon starts them again is in `production/test_services`."""

import json
import sys

import dagster as dg
import pytest
from dagster._core.launcher.base import WorkerStatus
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._grpc.server import GrpcServerProcess

from storepipe_dagster.run_launcher import WatchedRunLauncher
from storepipe_dagster_tests.servers.process import free_port

LAUNCHER = {"module": WatchedRunLauncher.__module__, "class": WatchedRunLauncher.__name__}


@pytest.fixture
def instance(tmp_path):
    (tmp_path / "dagster.yaml").write_text(json.dumps({"run_launcher": LAUNCHER}))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def health_of_a_run(instance, **server):
    tags = {GRPC_INFO_TAG: json.dumps({"host": "127.0.0.1", **server})} if server else {}
    run = create_run_for_test(instance, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return instance.run_launcher.check_run_worker_health(run)


def test_a_run_that_its_code_server_does_not_know_is_gone(instance, tmp_path):
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
        health = health_of_a_run(instance, port=server.port)

    assert health.status == WorkerStatus.NOT_FOUND
    assert "started again since" in health.msg


def test_a_code_server_that_does_not_answer_may_only_be_busy(instance):
    health = health_of_a_run(instance, port=free_port())

    assert health.status == WorkerStatus.RUNNING
    assert "does not answer" in health.msg


def test_a_run_of_a_command_is_nobodys_to_ask_after(instance):
    assert health_of_a_run(instance).status == WorkerStatus.RUNNING
