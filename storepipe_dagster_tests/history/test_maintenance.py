"""Tests of keeping the lake in order, as the job that does it."""

import json
import threading
from os import utime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from storepipe_dagster.history.ops import RetentionError
from storepipe_dagster.io_managers.lake import persistent
from storepipe_dagster.jobs import LAKE_MAINTENANCE
from storepipe_dagster_tests.history.conftest import PRODUCTS, SALES
from storepipe_dagster_tests.history.small_graph import ROLL_BACK_TABLE
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)

DAYS_IN_SECONDS = 86_400


def age(lake, key, days):
    """Move all that a table has done so many days back, in the log and on the disk."""
    for file in lake.all_in(lake.path(key)):
        back(file, days)
    for file in lake.all_in(lake.path(key, "_delta_log")):
        if file.endswith(".json"):
            shift_log(file, days)


def back(file, days):
    written = Path(file).stat().st_mtime - days * DAYS_IN_SECONDS
    utime(file, (written, written))


def shift_log(file, days):

    lines = []
    for line in Path(file).read_text().splitlines():
        action = json.loads(line)
        for kind, name in (
            ("commitInfo", "timestamp"),
            ("add", "modificationTime"),
            ("remove", "deletionTimestamp"),
        ):
            if name in action.get(kind, {}):
                action[kind][name] -= days * DAYS_IN_SECONDS * 1000
        lines.append(json.dumps(action))
    before = Path(file).stat().st_mtime
    Path(file).write_text("\n".join(lines) + "\n")
    utime(file, (before, before))


def observed(instance, key):
    (record,) = instance.fetch_observations(key, limit=9).records[:1]
    return {name: value.value for name, value in record.asset_observation.metadata.items()}


@on_both
def test_small_files_are_joined_day_by_day_and_rows_stay(tables, run, instance, lake):

    tables.sell("2020-01-01", (1, "1.10"))
    before = tables.sell("2020-01-02", (2, "2.20"))
    (row,) = tables.delta(SALES).to_pyarrow_table(filters=[("cart_id", "=", 2)]).to_pylist()
    more = pa.Table.from_pylist([row], tables.delta(SALES).to_pyarrow_table().schema)
    for _ in range(3):
        write_deltalake(lake.path(SALES), more, mode="append", **tables.options)
    done = run(LAKE_MAINTENANCE)
    assert len(tables.delta(SALES).file_uris()) == 2
    assert len(tables.rows(SALES)) == 5
    kept = observed(instance, SALES)
    assert (kept["files_before"], kept["files"], kept["files_compacted"]) == (5, 2, 4)
    assert len(tables.rows(SALES, before)) == 2
    assert {v.run for v in tables.versions(SALES) if v.operation == "OPTIMIZE"} == {done.run_id}


def test_days_with_few_files_are_left_alone(tables, run, instance):
    tables.sell("2020-01-01", (1, "1.10"))
    version = tables.sell("2020-01-02", (2, "2.20"))
    run(LAKE_MAINTENANCE)
    assert observed(instance, SALES)["files_compacted"] == 0
    assert "OPTIMIZE" not in {v.operation for v in tables.versions(SALES)}
    assert len(tables.rows(SALES, version)) == 2


@only_in_a_folder
def test_every_version_of_the_retention_can_be_read_and_older_files_go(tables, run, instance, lake):
    first = tables.rank((1, "written 70 days ago"))
    second = tables.rank((1, "written 60 days ago"))
    age(lake, PRODUCTS, 20)
    third = tables.rank((1, "written 40 days ago"))
    age(lake, PRODUCTS, 30)
    fourth = tables.rank((1, "written 10 days ago"))
    age(lake, PRODUCTS, 10)
    tables.delta(PRODUCTS).create_checkpoint()  # which forgets the removal of 10 days ago
    orphan = lake.path(PRODUCTS, "part-of-a-killed-write.parquet")
    for name, days in ((orphan, 40), (f"{orphan}.young", 1)):
        with lake.write(name) as file:
            file.write(b"half")
        back(name, days)
    run(LAKE_MAINTENANCE)
    missing = {v.number: v.missing_files for v in tables.versions(PRODUCTS)}
    assert missing[third] == missing[fourth] == missing[max(missing)] == 0
    assert not any(missing.get(number) == 0 for number in (first, second))
    assert tables.rows(PRODUCTS, third) == [("1", "written 40 days ago")]
    assert tables.rows(PRODUCTS) == [("1", "written 10 days ago")]
    left = lake.all_in(lake.path(PRODUCTS))
    assert orphan not in left
    assert f"{orphan}.young" in left
    assert observed(instance, PRODUCTS)["files_vacuumed"] == 3


@only_in_a_folder
def test_the_files_of_a_table_that_was_never_written_again_stay(tables, run, lake):
    tables.rank((1, "Shirt"))
    age(lake, PRODUCTS, 400)
    run(LAKE_MAINTENANCE)
    assert tables.rows(PRODUCTS) == [("1", "Shirt")]


@only_in_a_folder
def test_what_a_roll_back_brought_back_is_kept(tables, run, lake):
    old = tables.rank((1, "written 90 days ago"))
    tables.rank((1, "written 80 days ago"))
    age(lake, PRODUCTS, 80)
    run(ROLL_BACK_TABLE, table="refined.sales_by_product", version=old)
    restored = tables.delta(PRODUCTS).version()
    age(lake, PRODUCTS, 10)
    tables.rank((1, "written 10 days ago"))
    age(lake, PRODUCTS, 10)
    tables.delta(PRODUCTS).create_checkpoint()
    run(LAKE_MAINTENANCE)
    assert tables.rows(PRODUCTS, restored) == [("1", "written 90 days ago")]


@only_in_a_folder
def test_fewer_days_than_a_week_need_force(tables, run):
    with pytest.raises(RetentionError, match="fewer than 7 need force"):
        run(LAKE_MAINTENANCE, keep_days=1)
    run(LAKE_MAINTENANCE, keep_days=1, force=True)


@only_in_a_folder
def test_a_table_that_fails_stops_none_of_the_others(tables, run, instance, lake):
    tables.rank((1, "Shirt"))
    with lake.write(lake.path(SALES, "_delta_log", f"{1:020}.json")) as log:
        log.write(b"no JSON")
    with pytest.raises(Exception, match=r"Not maintained: trusted\.sales: "):
        run(LAKE_MAINTENANCE)
    assert observed(instance, PRODUCTS)["files"] == 1


@only_in_a_folder
def test_captures_stay_and_what_killed_writes_left_goes_after_a_day(run, lake):
    names = {
        "raw/carts/cart_date=2020-01-01/20200102T000000.000000Z.json": True,
        "raw/carts/cart_date=2020-01-01/.hidden.json": True,
        f"raw/carts/cart_date=2020-01-01/.20200102T000000.000000Z.json.{'a' * 32}": False,
        f"refined/store_report/.index.html.{'b' * 32}": False,
        "trusted/sales/sale_date=2020-01-01/part-1.parquet#12": False,
        "trusted/sales/_delta_log/00000000000000000009.json#1": False,
    }
    for name in names:
        with lake.write(f"{lake.root}/{name}") as file:
            file.write(b"[]")
        back(f"{lake.root}/{name}", 2)
    young = f"{lake.root}/refined/store_report/.index.html.{'c' * 32}"
    with lake.write(young) as file:
        file.write(b"<p>")
    done = run(LAKE_MAINTENANCE)
    assert {name: lake.files.exists(f"{lake.root}/{name}") for name in names} == names
    assert lake.files.exists(young)
    (output,) = [e for e in done.all_events if e.event_type_value == "STEP_OUTPUT"]
    assert output.step_output_data.metadata["unfinished_files_removed"].value == 4


@on_both
def test_writers_and_maintenance_at_the_same_time_lose_nothing(tables, run, lake):
    """Each takes turns with the other's commits; a refused commit is tried again."""

    failures = []

    def write():
        try:
            for number in range(6):
                persistent(tables.sell)(f"2020-01-0{number % 3 + 1}", (number, "1.10"))
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    while writer.is_alive():
        run(LAKE_MAINTENANCE, small_files=2)
    writer.join()
    assert failures == []
    assert [row[:2] for row in tables.rows(SALES)] == [
        ("2020-01-01", "3"),
        ("2020-01-02", "4"),
        ("2020-01-03", "5"),
    ]
