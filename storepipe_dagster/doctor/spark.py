"""Whether Spark answers, in this process or at a Spark Connect endpoint."""

import os
import socket
from urllib.parse import urlsplit

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it is read once; what it tells, we tell

import grpc  # type: ignore[import-untyped]
from pyspark.errors import PySparkException
from pyspark.sql.connect.client import DefaultChannelBuilder

from storepipe_dagster.doctor import SECONDS, TroubleError
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources.network_errors import explain_network
from storepipe_dagster.resources.spark import SPARK_CONNECT_PORT, InProcessSpark, RemoteSpark
from storepipe_dagster.settings import Settings


def check(settings: Settings) -> str:
    """SELECT 1 gives 1."""
    remote = settings.storepipe_spark_remote
    if remote is None:
        # Any folder does: nothing is read or written.
        spark = InProcessSpark(lake=Lake(root=str(settings.storepipe_home)))
        return f"in this process (Sail, as Spark {_answer(spark)})"
    where = _reach(remote)
    _shake_hands(remote, where)
    try:
        return f"{where} answers (Spark {_answer(RemoteSpark(remote=remote))})"
    except PySparkException as error:
        raise TroubleError(
            f"{where} does not answer as Spark does ({type(error).__name__}). Check that it is "
            "Spark 4, and the token in STOREPIPE_SPARK_REMOTE if it asks for one."
        ) from None


def _shake_hands(remote: str, where: str) -> None:
    """Fail soon where PySpark would try for minutes: what listens there has to speak gRPC."""
    with DefaultChannelBuilder(remote).toChannel() as channel:
        try:
            grpc.channel_ready_future(channel).result(SECONDS)
        except grpc.FutureTimeoutError:
            raise TroubleError(
                f"{where} takes the connection but does not speak Spark Connect, or not with the "
                "same TLS. Check the port, token and use_ssl in STOREPIPE_SPARK_REMOTE."
            ) from None


def _answer(spark: InProcessSpark | RemoteSpark) -> str:
    """The version of a Spark that answers."""
    session = spark.spark_session
    if session.sql("SELECT 1").collect()[0][0] != 1:
        raise TroubleError("Spark answers SELECT 1 with something else. Use another Spark.")
    return str(session.version)


def _reach(remote: str) -> str:
    """Fail soon where PySpark would try for minutes; parameters, a token maybe, are not told."""
    address = urlsplit(remote.split(";", 1)[0])
    host = address.hostname or ""
    try:
        port = address.port or SPARK_CONNECT_PORT
    except ValueError:
        raise TroubleError(
            "STOREPIPE_SPARK_REMOTE has a port that is no port. Correct it."
        ) from None
    where = f"Spark Connect at {host}:{port}"
    try:
        socket.create_connection((host, port), SECONDS).close()
    except OSError as error:
        told = explain_network(error, where, host, "STOREPIPE_SPARK_REMOTE", "")
        raise TroubleError(told) from None
    return where
