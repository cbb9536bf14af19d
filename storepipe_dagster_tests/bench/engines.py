"""Trusted and refined beside peers, of the same extract: for all of its days, and for one of them.

DuckDB and Polars are written by hand; classic Spark is Spark itself on the JVM of this machine,
with the graph's own transforms. The lines of the one day have changed since all were made: sales
and rejected sales are then made for it alone, the other tables again of all days. Classic Spark has
no part in this, as it keeps nothing by day here.
"""

import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path

from storepipe_dagster_tests.bench.extracts import FIRST_DAY, change_day, write_extracts
from storepipe_dagster_tests.bench.figures import (
    FIGURES,
    OURS,
    UNKNOWN,
    Figures,
    Measured,
    expect_equal_tables,
    growth,
    medians,
    table,
    written,
)
from storepipe_dagster_tests.bench.pipeline import (
    TABLES,
    TRUSTED_AND_REFINED,
    recorded,
    run_storepipe,
)
from storepipe_dagster_tests.bench.watching import run
from storepipe_dagster_tests.end_to_end.commands import Home

CLASSIC = "classic"
# Each is a process of its own, with the lake, a folder for its tables, and a day if it is for one.
PEERS = {"duckdb": "duckdb_peer", "polars": "polars_peer", CLASSIC: "classic_peer"}
TITLES = (*FIGURES, "runs", "steps")

Rows = Mapping[str, Figures]


def made_folders(home: Home) -> list[Path]:
    """Where storepipe keeps what is measured."""
    return [Path(home.lake.root) / layer for layer in ("trusted", "refined")]


def run_ours(home: Home, first: date, last: date) -> Figures:
    """Make trusted and refined of a range of days, of an extract that is there."""
    before, started = recorded(home), time.time()
    taken, _ = run_storepipe(home, first, last, *TRUSTED_AND_REFINED)
    runs, steps, _ = (now - then for now, then in zip(recorded(home), before, strict=True))
    measured = Measured(taken, *written(*made_folders(home), since=started))
    return (*measured.figures, runs, steps)


def run_peer(peer: str, home: Home, out: Path, *day: str) -> Figures:
    """Run a peer on the extract of a home, for all days or for one."""
    started = time.time()
    command = [sys.executable, "-m", f"storepipe_dagster_tests.bench.{PEERS[peer]}"]
    taken, _ = run([*command, home.lake.root, str(out), *day])
    return (*Measured(taken, *written(out, since=started)).figures, UNKNOWN, UNKNOWN)


def make_all(home: Home, days: int, outs: Mapping[str, Path]) -> Rows:
    """What each takes for all days, where nothing was made yet."""
    for folder in (*made_folders(home), home.path / "dagster", *outs.values()):
        shutil.rmtree(folder, ignore_errors=True)
    found = {OURS: run_ours(home, FIRST_DAY, FIRST_DAY + timedelta(days=days - 1))}
    for peer, out in outs.items():
        out.mkdir()
        found[peer] = run_peer(peer, home, out)
        expect_equal_tables(home, TABLES, out, peer)
    return found


def make_again(home: Home, day: date, outs: Mapping[str, Path]) -> Rows:
    """What each takes for a day that has just changed, where all days were made."""
    change_day(Path(home.lake.root), day)
    found = {OURS: run_ours(home, day, day)}
    for peer, out in outs.items():
        found[peer] = run_peer(peer, home, out, str(day))
        expect_equal_tables(home, TABLES, out, peer)
    return found


def measure(lines: int, days: int, runs: int, peers: Sequence[str]) -> tuple[int, Rows, Rows]:
    """Print the figures of an extract of about so many lines.

    Gives its lines, and the figures of all days and of one.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        outs = {peer: Path(folder) / peer for peer in peers}
        write_extracts(Path(home.lake.root), lines, days)
        all_days = _medians([make_all(home, days, outs) for _ in range(runs)])
        outs.pop(CLASSIC, None)
        day = FIRST_DAY + timedelta(days=days // 2)
        one_day = _medians([make_again(home, day, outs) for _ in range(runs)])
        count = "SELECT count(*) AS lines FROM raw_relational.cart_items"
        exact = home.sql(count)[0]["lines"]
        changed = home.sql(f"{count} WHERE cart_date = '{day}'")[0]["lines"]
    print(f"\n{exact:,} extracted cart lines in {days} days, median of {runs}:")
    print("  trusted + refined (ours with checks, report and Delta logs), each in a new process,")
    print("  all with equal rows; in brackets the ratio to storepipe:")
    print(*table(all_days, TITLES), sep="\n")
    print(f"  the same after {changed:,} lines of one day have changed:")
    print(*table(one_day, TITLES), sep="\n")
    print(*growth("days", (1, days), (one_day, all_days), TITLES), sep="\n")
    return exact, all_days, one_day


def _medians(runs: Sequence[Rows]) -> Rows:
    return {name: medians([rows[name] for rows in runs]) for name in runs[0]}


def compare(
    sizes: Sequence[int], days: int, runs: int, peers: Sequence[str], classic_up_to: int
) -> None:
    """Measure extracts of so many lines, and how the figures grow."""
    found = []
    for lines in sizes:
        is_too_much = CLASSIC in peers and lines > classic_up_to
        measured = [peer for peer in peers if not (is_too_much and peer == CLASSIC)]
        found.append(measure(lines, days, runs, measured))
        if is_too_much:
            print(f"  {CLASSIC} is left out above {classic_up_to:,} lines: --classic-up-to")
    exact, all_days, one_day = zip(*found, strict=True)
    if len(sizes) > 1:
        print("\nTrusted + refined of all days, from size to size:")
        print(*growth("lines", exact, all_days, TITLES), sep="\n")
        print("After lines of one day have changed:")
        print(*growth("lines", exact, one_day, TITLES), sep="\n")
