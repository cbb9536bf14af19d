"""Tests of `storepipe_dagster.resources.deployments`."""

import os

import dagster as dg
import pytest

from storepipe_dagster.definitions import defs
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources import deployments
from storepipe_dagster.resources.spark import InProcessSpark, RemoteSpark
from storepipe_dagster.settings import Settings, SettingsError


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
        "lake_sql",
        "pyspark",
        "step_launcher",
        "capture_files",
        "parquet",
        "delta",
        "pages",
    }


def test_every_resource_that_an_asset_asks_for_is_given(local):
    asked = {
        key
        for definition in [*defs.assets, *defs.asset_checks]
        for key in definition.required_resource_keys
    }
    assert asked <= {*deployments.resources(local), "io_manager"}


def test_the_local_deployment_lies_in_its_home(local, tmp_path):
    given = deployments.resources(local)
    assert given["database"].path == f"{tmp_path}/home/store.db"
    assert given["lake_sql"].lake.root == f"{tmp_path}/home/lake"
    assert given["store_api"].base_url == "http://127.0.0.1:8000"
    assert isinstance(given["pyspark"], InProcessSpark)


def test_making_the_resources_touches_nothing(local, tmp_path):
    deployments.resources(local)
    assert list(tmp_path.iterdir()) == []


def test_a_remote_spark_is_named_by_its_variable_as_a_token_may_stand_in_it(local, monkeypatch):
    monkeypatch.setenv("STOREPIPE_SPARK_REMOTE", "")
    remote = local.model_copy(update={"storepipe_spark_remote": "sc://spark.example:15002"})
    given = deployments.spark(remote, Lake(root=""))
    assert isinstance(given, RemoteSpark)
    assert given.remote == "STOREPIPE_SPARK_REMOTE"
    assert os.environ["STOREPIPE_SPARK_REMOTE"] == "sc://spark.example:15002"


def test_a_run_is_one_process(local):
    assert deployments.executor(local) is dg.in_process_executor


def test_a_deployment_that_is_not_built_is_one_error(local):
    other = local.model_copy(update={"dagster_deployment": "databricks"})
    with pytest.raises(SettingsError, match=r"^DAGSTER_DEPLOYMENT=databricks is not built yet"):
        deployments.resources(other)


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
        azure_storage_connection_string="AccountName=lake;AccountKey=hunter2==",
    )


def test_the_azure_deployment_gives_the_same_resources(azure, local, tmp_path):
    assert set(deployments.resources(azure)) == set(deployments.resources(local))
    assert list(tmp_path.iterdir()) == []


def test_the_azure_deployment_lies_in_mysql_and_in_the_storage_account(azure):
    given = deployments.resources(azure)
    database = given["database"].process_config_and_initialize()
    assert (database.host, database.port, database.user) == ("db.example", 3307, "clerk")
    assert (database.database, database.ssl_ca) == ("store", "/etc/ca.pem")
    assert deployments.open_lake(azure).address == "https://lake.blob.core.windows.net"
    assert isinstance(given["pyspark"], InProcessSpark)


def test_an_account_name_alone_is_opened_with_the_azure_credential(azure):
    named = azure.model_copy(
        update={"azure_storage_connection_string": None, "azure_storage_account_name": "mine"}
    )
    account = deployments.open_lake(named).account
    assert account.endpoint == "https://mine.blob.core.windows.net"
    assert (account.key, account.sas) == (None, None)


def test_secrets_are_named_by_their_variables_where_dagster_shows_them(azure):
    given = deployments.resources(azure)
    shown = f"{given['database']!r} {given['delta'].lake!r} {given['parquet'].lake!r}"
    assert "hunter2" not in shown
    assert given["database"].password == "MYSQL_PASSWORD"
    assert deployments.open_lake(azure).account.key == "hunter2=="
