"""The whole way from the API to refined, beside the loose scripts that this project replaces.

Both capture from the embedded store and use one MariaDB server, which are processes of their own
and are not measured. Ours runs with all its checks, its report, Delta logs and Dagster's history.
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench.extracts import FIRST_DAY
from storepipe_dagster_tests.bench.figures import (
    OURS,
    Figures,
    Measured,
    expect_equal_tables,
    growth,
    medians,
    table,
    written,
)
from storepipe_dagster_tests.bench.pipeline import TABLES
from storepipe_dagster_tests.bench.watching import Taken, run
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.servers.mariadb import Database, MariaDb

SCRIPTS = "loose scripts"
BENCH = "storepipe_dagster_tests.bench"


def run_storepipe(home: Home, first: str, last: str) -> Measured:
    command = [sys.executable, "-m", f"{BENCH}.on_mysql", "run", "--from", first, "--to", last]
    taken, _ = run(command, home.environment)
    return Measured(taken, *written(Path(home.lake.root)))


def run_scripts(
    lake: Path, out: Path, url: str, given: Database, first: str, last: str
) -> dict[str, Measured]:
    """What each of the scripts takes, and all of them: one after the other."""
    address = sa.URL.create(
        "mysql+pymysql", given.user, given.password, given.host, given.port, given.database
    ).render_as_string(hide_password=False)
    out.mkdir()
    scripts = {
        "capture": ["loose_scripts", "capture", str(lake), url, first, last],
        "load": ["loose_scripts", "load", str(lake), address],
        "extract": ["loose_scripts", "extract", str(lake), address],
        "classic Spark": ["classic_peer", str(lake), str(out)],
    }
    found: dict[str, Measured] = {}
    bytes_before = files_before = 0
    for name, (module, *arguments) in scripts.items():
        taken, _ = run([sys.executable, "-m", f"{BENCH}.{module}", *arguments])
        total, files = written(lake, out)
        found[f"  {name}"] = Measured(taken, total - bytes_before, files - files_before)
        bytes_before, files_before = total, files
    steps = [one.taken for one in found.values()]
    seconds, cpu = sum(one.seconds for one in steps), sum(one.cpu for one in steps)
    everything = Taken(seconds, cpu, max(one.peak for one in steps))
    return {SCRIPTS: Measured(everything, bytes_before, files_before), **found}


def measure(server: MariaDb, carts: int, days: int, runs: int) -> dict[str, Figures]:
    """Print the figures of one shop; gives them."""
    first, last = str(FIRST_DAY), str(FIRST_DAY + timedelta(days=days - 1))
    found: dict[str, list[Figures]] = {}
    with store_process(carts=carts, days=days) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            given = [server.create_database() for _ in range(2)]
            home = Home(Path(folder) / f"{number}", url, given[0].environment())
            found.setdefault(OURS, []).append(run_storepipe(home, first, last).figures)
            lake, out = (Path(folder) / f"{number}-{what}" for what in ("lake", "tables"))
            for name, measured in run_scripts(lake, out, url, given[1], first, last).items():
                found.setdefault(name, []).append(measured.figures)
            expect_equal_tables(home, TABLES, out, SCRIPTS)
            for database in given:
                server.execute(f"DROP DATABASE `{database.database}`")
        lines = home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items")[0]["lines"]
    figures = {name: medians(measured) for name, measured in found.items()}
    print(f"\n{lines:,} cart lines in {days} days from the API to refined, median of {runs};")
    print("  on MariaDB, each in a new process, in brackets the ratio to storepipe:")
    print("\n".join(table(figures)))
    return figures


def compare(sizes: Sequence[tuple[int, int]], runs: int) -> None:
    """Measure shops of so many carts and days, and how the figures grow."""
    with MariaDb() as server:
        found = [measure(server, carts, days, runs) for carts, days in sizes]
    print("\n".join(growth("carts", [carts for carts, _ in sizes], found)))
