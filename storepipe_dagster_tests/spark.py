"""The two engines that every Spark transform is tested on: Sail, and Spark itself on the JVM.

Both are reached by Spark Connect, so that they live in one Python process; Spark itself runs in a
process of its own, whose Python speaks Spark's own API (`python -m storepipe_dagster_tests.spark`):
a Python process speaks one of the two only. The sessions are not registered as the process's
default, so that `SparkSession.builder.getOrCreate()` in the code under test finds its own.
"""

import contextlib
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.connect.session import SparkSession as ConnectSession
from pyspark.sql.types import DataType, TimestampType

from storepipe_dagster.resources.spark import SAIL_CONFIG

ROOT = Path(__file__).parents[1]
CLASSIC_CONF = {
    "spark.plugins": "org.apache.spark.sql.connect.SparkConnectPlugin",
    "spark.connect.grpc.binding.address": "127.0.0.1",
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
def classic_driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator["ClassicDriver"]:
    """Spark itself, local, in processes that end with the test run."""
    with ClassicDriver.started(tmp_path_factory.mktemp("classic_spark")) as driver:
        yield driver


@pytest.fixture(scope="session")
def classic_spark(classic_driver: "ClassicDriver") -> Iterator[SparkSession]:
    """A session on Spark itself."""
    with _connect(classic_driver.port) as session:
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


class ClassicDriver:
    """A process that speaks Spark's own API, and whose JVM serves Spark Connect besides."""

    def __init__(self, process: "subprocess.Popen[str]", log: Path):
        self._process, self._log = process, log
        self.port = int(self._answer())

    @classmethod
    @contextlib.contextmanager
    def started(cls, folder: Path) -> Iterator["ClassicDriver"]:
        """Run one that leaves its files in a folder."""
        kept = {"PATH", "JAVA_HOME", "HOME", "PYTHONPATH", "TMPDIR"} & os.environ.keys()
        log = folder / "driver.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(folder)],
                cwd=ROOT,
                env={name: os.environ[name] for name in kept} | {"TZ": "UTC"},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                text=True,
                start_new_session=True,
            )
            try:
                yield cls(process, log)
            finally:
                # Nothing in it is worth keeping, and its shutdown hooks have been seen to hang.
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()

    def call(self, module: str, function: str) -> object:
        """What a function of ours gives for a session that speaks Spark's own API."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{module} {function}\n")
        self._process.stdin.flush()
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline()
        assert answer, f"Spark did not answer; its log:\n{self._log.read_text()}"
        return answer


def drive(folder: str) -> None:
    """Be the driver: print the port of Spark Connect, then an answer for each line."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {
        "spark.connect.grpc.binding.port": port,
        "spark.sql.warehouse.dir": f"{folder}/warehouse",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in (CLASSIC_CONF | own).items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    print(port, flush=True)
    for line in sys.stdin:
        module, function = line.split()
        print(json.dumps(getattr(importlib.import_module(module), function)(spark)), flush=True)


@contextlib.contextmanager
def _connect(port: int) -> Iterator[SparkSession]:
    # What `SparkSession.builder.remote(...)` sets, so that pyspark.sql.functions speak Connect.
    os.environ["SPARK_CONNECT_MODE_ENABLED"] = "1"
    session = ConnectSession(f"sc://127.0.0.1:{port}")
    session.conf.set("spark.sql.session.timeZone", "UTC")
    yield session
    session.client.close()


if __name__ == "__main__":
    drive(sys.argv[1])
