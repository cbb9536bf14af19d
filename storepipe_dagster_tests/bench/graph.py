"""The whole graph from the API to refined, and the seconds of each of its layers."""

import re
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench.pipeline import run_days
from storepipe_dagster_tests.end_to_end.commands import Home

STEP = re.compile(r"^\[ ?\d+/\d+\] (\S+).*?([\d.]+) s", re.MULTILINE)
LAYERS = {"raw/relational": "relational", "raw": "raw", "mysql": "mysql", "trusted": "trusted"}


def seconds_by_layer(told: str) -> dict[str, float]:
    """The seconds of the steps that a run told of, by their layers."""
    by_layer: dict[str, float] = {}
    for step, seconds in STEP.findall(told):
        layer = next((name for prefix, name in LAYERS.items() if step.startswith(prefix)), None)
        layer = layer or ("relational" if step.startswith("relational") else "refined")
        by_layer[layer] = by_layer.get(layer, 0.0) + float(seconds)
    return by_layer


def measure(carts: int, days: int, runs: int) -> None:
    """Print what the whole graph takes, by layer."""
    whole, layers = [], []
    with store_process(carts=carts, days=days) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            home = Home(Path(folder) / f"{number}", url)
            taken, told = run_days(home, days)
            whole.append(taken)
            layers.append(seconds_by_layer(told))
        lines = home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items")[0]["lines"]
    median = statistics.median
    print(f"\n{lines:,} cart lines in {days} days from the API, median of {runs}:")
    print(f"  whole graph         {median(taken.seconds for taken in whole):8.1f} s")
    for layer in layers[0]:
        print(f"    {layer:<18}{median(by_layer[layer] for by_layer in layers):8.1f} s")
    print(f"  processor time      {median(taken.cpu for taken in whole):8.1f} s")
    print(f"  peak memory         {max(taken.peak for taken in whole):8.0f} MiB")


def compare(sizes: Sequence[tuple[int, int]], runs: int) -> None:
    """Measure shops of so many carts and days; the larger ones once."""
    for number, (carts, days) in enumerate(sizes):
        measure(carts, days, 1 if number else runs)
