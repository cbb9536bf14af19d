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
    assert given["database"].url == f"sqlite:///{tmp_path}/home/store.db"
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


@pytest.mark.parametrize("deployment", ["azure", "databricks"])
def test_a_deployment_that_is_not_built_is_one_error(local, deployment):
    other = local.model_copy(update={"dagster_deployment": deployment})
    with pytest.raises(SettingsError, match=f"^DAGSTER_DEPLOYMENT={deployment} is not built yet"):
        deployments.resources(other)
