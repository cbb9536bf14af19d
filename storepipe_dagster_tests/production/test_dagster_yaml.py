"""Tests of `production/dagster.yaml`, on a PostgreSQL and an Azurite under Azure's own names."""

import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from azure.storage.blob import BlobServiceClient
from dagster._core.definitions.run_request import InstigatorType

import storepipe_dagster
from storepipe_dagster.instance import CONFIGURATION
from storepipe_dagster.run_launcher import WatchedRunLauncher
from storepipe_dagster_tests.io_managers.azure_cloud import HEADER, managed_identity, tunnel

FILE = Path(storepipe_dagster.__file__).parent / "production" / "dagster.yaml"
CONTAINER = "dagster-logs"
COMPUTE_LOGS = "    container: dagster-logs\n"


@dg.asset
def report():
    print("a line of a step")
    print("a warning of a step", file=sys.stderr)


@pytest.fixture
def home(monkeypatch, postgres_database, tmp_path):
    """A folder for dagster.yaml, and the variables that it asks for."""
    variables = {
        "AZURE_STORAGE_ACCOUNT_NAME": "nobody",
        "DAGSTER_HOME": str(tmp_path),
        **postgres_database.environment(),
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def account(secure_azurite):
    return secure_azurite.new_account()


@pytest.fixture
def container(account, authority):
    client = BlobServiceClient.from_connection_string(
        account.connection_string, connection_verify=str(authority.path)
    )
    return client.create_container(CONTAINER)


@pytest.fixture
def print_in_a_step(account, authority, secure_azurite, home, monkeypatch):
    """Run a step on an instance of this text; gives what it printed, as read from Azure."""

    def instance(text, machine):
        # Its copies would be in /tmp otherwise, whatever TMPDIR says.
        local = f"{COMPUTE_LOGS}    local_dir: {home / machine}\n"
        (home / "dagster.yaml").write_text(text.replace(COMPUTE_LOGS, local))
        return dg.DagsterInstance.get()

    def run(text):
        with tunnel(secure_azurite.port) as way, monkeypatch.context() as patch:
            patch.setenv("AZURE_STORAGE_ACCOUNT_NAME", account.name)
            patch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{way.server_port}")
            patch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
            with instance(text, "writer") as writer:
                run_id = dg.materialize([report], instance=writer).run_id
            with instance(text, "reader") as reader:
                captured = dg.DagsterEventType.LOGS_CAPTURED
                (entry,) = reader.all_logs(run_id, of_type=captured)
                key = entry.dagster_event.logs_captured_data.file_key
                logs = reader.compute_log_manager
                read = logs.get_log_data(logs.build_log_key_for_run(run_id, key))
        return read.stdout.decode(), read.stderr.decode()

    return run


def test_an_identity_keeps_what_steps_print_in_azure(
    print_in_a_step, container, postgres_database, monkeypatch
):
    with managed_identity() as identity:
        address = f"http://127.0.0.1:{identity.server_port}/msi/token"
        monkeypatch.setenv("IDENTITY_ENDPOINT", address)
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        stdout, stderr = print_in_a_step(FILE.read_text())

    assert "a line of a step\n" in stdout
    assert "a warning of a step\n" in stderr
    kept = [blob.name for blob in container.list_blobs()]
    assert {name.rpartition(".")[2] for name in kept} == {"out", "err"}
    assert all(name.startswith("storepipe/storage/") for name in kept)
    assert postgres_database.ask("SELECT status FROM runs") == [("SUCCESS",)]
    events = "SELECT count(*) FROM event_logs WHERE dagster_event_type = 'ASSET_MATERIALIZATION'"
    assert postgres_database.ask(events) == [(1,)]


@pytest.mark.usefixtures("container")
def test_the_key_in_the_comment_does_too(print_in_a_step, account, monkeypatch):
    text = FILE.read_text().replace("    default_azure_credential: {}\n", "")
    text = text.replace(
        "    # access_key_or_sas_token:\n    #   env:", "    access_key_or_sas_token:\n      env:"
    )

    monkeypatch.setenv("DAGSTER_LOGS_KEY", account.key)
    stdout, stderr = print_in_a_step(text)

    assert "a line of a step\n" in stdout
    assert account.key not in stdout + stderr


SQLITE = """\
  custom:
    module: storepipe_dagster.instance
    class: BatchingSqliteStorage
    config:
      base_dir:
        env: DAGSTER_HOME
"""


def test_the_sqlite_in_the_comment_keeps_the_history_too(home):
    text = FILE.read_text()
    postgres, _, rest = text.partition("storage:\n")[2].partition("  # Or, in place of the above")
    commented = "".join(f"  # {line[2:]}\n" for line in SQLITE.splitlines())
    assert commented in rest
    (home / "dagster.yaml").write_text(text.replace(postgres, "").replace(commented, SQLITE))

    with dg.DagsterInstance.get() as instance:
        assert type(instance.run_storage).__name__ == "SqliteRunStorage"


def test_the_daemon_watches_runs_and_forgets_old_looks(home):
    (home / "dagster.yaml").write_text(FILE.read_text())

    with dg.DagsterInstance.get() as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert isinstance(instance.run_launcher, WatchedRunLauncher)
        assert instance.run_launcher.supports_check_run_worker_health
        kept = instance.get_tick_retention_settings(InstigatorType.SENSOR)
        queue = instance.get_concurrency_config().run_queue_config
    assert {status.value: days for status, days in kept.items()} == {
        "STARTED": -1,
        "SKIPPED": 7,
        "SUCCESS": 30,
        "FAILURE": 30,
    }
    assert (queue.max_concurrent_runs, queue.max_user_code_failure_retries) == (4, 20)
    assert queue.tag_concurrency_limits == [{"key": "dagster/backfill", "limit": 1}]


def test_tables_and_retries_are_as_on_the_laptop():
    ours, theirs = yaml.safe_load(FILE.read_text()), yaml.safe_load(CONFIGURATION)

    assert ours["concurrency"]["pools"] == theirs["concurrency"]["pools"]
    assert ours["run_retries"] == {
        "enabled": True,
        "max_retries": 2,
        "retry_on_asset_or_op_failure": False,
    }
    for section in ("run_launcher", "run_retries", "run_monitoring", "telemetry"):
        assert ours[section] == theirs[section]
