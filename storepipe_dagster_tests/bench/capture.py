"""The captures of the API, beside requests and json by hand.

Both ask the embedded store, which is a process of its own and is not measured. Ours also judges
each record by its contract, sets bad ones aside, and records the run.
"""

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from storepipe_dagster.io_managers.capture_manifests import MANIFESTS
from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.bench.extracts import FIRST_DAY
from storepipe_dagster_tests.bench.figures import (
    OURS,
    Figures,
    Measured,
    growth,
    medians,
    table,
    written,
)
from storepipe_dagster_tests.bench.watching import run
from storepipe_dagster_tests.end_to_end.commands import Home

BY_HAND = "by hand"
PEER = "storepipe_dagster_tests.bench.loose_scripts"
ACCEPTED, REJECTED = "*Z.json", "*.rejected.json"


def capture_by_storepipe(home: Home, first: str, last: str) -> Measured:
    command = [sys.executable, "-m", "storepipe_dagster.cli", "run", "--select", "group:raw"]
    taken, _ = run([*command, "--from", first, "--to", last], home.environment)
    return Measured(taken, *written(Path(home.lake.root)))


def capture_by_hand(lake: Path, url: str, first: str, last: str) -> Measured:
    taken, _ = run([sys.executable, "-m", PEER, "capture", str(lake), url, first, last])
    return Measured(taken, *written(lake))


def expect_equal_captures(ours: Path, theirs: Path) -> None:
    """Stop if the files hold other records; ours are divided into accepted and rejected ones."""
    folders = {file.parent.relative_to(theirs) for file in theirs.rglob("*.json")}
    folders |= {file.parent.relative_to(ours) for file in ours.rglob(ACCEPTED)}
    for folder in sorted(folder for folder in folders if folder.name != MANIFESTS):
        rejected = [one["record"] for one in _records(ours / folder, REJECTED)]
        found = _counted([*_records(ours / folder, ACCEPTED), *rejected])
        if found != _counted(_records(theirs / folder, ACCEPTED)):
            raise SystemExit(f"{folder}: the captures hold differing records")


def _records(folder: Path, pattern: str) -> list[Any]:
    return [one for file in folder.glob(pattern) for one in json.loads(file.read_text())]


def _counted(records: list[Any]) -> Counter[str]:
    return Counter(json.dumps(record, sort_keys=True) for record in records)


def measure(carts: int, days: int, runs: int) -> dict[str, Figures]:
    """Print the figures of one shop; gives them."""
    first, last = str(FIRST_DAY), str(FIRST_DAY + timedelta(days=days - 1))
    found: dict[str, list[Figures]] = {OURS: [], BY_HAND: []}
    with store_process(carts=carts, days=days) as url, tempfile.TemporaryDirectory() as folder:
        for number in range(runs):
            home = Home(Path(folder) / f"{number}", url)
            found[OURS].append(capture_by_storepipe(home, first, last).figures)
            lake = Path(folder) / f"{number}-by-hand"
            found[BY_HAND].append(capture_by_hand(lake, url, first, last).figures)
            expect_equal_captures(Path(home.lake.root), lake)
    figures = {name: medians(measured) for name, measured in found.items()}
    print(f"\n{carts:,} carts in {days} days captured from the API, median of {runs};")
    print("  each in a new process, in brackets the ratio to storepipe:")
    print("\n".join(table(figures)))
    return figures


def compare(sizes: Sequence[tuple[int, int]], runs: int) -> None:
    """Measure shops of so many carts and days, and how the figures grow."""
    found = [measure(carts, days, runs) for carts, days in sizes]
    print("\n".join(growth("carts", [carts for carts, _ in sizes], found)))
