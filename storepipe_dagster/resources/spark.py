"""Spark: a session of dagster-pyspark's lazy resource, on Sail in this process or elsewhere.

Sail is a Spark Connect server without a JVM; the asset code is the same on any Spark 4.
"""

import os
from functools import cache
from typing import Any

from dagster_pyspark import LazyPySparkResource

# Sail writes "Etc/UTC" otherwise, and its Delta tables then differ from delta-rs's.
SPARK_CONFIG = {"spark.sql.session.timeZone": "UTC"}


class InProcessSpark(LazyPySparkResource):
    """Spark without a cluster: Sail, started in this process when first needed."""

    spark_config: dict[str, Any] = SPARK_CONFIG

    def _init_session(self) -> None:
        if self._spark_session is None:
            host, port = _sail().listening_address
            remote = {**self.spark_config, "spark.remote": f"sc://{host}:{port}"}
            self._spark_session = LazyPySparkResource(spark_config=remote).spark_session


@cache
def _sail() -> Any:
    """Start the Sail server of this process, which lives as long as the process."""
    os.environ.setdefault("RUST_LOG", "error")
    from pysail.spark import SparkConnectServer  # noqa: PLC0415  # reads RUST_LOG when loaded

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    return server
