"""Tests of `storepipe_dagster.history.versions`: the log, replayed."""

import json
from datetime import datetime, timezone

import pytest

from storepipe_dagster.history.versions import File, first_loadable, newest_at, replay
from storepipe_dagster_tests.history.conftest import PRODUCTS, SALES
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)


def add(path, rows, day=None, **more):
    values = {"sale_date": day} if day else {}
    stats = json.dumps({"numRecords": rows})
    return {"add": {"path": path, "partitionValues": values, "size": 9, "stats": stats, **more}}


def remove(path, **more):
    return {"remove": {"path": path, "dataChange": True, **more}}


def commit(*actions, at=0, operation="WRITE", **info):
    told = {"commitInfo": {"timestamp": at, "operation": operation, **info}}
    return "\n".join(json.dumps(action) for action in (told, *actions))


def at(milliseconds):
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def test_each_version_tells_its_rows_and_days():
    commits = {
        0: commit(operation="CREATE TABLE"),
        1: commit(add("a", 3, "2020-01-01"), add("b", 2, "2020-01-02")),
        2: commit(remove("b"), add("c", 5, "2020-01-02")),
    }
    found = replay({}, commits, ["a", "c"])
    assert [(v.number, v.operation, v.rows_added, v.rows_removed, v.rows) for v in found] == [
        (0, "CREATE TABLE", 0, 0, 0),
        (1, "WRITE", 5, 0, 5),
        (2, "WRITE", 5, 2, 8),
    ]
    assert [v.days for v in found] == [(), ("2020-01-01", "2020-01-02"), ("2020-01-02",)]


def test_a_version_whose_files_are_gone_is_known():
    commits = {0: commit(add("a", 1)), 1: commit(remove("a"), add("b", 1)), 2: commit(add("c", 1))}
    assert [v.missing_files for v in replay({}, commits, ["b", "c"])] == [1, 0, 0]


def test_compaction_adds_and_removes_no_rows():
    commits = {
        0: commit(add("a", 1), add("b", 2)),
        1: commit(
            remove("a", dataChange=False),
            remove("b", dataChange=False),
            add("c", 3, dataChange=False),
            operation="OPTIMIZE",
        ),
    }
    (_, compacted) = replay({}, commits, ["a", "b", "c"])
    assert (compacted.rows_added, compacted.rows_removed, compacted.rows) == (0, 0, 3)


def test_what_the_first_version_of_a_shortened_log_removed_is_unknown():
    base = {"b": File(4, 9, None)}
    commits = {7: commit(remove("a"), add("b", 4)), 8: commit(remove("b"), add("c", 1))}
    found = replay(base, commits, ["b", "c"])
    assert [(v.number, v.rows_removed, v.rows) for v in found] == [(7, None, 4), (8, 4, 1)]


def test_paths_are_decoded_and_a_day_that_is_null_is_no_day():
    null = add("sale_date=__HIVE_DEFAULT_PARTITION__/a%20b", 1)
    null["add"]["partitionValues"] = {"sale_date": None}
    (version,) = replay({}, {0: commit(null)}, ["sale_date=__HIVE_DEFAULT_PARTITION__/a b"])
    assert (version.missing_files, version.days) == (0, ())


def test_the_run_that_our_own_commits_name_is_told():
    (version,) = replay({}, {0: commit(dagster_run="abc")}, [])
    assert version.run == "abc"


def test_a_later_version_is_never_earlier():
    commits = {n: commit(at=time) for n, time in enumerate((1000, 3000, 2000))}
    assert [v.time for v in replay({}, commits, [])] == [at(1000), at(3000), at(3000)]


def test_the_version_at_a_time_is_the_newest_until_then():
    found = replay({}, {n: commit(at=time) for n, time in enumerate((1000, 2000))}, [])
    assert newest_at(found, at(999)) is None
    assert newest_at(found, at(1000)).number == 0
    assert newest_at(found, at(5000)).number == 1


@pytest.mark.parametrize(
    ("commits", "checkpoints", "first"),
    [
        ([], [], None),
        ([0, 1, 2], [], 0),
        ([0, 1, 2], [1], 0),
        ([3, 4, 5], [4], 4),
        ([3, 4, 5], [2, 5], 2),
        ([3, 4, 5], [1, 5], 5),
        ([3, 4, 5], [], None),
        ([0, 1, 3, 4], [3], 3),
    ],
)
def test_the_oldest_version_is_one_that_can_be_put_together(commits, checkpoints, first):
    assert first_loadable(commits, checkpoints) == first


@on_both
def test_the_log_of_a_table_is_read_where_it_is(tables):
    tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-02", (2, "2.20"), (3, "3.30"))
    tables.sell("2020-01-01", (1, "9.90"))
    found = tables.versions(SALES)
    assert [(v.number, v.rows_added, v.rows_removed, v.days) for v in found] == [
        (0, 0, 0, ()),
        (1, 1, 0, ("2020-01-01",)),
        (2, 2, 0, ("2020-01-02",)),
        (3, 1, 1, ("2020-01-01",)),
    ]
    assert {v.missing_files for v in found} == {0}


def test_files_that_vacuum_took_are_missed(tables):
    tables.rank((1, "Shirt"))
    tables.rank((1, "Blouse"))
    tables.lose(PRODUCTS, 1)
    assert [v.missing_files for v in tables.versions(PRODUCTS)] == [0, 1, 0]


@only_in_a_folder
def test_a_log_that_was_shortened_begins_with_its_checkpoint(tables, lake):
    for number in range(4):
        tables.rank((number, "Shirt"), (number + 100, "Blouse"))
        if number == 1:
            tables.delta(PRODUCTS).create_checkpoint()
    for number in (0, 1):
        lake.files.rm_file(lake.path(PRODUCTS, "_delta_log", f"{number:020}.json"))
    found = tables.versions(PRODUCTS)
    assert [(v.number, v.rows, v.rows_removed) for v in found] == [
        (2, 2, None),
        (3, 2, 2),
        (4, 2, 2),
    ]
