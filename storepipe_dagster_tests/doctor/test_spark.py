"""Tests of `storepipe_dagster.doctor.spark`."""

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from pyspark.sql.connect.session import SparkSession

from storepipe_dagster.doctor import TroubleError, spark
from storepipe_dagster.resources.spark import _sail_address
from storepipe_dagster.settings import Settings


@pytest.fixture
def no_session(monkeypatch):
    """As in a new process: PySpark would hand out the session that other tests use."""
    monkeypatch.setattr(SparkSession, "_default_session", None)
    monkeypatch.setattr(SparkSession, "_active_session", threading.local())


def check(remote=None):
    return spark.check(Settings(_env_file=None, storepipe_spark_remote=remote))


def trouble(remote):
    with pytest.raises(TroubleError) as caught:
        check(remote)
    assert "hunter2" not in str(caught.value)
    return str(caught.value)


def test_spark_in_this_process_is_well():
    assert check().startswith("in this process (Sail, as Spark 4.")


def test_spark_elsewhere_is_well(no_session):
    address = _sail_address()  # it is elsewhere for all that a client knows

    told = check(f"{address}/;user_id=hunter2")

    assert told.startswith(f"Spark Connect at {address.removeprefix('sc://')} answers (Spark 4.")


def test_an_unknown_host():
    told = trouble("sc://spark.invalid:15002/;token=hunter2")

    assert "'spark.invalid'" in told
    assert "STOREPIPE_SPARK_REMOTE" in told


def test_a_refused_connection(nobody):
    assert trouble(f"sc://127.0.0.1:{nobody}/;token=hunter2") == (
        f"Spark Connect at 127.0.0.1:{nobody} cannot be reached: nobody listens there. "
        "Check STOREPIPE_SPARK_REMOTE, and that the server runs."
    )


def test_no_answer(black_hole, monkeypatch):
    monkeypatch.setattr(spark, "SECONDS", 0.3)

    assert "cannot be reached: no answer" in trouble(f"sc://127.0.0.1:{black_hole}")


@pytest.mark.parametrize("parameters", ["", "/;token=hunter2"])
def test_a_server_that_says_nothing(silent, monkeypatch, parameters):
    monkeypatch.setattr(spark, "SECONDS", 0.3)

    told = trouble(f"sc://127.0.0.1:{silent}{parameters}")

    assert "takes the connection but does not speak Spark Connect, or not with the same TLS" in told
    assert "STOREPIPE_SPARK_REMOTE" in told


def test_a_server_of_something_else(no_session):
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()

    told = trouble(f"sc://127.0.0.1:{port}/;user_id=hunter2")
    server.stop(None)

    assert f"127.0.0.1:{port} does not answer as Spark does" in told


def test_a_port_that_is_none():
    assert "has a port that is no port" in trouble("sc://127.0.0.1:hunter2")


def test_another_answer_than_one(monkeypatch):
    class Wrong:
        class spark_session:  # noqa: N801
            @staticmethod
            def sql(_):
                return Wrong.spark_session

            @staticmethod
            def collect():
                return [[2]]

    monkeypatch.setattr(spark, "InProcessSpark", lambda **_: Wrong)

    with pytest.raises(TroubleError, match="answers SELECT 1 with something else"):
        check()
