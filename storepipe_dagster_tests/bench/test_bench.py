"""That the benchmark compares like with like, and counts right; not how long anything takes."""

import json
import math
import os
from datetime import date
from types import SimpleNamespace

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storepipe_dagster.layers.mysql import transforms
from storepipe_dagster.layers.mysql.schemas import CART_ITEMS
from storepipe_dagster.layers.raw.schemas import Cart
from storepipe_dagster.layers.refined import schemas as refined
from storepipe_dagster.layers.trusted import schemas as trusted
from storepipe_dagster.store.process import store_process
from storepipe_dagster.store.synthetic import SyntheticShop
from storepipe_dagster_tests.bench import (
    capture,
    cold,
    database,
    duckdb_peer,
    engines,
    extracts,
    figures,
    graph,
    loose_scripts,
    polars_peer,
)
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.resources.cart_lines import CAPTURE

FIRST, LAST = "2020-01-01", "2020-01-02"
TABLES = [name.split(".")[1] for name in engines.TABLES]


def test_the_median_is_that_of_each_figure():
    assert figures.medians([(1, 30), (3, 10), (2, 20)]) == [2, 20]


def test_the_table_tells_each_figure_and_its_ratio_to_ours():
    rows = {"storepipe": (2.0, 10, 0), "peer": (5.0, math.nan, 3)}
    assert list(figures.table(rows, ("seconds", "files", "rows"))) == [
        f"  {'':<10}{'seconds':>20}{'files':>20}{'rows':>20}",
        f"  {'storepipe':<10}{'2 (1.00x)':>20}{'10 (1.00x)':>20}{'0':>20}",
        f"  {'peer':<10}{'5 (2.50x)':>20}{'-':>20}{'3':>20}",
    ]


@pytest.mark.parametrize(
    ("figure", "text"), [(1234.567, "1,234.57"), (1234, "1,234"), (2.0, "2"), (math.nan, "-")]
)
def test_a_figure_is_shown(figure, text):
    assert figures.shown(figure) == text


def test_growth_is_told_from_each_size_to_the_next():
    rows = [{"ours": (1.0, 0)}, {"ours": (1.8, 5)}, {"ours": (9.0, math.nan)}]
    assert list(figures.growth("lines", [1000, 2000, 10_000], rows, ("seconds", "files"))) == [
        "  2.0 x the lines (1,000 to 2,000):",
        "    ours: seconds x1.80",
        "  5.0 x the lines (2,000 to 10,000):",
        "    ours: seconds x5.00",
    ]


def test_written_are_the_bytes_and_files_of_all_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "one").write_text("12345")
    (tmp_path / "b").write_text("123")
    assert figures.written(tmp_path) == (8, 2)


def test_written_since_a_time_are_the_files_that_are_not_older(tmp_path):
    for seconds in (1, 2, 3):
        (tmp_path / f"{seconds}").write_text("1" * seconds)
        os.utime(tmp_path / f"{seconds}", (seconds, seconds))
    assert figures.written(tmp_path, since=2) == (5, 2)


def test_rows_that_differ_from_the_lake_end_the_benchmark(tmp_path):
    rows = [{"user_id": 1, "share": 0.1}, {"user_id": 2, "share": 0.2}]
    folder = tmp_path / "lake/raw/relational/users"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")
    theirs, home = tmp_path / "users.parquet", Home(tmp_path)

    def compare(rows):
        pq.write_table(pa.Table.from_pylist(rows), theirs)
        figures.expect_equal_tables(home, ["raw_relational.users"], tmp_path, "peer")

    compare([rows[1], {**rows[0], "share": 0.1 + 1e-15, "more": 1}])
    for others in (rows[:1], [*rows, rows[1]], [rows[0], {**rows[1], "share": 0.3}]):
        with pytest.raises(SystemExit, match=r"raw_relational\.users of peer differs"):
            compare(others)


def test_a_row_that_differs_on_one_of_the_days_is_found(tmp_path):
    rows = [{"cart_id": 7, "sale_date": date(2020, 1, day), "units": day} for day in (1, 2, 2)]
    folder = tmp_path / "lake/raw/relational/sales"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data.parquet")

    def compare(rows):
        by_day = tmp_path / "sales.parquet"
        pq.write_to_dataset(
            pa.Table.from_pylist(rows),
            by_day,
            partition_cols=["sale_date"],
            existing_data_behavior="delete_matching",
        )
        figures.expect_equal_tables(Home(tmp_path), ["raw_relational.sales"], tmp_path, "peer")

    compare([{**row, "units": float(row["units"])} for row in reversed(rows)])
    for others in (rows[:2], [*rows, rows[2]], [*rows[:2], {**rows[2], "units": 3}]):
        with pytest.raises(SystemExit, match=r"sales of peer differs; .*'sale_date': '2020-01-02'"):
            compare(others)


@pytest.mark.parametrize("peer", [duckdb_peer, polars_peer])
def test_a_peer_makes_the_columns_of_the_contract(peer, tmp_path):
    extracts.write_extracts(tmp_path / "lake", 3000, 3)
    peer.write_tables(tmp_path / "lake", tmp_path)
    for name in TABLES:
        schema = getattr(refined, name.upper(), None) or getattr(trusted, name.upper())
        assert set(schema.names) <= set(relation(tmp_path, name).columns), name


@pytest.mark.parametrize("peer", [duckdb_peer, polars_peer])
def test_a_peer_that_makes_a_changed_day_again_has_the_tables_of_all_days(peer, tmp_path):
    lake, again, anew = (tmp_path / name for name in ("lake", "again", "anew"))
    again.mkdir()
    anew.mkdir()
    extracts.write_extracts(lake, 3000, 3)
    peer.write_tables(lake, again)
    before = {name: rows_of(again, name) for name in TABLES}
    extracts.change_day(lake, date(2020, 1, 2))
    peer.write_tables(lake, again, LAST)
    peer.write_tables(lake, anew)
    after = {name: rows_of(again, name) for name in TABLES}
    assert after == {name: rows_of(anew, name) for name in TABLES}
    changed = {name for name in TABLES if before[name] != after[name]}
    assert changed > {"sales", "rejected_sales", "sales_by_day", "customer_segments"}


def relation(folder, name):
    path = folder / f"{name}.parquet"
    files = str(path / "*/*.parquet" if path.is_dir() else path)
    # A connection of its own: others keep parts of files, and these are written again.
    return duckdb.connect().read_parquet(files, hive_partitioning=path.is_dir())


def rows_of(folder, name):
    table = relation(folder, name)
    names = ", ".join(
        f"round({column}, {figures.DIGITS}) AS {column}" if kind == "DOUBLE" else column
        for column, kind in sorted(zip(table.columns, map(str, table.types), strict=True))
    )
    return table.project(names).order("ALL").fetchall()


def test_classic_spark_gets_no_larger_sizes_than_it_should(monkeypatch, capsys):
    measured = []

    def measure(lines, days, runs, peers):
        measured.append((lines, peers))
        return lines, {"storepipe": (1.0,)}, {"storepipe": (2.0,)}

    monkeypatch.setattr(engines, "measure", measure)
    monkeypatch.setattr(engines, "TITLES", ("seconds",))
    engines.compare([10, 20], 1, 1, ["duckdb", "classic"], 10)
    assert measured == [(10, ["duckdb", "classic"]), (20, ["duckdb"])]
    told = capsys.readouterr().out
    assert told.count("classic is left out above 10 lines: --classic-up-to") == 1
    assert told.count("storepipe: seconds x1.00") == 2


def test_the_seconds_of_steps_are_added_up_by_their_layers():
    told = """\
[ 1/12] raw/carts                            0.50 s  3 rows
[ 2/12] raw/relational/carts                 1.00 s
        a warning of 7.00 s
[11/12] trusted/sales                        2.00 s  3 rows
[12/12] refined/sales_by_day                 0.25 s  1 rows
        refined/sales_by_city                        1 rows
[12/12] refined/store_report                 0.25 s
"""
    assert graph.seconds_by_layer(told) == {
        "raw": 0.5,
        "relational": 1.0,
        "trusted": 2.0,
        "refined": 0.5,
    }


@pytest.fixture(scope="module")
def shop():
    """A shop with every kind of defect."""
    return SyntheticShop(carts=1000, days=2)


def test_the_loose_scripts_load_the_rows_that_we_load(shop):
    carts = list(shop.stream_carts())
    sound = [cart for cart in carts if _is_sound(cart)]
    ours, theirs = transforms.cart_rows(sound), loose_scripts.cart_rows(carts)
    assert len(sound) == len(carts) - 1
    assert theirs[1] == ours[1]
    assert [(*row[:3], row[4]) for row in theirs[0]] == [(*row[:3], row[4]) for row in ours[0]]
    assert [row[3].ljust(26, "0") for row in theirs[0]] == [
        row[3].replace(" ", "T") for row in ours[0]
    ]


def test_the_loose_scripts_load_the_products_and_users_that_we_load(shop):
    products, users = shop.list_products(), shop.list_users()
    theirs = [loose_scripts.product_row(product) for product in products]
    ours = transforms.product_rows(products)
    assert [(*row[:3], f"{row[3]:.2f}", *row[4:]) for row in theirs] == ours
    theirs = [loose_scripts.user_row(user) for user in users]
    assert [(*row[:7], str(row[7]), *row[8:]) for row in theirs] == transforms.user_rows(users)


def _is_sound(cart):
    try:
        Cart.model_validate_json(json.dumps(cart))
    except ValueError:
        return False
    return True


@pytest.mark.slow
def test_captures_by_hand_hold_the_records_that_ours_hold(tmp_path):
    with store_process(carts=1000, days=2) as url:
        home = Home(tmp_path / "home", url)
        capture.capture_by_storepipe(home, FIRST, LAST)
        loose_scripts.capture(str(tmp_path / "by-hand"), url, FIRST, LAST)
    ours = tmp_path / "home/lake"
    capture.expect_equal_captures(ours, tmp_path / "by-hand")
    next(ours.glob(f"raw/carts/cart_date={LAST}/*Z.json")).write_text("[]")
    with pytest.raises(
        SystemExit, match=f"raw/carts/cart_date={LAST}: the captures hold differing"
    ):
        capture.expect_equal_captures(ours, tmp_path / "by-hand")


def test_all_loads_leave_the_same_rows_and_all_extracts_give_them(mariadb, tmp_path, monkeypatch):
    monkeypatch.setattr(database, "LINES_PER_DAY", 100)
    checksums = set()
    for load in database.LOADS.values():
        given = mariadb.create_database()
        given.resource().replace_day("2019-01-01", "cart_date", {CART_ITEMS: []}, capture=CAPTURE)
        load(given, 250, tmp_path)
        checksums.add(database.checksum(mariadb, given))
    assert [rows for ((rows, _),) in checksums] == [250]
    mariadb.execute("GRANT FILE ON *.* TO %s@%s", [given.user, "%"])
    for extract, _ in database.EXTRACTS.values():
        extract(given, 250, tmp_path)
    files = [tmp_path / file for _, file in database.EXTRACTS.values()]
    assert {database.rows_of(file).num_rows for file in files} == {250}
    database.expect_equal(files)


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is told to go on."""
    clock = SimpleNamespace(now=0)
    monkeypatch.setattr(cold, "time", SimpleNamespace(monotonic=lambda: clock.now))
    return clock


def test_each_moment_of_a_divided_run_counts_once_for_the_innermost_part(clock):
    division = cold.Division()
    clock.now = 1
    with division.counting(cold.WORK):
        clock.now = 3
        with division.counting(cold.IMPORTS):
            clock.now = 10
        clock.now = 13
    assert division.seconds == {cold.DAGSTER: 1, cold.WORK: 5, cold.IMPORTS: 7, cold.SPARK: 0}


def test_what_a_wrapped_function_yields_is_counted_while_it_is_made(clock):
    class Owner:
        @staticmethod
        def numbers():
            for number in range(2):
                clock.now += 1
                yield number

    division = cold.Division()
    division.wrap(Owner, "numbers", cold.SPARK)
    made = []
    for number in Owner.numbers():
        clock.now += 10
        made.append(number)
    with division.counting(cold.DAGSTER):
        assert made == [0, 1]
    assert division.seconds == {cold.SPARK: 2, cold.DAGSTER: 20, cold.WORK: 0, cold.IMPORTS: 0}
