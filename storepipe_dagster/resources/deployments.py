"""What each deployment is made of; the only place that branches on DAGSTER_DEPLOYMENT."""

import os
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pydantic import SecretStr

from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.delta import DeltaIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.io_managers.parquet import ParquetIOManager
from storepipe_dagster.resources.database import Database
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark, RemoteSpark
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster.resources.store_api import StoreApi
from storepipe_dagster.settings import Settings, SettingsError


def resources(settings: Settings) -> Mapping[str, Any]:
    """The resources and IO managers of the chosen deployment."""
    if settings.dagster_deployment == "databricks":
        raise SettingsError(
            "DAGSTER_DEPLOYMENT=databricks is not built yet: only local and azure are. "
            "Set it to one of these."
        )
    storage = lake(settings)
    pyspark = spark(settings, storage)
    return {
        "store_api": StoreApi(base_url=settings.storepipe_api_url),
        "database": database(settings),
        "lake_sql": LakeSql(lake=storage),
        "pyspark": pyspark,
        # Spark steps ask for it by this key; no launcher means that they run where they are.
        "step_launcher": dg.ResourceDefinition.none_resource(),
        "capture_files": CaptureFilesIOManager(lake=storage, pyspark=pyspark),
        "parquet": ParquetIOManager(lake=storage, pyspark=pyspark),
        "delta": DeltaIOManager(lake=storage, pyspark=pyspark),
        "pages": PageIOManager(lake=storage),
    }


def database(settings: Settings) -> Database:
    """A SQLite file, or a database on a MySQL server."""
    if settings.dagster_deployment == "local":
        return SqliteDatabase(path=str(settings.storepipe_home / "store.db"))
    from storepipe_dagster.resources.mysql import MySqlDatabase  # noqa: PLC0415  # slow

    # The settings have made sure that these are set.
    password = settings.mysql_password or SecretStr("")
    return MySqlDatabase(
        host=str(settings.mysql_host),
        port=settings.mysql_port,
        user=str(settings.mysql_user),
        password=_secret("MYSQL_PASSWORD", password.get_secret_value()),
        database=str(settings.mysql_database),
        ssl_ca=str(settings.mysql_ssl_ca) if settings.mysql_ssl_ca else None,
    )


def lake(settings: Settings) -> Lake:
    """A folder, or the containers of an Azure storage account."""
    if settings.dagster_deployment == "local":
        return Lake(root=str(settings.storepipe_home / "lake"))
    from storepipe_dagster.io_managers.azure_lake import AzureLake  # noqa: PLC0415  # slow

    if settings.azure_storage_connection_string is None:
        return AzureLake(account_name=settings.azure_storage_account_name)
    text = settings.azure_storage_connection_string.get_secret_value()
    return AzureLake(connection_string=_secret("AZURE_STORAGE_CONNECTION_STRING", text))


def open_lake(settings: Settings) -> Lake:
    """The lake for use outside of a run."""
    opened: Lake = lake(settings).process_config_and_initialize()
    return opened


def spark(settings: Settings, storage: Lake) -> LazyPySparkResource:
    """Spark in this process, or at STOREPIPE_SPARK_REMOTE."""
    remote = settings.storepipe_spark_remote
    if remote is None:
        return InProcessSpark(lake=storage)
    return RemoteSpark(remote=_secret("STOREPIPE_SPARK_REMOTE", remote))


def executor(settings: Settings) -> dg.ExecutorDefinition:
    """One process per run: its steps share one Spark session and one import of everything."""
    del settings
    return dg.in_process_executor


def _secret(variable: str, value: str) -> dg.EnvVar:
    """Dagster shows a variable's name where it would show a value; ``.env`` may hold the value."""
    os.environ[variable] = value
    return dg.EnvVar(variable)
