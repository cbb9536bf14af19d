"""Tests of `totals`: the last lines of a run."""

from types import SimpleNamespace

import pytest

from storepipe_dagster_tests import totals


def report(test, duration):
    return SimpleNamespace(nodeid=test, duration=duration)


def test_the_total_counts_each_test_once_and_all_that_it_took():
    reports = [report("a", 1.0), report("a", 600.25), report("b", 998.75)]
    assert totals.total(reports, 900.4) == "2 tests, 1,600 seconds of work in 900 seconds"


@pytest.fixture
def session():
    return SimpleNamespace(config=SimpleNamespace(stash=pytest.Stash()))


@pytest.fixture
def without_mysql(monkeypatch):
    monkeypatch.setattr(totals, "find", lambda name: None)


def last_lines(session):
    """What is printed at the end of a run without tests."""
    lines = []
    reporter = SimpleNamespace(stats={}, write_line=lines.append)
    plugins = SimpleNamespace(get_plugin=lambda name: reporter)
    session.config.pluginmanager = plugins
    totals.pytest_sessionstart(session)
    totals.pytest_unconfigure(session.config)
    return lines


def test_the_last_line_says_that_mariadb_stood_in_for_mysql(session, without_mysql, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    total, last = last_lines(session)
    assert total.startswith("0 tests, 0 seconds of work in ")
    assert last == "MySQL cannot be had on this machine: MariaDB stood in for it."


def test_with_mysql_the_total_is_the_last_line(session, monkeypatch):
    monkeypatch.setattr(totals, "find", lambda name: "mysqld")
    assert len(last_lines(session)) == 1


def test_with_ci_set_a_run_without_mysql_is_an_error(session, without_mysql, monkeypatch):
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.UsageError, match="CI is set: run `make servers`"):
        totals.pytest_sessionstart(session)
