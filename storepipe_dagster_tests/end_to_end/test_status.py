"""What `storepipe status` tells of a home whose store had a bad day, and what its repairs do."""

import csv
import io
import json
import shlex
import shutil
from dataclasses import replace

import pytest

from storepipe_dagster_tests.end_to_end.test_faulty_store import cart, serving

DAYS = ("2020-01-04", "2020-01-05", "2020-01-06")
TWO_DAYS, RANGE = ("--from", DAYS[0], "--to", DAYS[1]), ("--from", DAYS[0], "--to", DAYS[2])
TABLES = ("--select", 'not key:"refined/store_report"')  # to draw that takes longest
WITH_DAYS = [
    "raw/carts",
    "mysql/cart_items",
    "mysql/carts",
    "raw/relational/cart_items",
    "raw/relational/carts",
    "trusted/rejected_sales",
    "trusted/sales",
    "refined/sales_by_cart",
    "refined/sales_by_day",
    "refined/sales_by_product_day",
]


def status(home, *options):
    """The exit code and the lines."""
    done = home.command("status", *options, "--format", "json")
    assert done.returncode in {0, 1}, done.stderr
    return done.returncode, json.loads(done.stdout)


def repair(home, lines):
    """Type each repair once."""
    for command in dict.fromkeys(line["repair"] for line in lines):
        name, *words = shlex.split(command)
        assert name == "storepipe"
        done = home.command(*words)
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def first_day(new_laptop):
    """A home in which the first day was made, and its store; where the lake is makes no odds."""
    with serving(new_laptop, [cart(1, (1, 2))]) as (store, home):
        home.run(DAYS[0], DAYS[0], *TABLES)
        yield store, home


@pytest.fixture
def a_day(first_day, tmp_path):
    """A copy of that home, and its store, which answers as ever."""
    store, home = first_day
    store.answers, store.faults = {**store.answers, "/carts": [cart(1, (1, 2))]}, {}
    return store, replace(home, path=shutil.copytree(home.path, tmp_path / "home"))


@pytest.fixture(scope="module")
def gap(first_day, tmp_path_factory):
    """A home in which the middle one of three days was not made."""
    _, home = first_day
    copy = shutil.copytree(home.path, tmp_path_factory.mktemp("gap") / "home")
    home = replace(home, path=copy)
    by_day = " or ".join(f'key:"{key}"' for key in WITH_DAYS if key.startswith("refined/"))
    home.run(DAYS[2], DAYS[2], "--select", f"not group:refined or {by_day}")
    return home


def test_a_day_on_which_the_store_was_away_is_listed_with_what_mends_it(a_day):
    store, home = a_day
    store.faults = {"/carts": ["500"] * 9}
    assert home.command("run", "--from", DAYS[1], "--to", DAYS[1], *TABLES).returncode == 1
    store.faults = {}

    code, lines = status(home, *TWO_DAYS, *TABLES)
    assert code == 1
    with_days = [line for line in lines if line["days"]]
    assert sorted(line["asset"] for line in with_days) == sorted(WITH_DAYS)
    assert {(line["first_day"], line["last_day"], line["days"]) for line in with_days} == {
        (DAYS[1], DAYS[1], 1)
    }
    (failed,) = [line for line in lines if line["state"] == "failed"]
    assert (failed["asset"], failed["failure"]) == ("raw/carts", "passing")
    told = f"GET {home.api_url}/carts failed 5 times; the last time: it answered 500. "
    assert failed["reason"].startswith(told)
    others = [line for line in lines if line != failed]
    assert {line["state"] for line in others if line["days"]} == {"missing"}
    assert {line["state"] for line in others if not line["days"]} == {"stale"}
    assert {line["reason"] for line in others} == {f"raw/carts: {failed['reason']}"}
    assert len({line["run_id"] for line in lines}) == 1
    assert {line["repair"] for line in lines} == {
        f"storepipe run --from {DAYS[1]} --to {DAYS[1]} --select 'key:\"raw/carts\"+'"
    }

    repair(home, lines)
    assert status(home, *TWO_DAYS) == (0, [])


@pytest.mark.slow
def test_a_day_of_bad_records_is_permanent_and_stays_until_the_store_mends_it(a_day):
    store, home = a_day
    store.answers["/carts"] = [cart(1, (1, 1)), {"id": "x"}]
    assert home.command("run", "--from", DAYS[1], "--to", DAYS[1], *TABLES).returncode == 1

    _, lines = status(home, *TWO_DAYS, *TABLES)
    (failed,) = [line for line in lines if line["state"] == "failed"]
    assert (failed["asset"], failed["failure"]) == ("raw/carts", "permanent")
    assert failed["reason"].startswith(
        "few_records_are_rejected failed. 1 of 2 records break their contract."
    )
    store.answers["/carts"] = [cart(1, (1, 1))]
    repair(home, lines)
    assert status(home, *TWO_DAYS) == (0, [])


def test_a_missing_day_a_selection_and_the_other_formats(gap):
    select = (*RANGE, "--select", 'key:"trusted/sales"')

    code, (line,) = status(gap, *select)
    assert code == 1
    assert line == {
        "asset": "trusted/sales",
        "first_day": DAYS[1],
        "last_day": DAYS[1],
        "days": 1,
        "state": "missing",
        "failure": None,
        "reason": "No run was to make it.",
        "run_id": None,
        "repair": f"storepipe run --from {DAYS[1]} --to {DAYS[1]} --select 'key:\"raw/carts\"+'",
    }
    done = gap.command("status", *select, "--format", "csv")
    assert [row["state"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["missing"]
    assert done.stderr.endswith("2020-01-04 to 2020-01-06: 1 missing.\n")
    assert "No run was to make it." in gap.command("status", *select).stdout

    done = gap.command("status", "--from", DAYS[2], "--to", DAYS[2], *TABLES)
    assert done.returncode == 0
    assert done.stderr.endswith("2020-01-06 to 2020-01-06: nothing is failed or missing.\n")


def test_by_default_the_list_goes_from_the_first_day_ever_made_to_yesterday(gap):
    _, lines = status(gap, "--select", 'key:"raw/carts"')
    assert [(line["first_day"], line["state"]) for line in lines] == [
        (DAYS[1], "missing"),
        ("2020-01-07", "missing"),
    ]


def test_days_that_are_not_over_are_named(gap):
    done = gap.command("status", "--to", "2999-01-01")
    assert done.returncode == 1
    assert "2999-01-01 is not over yet" in done.stderr
