"""The two engines that every Spark transform is tested on: Sail, and Spark itself on the JVM.

Both are reached by Spark Connect, so that they live in one Python process; Spark's own server runs
as a process of its own. The sessions are not registered as the process's default, so that
`SparkSession.builder.getOrCreate()` in the code under test finds its own.
"""

import contextlib
import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyspark
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.sql.types import DataType, TimestampType

from storepipe_dagster.resources.spark import SAIL_CONFIG

CLASSIC_START_SECONDS = 90
CLASSIC_SERVER = "org.apache.spark.sql.connect.service.SparkConnectServer"
CLASSIC_CONF = {
    "spark.connect.grpc.binding.address": "127.0.0.1",
    "spark.connect.grpc.binding.port": "0",
    "spark.driver.bindAddress": "127.0.0.1",
    # Few rows gain nothing from the slower, better compiler, nor from code made for each query.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.codegen.wholeStage": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.shuffle.partitions": "1",
    "spark.ui.enabled": "false",
}


@pytest.fixture(scope="session")
def sail() -> Iterator[SparkSession]:
    """A session on Sail, in this process."""
    for name, value in {"RUST_LOG": "warn", **SAIL_CONFIG}.items():
        os.environ.setdefault(name, value)
    from pysail.spark import SparkConnectServer  # noqa: PLC0415 - it reads RUST_LOG when imported

    server = SparkConnectServer("127.0.0.1", 0)
    server.start(background=True)
    _, port = server.listening_address
    with _connect(port) as session:
        yield session
    server.stop()


@pytest.fixture(scope="session")
def classic_spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A session on Spark itself, local, in a Java process that ends with the test run."""
    folder = tmp_path_factory.mktemp("classic_spark")
    with start_classic_server(folder) as port, _connect(port) as session:
        yield session


# Where the engines may differ: numbers, JSON, order, errors, and each table once.
# `test_classic_api` has all tables on Spark itself, too.
on_both_engines = pytest.mark.parametrize("spark", ["sail", "classic_spark"], indirect=True)


@pytest.fixture(
    scope="session", params=["sail", pytest.param("classic_spark", marks=pytest.mark.slow)]
)
def spark(request: pytest.FixtureRequest) -> SparkSession:
    """Run the test once on each engine."""
    return request.getfixturevalue(request.param)


def make_df(spark: SparkSession, columns: dict[str, str], *rows: tuple[object, ...]) -> DataFrame:
    """A DataFrame of literal rows: dates, times (UTC) and decimals are written as text."""
    if rows:
        texts = [[None if value is None else str(value) for value in row] for row in rows]
        columns_of_texts = [pa.array(values, pa.string()) for values in zip(*texts, strict=True)]
        # By Arrow: for a list of rows classic Spark would start Python processes.
        df = spark.createDataFrame(pa.table(columns_of_texts, names=list(columns)))
    else:
        df = spark.createDataFrame([], ", ".join(f"{name} string" for name in columns))
    return df.select([F.col(name).cast(kind).alias(name) for name, kind in columns.items()])


def read_rows(df: DataFrame) -> list[tuple[object, ...]]:
    """The rows in a fixed order, dates, times (UTC) and decimals as text.

    The engine writes the times: PySpark would turn them into the process's own time zone.
    """
    texts = [
        F.date_format(field.name, "yyyy-MM-dd HH:mm:ss").alias(field.name)
        if isinstance(field.dataType, TimestampType)
        else F.col(field.name)
        for field in df.schema
    ]
    rows = [
        tuple(value if isinstance(value, int | float | None) else str(value) for value in row)
        for row in df.select(texts).collect()
    ]
    return sorted(rows, key=lambda row: [(value is not None, value) for value in row])


def read_types(df: DataFrame) -> list[tuple[str, DataType]]:
    """The columns' names and types, without what the engines may differ in (nullability)."""
    return [(field.name, field.dataType) for field in df.schema]


@contextlib.contextmanager
def start_classic_server(folder: Path) -> Iterator[int]:
    """Run Spark's Connect server from the installed PySpark; gives its port."""
    home = Path(pyspark.__file__).parent
    conf = CLASSIC_CONF | {"spark.sql.warehouse.dir": str(folder / "warehouse")}
    options = [part for name, value in conf.items() for part in ("--conf", f"{name}={value}")]
    command = [str(home / "bin" / "spark-submit"), "--master", "local[2]", *options]
    command += ["--class", CLASSIC_SERVER, "spark-internal"]
    environment = {key: os.environ[key] for key in ("PATH", "JAVA_HOME") if key in os.environ}
    log = folder / "server.log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            cwd=folder,
            env=environment | {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "TZ": "UTC"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _wait_for_port(server, log)
        finally:
            # Nothing in it is worth keeping, and its shutdown hooks have been seen to hang.
            server.kill()
            server.wait()


def _wait_for_port(server: "subprocess.Popen[bytes]", log: Path) -> int:
    deadline = time.monotonic() + CLASSIC_START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        started = re.search(r"Spark Connect server started at: \S+:(\d+)\s", log.read_text())
        if started:
            return int(started.group(1))
        time.sleep(0.1)
    raise RuntimeError(f"Spark's Connect server did not start; its log:\n{log.read_text()}")


@contextlib.contextmanager
def _connect(port: int) -> Iterator[SparkSession]:
    # What `SparkSession.builder.remote(...)` sets, so that pyspark.sql.functions speak Connect.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    session = ConnectSession(f"sc://127.0.0.1:{port}")
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield session
    session.client.close()
