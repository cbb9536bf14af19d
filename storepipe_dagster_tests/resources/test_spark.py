"""Tests of `storepipe_dagster.resources.spark`."""

import logging
import os
import socket
import subprocess
import sys

import pytest

from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources import spark
from storepipe_dagster.resources.spark import (
    ClusterSpark,
    InProcessSpark,
    RemoteSpark,
    SparkUnreachableError,
)


def test_the_session_works_in_utc():
    session = InProcessSpark(lake=Lake(root="")).spark_session
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    query = "SELECT date_format(timestamp '2020-03-02 00:00:00Z', 'yyyy-MM-dd HH:mm') AS time"
    assert session.sql(query).collect()[0].time == "2020-03-02 00:00"


def test_no_call_looks_through_the_stack_for_its_line():
    session = InProcessSpark(lake=Lake(root="")).spark_session
    assert session.conf.get("spark.python.sql.dataFrameDebugging.enabled") == "false"


def test_an_error_of_spark_is_raised_and_not_logged_besides(caplog, monkeypatch):
    session = InProcessSpark(lake=Lake(root="lake")).spark_session
    # As whoever configures logging does with the loggers that there are.
    monkeypatch.setattr(logging.getLogger(spark.LOGGER_OF_ERRORS), "disabled", False)
    with pytest.raises(Exception, match="no_such_table"):
        session.sql("SELECT * FROM no_such_table").collect()
    assert caplog.records == []


def test_a_resource_keeps_its_session():
    resource = InProcessSpark(lake=Lake(root=""))
    assert resource.spark_session is resource.spark_session


def test_a_process_has_one_server():
    for _ in range(2):
        assert InProcessSpark(lake=Lake(root="")).spark_session.sql("SELECT 1").collect() == [(1,)]
    assert len(spark._servers) == 1


IDLE = """
import time
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources import spark
spark.SAIL_CONFIG["SAIL_SPARK__SESSION_TIMEOUT_SECS"] = "1"
session = spark.InProcessSpark(lake=Lake(root="")).spark_session
session.sql("SELECT 1").collect()
time.sleep(3)
session.sql("SELECT 1").collect()
"""


def test_how_long_an_idle_session_lives_is_ours_to_say_and_it_is_days():
    environment = {name: value for name, value in os.environ.items() if "SAIL" not in name}
    short = subprocess.run(
        [sys.executable, "-c", IDLE], env=environment, capture_output=True, text=True, check=False
    )
    assert "is not running" in short.stderr
    assert int(spark.SAIL_CONFIG["SAIL_SPARK__SESSION_TIMEOUT_SECS"]) >= 2 * 24 * 3600


def test_nothing_starts_before_it_is_needed(monkeypatch):
    monkeypatch.setattr(spark, "_sail_address", lambda: pytest.fail("a server was started"))
    assert InProcessSpark(lake=Lake(root="")) is not None


def test_a_remote_session_works_in_utc():
    session = RemoteSpark(remote=spark._sail_address()).spark_session
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    assert session.sql("SELECT 1").collect() == [(1,)]


def test_a_remote_that_is_not_there_is_an_error_at_once_that_shows_no_token():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    remote = RemoteSpark(remote=f"sc://127.0.0.1:{port}/;token=hunter2")
    with pytest.raises(SparkUnreachableError) as caught:
        _ = remote.spark_session
    assert f"at 127.0.0.1:{port} (" in str(caught.value)
    assert "STOREPIPE_SPARK_REMOTE" in str(caught.value)
    assert "hunter2" not in str(caught.value)


class KeyedLake(Lake):
    @property
    def spark_options(self):
        return {"fs.azure.account.key.mine.dfs.core.windows.net": "hunter2"}


def test_on_a_cluster_the_session_there_is_taken_and_told_how_to_open_the_lake(monkeypatch, sail):
    monkeypatch.setattr(spark, "_made", lambda _: sail)
    resource = ClusterSpark(lake=KeyedLake(root=""))
    assert resource.spark_session is sail
    assert sail.conf.get("spark.sql.session.timeZone") == "UTC"
    assert sail.conf.get("fs.azure.account.key.mine.dfs.core.windows.net") == "hunter2"
