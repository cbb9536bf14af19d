"""``make bench``: the database beside PyMySQL and ConnectorX, the graph beside DuckDB, its memory.

Prints ratios of one run on one machine; absolute times mean little elsewhere. More peers and sizes
are to come (see the README).
"""

import argparse
import re
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import psutil

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench import database
from storepipe_dagster_tests.bench.duckdb_peer import write_tables
from storepipe_dagster_tests.end_to_end.commands import Home

FIRST_DAY = date(2020, 1, 1)
STEP = re.compile(r"^\[ ?\d+/\d+\] (\S+).*?([\d.]+) s", re.MULTILINE)
LAYERS = {"raw/relational": "relational", "raw": "raw", "mysql": "mysql", "trusted": "trusted"}


@dataclass(frozen=True)
class Measured:
    """One run of the whole graph: seconds in all and by layer, peak memory in MiB."""

    seconds: float
    by_layer: dict[str, float]
    peak: float


def run_graph(home: Home, days: int) -> Measured:
    """Run the whole graph as a user does, watching the memory of its process."""
    last = FIRST_DAY + timedelta(days=days - 1)
    started = time.monotonic()
    process = home.start("run", "--from", str(FIRST_DAY), "--to", str(last))
    watched, peak = psutil.Process(process.pid), 0
    by_layer: dict[str, float] = {}
    while process.poll() is None:
        peak = max(peak, watched.memory_info().rss)
        time.sleep(0.05)
    for step, seconds in STEP.findall(process.stderr.read()):
        layer = next((name for prefix, name in LAYERS.items() if step.startswith(prefix)), None)
        layer = layer or ("relational" if step.startswith("relational") else "refined")
        by_layer[layer] = by_layer.get(layer, 0.0) + float(seconds)
    if process.returncode:
        raise SystemExit(f"the graph failed in {home.path}")
    return Measured(time.monotonic() - started, by_layer, peak / 2**20)


def measure(carts: int, days: int, runs: int) -> None:
    """Print the figures of one size."""
    with store_process(carts=carts, days=days) as url, tempfile.TemporaryDirectory() as folder:
        graphs, peers = [], []
        for number in range(runs):
            home = Home(Path(folder) / str(number), url)
            graphs.append(run_graph(home, days))
            out = Path(folder) / f"duckdb-{number}"
            out.mkdir()
            started = time.monotonic()
            write_tables(home.lake.root, out)
            peers.append(time.monotonic() - started)
            check_equal(home, out)
        lines = home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items")[0]["lines"]
    median = statistics.median
    by_layer = {
        layer: median(graph.by_layer[layer] for graph in graphs) for layer in graphs[0].by_layer
    }
    ours, peer = by_layer["trusted"] + by_layer["refined"], median(peers)
    print(f"\n{lines:,} cart lines in {days} days, median of {runs}:")
    print(f"  whole graph         {median(graph.seconds for graph in graphs):8.1f} s")
    for layer, seconds in by_layer.items():
        print(f"    {layer:<18}{seconds:8.1f} s")
    print(f"  peak memory         {max(graph.peak for graph in graphs):8.0f} MiB")
    print(f"  trusted + refined, with checks and report, to hand-written DuckDB: {ours / peer:.2f}")


def check_equal(home: Home, out: Path) -> None:
    """Stop if the peer's results are not ours: times of different work compare nothing."""
    for table, columns in {
        "trusted.sales": "count(*) AS n, sum(revenue) AS revenue",
        "trusted.rejected_sales": "count(*) AS n",
        "refined.sales_by_category": "sum(carts) AS carts, sum(customers) AS customers",
        "refined.sales_by_product": "sum(carts) AS carts, sum(units) AS units",
        "refined.customer_segments": "sum(frequency * recency_score) AS n",
        "refined.customer_cohorts": "sum(customers * months_since_first) AS n",
        "refined.product_affinity": "count(*) AS n, sum(carts_together) AS carts",
    }.items():
        ours = home.sql(f"SELECT {columns} FROM {table}")
        peer = home.sql(f"SELECT {columns} FROM '{out}/{table.split('.')[1]}.parquet'")
        if ours != peer:
            raise SystemExit(f"{table} differs: {ours} here, {peer} in DuckDB")


def main() -> None:
    """Measure one size, then twice the days at the same number of carts a day."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--carts", type=int, default=333_000, help="carts (about three lines each)")
    parser.add_argument("--days", type=int, default=60, help="days they fall on")
    parser.add_argument("--runs", type=int, default=3, help="runs, of which the median is told")
    options = parser.parse_args()
    database.compare(options.runs)
    measure(options.carts, options.days, options.runs)
    measure(2 * options.carts, 2 * options.days, 1)


if __name__ == "__main__":
    main()
