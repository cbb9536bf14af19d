"""What a run of the tests cost: one line at its end, after the list of the slowest."""

import time

import pytest

from storepipe_dagster_tests.servers.install import find

STARTED = pytest.StashKey[float]()


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[STARTED] = time.monotonic()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """Print the total where it is seen: below everything else."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or STARTED not in config.stash or hasattr(config, "workerinput"):
        return
    reports = [
        report
        for found in reporter.stats.values()
        for report in found
        if isinstance(report, pytest.TestReport)
    ]
    seconds = time.monotonic() - config.stash[STARTED]
    reporter.write_line(total(reports, seconds))
    if find("mysqld") is None:
        reporter.write_line(WITHOUT_MYSQL)


def total(reports: list[pytest.TestReport], seconds: float) -> str:
    """How many tests, their seconds of work (set-up, call and tear-down), and how long it took."""
    tests = len({report.nodeid for report in reports})
    work = sum(report.duration for report in reports)
    return f"{tests:,} tests, {work:,.0f} seconds of work in {seconds:,.0f} seconds"
