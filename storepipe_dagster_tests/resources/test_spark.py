"""Tests of `storepipe_dagster.resources.spark`."""

import pytest

from storepipe_dagster.resources import spark
from storepipe_dagster.resources.spark import InProcessSpark


def test_the_session_works_in_utc():
    session = InProcessSpark().spark_session
    assert session.conf.get("spark.sql.session.timeZone") == "UTC"
    query = "SELECT date_format(timestamp '2020-03-02 00:00:00Z', 'yyyy-MM-dd HH:mm') AS time"
    assert session.sql(query).collect()[0].time == "2020-03-02 00:00"


def test_a_resource_keeps_its_session():
    resource = InProcessSpark()
    assert resource.spark_session is resource.spark_session


def test_a_process_has_one_server():
    for _ in range(2):
        assert InProcessSpark().spark_session.sql("SELECT 1").collect() == [(1,)]
    assert spark._sail.cache_info().misses == 1


def test_nothing_starts_before_it_is_needed(monkeypatch):
    monkeypatch.setattr(spark, "_sail", lambda: pytest.fail("a server was started"))
    InProcessSpark()
