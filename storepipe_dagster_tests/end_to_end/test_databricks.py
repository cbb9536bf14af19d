"""Spark steps on a local Databricks workspace, which really runs what is submitted to it.

Everything else is as on Azure: the lake on Azurite, the database on MariaDB.
"""

import gzip
import io
import re
import signal
import time
import zipfile
from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from storepipe_dagster_tests.end_to_end.commands import SECONDS, Home
from storepipe_dagster_tests.end_to_end.operated.dagster_services import dagster_services
from storepipe_dagster_tests.servers.databricks.runs import (
    CLUSTER_DOES_NOT_START,
    NEVER,
    SPOT_EVICTION,
    TIMED_OUT,
    Ending,
)
from storepipe_dagster_tests.servers.databricks.workspace import Workspace
from storepipe_dagster_tests.servers.mariadb import LEAST

A_DAY = ("--from", "2020-01-03", "--to", "2020-01-03")
ALL_DAYS = ("--from", "2020-01-01", "--to", "2020-01-04")
BEFORE_SPARK = ("--select", "group:raw or group:mysql or group:relational")
TRUSTED = ("--select", "group:trusted")
REFINED = ("--select", "group:refined")
PRICES = ("--select", 'key:"trusted/product_prices"')
SALES = ("--select", 'key:"trusted/sales"')
VOLUME = "/Volumes/main/storepipe/staging"
SCOPE = "storepipe"


class OnDatabricks:
    """A home of the `databricks` deployment, and the workspace that its Spark steps run on."""

    def __init__(self, home: Home, workspace: Workspace) -> None:
        self.home = home
        self.workspace = workspace

    def run(self, *arguments: str, home: Home | None = None, **settings: str):
        """Run `storepipe run`; gives how it ended, and the Databricks runs that it launched."""
        before = set(self.workspace.runs)
        done = self.using(home, **settings).command("run", *arguments)
        return done, self.launched_since(before)

    def using(self, home: Home | None = None, **settings: str) -> Home:
        home = home or self.home
        return replace(home, extra={**home.extra, **settings})

    def launched_since(self, before):
        return [run for number, run in self.workspace.runs.items() if number not in before]

    def staged(self) -> list[str]:
        """The files in both staging areas, except the list of libraries."""
        return sorted(
            str(path.relative_to(self.workspace.folder))
            for area in ("dbfs", "Volumes")
            for path in (self.workspace.folder / area).rglob("*")
            if path.is_file() and path.parent.name != "libraries"
        )

    def kept(self, before: Sequence[str]) -> list[Path]:
        """What is staged and was not there before."""
        return [self.workspace.folder / name for name in self.staged() if name not in before]

    def secrets(self) -> list[str]:
        """What may stand nowhere, key by key."""
        extra = self.home.extra
        account = extra["AZURE_STORAGE_CONNECTION_STRING"]
        key = re.search("AccountKey=([^;]+)", account)[1]
        own = [extra["MYSQL_PASSWORD"], extra["DATABRICKS_TOKEN"], self.workspace.client_secret]
        return [key, account, *own]

    def records(self, monkeypatch, event_type):
        monkeypatch.setenv("DAGSTER_HOME", str(self.home.path / "dagster"))
        with dg.DagsterInstance.get() as instance:
            return [
                record.dagster_event
                for run in instance.get_runs(limit=1)
                for record in instance.all_logs(run.run_id, of_type=event_type)
            ]


@pytest.fixture(scope="module")
def databricks(azurite, mariadb, shop_url, tmp_path_factory):
    """Everything up to the relational extract, which needs no Spark, is there."""
    database = mariadb.create_database(grants=LEAST)
    account = azurite.new_account()
    home = Home(
        tmp_path_factory.mktemp("databricks"),
        shop_url,
        {
            "DAGSTER_DEPLOYMENT": "databricks",
            "AZURE_STORAGE_CONNECTION_STRING": account.connection_string,
            **database.environment(),
            "DATABRICKS_STAGING": "dbfs:/staging",
            "DATABRICKS_SECRET_SCOPE": SCOPE,
            "DATABRICKS_POLL_SECONDS": "0.2",
            "DATABRICKS_RETRY_SECONDS": "0.2",
        },
    )
    storage = {name.upper(): value for name, value in home.lake.storage_options.items()}
    with Workspace(storage) as workspace:
        workspace.secrets[SCOPE, "azure-storage-connection-string"] = account.connection_string
        login = {"DATABRICKS_HOST": workspace.host, "DATABRICKS_TOKEN": workspace.token}
        home = replace(home, extra={**home.extra, **login})
        home.run("2020-01-01", "2020-01-04", *BEFORE_SPARK)
        assert workspace.launches == 0
        yield OnDatabricks(home, workspace)


@pytest.fixture(scope="module")
def trusted(databricks):
    """The trusted tables, on job clusters; the first of three does not start.

    The workspace is a new one: DBFS is off, and all is staged in a volume.
    """
    databricks.workspace.scripted.append(CLUSTER_DOES_NOT_START)
    with without_dbfs(databricks):
        return databricks.run(*ALL_DAYS, *TRUSTED, DATABRICKS_STAGING=VOLUME)


@contextmanager
def without_dbfs(databricks):
    databricks.workspace.dbfs_enabled = False
    try:
        yield
    finally:
        databricks.workspace.dbfs_enabled = True


def names_of(launched):
    return [run.request["run_name"].split(" (Dagster run ")[0] for run in launched]


def test_the_graph_gives_on_databricks_what_it_gives_on_a_laptop(databricks, trusted, clean):
    done, _ = trusted
    assert done.returncode == 0, done.stderr
    before_refined = {name: rows for name, rows in clean.items() if "refined." not in name}
    assert len(before_refined) < len(clean)
    assert databricks.home.tables() == before_refined


def test_four_days_are_one_launch_per_step_and_one_more_for_what_is_no_fault_of_ours(trusted):
    done, launched = trusted
    assert names_of(launched) == [
        "storepipe trusted/product_prices all days",
        "storepipe trusted/product_prices all days",
        "storepipe trusted/rejected_sales + trusted/sales 2020-01-01 to 2020-01-04",
    ]
    assert [run.result_state for run in launched] == ["FAILED", "SUCCESS", "SUCCESS"]
    assert "CLOUD_PROVIDER_LAUNCH_FAILURE" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("trusted")
def test_all_of_the_graph_gives_on_databricks_what_it_gives_on_a_laptop(databricks, clean):
    done, launched = databricks.run(*ALL_DAYS, *REFINED)
    assert done.returncode == 0, done.stderr
    assert databricks.home.tables() == clean
    assert names_of(launched) == [
        "storepipe refined/sales_by_cart + refined/sales_by_product_day 2020-01-01 to 2020-01-04",
        (
            "storepipe refined/customer_cohorts + refined/customer_segments"
            " + refined/product_affinity + refined/sales_by_category + refined/sales_by_city"
            " + refined/sales_by_product all days"
        ),
        "storepipe refined/sales_by_day 2020-01-01 to 2020-01-04",
    ]


def test_the_code_that_ran_came_out_of_the_shipped_zip(databricks, trusted):
    _, launched = trusted
    for run in launched[1:]:
        assert run.code_file.startswith(str(databricks.workspace.folder))
        assert run.code_file.endswith("/storepipe_dagster/__init__.py")


def test_the_pinned_libraries_are_all_that_the_cluster_needs(trusted):
    _, launched = trusted
    for run in launched[1:]:
        assert [set(library) for library in run.task["libraries"]] == [{"requirements"}]
        assert "dagster==1.13.27" in run.libraries
        assert run.missing == []


def test_a_job_cluster_is_a_dedicated_single_node_with_tags(trusted):
    _, launched = trusted
    cluster = launched[0].cluster
    assert cluster["spark_version"] == "18.x-scala2.13"
    assert cluster["data_security_mode"] == "SINGLE_USER"
    assert cluster["num_workers"] == 0
    assert cluster["custom_tags"]["storepipe_assets"] == "trusted/product_prices"
    assert "spark_env_vars" not in cluster


def test_staged_files_are_gone_after_success(databricks, trusted):
    assert trusted
    assert databricks.staged() == []


def test_progress_leads_to_the_page_of_each_run(databricks, trusted):
    done, launched = trusted
    for run in launched:
        assert f"Databricks run {run.run_id}: {databricks.workspace.host}/" in done.stderr


def test_nothing_secret_is_left_anywhere(databricks, trusted):
    done, launched = trusted
    written = [content.decode(errors="replace") for _, content in databricks.home.contents()]
    requests = [f"{run.request} {run.stdout} {run.stderr}" for run in launched]
    for secret in databricks.secrets():
        assert [
            text for text in [done.stdout, done.stderr, *written, *requests] if secret in text
        ] == []


@pytest.mark.slow
@pytest.mark.usefixtures("trusted")
def test_one_day_of_one_asset_is_one_launch_that_names_it(databricks, monkeypatch):
    before = databricks.home.tables()
    done, launched = databricks.run(*A_DAY, *SALES)
    assert done.returncode == 0, done.stderr
    assert [run.cluster["custom_tags"]["storepipe_days"] for run in launched] == ["2020-01-03"]
    assert databricks.home.tables() == before
    [event] = databricks.records(monkeypatch, dg.DagsterEventType.ASSET_MATERIALIZATION)
    told = event.materialization
    assert told.asset_key == dg.AssetKey(["trusted", "sales"])
    assert told.metadata["databricks_run"].value.endswith(f"/run/{launched[0].run_id}")


@pytest.mark.slow
def test_a_run_that_is_evicted_is_launched_again(databricks):
    databricks.workspace.scripted.append(SPOT_EVICTION)
    done, launched = databricks.run(*A_DAY, *PRICES)
    assert done.returncode == 0, done.stderr
    assert [run.result_state for run in launched] == ["FAILED", "SUCCESS"]
    assert "SPOT_INSTANCE_TERMINATION" in done.stderr
    assert databricks.staged() == []


@pytest.mark.slow
def test_after_a_set_number_of_launches_the_step_fails_with_what_databricks_says(databricks):
    databricks.workspace.scripted += [CLUSTER_DOES_NOT_START] * 2
    done, launched = databricks.run(*A_DAY, *PRICES, DATABRICKS_MAX_RETRIES="1")
    assert done.returncode == 1
    assert len(launched) == 2
    error = done.stderr[done.stderr.index("Error: ") :]
    assert "INTERNAL_ERROR" in error
    assert "CLOUD_PROVIDER_LAUNCH_FAILURE" in error
    assert f"Run page: {databricks.workspace.host}" in error
    assert "Traceback" not in error


@pytest.mark.slow
def test_a_step_that_was_done_is_not_undone_by_how_its_run_ends(databricks):
    databricks.workspace.scripted.append(
        Ending(message="The cluster was lost while it cleaned up.", when="after")
    )
    done, launched = databricks.run(*A_DAY, *PRICES)
    assert done.returncode == 0, done.stderr
    assert len(launched) == 1
    assert "lost while it cleaned up" in done.stderr


@pytest.mark.slow
def test_a_run_that_takes_too_long_is_ended_and_launched_again(databricks):
    databricks.workspace.scripted.append(TIMED_OUT)  # the workspace's tests wait for one
    done, launched = databricks.run(*A_DAY, *PRICES, DATABRICKS_TIMEOUT_SECONDS="3599")
    assert done.returncode == 0, done.stderr
    assert [run.request["timeout_seconds"] for run in launched] == [3599, 3599]
    assert [run.result_state for run in launched] == ["TIMEDOUT", "SUCCESS"]


STAGED = {"code.zip", "config.pkl", "databricks_step_main.py", "step_run_ref.pkl"}


def no_parquet(_: bytes) -> bytes:
    return b"this ends as a Parquet file does, and is none: PAR1"


def without_quantities(parquet: bytes) -> bytes:
    """A sound file that Spark reads, and then cannot compute with."""
    content = io.BytesIO()
    pq.write_table(pq.read_table(io.BytesIO(parquet)).drop_columns("quantity"), content)
    return content.getvalue()


@pytest.mark.slow
@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize(
    ("table", "spoil", "told", "staging"),
    [
        ("carts", no_parquet, "storepipe_dagster/io_managers/delta.py", "dbfs:/staging"),
        ("cart_items", without_quantities, "quantity", VOLUME),
    ],
)
def test_an_error_of_ours_comes_home_with_its_traceback_and_is_not_tried_again(
    databricks, monkeypatch, table, spoil, told, staging
):
    [file] = databricks.home.matching(f"raw/relational/{table}/cart_date=2020-01-03/*")
    good, before = databricks.home.read(file), databricks.staged()
    databricks.home.write(file, spoil(good))
    try:
        done, launched = databricks.run(*A_DAY, *SALES, DATABRICKS_STAGING=staging)
    finally:
        databricks.home.write(file, good)
    assert done.returncode == 1
    [run] = launched
    assert run.result_state == "SUCCESS"
    assert f"/run/{run.run_id}" in done.stderr
    [failure] = databricks.records(monkeypatch, dg.DagsterEventType.STEP_FAILURE)
    error = failure.step_failure_data.error.to_string()
    assert told in error
    assert "ended as TERMINATED, SUCCESS" in error
    kept = databricks.kept(before)
    assert {path.name for path in kept} == {*STAGED, "stdout", "stderr", "0_events.pkl"}
    assert told in contents_of(kept)
    assert [secret for secret in databricks.secrets() if secret in contents_of(kept)] == []


def contents_of(files: Sequence[Path]) -> str:
    """All that stands in files, in zipped ones too."""
    contents = []
    for file in files:
        content = file.read_bytes()
        if file.suffix == ".zip":
            with zipfile.ZipFile(file) as archive:
                contents += [archive.read(name) for name in archive.namelist()]
        else:
            contents.append(gzip.decompress(content) if file.match("*_events.pkl") else content)
    return b"".join(contents).decode(errors="replace")


@pytest.mark.slow
@pytest.mark.parametrize("staging", ["dbfs:/staging", VOLUME])
def test_staged_files_of_a_failed_step_stay_and_hold_no_secret(databricks, staging):
    databricks.workspace.scripted += [CLUSTER_DOES_NOT_START]
    before = databricks.staged()
    done, _ = databricks.run(
        *A_DAY, *PRICES, DATABRICKS_MAX_RETRIES="0", DATABRICKS_STAGING=staging
    )
    assert done.returncode == 1
    kept = databricks.kept(before)
    assert {path.name for path in kept} == {*STAGED, "stdout", "stderr"}
    text = contents_of(kept)
    assert [
        secret for secret in [*databricks.secrets(), str(databricks.home.path)] if secret in text
    ] == []


@pytest.mark.slow
def test_a_script_that_ended_before_its_step_tells_why(databricks, monkeypatch):
    """A secret that the scope lacks: no event ever comes."""
    monkeypatch.setattr(databricks.workspace, "secrets", {(SCOPE, "another"): "hunter2"})
    done, launched = databricks.run(*A_DAY, *PRICES)
    assert done.returncode == 1
    [run] = launched
    assert run.result_state == "FAILED"
    [failure] = databricks.records(monkeypatch, dg.DagsterEventType.STEP_FAILURE)
    error = failure.step_failure_data.error.to_string()
    assert f"Databricks run {run.run_id} ended before the step did" in error
    assert "What it told there:\nTraceback (most recent call last)" in error
    assert "azure-storage-connection-string" in error
    assert f"/run/{run.run_id}" in error


@pytest.mark.slow
def test_an_interrupted_run_cancels_its_databricks_run(databricks):
    before = set(databricks.workspace.runs)
    databricks.workspace.scripted.append(NEVER)
    process = databricks.home.start("run", *A_DAY, *PRICES)
    run = wait_for_a_launch(databricks, before)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert run.result_state == "CANCELED"


@pytest.mark.slow
def test_an_interrupt_while_it_waits_launches_nothing_more(databricks):
    before = set(databricks.workspace.runs)
    databricks.workspace.scripted.append(CLUSTER_DOES_NOT_START)
    home = databricks.using(DATABRICKS_RETRY_SECONDS="6")
    process = home.start("run", *A_DAY, *PRICES)
    for line in process.stderr:
        if "starts again" in line:
            break
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode != 0
    assert len(databricks.launched_since(before)) == 1


@pytest.mark.slow
def test_viewers_whom_nobody_knows_are_told_and_the_run_goes_on(databricks):
    done, _ = databricks.run(*A_DAY, *PRICES, DATABRICKS_VIEWERS="nobody-knows-them")
    assert done.returncode == 0, done.stderr
    assert "nobody-knows-them cannot see Databricks run" in done.stderr


@pytest.mark.slow
def test_a_network_that_is_away_for_a_while_fails_no_healthy_run(databricks):
    before = set(databricks.workspace.runs)
    process = databricks.home.start("run", *A_DAY, *PRICES)
    wait_for_a_launch(databricks, before)
    databricks.workspace.outage(4)
    _, told = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, told
    assert len(databricks.launched_since(before)) == 1


@pytest.mark.slow
def test_a_workspace_without_dbfs_is_told_with_the_way_out(databricks):
    with without_dbfs(databricks):
        done, launched = databricks.run(*A_DAY, *PRICES)
    assert (done.returncode, launched) == (1, [])
    assert "Set DATABRICKS_STAGING to a folder in a Unity Catalog volume" in done.stderr


@pytest.mark.slow
def test_a_volume_that_we_may_not_write_to_is_told(databricks):
    readonly = "/Volumes/main/storepipe/readonly"
    done, launched = databricks.run(*A_DAY, *PRICES, DATABRICKS_STAGING=readonly)
    assert (done.returncode, launched) == (1, [])
    assert f"on the staging area {readonly}" in done.stderr


def test_a_wrong_token_is_told_and_not_shown(databricks):
    done, launched = databricks.run(*A_DAY, *PRICES, DATABRICKS_TOKEN="dapi-hunter2")
    assert (done.returncode, launched) == (1, [])
    assert "refuses our login" in done.stderr
    assert "Check DATABRICKS_TOKEN" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.slow
def test_a_service_principal_logs_in_and_people_see_the_run_of_an_existing_cluster(databricks):
    workspace = databricks.workspace
    home = databricks.using(
        DATABRICKS_TOKEN=None,
        DATABRICKS_CLIENT_ID=workspace.client_id,
        DATABRICKS_CLIENT_SECRET=workspace.client_secret,
        DATABRICKS_CLUSTER_ID=workspace.cluster_id,
        DATABRICKS_VIEWERS="engineers, ana@example.com",
    )
    done, [run] = databricks.run(*A_DAY, *PRICES, home=home)
    assert done.returncode == 0, done.stderr
    assert run.cluster == workspace.cluster_id
    assert {
        (right.get("group_name") or right.get("user_name"), right["permission_level"])
        for right in run.permissions
    } >= {("engineers", "CAN_VIEW"), ("ana@example.com", "CAN_VIEW")}


@pytest.mark.slow
def test_a_wrong_secret_of_a_service_principal_is_told_and_not_shown(databricks):
    done, launched = databricks.run(
        *A_DAY,
        *PRICES,
        DATABRICKS_TOKEN="",
        DATABRICKS_CLIENT_ID=databricks.workspace.client_id,
        DATABRICKS_CLIENT_SECRET="hunter2",
    )
    assert (done.returncode, launched) == (1, [])
    assert "DATABRICKS_CLIENT_SECRET" in done.stderr
    assert "hunter2" not in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("trusted")
def test_two_runs_at_once_change_nothing_of_each_other(databricks, tmp_path):
    before = databricks.home.tables()
    other = replace(databricks.home, path=tmp_path)
    processes = [
        home.start("run", "--from", day, "--to", day, *SALES)
        for home, day in ((databricks.home, "2020-01-02"), (other, "2020-01-04"))
    ]
    for process in processes:
        _, told = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, told
    assert databricks.home.tables() == before


@pytest.fixture(scope="module")
def dagster(databricks):
    """Dagster's services on the same history."""
    with dagster_services(databricks.home) as services:
        yield services


@pytest.mark.slow
@pytest.mark.parametrize(("state", "seconds"), [("PENDING", SECONDS), ("RUNNING", 0.1)])
def test_a_run_that_is_cancelled_in_dagster_cancels_its_databricks_run(
    databricks, dagster, monkeypatch, state, seconds
):
    monkeypatch.setattr(databricks.workspace, "start_seconds", seconds)
    databricks.workspace.scripted.append(NEVER)
    before = set(databricks.workspace.runs)
    started = dagster.materialise(None, "trusted/product_prices")
    run = wait_for_a_launch(databricks, before, state)
    dagster.terminate(started)
    assert dagster.run(started) == "CANCELED"
    assert run.result_state == "CANCELED"
    assert len(databricks.launched_since(before)) == 1


def wait_for_a_launch(databricks, before, state="RUNNING"):
    for _ in range(300):
        for run in databricks.launched_since(before):
            if run.life_cycle_state == state:
                return run
        time.sleep(0.1)
    raise AssertionError("nothing was launched")
