"""Tests of `storepipe_dagster.io_managers.lake`."""

import os
from pathlib import Path

import dagster as dg
import pytest

from storepipe_dagster.io_managers.lake import Lake, MissingUpstreamError
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)
from storepipe_dagster_tests.io_managers.small_graph import kill_in_mid_write, stop_here

PAGE = "refined/page"
CARTS = dg.AssetKey(["raw", "relational", "carts"])


def test_a_key_is_a_path_and_a_day_a_folder_in_it():
    lake = Lake(root="/lake")

    assert lake.path(CARTS) == "/lake/raw/relational/carts"
    assert lake.path(CARTS, "data.parquet") == "/lake/raw/relational/carts/data.parquet"
    assert (
        lake.day_path(CARTS, "cart_date", "2024-01-01", "data.parquet")
        == "/lake/raw/relational/carts/cart_date=2024-01-01/data.parquet"
    )


def write(lake, file, data):
    with lake.write(f"{lake.root}/{file}") as opened:
        opened.write(data)


@on_both
def test_readers_see_the_last_whole_file_until_the_next_is_whole(lake, listing, content):
    write(lake, PAGE, b"first")

    with lake.write(f"{lake.root}/{PAGE}") as file:
        file.write(b"sec")
        file.flush()
        assert content(PAGE) == b"first"
        file.write(b"ond")

    assert content(PAGE) == b"second"
    assert listing() == [PAGE]


@on_both
def test_a_failed_write_leaves_the_last_file_and_nothing_else(lake, listing, content):
    write(lake, PAGE, b"first")

    with (
        pytest.raises(UnicodeEncodeError),
        lake.write(f"{lake.root}/{PAGE}") as file,
    ):
        file.writelines(text.encode("ascii") for text in ("sec", "ö", "nd"))

    assert content(PAGE) == b"first"
    assert listing() == [PAGE]


@on_both
def test_a_failed_first_write_leaves_nothing(lake, listing):
    with pytest.raises(ZeroDivisionError), lake.write(f"{lake.root}/{PAGE}") as file:
        file.write(b"%d" % (1 // 0))

    assert listing() == []


@on_both
def test_a_file_that_was_written_by_now_is_seen_in_a_listing(lake, make_lake):
    write(lake, "refined/first", b"1")
    assert len(lake.files.ls(f"{lake.root}/refined")) == 1

    write(make_lake(), "refined/second", b"2")  # as another process would

    assert len(lake.files.ls(f"{lake.root}/refined")) == 2


@on_both
def test_a_lake_is_empty_until_something_is_captured(lake):
    assert lake.is_empty()
    write(lake, "refined/report", b"no capture")
    assert lake.is_empty()

    write(lake, "raw/products/1.json", b"[]")

    assert not lake.is_empty()


@on_both
def test_files_are_found_by_day_also_where_there_are_none(lake):
    for file in ("cart_date=1/a", "cart_date=2/b", "cart_date=2/c", "cart_date=2/below/d", "e"):
        write(lake, f"raw/relational/carts/{file}", file[-1:].encode() * 3)
    folder = f"{lake.root}/raw/relational/carts"

    assert lake.paths_by_day(CARTS, "cart_date", ["2", "3"]) == {
        "2": {f"{folder}/cart_date=2/b": 3, f"{folder}/cart_date=2/c": 3},
        "3": {},
    }
    assert lake.paths_by_day(CARTS, "cart_date", ["1"]) == {"1": {f"{folder}/cart_date=1/a": 3}}
    assert lake.paths_by_day(CARTS, "cart_date", ["3"]) == {"3": {}}
    assert lake.paths_by_day(CARTS, None, [None]) == {None: {f"{folder}/e": 3}}
    assert lake.paths_by_day(dg.AssetKey(["raw", "users"]), None, [None]) == {None: {}}


def write_and_stop(connection, make_lake):
    lake = make_lake()
    with lake.write(f"{lake.root}/{PAGE}") as file:
        file.write(b"second")
        file.flush()
        stop_here(connection)


@on_both
def test_a_killed_write_leaves_the_last_file_and_at_most_a_hidden_one(
    lake, make_lake, listing, content
):
    write(lake, PAGE, b"first")

    kill_in_mid_write(write_and_stop, make_lake)

    assert content(PAGE) == b"first"
    *hidden, page = listing()
    assert page == PAGE
    assert all(file.startswith("refined/.page.") for file in hidden)


@pytest.mark.parametrize(
    ("days", "when", "span"),
    [
        ([], "", "--from DATE --to DATE"),
        (
            ["2024-01-01", "2024-01-03"],
            " for 2024-01-01, 2024-01-03",
            "--from 2024-01-01 --to 2024-01-03",
        ),
        (
            ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"],
            " for 2024-01-01, 2024-01-02, 2024-01-03 and 2 more days",
            "--from 2024-01-01 --to 2024-01-05",
        ),
    ],
    ids=["no days", "two days", "many days"],
)
def test_what_is_missing_is_told_with_the_remedy(days, when, span):
    assert str(MissingUpstreamError(CARTS, days)) == (
        f"raw/relational/carts has nothing in the lake{when}. Materialise it first, for example "
        f"with: storepipe run {span} --select '+key:\"raw/relational/carts\"'"
    )


@on_both
def test_files_of_a_batch_take_their_names_together(lake, listing):
    with lake.batch() as batch:
        for number in (1, 2):
            with batch.write(f"{lake.root}/raw/things/day={number}/data.json") as file:
                file.write(b"whole")
        assert lake.storage_options or "raw/things/day=1/data.json" not in listing()

    assert listing() == ["raw/things/day=1/data.json", "raw/things/day=2/data.json"]


@only_in_a_folder
@pytest.mark.parametrize("inside", [True, False], ids=["in a file", "between files"])
def test_a_batch_that_fails_leaves_nothing(lake, listing, inside):
    def write_two():
        with lake.batch() as batch:
            for number in (1, 2):
                with batch.write(f"{lake.root}/raw/things/{number}.json") as file:
                    file.write(b"whole" if number == 1 or not inside else fail())
            fail()

    def fail():
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="full"):
        write_two()

    assert listing() == []


@only_in_a_folder
def test_a_file_is_on_the_disk_before_it_is_named_and_its_name_before_the_write_ends(
    lake, monkeypatch
):
    path, done, sync = f"{lake.root}/raw/new/things/data.json", [], os.fsync

    def record(descriptor):
        opened = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        done.append((opened.removeprefix(lake.root), Path(path).exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with lake.write(path) as file:
        file.write(b"whole")

    (unfinished, named), *folders = done
    assert unfinished.startswith("/raw/new/things/.data.json.")
    assert not named
    assert {*folders} >= {("/raw/new/things", True), ("/raw/new", True), ("/raw", True)}
