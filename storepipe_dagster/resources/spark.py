"""Spark: a session of dagster-pyspark's lazy resource, on Sail in this process or elsewhere.

Sail is a Spark Connect server without a JVM; the asset code is the same on any Spark 4.
"""

import atexit
import logging
import os
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from storepipe_dagster.errors import PassingError
from storepipe_dagster.io_managers.lake import Lake

# Sail writes "Etc/UTC" otherwise, and its Delta tables then differ from delta-rs's.
SPARK_CONFIG = {"spark.sql.session.timeZone": "UTC"}
SAIL_CONFIG = {
    # Sail ends a session that is idle for 15 minutes, as a big load between two steps may take.
    "SAIL_SPARK__SESSION_TIMEOUT_SECS": str(7 * 24 * 3600),
    # Four times its own: a quarter less time to join, group and write by day.
    "SAIL_EXECUTION__BATCH_SIZE": str(32 * 1024),
    # What one part of a range took goes back to the system before the next; a sixth of its time.
    "MIMALLOC_ARENA_EAGER_COMMIT": "0",
    "MIMALLOC_PURGE_DECOMMITS": "1",
}
# PySpark would look for the line of each column's making, and for IPython each time; Sail's errors
# do not tell of it.
SAIL_SESSION_CONFIG = {"spark.python.sql.dataFrameDebugging.enabled": "false"}
SPARK_CONNECT_PORT = 15002
LOGGER_OF_ERRORS = "pyspark.sql.connect.logging"
SECONDS_TO_CONNECT = 10


class SparkUnreachableError(PassingError):
    """Nobody listens at STOREPIPE_SPARK_REMOTE."""


class Spark(ABC):
    """A Spark session, made when it is first needed."""

    @cached_property
    def spark_session(self) -> Any:
        """The session; the same each time."""
        return self._session()

    @abstractmethod
    def _session(self) -> Any:
        """Make the session."""


@dataclass
class InProcessSpark(Spark):
    """Spark without a cluster: Sail, started in this process when first needed."""

    lake: Lake

    def _session(self) -> Any:
        # Sail knows how to open the lake from its environment only, read when it starts.
        options = self.lake.storage_options
        os.environ.update({name.upper(): value for name, value in options.items()})
        return _connected(_sail_address(), SAIL_SESSION_CONFIG)


@dataclass
class RemoteSpark(Spark):
    """Spark at a Spark Connect endpoint, ``sc://host:port/;parameter=value``."""

    remote: str = field(repr=False)

    def _session(self) -> Any:
        _knock(self.remote)
        return _connected(self.remote)


@dataclass
class ClusterSpark(Spark):
    """The Spark of the Databricks cluster that this process is on."""

    lake: Lake

    def _session(self) -> Any:
        session = _made(SPARK_CONFIG)
        for name, value in {**SPARK_CONFIG, **self.lake.spark_options}.items():
            session.conf.set(name, value)
        return session


def _made(config: Mapping[str, Any]) -> Any:
    from dagster_pyspark import LazyPySparkResource  # noqa: PLC0415  # slow

    return LazyPySparkResource(spark_config=dict(config)).spark_session


def _connected(remote: str, config: Mapping[str, str] = MappingProxyType({})) -> Any:
    session = _made({**SPARK_CONFIG, **config, "spark.remote": remote})
    # At exit PySpark would call a server that is gone by then for minutes, to forget its models.
    atexit.unregister(session.client._cleanup_ml_cache)  # noqa: SLF001
    # It would print each error that it then raises; whoever configures logging switches it on.
    logging.getLogger(LOGGER_OF_ERRORS).addFilter(_without_errors)
    return session


def _without_errors(_record: logging.LogRecord) -> bool:
    return False


def _knock(remote: str) -> None:
    """Fail at once where PySpark would try for minutes; parameters, a token maybe, are not told."""
    address = urlsplit(remote.split(";", 1)[0])
    host, port = address.hostname or "", SPARK_CONNECT_PORT
    try:
        port = address.port or port
        socket.create_connection((host, port), SECONDS_TO_CONNECT).close()
    except (OSError, ValueError) as error:
        raise SparkUnreachableError(
            f"No Spark Connect server answers at {host}:{port} ({error}). "
            "Check STOREPIPE_SPARK_REMOTE, or unset it to run Spark in this process."
        ) from None


_servers: list[Any] = []
_starting = threading.Lock()


def _sail_address() -> str:
    """Start the one Sail server of this process, which lives as long as the process."""
    with _starting:
        if not _servers:
            for name, value in {"RUST_LOG": "error", **SAIL_CONFIG}.items():
                os.environ.setdefault(name, value)
            from pysail.spark import SparkConnectServer  # noqa: PLC0415  # reads RUST_LOG

            server = SparkConnectServer("127.0.0.1", 0)
            server.start(background=True)
            _servers.append(server)
    host, port = _servers[0].listening_address
    return f"sc://{host}:{port}"
