"""``make bench``: the database beside PyMySQL and ConnectorX, the graph beside hand-written peers.

``make bench ONLY=start`` measures one part.

The peers (DuckDB, Polars, and the graph's own transforms on classic Spark) make the trusted and
refined tables of the same extract, and those of a day that changed. Besides: captures by hand, the
loose scripts that the project replaces, and what days, Dagster and a start of a command cost.
Prints ratios of one run on one machine; absolute times mean little elsewhere.
"""

import argparse

from storepipe_dagster_tests.bench import (
    capture,
    database,
    engines,
    graph,
    orchestration,
    start,
    whole,
)


def main() -> None:
    """Measure the parts asked for, each at its sizes."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument(
        "--only",
        choices=["start", "database", "engines", "graph", "capture", "whole", "orchestration"],
        help="one part; default: all",
    )
    parser.add_argument("--runs", type=int, default=3, help="runs, of which the median is told")
    parser.add_argument(
        "--lines",
        type=int,
        nargs="+",
        default=[1_000_000, 10_000_000, 50_000_000],
        help="engines: sizes of the extract in cart lines; the default ones take twenty minutes"
        " for each of the runs, on two cores",
    )
    parser.add_argument(
        "--line-days",
        type=int,
        default=365,
        help="engines, orchestration: days that the lines fall on",
    )
    parser.add_argument(
        "--without",
        choices=engines.PEERS,
        action="append",
        default=[],
        help="engines: a peer to leave out",
    )
    parser.add_argument(
        "--classic-up-to",
        type=int,
        metavar="LINES",
        default=10_000_000,
        help="engines: the largest size that classic Spark gets too",
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
    shop = (options.carts, options.days)
    twice = (2 * options.carts, 2 * options.days)
    if options.only in (None, "start"):
        start.compare(options.runs)
    if options.only in (None, "database"):
        database.compare(options.runs, options.rows)
    if options.only in (None, "engines"):
        peers = [peer for peer in engines.PEERS if peer not in options.without]
        sizes = (options.lines, options.line_days, options.runs)
        engines.compare(*sizes, peers, options.classic_up_to)
    if options.only in (None, "graph"):
        graph.compare([shop, twice], options.runs)
    if options.only in (None, "capture"):
        capture.compare([shop, twice], options.runs)
    if options.only in (None, "whole"):
        whole.compare([(max(1, options.carts // 10), options.days), shop], options.runs)
    if options.only in (None, "orchestration"):
        orchestration.compare_cold(options.runs)
        orchestration.compare_days(options.carts, options.runs, options.line_days)


if __name__ == "__main__":
    main()
