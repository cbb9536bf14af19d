"""What a command takes from its start to its exit, warm, beside Dagster alone.

Dagster alone is ``dagster asset materialize`` of a project whose one asset does nothing. The home
that the commands read holds the real data set, or a synthetic store where that is not there.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from pathlib import Path

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench.figures import Figures, medians, table
from storepipe_dagster_tests.bench.watching import Taken, run
from storepipe_dagster_tests.end_to_end.commands import Home

FAKESTORE = Path(__file__).parents[3] / "shared" / "data" / "fakestore"
STAND_IN = {"carts": 7, "days": 62}
FIRST_DAY, DAYS = date(2020, 1, 1), 62
LEAST_RUNS = 5  # a start is short, and two cores are noisy
DAGSTER_ALONE = "dagster asset materialize, one empty asset"
EMPTY_PROJECT = "import dagster as dg\n\n\n@dg.asset\ndef nothing() -> None: ...\n"
ONE_ASSET = ("--select", 'key:"refined/sales_by_day"')
TITLES = ("seconds", "CPU s", "peak MiB", "goal, s")

Start = Callable[[Path], Taken]


def compare(runs: int, fakestore: Path = FAKESTORE) -> None:
    """Print the medians of each command; each is run once before it is measured."""
    runs = max(runs, LEAST_RUNS)
    shop = {"from_dir": fakestore} if fakestore.exists() else STAND_IN
    with store_process(**shop) as url, tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home", url)
        home.run(*_span(DAYS))
        rows = {
            name: (*_median(start, runs, Path(folder)), goal)
            for name, (goal, start) in _starts(home).items()
        }
    print(f"\nFrom a command's start to its exit, warm, median of {runs};")
    print(f"  in brackets the ratio to {DAGSTER_ALONE}:")
    print("\n".join(table(rows, TITLES, ours=DAGSTER_ALONE)))


def _starts(home: Home) -> Mapping[str, tuple[float, Start]]:
    """Each command with its goal in seconds; what makes a home gets a new one each time."""
    nan = float("nan")
    first, last = _span(DAYS)
    day, _ = _span(1)
    return {
        DAGSTER_ALONE: (nan, _dagster_alone),
        "storepipe --help": (0.15, _command(home, "--help")),
        "storepipe sql, a count": (
            0.8,
            _command(home, "sql", "SELECT count(*) FROM trusted.sales"),
        ),
        "storepipe status": (1.5, _command(home, "status", "--from", first, "--to", last)),
        "storepipe history": (0.8, _command(home, "history", "trusted.sales")),
        "one asset, one day": (
            2.5,
            _command(home, "run", "--from", day, "--to", day, *ONE_ASSET),
        ),
        "the whole graph, one real day": (6, _new_home(home, "run", "--from", day, "--to", day)),
        "the whole graph, 62 real days": (8, _new_home(home, "run", "--from", first, "--to", last)),
        "storepipe demo": (12, _new_home(home, "demo")),
    }


def _median(start: Start, runs: int, folder: Path) -> Figures:
    with tempfile.TemporaryDirectory(dir=folder) as first:
        start(Path(first))
    measured = []
    for _ in range(runs):
        with tempfile.TemporaryDirectory(dir=folder) as own:
            taken = start(Path(own))
            measured.append((taken.seconds, taken.cpu, taken.peak))
    return medians(measured)


def _command(home: Home, *arguments: str) -> Start:
    """The installed command, on a home that is there."""
    script = str(Path(sys.executable).with_name("storepipe"))

    def start(_own: Path) -> Taken:
        return run([script, *arguments], home.environment)[0]

    return start


def _new_home(home: Home, *arguments: str) -> Start:
    def start(own: Path) -> Taken:
        return _command(Home(own / "home", home.api_url), *arguments)(own)

    return start


def _dagster_alone(own: Path) -> Taken:
    """Dagster's own command on the least project, with a home of its own."""
    (own / "empty.py").write_text(EMPTY_PROJECT)
    command = [sys.executable, "-m", "dagster", "asset", "materialize", "--select", "nothing"]
    return run([*command, "-f", str(own / "empty.py")], {**os.environ, "DAGSTER_HOME": str(own)})[0]


def _span(days: int) -> tuple[str, str]:
    return str(FIRST_DAY), str(FIRST_DAY + timedelta(days=days - 1))
