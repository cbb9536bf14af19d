"""``make bench``: the database beside PyMySQL and ConnectorX, the graph beside hand-written peers.

The peers (DuckDB, Polars, and the graph's own transforms on classic Spark) make the trusted and
refined tables of the same extract. Besides: captures by hand, the loose scripts that the project
replaces, and what days and Dagster cost. Prints ratios of one run on one machine; absolute times
mean little elsewhere.
"""

import argparse
import re
import shutil
import statistics
import sys
import tempfile
from datetime import timedelta
from pathlib import Path

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench import capture, database, orchestration, whole
from storepipe_dagster_tests.bench.extracts import FIRST_DAY, write_extracts
from storepipe_dagster_tests.bench.figures import OURS, Measured, medians, table, written
from storepipe_dagster_tests.bench.watching import Taken, run
from storepipe_dagster_tests.end_to_end.commands import Home

STEP = re.compile(r"^\[ ?\d+/\d+\] (\S+).*?([\d.]+) s", re.MULTILINE)
LAYERS = {"raw/relational": "relational", "raw": "raw", "mysql": "mysql", "trusted": "trusted"}
# Each is a module with a ``write_tables(lake, out)``, run as a process of its own.
PEERS = {"duckdb": "duckdb_peer", "polars": "polars_peer", "classic": "classic_peer"}
EQUAL = {
    "trusted.product_prices": "count(*) AS n, sum(unit_price) AS price, count(valid_to) AS ended",
    "trusted.sales": "count(*) AS n, sum(revenue) AS revenue, sum(cart_id * line_number) AS line,"
    " sum(user_id * length(city)) AS city, sum(product_id * length(product_title)) AS title",
    "trusted.rejected_sales": "count(*) AS n, sum(cart_id * length(reason)) AS reason",
    "refined.sales_by_day": "sum(carts) AS carts, sum(customers * day(sale_date)) AS customers,"
    " sum(lines) AS lines, sum(units) AS units, sum(revenue * day(sale_date)) AS revenue",
    "refined.sales_by_category": "sum(carts) AS carts, sum(customers) AS customers,"
    " sum(lines) AS lines, sum(units) AS units, sum(revenue * length(category)) AS revenue,"
    " round(sum(revenue_share * length(category)), 6) AS share",
    "refined.sales_by_product": "sum(carts) AS carts, sum(units) AS units,"
    " sum(revenue * product_id) AS revenue, sum(revenue_rank * product_id) AS rank,"
    " round(sum(cumulative_revenue_share), 6) AS share, sum(length(product_title)) AS title",
    "refined.sales_by_city": "sum(customers) AS customers, sum(carts) AS carts,"
    " sum(units) AS units, sum(revenue * length(city)) AS revenue",
    "refined.customer_segments": "sum(frequency * recency_score) AS recency,"
    " sum(frequency_score * user_id) AS frequency, sum(monetary * monetary_score) AS monetary,"
    " sum(date_diff('day', first_sale_date, last_sale_date)) AS days",
    "refined.customer_cohorts": "sum(customers * month(cohort_month)) AS customers,"
    " sum(customers * months_since_first) AS months",
    "refined.product_affinity": "count(*) AS n, sum(carts_together * product_id) AS carts,"
    " sum(carts_together * other_product_id) AS other",
}


def run_graph(home: Home, days: int, *options: str) -> tuple[Taken, dict[str, float]]:
    """Run the graph as a user does; gives the seconds by layer too."""
    last = FIRST_DAY + timedelta(days=days - 1)
    range_of_days = ("--from", str(FIRST_DAY), "--to", str(last))
    command = [sys.executable, "-m", "storepipe_dagster.cli", "run", *options, *range_of_days]
    taken, told = run(command, home.environment)
    by_layer: dict[str, float] = {}
    for step, seconds in STEP.findall(told):
        layer = next((name for prefix, name in LAYERS.items() if step.startswith(prefix)), None)
        layer = layer or ("relational" if step.startswith("relational") else "refined")
        by_layer[layer] = by_layer.get(layer, 0.0) + float(seconds)
    return taken, by_layer


def run_ours(home: Home, days: int) -> Measured:
    """Make trusted and refined, of an extract that is there, in a lake that has neither."""
    layers = [Path(home.lake.root) / layer for layer in ("trusted", "refined")]
    for folder in (*layers, home.path / "dagster"):
        shutil.rmtree(folder, ignore_errors=True)
    taken, _ = run_graph(home, days, "--select", "group:trusted or group:refined")
    return Measured(taken, *written(*layers))


def run_peer(peer: str, home: Home, out: Path) -> Measured:
    """Run a peer on the extract of a home."""
    out.mkdir()
    module = f"storepipe_dagster_tests.bench.{PEERS[peer]}"
    taken, _ = run([sys.executable, "-m", module, home.lake.root, str(out)])
    return Measured(taken, *written(out))


def measure_engines(lines: int, days: int, runs: int, peers: list[str]) -> None:
    """Print what trusted and refined take beside the peers, of an extract of so many lines."""
    found: dict[str, list[Measured]] = {name: [] for name in (OURS, *peers)}
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home")
        write_extracts(Path(home.lake.root), lines, days)
        for number in range(runs):
            found[OURS].append(run_ours(home, days))
            for peer in peers:
                out = Path(folder) / f"{number}-{peer}"
                found[peer].append(run_peer(peer, home, out))
                check_equal(home, peer, out)
                shutil.rmtree(out)
        exact = home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items")[0]["lines"]
    print(f"\n{exact:,} extracted cart lines in {days} days, median of {runs}:")
    print("  trusted + refined (ours with checks, report and Delta logs), each in a new process;")
    print("  in brackets the ratio to storepipe:")
    rows = {name: medians([one.figures for one in ones]) for name, ones in found.items()}
    print(*table(rows), sep="\n")


def measure_graph(carts: int, days: int, runs: int) -> None:
    """Print what the whole graph takes, from the API to refined, by layer."""
    whole, layers = [], []
    with store_process(carts=carts, days=days) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            home = Home(Path(folder) / f"{number}", url)
            taken, by_layer = run_graph(home, days)
            whole.append(taken)
            layers.append(by_layer)
        lines = home.sql("SELECT count(*) AS lines FROM raw_relational.cart_items")[0]["lines"]
    median = statistics.median
    print(f"\n{lines:,} cart lines in {days} days from the API, median of {runs}:")
    print(f"  whole graph         {median(taken.seconds for taken in whole):8.1f} s")
    for layer in layers[0]:
        print(f"    {layer:<18}{median(by_layer[layer] for by_layer in layers):8.1f} s")
    print(f"  processor time      {median(taken.cpu for taken in whole):8.1f} s")
    print(f"  peak memory         {max(taken.peak for taken in whole):8.0f} MiB")


def check_equal(home: Home, peer: str, out: Path) -> None:
    """Stop if the peer's results are not ours: times of different work compare nothing."""
    for name, columns in EQUAL.items():
        path = out / f"{name.split('.')[1]}.parquet"
        files = path / "*.parquet" if path.is_dir() else path
        ours = home.sql(f"SELECT {columns} FROM {name}")
        theirs = home.sql(f"SELECT {columns} FROM '{files}'")
        if ours != theirs:
            raise SystemExit(f"{name} differs: {ours} here, {theirs} in {peer}")


def main() -> None:
    """Measure the parts asked for, each at its sizes."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["database", "engines", "graph", "capture", "whole", "orchestration"],
        help="one part; default: all",
    )
    parser.add_argument("--runs", type=int, default=3, help="runs, of which the median is told")
    parser.add_argument(
        "--lines",
        type=int,
        nargs="+",
        default=[1_000_000, 10_000_000],
        help="engines: sizes of the extract in cart lines; 50000000 takes a quarter of an hour",
    )
    parser.add_argument(
        "--line-days",
        type=int,
        default=365,
        help="engines, orchestration: days that the lines fall on",
    )
    parser.add_argument(
        "--without", choices=PEERS, action="append", default=[], help="engines: a peer to leave out"
    )
    parser.add_argument(
        "--carts",
        type=int,
        default=333_000,
        help="graph, capture, whole, orchestration: carts (about three lines each)",
    )
    parser.add_argument(
        "--days", type=int, default=60, help="graph, capture, whole: days they fall on"
    )
    parser.add_argument(
        "--rows",
        type=int,
        nargs="+",
        default=[2_000_000, 10_000_000],
        help="database: sizes in cart lines",
    )
    options = parser.parse_args()
    if options.only in (None, "database"):
        database.compare(options.runs, options.rows)
    if options.only in (None, "engines"):
        peers = [peer for peer in PEERS if peer not in options.without]
        for lines in options.lines:
            measure_engines(lines, options.line_days, options.runs, peers)
    if options.only in (None, "graph"):
        measure_graph(options.carts, options.days, options.runs)
        measure_graph(2 * options.carts, 2 * options.days, 1)
    shop = (options.carts, options.days)
    if options.only in (None, "capture"):
        capture.compare([shop, (2 * options.carts, 2 * options.days)], options.runs)
    if options.only in (None, "whole"):
        whole.compare([(max(1, options.carts // 10), options.days), shop], options.runs)
    if options.only in (None, "orchestration"):
        orchestration.compare_cold(options.runs)
        orchestration.compare_days(options.carts, options.runs, options.line_days)


if __name__ == "__main__":
    main()
