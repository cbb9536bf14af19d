"""Tests of `storepipe_dagster.resources.deployments`."""

import dagster as dg
import pytest
from dagster._core.definitions.step_launcher import StepLauncher
from pydantic import SecretStr

from storepipe_dagster.definitions import defs
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.lakes import lake_of
from storepipe_dagster.resources import deployments
from storepipe_dagster.resources.spark import ClusterSpark, InProcessSpark, RemoteSpark
from storepipe_dagster.resources.store_api import StoreApi
from storepipe_dagster.settings import Settings


@pytest.fixture
def local(tmp_path):
    return Settings(
        dagster_deployment="local",
        storepipe_home=tmp_path / "home",
        storepipe_api_url="http://127.0.0.1:8000",
    )


def test_the_local_deployment_gives_every_resource(local):
    assert set(deployments.resources(local)) == {
        "store_api",
        "database",
        "lake",
        "lake_sql",
        "pyspark",
        "step_launcher",
        "capture_files",
        "parquet",
        "delta",
        "pages",
        "io_manager",
        "webhook",
    }


def test_every_resource_that_an_asset_asks_for_is_given(local):
    asked = {
        key
        for definition in [*defs.assets, *defs.asset_checks]
        for key in definition.required_resource_keys
    }
    assert asked <= {*deployments.resources(local)}


def test_the_local_deployment_lies_in_its_home(local, tmp_path):
    given = deployments.resources(local)
    assert given["database"].path == f"{tmp_path}/home/store.db"
    assert given["lake_sql"].lake.root == f"{tmp_path}/home/lake"
    assert given["store_api"].base_url == "http://127.0.0.1:8000"
    assert isinstance(given["pyspark"], InProcessSpark)
    assert given["delta"].in_parts


def test_making_the_resources_touches_nothing(local, tmp_path):
    deployments.resources(local)
    assert list(tmp_path.iterdir()) == []


def test_a_remote_spark_does_not_show_its_address_as_a_token_may_stand_in_it(local):
    address = "sc://spark.example:15002/;token=hunter2"
    remote = local.model_copy(update={"storepipe_spark_remote": address})
    given = deployments.spark(remote, Lake(root=""))
    assert isinstance(given, RemoteSpark)
    assert given.remote == address
    assert "hunter2" not in repr(given)


def test_no_run_can_configure_a_resource(local):
    found = []

    @dg.op
    def look(store_api: dg.ResourceParam[StoreApi]):
        found.append(store_api.base_url)

    @dg.job(resource_defs={"store_api": deployments.resources(local)["store_api"]})
    def job():
        look()

    theirs = {"resources": {"store_api": {"config": {"base_url": "http://elsewhere.example"}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        job.execute_in_process(run_config=theirs, instance=instance)
    assert found == ["http://127.0.0.1:8000"]


@pytest.fixture
def azure(tmp_path, monkeypatch):
    monkeypatch.setenv("MYSQL_PASSWORD", "")
    monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "")
    return Settings(
        dagster_deployment="azure",
        storepipe_home=tmp_path / "home",
        mysql_host="db.example",
        mysql_port=3307,
        mysql_user="clerk",
        mysql_password="hunter2-mysql",
        mysql_database="store",
        mysql_ssl_ca="/etc/ca.pem",
        azure_storage_connection_string="AccountName=lake;AccountKey=hunter2=",
    )


def test_the_azure_deployment_gives_the_same_resources(azure, local, tmp_path):
    assert set(deployments.resources(azure)) == set(deployments.resources(local))
    assert list(tmp_path.iterdir()) == []


def test_the_azure_deployment_lies_in_mysql_and_in_the_storage_account(azure):
    given = deployments.resources(azure)
    database = given["database"]
    assert (database.host, database.port, database.user) == ("db.example", 3307, "clerk")
    assert (database.database, database.ssl_ca) == ("store", "/etc/ca.pem")
    assert lake_of(azure).address == "https://lake.blob.core.windows.net"
    assert isinstance(given["pyspark"], InProcessSpark)


def test_an_account_name_alone_is_opened_with_the_azure_credential(azure):
    named = azure.model_copy(
        update={"azure_storage_connection_string": None, "azure_storage_account_name": "mine"}
    )
    account = lake_of(named).account
    assert account.endpoint == "https://mine.blob.core.windows.net"
    assert (account.key, account.sas) == (None, None)


def test_no_secret_is_shown(azure):
    given = deployments.resources(azure)
    assert "hunter2" not in repr(given)
    assert given["database"].password == "hunter2-mysql"
    assert lake_of(azure).account.key == "hunter2="


@pytest.fixture
def databricks(azure, monkeypatch):
    for variable in ("DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET"):
        monkeypatch.setenv(variable, "")
    return azure.model_copy(
        update={
            "dagster_deployment": "databricks",
            "databricks_host": "https://adb.example",
            "databricks_token": SecretStr("hunter2-token"),
            "databricks_staging": "/Volumes/main/storepipe/staging",
            "databricks_secret_scope": "storepipe",
            "databricks_viewers": "Data Engineers, ana@example.com",
            "databricks_workers": "2-8",
        }
    )


def test_the_databricks_deployment_is_the_azure_one_with_a_step_launcher(databricks, azure):
    given = deployments.resources(databricks)
    assert set(given) == set(deployments.resources(azure))
    assert isinstance(given["pyspark"], InProcessSpark)
    launcher = given["step_launcher"]
    assert isinstance(launcher, StepLauncher)
    assert launcher.host == "https://adb.example"
    assert launcher.viewers == ["Data Engineers", "ana@example.com"]
    assert launcher.new_cluster.workers == "2-8"


@pytest.mark.parametrize("deployment", ["local", "azure"])
def test_only_the_databricks_deployment_has_a_step_launcher(deployment, request):
    given = deployments.resources(request.getfixturevalue(deployment))
    assert given["step_launcher"] is deployments.NOTHING


def test_the_login_is_not_shown(databricks):
    launcher = deployments.resources(databricks)["step_launcher"]
    assert launcher.token == "hunter2-token"
    assert "hunter2" not in repr(launcher)


def test_the_webhook_is_not_shown(local):
    url = "https://hooks.example/hunter2"
    settings = local.model_copy(update={"storepipe_webhook_url": SecretStr(url)})

    webhook = deployments.webhook(settings)
    assert "hunter2" not in repr(webhook)
    assert webhook.url == url
    assert deployments.webhook(local).url is None


def test_the_lakes_secret_goes_to_the_cluster_by_its_scope_only(databricks):
    launcher = deployments.resources(databricks)["step_launcher"]
    assert launcher.secrets == ["AZURE_STORAGE_CONNECTION_STRING"]
    assert launcher.secret_scope == "storepipe"
    assert launcher.env_variables == {
        "DAGSTER_DEPLOYMENT": "databricks",
        "STOREPIPE_START_DATE": "2019-12-01",
    }


def test_an_account_known_by_name_is_opened_there_by_a_service_principal(databricks):
    named = databricks.model_copy(
        update={"azure_storage_connection_string": None, "azure_storage_account_name": "mine"}
    )
    launcher = deployments.resources(named)["step_launcher"]
    assert launcher.secrets == ["AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"]
    assert launcher.env_variables["AZURE_STORAGE_ACCOUNT_NAME"] == "mine"


def test_on_the_cluster_there_is_no_launcher_no_database_and_the_clusters_own_spark(databricks):
    there = Settings(
        dagster_deployment="databricks",
        databricks_runtime_version="18.0",
        azure_storage_connection_string=(
            "AccountName=lake;AccountKey=hunter2=;EndpointSuffix=core.chinacloudapi.cn"
        ),
    )
    given = deployments.resources(there)
    assert set(given) == set(deployments.resources(databricks))
    assert given["step_launcher"] is given["database"] is deployments.NOTHING
    assert isinstance(given["pyspark"], ClusterSpark)
    assert not given["delta"].in_parts
    path = lake_of(there).spark_path("az://raw/carts")
    assert path == "abfss://raw@lake.dfs.core.chinacloudapi.cn/carts"
