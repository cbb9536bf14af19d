"""Running storepipe as its users do, in a process of its own, and what it leaves behind."""

import sqlite3
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import date, timedelta

from storepipe_dagster_tests.bench.extracts import FIRST_DAY
from storepipe_dagster_tests.bench.watching import Taken, run
from storepipe_dagster_tests.end_to_end.commands import Home

TRUSTED_AND_REFINED = ("--select", "group:trusted or group:refined")
TABLES = (
    *("trusted.product_prices", "trusted.sales", "trusted.rejected_sales"),
    *("refined.sales_by_day", "refined.sales_by_category", "refined.sales_by_product"),
    *("refined.sales_by_city", "refined.customer_segments", "refined.customer_cohorts"),
    "refined.product_affinity",
)


def run_storepipe(
    home: Home, first: date, last: date, *options: str, module: Sequence[str] = ()
) -> tuple[Taken, str]:
    """Run the command for a range of days, or within a module that takes it; what it told too."""
    command = [sys.executable, "-m", *(module or ("storepipe_dagster.cli",)), "run", *options]
    return run([*command, "--from", str(first), "--to", str(last)], home.environment)


def run_days(home: Home, days: int, *options: str, module: Sequence[str] = ()) -> tuple[Taken, str]:
    """Run the command for the first days."""
    last = FIRST_DAY + timedelta(days=days - 1)
    return run_storepipe(home, FIRST_DAY, last, *options, module=module)


def recorded(home: Home) -> tuple[int, int, int]:
    """The runs that Dagster recorded in a home, and their steps and events."""
    steps = events = 0
    files = sorted((home.path / "dagster/history/runs").glob("*-*.db"))
    for file in files:
        with closing(sqlite3.connect(file)) as log:
            found = log.execute("SELECT count(*), count(DISTINCT step_key) FROM event_logs")
            in_run, of_run = found.fetchone()
        events, steps = events + in_run, steps + of_run
    return len(files), steps, events
