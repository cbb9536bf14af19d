"""What days and Dagster cost: a year as one range, and the real data set cold, divided.

A year of days and one day have the same number of carts. Cold means a new process, not an empty
cache of the disk. How a cold run's time is divided is in ``cold``.
"""

import json
import shutil
import tempfile
from contextlib import ExitStack
from itertools import product
from pathlib import Path

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench import cold
from storepipe_dagster_tests.bench.figures import (
    FIGURES,
    Figures,
    Measured,
    medians,
    shown,
    table,
    written,
)
from storepipe_dagster_tests.bench.pipeline import TRUSTED_AND_REFINED, recorded, run_days
from storepipe_dagster_tests.end_to_end.commands import Home

FAKESTORE = Path(__file__).parents[3] / "shared" / "data" / "fakestore"
REAL_DAYS = 62
YEAR = 365
PYTHON = "Python's start and end"
PARTS = (PYTHON, cold.IMPORTS, cold.SPARK, cold.WORK, cold.DAGSTER)


def compare_days(carts: int, runs: int, year: int = YEAR) -> None:
    """Print what the same carts take on one day and on the days of a year, each in one run."""
    graph: dict[str, list[Figures]] = {}
    tables: dict[str, list[Figures]] = {}
    names = {1: "1 day", year: f"{year} days"}
    with ExitStack() as stack, tempfile.TemporaryDirectory() as folder:
        urls = {days: stack.enter_context(store_process(carts=carts, days=days)) for days in names}
        for number, (days, name) in product(range(runs), names.items()):
            home = Home(Path(folder) / f"{number}-{days}", urls[days])
            lake = Path(home.lake.root)
            taken = Measured(run_days(home, days)[0], *written(lake))
            graph.setdefault(name, []).append((*taken.figures, *recorded(home)))
            made = [lake / layer for layer in ("trusted", "refined")]
            for layer in (*made, home.path / "dagster"):
                shutil.rmtree(layer)
            once_more, _ = run_days(home, days, *TRUSTED_AND_REFINED)
            taken = Measured(once_more, *written(*made))
            tables.setdefault(name, []).append((*taken.figures, *recorded(home)))
        lines = home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items")[0]["lines"]
    print(f"\n{lines:,} cart lines on one day and on {year}, median of {runs};")
    print("  each in a new process and one run, in brackets the ratio to one day:")
    for what, found in (("whole graph", graph), ("trusted + refined", tables)):
        rows = {name: medians(measured) for name, measured in found.items()}
        print(f"  {what}")
        print("\n".join(table(rows, (*FIGURES, "runs", "steps", "events"), ours=names[1])))


def compare_cold(runs: int, fakestore: Path = FAKESTORE) -> None:
    """Print where the time of the real data set goes, and of one asset of one day."""
    if not fakestore.exists():
        print(f"\nThe real data set is not there ({fakestore}): cold starts are not measured.")
        return
    graph: list[Figures] = []
    asset: list[Figures] = []
    with store_process(from_dir=fakestore) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            home = Home(Path(folder) / f"{number}", url)
            graph.append((*divided(home, REAL_DAYS), *recorded(home)))
            before = recorded(home)
            parts = divided(home, 1, "--select", 'key:"trusted/sales"')
            counted = [now - then for now, then in zip(recorded(home), before, strict=True)]
            asset.append((*parts, *counted))
    print(f"\nThe real data set in a new process, median of {runs}:")
    seconds = [f"{name}, s" for name in ("start to exit", *PARTS)]
    names = (*seconds, "runs", "steps", "events")
    print(f"  {'':<27}{f'{REAL_DAYS} days, all':>16}{'trusted/sales, 1 day':>24}")
    for name, all_days, one in zip(names, medians(graph), medians(asset), strict=True):
        print(f"  {name:<27}{shown(all_days):>16}{shown(one):>24}")


def divided(home: Home, days: int, *options: str) -> Figures:
    """The seconds of a run from its process's start to its exit, and of its parts."""
    file = home.path.with_suffix(".json")
    module = ("storepipe_dagster_tests.bench.cold", str(file))
    taken, _ = run_days(home, days, *options, module=module)
    parts = json.loads(file.read_text())
    parts[PYTHON] = taken.seconds - sum(parts.values())
    return (taken.seconds, *(parts[name] for name in PARTS))
