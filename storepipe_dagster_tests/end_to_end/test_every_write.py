"""Any write may be the last: what is readable then, and that the next run ends as a clean one.

A run is ended with SIGKILL in the middle of a write, at points that are spread evenly over all the
writes of a run that was counted; `end_at_write.c` counts and ends. Each part of the home has points
of its own: Dagster's tables take fifty times the writes of the lake.
"""

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock

from storepipe_dagster.store.process import store_process
from storepipe_dagster.store.synthetic import SyntheticShop
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.servers.install import program

FIRST, LAST = "2020-01-01", "2020-01-03"
RUN = ("run", "--from", FIRST, "--to", LAST)
SOURCE = Path(__file__).with_name("end_at_write.c")
# How many points a part of the home has: 20 in a first run, and as many in a second one. The two
# databases are written by SQLite alone, which needs fewer.
POINTS = {"lake/": 14, "store.db": 2, "dagster/": 4}
GROUPS = 5
KILLED = -9
DAY_COLUMNS = ("sale_date", "cart_date")


@dataclass(frozen=True)
class Point:
    """The write that is the last: its number among those of a part of the home."""

    part: str
    number: int
    of: int


@dataclass(frozen=True)
class Prepared:
    """A run to be ended: the home that it starts from, and the tables before and after it."""

    start: Path | None
    before: dict
    after: dict
    writes: dict[str, int]

    def points(self):
        """The writes to end at, in the middle of as many stretches of equal length."""
        return [
            Point(
                part, max(1, round((place + 0.5) * self.writes[part] / points)), self.writes[part]
            )
            for part, points in POINTS.items()
            for place in range(points)
        ]


# --- the store, before and after it changed ---------------------------------------------------


def shops():
    """The lists of a small store, and of the same store a while later."""
    shop = SyntheticShop(carts=30, days=3, seed=3)
    products, users, carts = shop.list_products(), shop.list_users(), list(shop.stream_carts())
    carts[4]["products"].append({"productId": 999, "quantity": 1})  # a line that is rejected
    before = {"products": products, "users": users, "carts": carts}
    after = json.loads(json.dumps(before))
    for product in after["products"][::3]:
        product["price"] += 1
    after["products"].append({**products[0], "id": 500, "title": "Newcomer"})
    after["users"].append({**users[0], "id": 500})
    for cart in after["carts"][::4]:
        cart["products"][0]["quantity"] += 2
    newcomer = {"userId": 500, "products": [{"productId": 500, "quantity": 3}]}
    after["carts"] += [{**carts[0], "id": 501, **newcomer}, {**carts[-1], "id": 502, **newcomer}]
    after["carts"][5]["products"].append({"productId": 998, "quantity": 1})
    return before, after


@pytest.fixture(scope="module")
def urls(tmp_path_factory):
    """Where the store answers as it was, and as it is later."""
    with ExitStack() as stores:
        addresses = {}
        for name, lists in zip(("first", "second"), shops(), strict=True):
            folder = tmp_path_factory.mktemp(name)
            for kind, records in lists.items():
                (folder / f"{kind}.json").write_text(json.dumps(records))
            addresses[name] = stores.enter_context(store_process(from_dir=folder))
        yield addresses


# --- ending a run -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The library that counts writes and ends the process at one of them."""
    compiled = tmp_path_factory.mktemp("library") / "end_at_write.so"
    command = [
        program("cc"),
        "-shared",
        "-fPIC",
        "-O1",
        "-o",
        compiled,
        SOURCE,
        "-ldl",
        "-lpthread",
    ]
    subprocess.run(command, check=True)
    return compiled


def counted(home, library, log, below, **more):
    """The outcome of a run whose writes below a part of the home are counted, and their lines."""
    variables = {
        "LD_PRELOAD": str(library),
        "END_BELOW": f"{home.path}/{below}",
        "END_LOG": str(log),
        **more,
    }
    done = Home(home.path, home.api_url, variables).command(*RUN)
    return done, log.read_text().splitlines() if log.exists() else []


@pytest.fixture(scope="module")
def prepared(urls, library, tmp_path_factory, worker_id):
    """A first run and a second one, neither of which was ended; made once for all workers."""
    own = tmp_path_factory.mktemp("prepared")
    folder = own if worker_id == "master" else own.parent.parent / "every_write"
    folder.mkdir(exist_ok=True)
    file = folder / "prepared.json"
    with FileLock(f"{folder}.lock"):
        if not file.exists():
            first, before = whole_run(folder / "home", urls["first"], library, None)
            start = folder / "start"
            shutil.copytree(folder / "home", start)
            second, after = whole_run(folder / "home", urls["second"], library, before)
            runs = {
                "first": (None, {}, before, first),
                "second": (str(start), before, after, second),
            }
            file.write_text(json.dumps(runs))
    return {
        name: Prepared(start and Path(start), before, after, writes)
        for name, (start, before, after, writes) in json.loads(file.read_text()).items()
    }


def whole_run(path, url, library, before):
    """Run to the end; gives the writes to each part of the home, and the tables."""
    home = Home(path, url)
    done, lines = counted(home, library, path.with_suffix(".log"), "")
    assert done.returncode == 0, done.stderr
    path.with_suffix(".log").unlink()
    paths = [line.split("\t")[2] for line in lines]
    tables = tables_of(home)
    assert all(rows for name, rows in tables.items()), "a table without rows would prove little"
    assert before is None or {name for name in tables if tables[name] == before[name]} <= {
        "refined.product_affinity"  # it may well be that the same products go together
    }
    return {part: sum(path.startswith(part) for path in paths) for part in POINTS}, tables


def tables_of(home):
    """All tables; of a price whether it has changed, as runs capture at different times."""
    tables = home.tables()
    for row in tables.get("trusted.product_prices", ()):
        row |= {name: row[name] is not None for name in ("valid_from", "valid_to")}
    for rows in tables.values():
        rows.sort(key=json.dumps)
    return tables


def by_day(tables):
    """The rows of each day of a table; of a table without days, all."""
    found = defaultdict(list)
    for name, rows in tables.items():
        if not rows:
            found[name, None] = []
        for row in rows:
            day = next((row[column] for column in DAY_COLUMNS if column in row), None)
            found[name, day].append(row)
    return found


def unlike(found, before, after):
    """The tables, or their days, that are neither as before the run nor as after it."""
    known = [by_day(before), by_day(after)]
    return [
        f"{name} {day or ''}".rstrip()
        for (name, day), rows in by_day(found).items()
        if rows not in [tables.get((name, day)) for tables in known]
    ]


def problem_after(run, point, url, library, folder):
    """What is wrong once a run was ended at a point, or after the run that follows; or nothing."""
    home = Home(folder / "home", url)
    if run.start is not None:
        shutil.copytree(run.start, home.path)
    at = str(point.number)
    done, lines = counted(home, library, folder / "log", point.part, END_AT=at)
    if done.returncode != KILLED:
        return f"the run ended with {done.returncode} before that write:\n{done.stderr}"
    _, what, path = lines[-1].split("\t")
    where = f"{what} of {point.part}{path}"
    try:
        if odd := unlike(tables_of(home), run.before, run.after):
            return f"{where}: then {', '.join(odd)} is neither as before nor as after"
        again = home.command(*RUN)
        if again.returncode != 0:
            return f"{where}: the next run ended with {again.returncode}:\n{again.stderr}"
        tables = tables_of(home)
    except Exception as error:  # noqa: BLE001  # which write it was is what matters
        return f"{where}: the lake cannot be read: {type(error).__name__}: {error}"
    wrong = [name for name in run.after | tables if run.after.get(name) != tables.get(name)]
    return f"{where}: the next run left {', '.join(wrong)} unlike a clean one" if wrong else None


@pytest.mark.slow
@pytest.mark.parametrize("group", range(GROUPS))
@pytest.mark.parametrize("name", ["first", "second"])
def test_a_run_that_ends_at_any_write_leaves_the_last_good_version_and_is_repaired_by_the_next(
    prepared, urls, library, tmp_path, name, group
):
    run = prepared[name]
    problems = []
    for point in run.points()[group::GROUPS]:
        folder = tmp_path / f"{point.part.strip('/')}-{point.number}"
        folder.mkdir()
        if problem := problem_after(run, point, urls[name], library, folder):
            problems.append(f"write {point.number} of {point.of} to {point.part}: {problem}")
        shutil.rmtree(folder)
    assert not problems, "\n".join(problems)


# --- what the test itself rests on ------------------------------------------------------------

WRITES = """
import os, sqlite3, sys
folder = sys.argv[1]
os.mkdir(f"{folder}/new")
with open(f"{folder}/new/file", "wb", buffering=0) as file:
    file.write(b"12345678")
    os.fsync(file.fileno())
os.rename(f"{folder}/new/file", f"{folder}/new/named")
os.unlink(f"{folder}/new/named")
open(f"{folder}/beside", "w").close()
"""
LINES = [
    "1\tmkdir\t",
    "2\topen\t/file",
    "3\twrite\t/file",
    "4\tfsync\t/file",
    "5\trename\t/named",
    "6\tunlink\t/named",
]


@pytest.mark.parametrize(
    ("last", "left"),
    [
        (1, {}),
        (2, {"new": None}),
        (3, {"new": None, "new/file": b"1234"}),
        (4, {"new": None, "new/file": b"12345678"}),
        (5, {"new": None, "new/file": b"12345678"}),
        (6, {"new": None, "new/named": b"12345678"}),
        (7, {"new": None, "beside": b""}),
    ],
)
def test_the_process_ends_at_the_write_that_is_named(library, tmp_path, last, left):
    folder = tmp_path / "folder"
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-S", "-c", WRITES, str(folder)],
        env={
            "LD_PRELOAD": str(library),
            "END_BELOW": f"{folder}/new",
            "END_LOG": str(tmp_path / "log"),
            "END_AT": str(last),
        },
        check=False,
    )
    assert done.returncode == (KILLED if last <= len(LINES) else 0)
    assert (tmp_path / "log").read_text().splitlines() == LINES[:last]
    found = {str(path.relative_to(folder)): path for path in folder.rglob("*")}
    assert {
        name: path.read_bytes() if path.is_file() else None for name, path in found.items()
    } == left


def test_points_are_spread_evenly_over_the_writes_of_each_part():
    writes = {"lake/": 140, "store.db": 3, "dagster/": 40}
    points = Prepared(None, {}, {}, writes).points()
    numbers = {part: [point.number for point in points if point.part == part] for part in POINTS}
    assert numbers["lake/"] == list(range(5, 140, 10))
    assert numbers["dagster/"] == list(range(5, 40, 10))
    assert numbers["store.db"] == [1, 2]
    assert len(points) == 20


def test_a_half_made_table_is_noticed():
    day, other = {"sale_date": "2020-01-01", "n": 1}, {"sale_date": "2020-01-02", "n": 2}
    before, after = {"a": [day, other], "b": [{"n": 1}]}, {"a": [day], "b": [{"n": 2}], "c": [day]}
    assert unlike({"a": [day], "b": [{"n": 2}]}, before, after) == []
    assert unlike({"a": [day, other], "b": [{"n": 1}], "c": [day]}, before, after) == []
    assert unlike({"a": [day, day]}, before, after) == ["a 2020-01-01"]
    assert unlike({"b": []}, before, after) == ["b"]
    assert unlike({"c": []}, before, after) == ["c"]
    assert unlike({"b": [{"n": 1}, {"n": 2}]}, before, after) == ["b"]
