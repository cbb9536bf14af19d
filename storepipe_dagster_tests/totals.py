"""What a run of the tests cost, in one line below everything else, and what it could not do."""

import os
import time
from collections.abc import Sequence

import pytest

from storepipe_dagster_tests.servers.install import WITHOUT_MYSQL, find

STARTED = pytest.StashKey[float]()


def pytest_sessionstart(session: pytest.Session) -> None:
    if find("mysqld") is None and os.environ.get("CI"):
        raise pytest.UsageError("MySQL is not here, and CI is set: run `make servers`")
    session.config.stash[STARTED] = time.monotonic()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or STARTED not in config.stash or hasattr(config, "workerinput"):
        return
    reports = [
        report
        for found in reporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport)
    ]
    reporter.write_line(total(reports, time.monotonic() - config.stash[STARTED]))
    if find("mysqld") is None:
        reporter.write_line(WITHOUT_MYSQL)


def total(reports: Sequence[pytest.TestReport], seconds: float) -> str:
    """How many tests, their seconds (set-up, call and tear-down), and how long it took."""
    tests = len({report.nodeid for report in reports})
    work = sum(report.duration for report in reports)
    return f"{tests:,} tests, {work:,.0f} seconds of work in {seconds:,.0f} seconds"
