"""Tests of `storepipe_dagster.io_managers.delta_days`: ranges that are written in parts.

What holds for every write of days is tested in `test_delta`.
"""

import contextlib
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import deltalake
import pytest
from deltalake.exceptions import CommitFailedError
from pyspark.errors import PySparkException

from storepipe_dagster.io_managers import delta, delta_days
from storepipe_dagster.io_managers.delta_days import DailyRows, condition
from storepipe_dagster_tests.io_managers.lakes import on_both
from storepipe_dagster_tests.io_managers.small_graph import (
    DAY_1,
    DAY_2,
    DAY_3,
    kill_in_mid_write,
    materialize,
    metadata_by_day,
)
from storepipe_dagster_tests.io_managers.test_delta import (
    carts_df,
    carts_in,
    delta_table,  # noqa: F401
    earlier,  # noqa: F401
    files_of,
    read_sales,
    sales_from,
    table,  # noqa: F401
    write_and_stop,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")


THREE = [DAY_1, DAY_2, DAY_3]


def single_days(days, _sizes):
    return [[day] for day in days]


def by_day(make):
    """What makes a table of a Spark session makes it by day."""
    return lambda spark: DailyRows(lambda days: make(spark).where(condition("sale_date", days)))


def sales_of(*rows):
    """The partitioned asset, with rows of (day, cart_id) that it gives by day."""
    return sales_from(by_day(lambda spark: carts_df(spark, *rows)))


@pytest.fixture(autouse=True)
def in_parts(monkeypatch):
    """Each day is a part."""
    monkeypatch.setattr(delta, "parts_of", single_days)


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ({}, [[DAY_1, DAY_2, DAY_3]]),
        ({DAY_1: 4, DAY_2: 4, DAY_3: 3}, [[DAY_1, DAY_2], [DAY_3]]),
        ({DAY_1: 4, DAY_2: 4, DAY_3: 2}, [[DAY_1, DAY_2, DAY_3]]),
        ({DAY_1: 99, DAY_2: 99, DAY_3: 1}, [[DAY_1], [DAY_2], [DAY_3]]),
        ({DAY_3: 99}, [[DAY_1, DAY_2], [DAY_3]]),
    ],
    ids=["nothing to read", "too much", "just enough", "large days", "a large day at the end"],
)
def test_a_part_has_as_many_days_as_read_so_much(lake, monkeypatch, sizes, parts):
    monkeypatch.setattr(delta_days, "BYTES_AT_ONCE", 10)
    carts = dg.AssetKey(["raw", "relational", "carts"])
    users = dg.AssetKey(["raw", "relational", "users"])
    for day, size in sizes.items():
        write_file(lake, lake.path(carts, f"cart_date={day}", "data.parquet"), b"x" * size)
    write_file(lake, lake.path(users, "data.parquet"), b"x" * 100)

    found = delta_days.sizes_upstream(lake, [carts, users])

    assert found == sizes
    assert delta_days.parts_of([DAY_1, DAY_2, DAY_3], found) == parts


@pytest.mark.parametrize(
    ("files", "parts"),
    [(128 + 4 * 2, [[DAY_1, DAY_2], [DAY_3]]), (64, [[DAY_1], [DAY_2], [DAY_3]]), (None, [THREE])],
)
def test_a_part_has_as_many_days_as_files_may_be_open(monkeypatch, files, parts):
    monkeypatch.setattr(delta_days, "limit", lambda: files)

    assert delta_days.parts_of(THREE, {}) == parts


def write_file(lake, path, content):
    with lake.write(path) as file:
        file.write(content)


@on_both
def test_a_range_is_written_in_parts_and_replaced_in_one_commit(resources, table, ask):  # noqa: F811
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    before = table()

    result = materialize(
        [sales_of((DAY_1, 7), (DAY_1, 8), (DAY_2, 2), (DAY_3, 3))], resources, DAY_1, DAY_3
    )

    assert table().version() == before.version() + 1
    assert read_sales(resources) == [(DAY_1, 7), (DAY_1, 8), (DAY_2, 2), (DAY_3, 3)]
    assert read_sales(resources, DAY_2) == [(DAY_2, 2)]
    assert sorted(ask("SELECT cart_id FROM trusted.sales")) == [(2,), (3,), (7,), (8,)]
    assert ask(f"SELECT cart_id FROM trusted.sales WHERE sale_date = '{DAY_3}'") == [(3,)]
    days = metadata_by_day(result, "trusted/sales")
    assert [days[day]["dagster/row_count"] for day in (DAY_1, DAY_2, DAY_3)] == [2, 1, 1]
    assert [days[day]["files"] for day in (DAY_1, DAY_2, DAY_3)] == [1, 1, 1]
    assert [days[day]["revenue"] for day in (DAY_1, DAY_2, DAY_3)] == [2.2, 1.1, 1.1]


def test_a_range_without_rows_loses_those_it_had(resources, table):  # noqa: F811
    materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)

    materialize([sales_of()], resources, DAY_1, DAY_2)

    assert carts_in(table()) == [3]


def test_the_columns_of_a_new_contract_are_applied_in_parts_and_in_one_commit(
    resources,
    table,  # noqa: F811
    earlier,  # noqa: F811
):
    earlier("trusted/sales", DAY_1, DAY_2)
    asked = []

    def make(spark):
        def rows(days):
            asked.append([*days])
            return carts_df(spark, *((day, 1) for day in days))

        return DailyRows(rows)

    materialize([sales_from(make)], resources, DAY_1, DAY_3)

    assert asked == [[DAY_1], [DAY_1], [DAY_2], [DAY_3]]  # once for the columns
    assert table().version() == 1
    assert carts_in(table()) == [1, 1, 1]


def test_other_days_keep_their_files_and_the_log_its_statistics(resources, table):  # noqa: F811
    materialize([sales_of((DAY_3, 3))], resources, DAY_3)
    before = files_of(table(), DAY_3)

    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)

    assert files_of(table(), DAY_3) == before
    added = table().get_add_actions(flatten=True).to_struct_array().to_pylist()
    assert sorted((file["num_records"], file["min.cart_id"]) for file in added) == [
        (1, 1),
        (1, 2),
        (1, 3),
    ]


def test_nothing_is_left_of_the_parts_but_their_files(resources, lake, listing):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)

    files = [file for file in listing() if "/_delta_log/" not in file]
    assert [file for file in files if not file.endswith(".parquet")] == []
    folders = [re.sub("parts-[^/]+/[^/]+/", "", file.rpartition("/")[0]) for file in files]
    assert folders == [f"trusted/sales/sale_date={DAY_1}", f"trusted/sales/sale_date={DAY_2}"]
    in_parts = [file for file in files if "/parts-" in file]
    assert len(in_parts) == (2 if lake.storage_options else 0)  # there a rename would be a copy
    if not lake.storage_options:
        assert [*Path(lake.root).rglob("parts-*")] == []


@pytest.mark.parametrize("day", ["2023-12-31", DAY_1, DAY_3, None])
def test_rows_of_a_day_that_is_not_of_the_part_are_refused_and_nothing_is_left(
    resources,
    table,  # noqa: F811
    listing,
    day,
):
    materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
    before = listing()

    def outside(spark):
        others = {DAY_1: [(DAY_1, 7)], DAY_2: [(DAY_2, 8), (day, 9)]}
        return DailyRows(lambda days: carts_df(spark, *others[days[0]]))

    with pytest.raises(
        PySparkException,
        match=f"outside of the days asked for, {DAY_2} to {DAY_2}: sale_date = {day or 'null'}",
    ):
        materialize([sales_from(outside)], resources, DAY_1, DAY_2)

    assert listing() == before
    assert carts_in(table()) == [1, 3]


def test_only_the_days_of_a_part_are_asked_for(resources, table):  # noqa: F811
    asked = []

    def make(spark):
        def rows(days):
            asked.append(days)
            return carts_df(spark, *((day, 1) for day in days))

        return DailyRows(rows)

    materialize([sales_from(make)], resources, DAY_1, DAY_3)

    assert [*map(list, asked)] == [[DAY_1], [DAY_1], [DAY_2], [DAY_3]]  # once for the columns
    assert carts_in(table()) == [1, 1, 1]


def test_a_later_part_that_fails_takes_the_earlier_with_it(resources, table, listing):  # noqa: F811
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)
    before = listing()

    def fails_on_the_second_day(spark):
        rows = carts_df(spark, (DAY_1, 7), (DAY_2, 8))
        return rows.selectExpr(
            "sale_date",
            "IF(cart_id = 8, raise_error('a worker is gone')::bigint, cart_id) AS cart_id",
            "revenue",
            "sold_at",
        )

    with pytest.raises(PySparkException, match="a worker is gone"):
        materialize([sales_from(by_day(fails_on_the_second_day))], resources, DAY_1, DAY_2)

    assert listing() == before
    assert carts_in(table()) == [1, 2]


def write_a_part_and_stop(connection, make_lake):
    delta.parts_of = single_days  # this process ends with the test
    write_and_stop(connection, make_lake, by_day)


@on_both
def test_a_killed_write_leaves_the_last_version_and_is_repaired_by_the_next(
    resources,
    table,  # noqa: F811
    make_lake,
):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)
    version = table().version()

    kill_in_mid_write(write_a_part_and_stop, make_lake)

    assert table().version() == version
    assert read_sales(resources) == [(DAY_1, 1), (DAY_2, 2)]
    materialize([sales_of((DAY_1, 8), (DAY_2, 9))], resources, DAY_1, DAY_2)
    assert read_sales(resources) == [(DAY_1, 8), (DAY_2, 9)]


@on_both
def test_vacuum_takes_what_a_killed_write_left_and_nothing_else(resources, table, lake, listing):  # noqa: F811
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)
    kept = listing()
    left = [
        f"{lake.root}/trusted/sales/parts-killed/{name}"
        for name in ("sale_date=2024-01-01/part-0.parquet", "_delta_log/00000000000000000000.json")
    ]
    for file in left:
        lake.files.makedirs(file.rpartition("/")[0], exist_ok=True)
        lake.files.pipe_file(file, b"PAR1")

    table().vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True)

    assert [file for file in left if lake.files.exists(file)] == []
    assert {file for file in kept if file.endswith(".parquet")} <= set(listing())
    assert carts_in(table()) == [1, 2]


@pytest.mark.parametrize("exists", [False, True], ids=["a new table", "a table that is there"])
def test_of_writers_of_the_same_days_at_one_time_one_is_kept_whole(resources, table, exists):  # noqa: F811
    if exists:
        materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
    both_are_ready = threading.Barrier(2, timeout=20)

    def write(cart_ids):
        def rows(spark):
            both_are_ready.wait()
            days = zip((DAY_1, DAY_2), cart_ids, strict=True)
            return carts_df(spark, *days)

        return materialize([sales_from(by_day(rows))], resources, DAY_1, DAY_2).success

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(write, [(10, 11), (20, 21)]))

    others = [3] if exists else []
    assert carts_in(table()) in ([*others, 10, 11], [*others, 20, 21])


@on_both
def test_a_commit_that_another_came_before_replaces_what_that_wrote(resources, table, monkeypatch):  # noqa: F811
    materialize([sales_of((DAY_3, 3))], resources, DAY_3)
    write, tries = deltalake.DeltaTable.create_write_transaction, []

    def write_in_competition(self, *arguments, **options):
        tries.append(1)
        if len(tries) == 1:
            monkeypatch.setattr(deltalake.DeltaTable, "create_write_transaction", write)
            materialize([sales_of((DAY_1, 99))], resources, DAY_1)
        return write(self, *arguments, **options)

    monkeypatch.setattr(deltalake.DeltaTable, "create_write_transaction", write_in_competition)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)

    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)

    assert len(tries) == 1
    assert carts_in(table()) == [1, 2, 3]


@on_both
@pytest.mark.parametrize("passes", [True, False], ids=["and passes", "for good"])
def test_a_commit_whose_answer_is_lost_loses_no_rows(resources, table, monkeypatch, passes):  # noqa: F811
    materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
    version = table().version()
    write = deltalake.DeltaTable.create_write_transaction

    def write_and_lose_the_answer(self, *arguments, **options):
        write(self, *arguments, **options)
        raise CommitFailedError("Failed to commit transaction: 1") if passes else OSError("cut")

    monkeypatch.setattr(deltalake.DeltaTable, "create_write_transaction", write_and_lose_the_answer)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)

    with contextlib.nullcontext() if passes else pytest.raises(OSError, match="cut"):
        materialize([sales_of((DAY_1, 7), (DAY_2, 2))], resources, DAY_1, DAY_2)

    assert table().version() == version + 1
    assert carts_in(table()) == [2, 3, 7]
    assert read_sales(resources) == [(DAY_1, 7), (DAY_2, 2), (DAY_3, 3)]
