"""What each deployment is made of; the only place that branches on DAGSTER_DEPLOYMENT."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource

from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.delta import DeltaIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.io_managers.parquet import ParquetIOManager
from storepipe_dagster.resources.database import Database
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark, RemoteSpark
from storepipe_dagster.resources.store_api import StoreApi
from storepipe_dagster.settings import Settings


def resources(settings: Settings) -> Mapping[str, Any]:
    """The resources and IO managers of the chosen deployment."""
    settings.expect_local()
    lake = Lake(root=str(settings.lake))
    pyspark = spark(settings)
    return {
        "store_api": StoreApi(base_url=settings.storepipe_api_url),
        "database": Database(url=f"sqlite:///{settings.storepipe_home / 'store.db'}"),
        "lake_sql": LakeSql(lake=lake),
        "pyspark": pyspark,
        # Spark steps ask for it by this key; no launcher means that they run where they are.
        "step_launcher": dg.ResourceDefinition.none_resource(),
        "capture_files": CaptureFilesIOManager(lake=lake, pyspark=pyspark),
        "parquet": ParquetIOManager(lake=lake, pyspark=pyspark),
        "delta": DeltaIOManager(lake=lake, pyspark=pyspark),
        "pages": PageIOManager(lake=lake),
    }


def spark(settings: Settings) -> LazyPySparkResource:
    """Spark in this process, or at STOREPIPE_SPARK_REMOTE."""
    if settings.storepipe_spark_remote is None:
        return InProcessSpark()
    # A token may stand in it: Dagster shows a variable's name where it would show a value.
    os.environ["STOREPIPE_SPARK_REMOTE"] = settings.storepipe_spark_remote
    return RemoteSpark(remote=dg.EnvVar("STOREPIPE_SPARK_REMOTE"))


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """One process per run: its steps share one Spark session and one import of everything."""
    del settings
    return dg.in_process_executor
