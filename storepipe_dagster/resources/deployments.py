"""What each deployment is made of; which lake it has is in ``io_managers.lakes``.

Resources are plain objects: they have no configuration that a run could bring along, or that
Dagster could show.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
from pydantic import SecretStr

from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.delta import DeltaIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.lakes import lake_of
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.io_managers.parquet import ParquetIOManager
from storepipe_dagster.resources.database import Database
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import ClusterSpark, InProcessSpark, RemoteSpark, Spark
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster.resources.store_api import StoreApi
from storepipe_dagster.resources.webhook import Webhook
from storepipe_dagster.settings import Settings

NOTHING = dg.ResourceDefinition.none_resource()
ACCOUNT = "AZURE_STORAGE_ACCOUNT_NAME"


def resources(settings: Settings) -> Mapping[str, Any]:
    """The resources and IO managers of the chosen deployment."""
    storage = lake_of(settings)
    pyspark = spark(settings, storage)
    in_parts = isinstance(pyspark, InProcessSpark)
    return {
        "store_api": StoreApi(
            base_url=settings.storepipe_api_url,
            list_seconds=settings.storepipe_api_seconds,
            record_characters=settings.storepipe_api_record_characters,
            answer_bytes=settings.storepipe_api_answer_bytes,
        ),
        "database": NOTHING if settings.on_cluster else database(settings),
        "lake": storage,
        "lake_sql": LakeSql(lake=storage),
        "pyspark": pyspark,
        "step_launcher": step_launcher(settings, storage),
        "capture_files": CaptureFilesIOManager(lake=storage, pyspark=pyspark),
        "parquet": ParquetIOManager(lake=storage, pyspark=pyspark),
        "delta": DeltaIOManager(lake=storage, pyspark=pyspark, in_parts=in_parts),
        "pages": PageIOManager(lake=storage),
        "io_manager": outputs_of_ops,
        "webhook": webhook(settings),
    }


@dg.io_manager(config_schema={})
def outputs_of_ops(context: dg.InitResourceContext) -> dg.IOManager:
    """Dagster's own; of itself it lets a run name its folder, by a variable of the environment."""
    return dg.FilesystemIOManager().create_io_manager(context)


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
        password=password.get_secret_value(),
        database=str(settings.mysql_database),
        ssl_ca=str(settings.mysql_ssl_ca) if settings.mysql_ssl_ca else None,
    )


def spark(settings: Settings, storage: Lake) -> Spark:
    """Spark in this process, at STOREPIPE_SPARK_REMOTE, or of the cluster that this runs on."""
    if settings.on_cluster:
        return ClusterSpark(lake=storage)
    remote = settings.storepipe_spark_remote
    if remote is None:
        return InProcessSpark(lake=storage)
    return RemoteSpark(remote)


def step_launcher(settings: Settings, storage: Lake) -> Any:
    """What runs Spark steps elsewhere; nothing where they run in this process."""
    if settings.dagster_deployment != "databricks" or settings.on_cluster:
        return NOTHING
    from storepipe_dagster.resources.databricks import run_request  # noqa: PLC0415
    from storepipe_dagster.resources.databricks import step_launcher as launcher  # noqa: PLC0415

    return launcher.DatabricksStepLauncher(
        lake=storage,
        host=str(settings.databricks_host),
        token=_value(settings.databricks_token),
        client_id=settings.databricks_client_id,
        client_secret=_value(settings.databricks_client_secret),
        staging=str(settings.databricks_staging),
        cluster_id=settings.databricks_cluster_id,
        new_cluster=run_request.NewCluster(
            spark_version=settings.databricks_spark_version,
            node_type=settings.databricks_node_type,
            workers=settings.databricks_workers,
            instance_pool_id=settings.databricks_instance_pool_id,
            policy_id=settings.databricks_policy_id,
            single_user_name=settings.databricks_single_user_name,
        ),
        env_variables=cluster_variables(settings),
        secret_scope=settings.databricks_secret_scope,
        secrets=settings.cluster_secrets,
        viewers=[name.strip() for name in settings.databricks_viewers.split(",") if name.strip()],
        timeout_seconds=settings.databricks_timeout_seconds,
        poll_seconds=settings.databricks_poll_seconds,
        max_retries=settings.databricks_max_retries,
        retry_seconds=settings.databricks_retry_seconds,
    )


def webhook(settings: Settings) -> Webhook:
    """Where messages to people go; nowhere without STOREPIPE_WEBHOOK_URL."""
    return Webhook(
        url=_value(settings.storepipe_webhook_url),
        dagster_url=settings.storepipe_dagster_url,
    )


def cluster_variables(settings: Settings) -> dict[str, str]:
    """What a Spark step needs to know on the cluster; the lake's secrets come by secret scope."""
    account = settings.azure_storage_account_name
    named = {} if settings.azure_storage_connection_string or not account else {ACCOUNT: account}
    return {
        "DAGSTER_DEPLOYMENT": settings.dagster_deployment,
        "STOREPIPE_START_DATE": settings.storepipe_start_date.isoformat(),
        **named,
    }


def _value(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
