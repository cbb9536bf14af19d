"""Tests of `storepipe_dagster.io_managers.delta`."""

import base64
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import deltalake
import pyarrow as pa
import pytest
from dagster_pyspark import LazyPySparkResource
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql.types import DateType, DecimalType, LongType, StructType, TimestampType

from storepipe_dagster.asset_metadata import COLUMN_LINEAGE, columns_of
from storepipe_dagster.columns import column
from storepipe_dagster.figures import sums_of
from storepipe_dagster.io_managers import delta_writes
from storepipe_dagster.io_managers.delta import (
    DeltaIOManager,
    LostTableError,
    SchemaMismatchError,
)
from storepipe_dagster.io_managers.delta_log import DamagedTableError
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN, MissingUpstreamError
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)
from storepipe_dagster_tests.io_managers.small_graph import (
    DAY_1,
    DAY_2,
    DAY_3,
    DAYS,
    SINGLE_RUN,
    kill_in_mid_write,
    materialize,
    metadata_by_day,
    stop_here,
)
from storepipe_dagster_tests.spark import make_df, read_rows

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

SCHEMA = StructType(
    [
        column("sale_date", DateType(), "The day", ["mysql/carts:cart_date"]),
        column("cart_id", LongType(), "Id", ["mysql/carts:cart_id"]),
        column("revenue", DecimalType(18, 2), "The money"),
        column("sold_at", TimestampType(), "The time"),
    ]
)
COLUMNS = {
    "sale_date": "date",
    "cart_id": "bigint",
    "revenue": "decimal(18,2)",
    "sold_at": "timestamp",
}
SIX = "2024-01-01 06:00:00"


def sales_from(make):
    """The partitioned asset, with what ``make`` makes of a Spark session."""

    @dg.asset(
        key=["trusted", "sales"],
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
        io_manager_key="delta",
        metadata={
            PARTITION_COLUMN: "sale_date",
            **columns_of(SCHEMA),
            **sums_of("revenue"),
        },
    )
    def sales(pyspark: LazyPySparkResource) -> Any:
        return make(pyspark.spark_session)

    return sales


def sales_of(*rows):
    """The partitioned asset, with rows of (day, cart_id)."""
    return sales_from(lambda spark: carts_df(spark, *rows))


def totals_of(*rows):
    """An asset without days, with rows of (day, cart_id)."""

    @dg.asset(
        key=["refined", "totals"],
        io_manager_key="delta",
        metadata=columns_of(SCHEMA),
    )
    def totals(pyspark: LazyPySparkResource) -> DataFrame:
        return carts_df(pyspark.spark_session, *rows)

    return totals


def carts_df(spark, *rows):
    return make_df(spark, COLUMNS, *((day, cart_id, "1.10", SIX) for day, cart_id in rows))


def read(resources, asset, key, *days, kind=DataFrame):
    """What an asset downstream reads: all days if none are asked for."""
    got = []

    @dg.asset(
        ins={"table": dg.AssetIn(key.split("/"))},
        partitions_def=DAYS if days else None,
        backfill_policy=SINGLE_RUN if days else None,
    )
    def reader(table: kind) -> None:
        got.extend(read_rows(table) if kind is DataFrame else [table])

    materialize([asset, reader], resources, *days, select="reader")
    return got


def read_sales(resources, *days):
    """Pairs of (day, cart_id)."""
    return [row[:2] for row in read(resources, sales_of(), "trusted/sales", *days)]


@pytest.fixture
def table(delta_table):
    """The Delta table of the sales, as delta-rs sees it now."""
    return lambda: delta_table("trusted/sales")


@pytest.fixture
def delta_table(lake):
    return lambda name: deltalake.DeltaTable(
        f"{lake.root}/{name}", storage_options=lake.storage_options
    )


def carts_in(table):
    return sorted(table.to_pyarrow_table().column("cart_id").to_pylist())


def texts_in(picture):
    svg = base64.b64decode(picture.rpartition(",")[2].removesuffix(")")).decode()
    return re.findall(">([^<]+)</text>", svg)


def files_of(table, day):
    return sorted(table.file_uris(file_pruning_predicate=[("sale_date", "=", day)]))


@on_both
def test_the_table_has_the_declared_schema_comments_and_partitioning(resources, table):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)

    fields = table().schema().fields
    assert [(field.name, field.type.type) for field in fields] == [
        ("sale_date", "date"),
        ("cart_id", "long"),
        ("revenue", "decimal(18,2)"),
        ("sold_at", "timestamp"),
    ]
    assert [field.metadata["comment"] for field in fields] == [
        "The day",
        "Id",
        "The money",
        "The time",
    ]
    assert all(field.nullable for field in fields)
    assert table().metadata().partition_columns == ["sale_date"]


@on_both
def test_every_reader_reads_the_values_exactly(resources, table, ask):
    materialize([sales_of((DAY_1, 2**40))], resources, DAY_1)

    moment = datetime(2024, 1, 1, 6, tzinfo=timezone.utc)
    row = (date(2024, 1, 1), 2**40, Decimal("1.10"), moment)
    assert ask("FROM trusted.sales") == [row]
    assert [tuple(found.values()) for found in table().to_pyarrow_table().to_pylist()] == [row]
    assert read(resources, sales_of(), "trusted/sales", DAY_1) == [(DAY_1, 2**40, "1.10", SIX)]


@on_both
def test_a_range_replaces_its_days_and_tells_of_each(resources, table, lake):
    result = materialize([sales_of((DAY_1, 1), (DAY_3, 3), (DAY_3, 4))], resources, DAY_1, DAY_3)

    days = metadata_by_day(result, "trusted/sales")
    assert {day: (told["dagster/row_count"], told["files"]) for day, told in days.items()} == {
        DAY_1: (1, 1),
        DAY_2: (0, 1),  # a file without rows, which shows that the day was materialized
        DAY_3: (2, 1),
    }
    (file,) = [
        file for file in lake.all_in(f"{lake.root}/trusted/sales") if f"/sale_date={DAY_3}/" in file
    ]
    assert days[DAY_3]["dagster/size_bytes"] == lake.files.size(file)
    assert [days[day]["revenue"] for day in (DAY_1, DAY_2, DAY_3)] == [1.1, 0, 2.2]
    assert {told["delta_version"] for told in days.values()} == {table().version()}
    assert read_sales(resources, DAY_1, DAY_2) == [(DAY_1, 1)]


def test_a_partitioned_asset_reads_its_own_days_and_another_reads_all(resources):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2), (DAY_3, 3))], resources, DAY_1, DAY_3)

    assert read_sales(resources, DAY_2) == [(DAY_2, 2)]
    assert read_sales(resources, DAY_2, DAY_3) == [(DAY_2, 2), (DAY_3, 3)]
    assert read_sales(resources) == [(DAY_1, 1), (DAY_2, 2), (DAY_3, 3)]


def test_only_the_days_asked_for_are_replaced(resources, table):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2), (DAY_3, 3))], resources, DAY_1, DAY_3)
    before = table()

    materialize([sales_of((DAY_2, 7))], resources, DAY_2)

    after = table()
    assert after.version() == before.version() + 1
    assert carts_in(after) == [1, 3, 7]
    assert files_of(after, DAY_1) == files_of(before, DAY_1)
    assert files_of(after, DAY_3) == files_of(before, DAY_3)
    assert files_of(after, DAY_2) != files_of(before, DAY_2)
    before.load_as_version(before.version())
    assert carts_in(before) == [1, 2, 3]


def test_a_day_made_again_is_the_same(resources, table):
    materialize([sales_of((DAY_1, 1), (DAY_1, 2))], resources, DAY_1)

    result = materialize([sales_of((DAY_1, 1), (DAY_1, 2))], resources, DAY_1)

    assert carts_in(table()) == [1, 2]
    assert metadata_by_day(result, "trusted/sales")[DAY_1]["dagster/row_count"] == 2


def test_a_day_that_is_empty_now_loses_its_rows_and_no_other_does(resources, table, ask):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)

    result = materialize([sales_of()], resources, DAY_1)

    assert read_sales(resources) == [(DAY_2, 2)]
    assert metadata_by_day(result, "trusted/sales")[DAY_1]["dagster/row_count"] == 0
    assert ask("SELECT cart_id FROM trusted.sales") == [(2,)]
    assert len(table().schema().fields) == len(SCHEMA)


def test_a_table_without_rows_is_read_with_its_columns(resources, table, ask):
    materialize([sales_of()], resources, DAY_1)

    frames = []

    @dg.asset(ins={"table": dg.AssetIn(["trusted", "sales"])})
    def reader(table: DataFrame) -> None:
        frames.append((table.dtypes, table.collect()))

    materialize([sales_of(), reader], resources, select="reader")
    assert frames == [(list(COLUMNS.items()), [])]
    assert table().to_pyarrow_table().schema.names == list(COLUMNS)
    assert table().to_pyarrow_table().num_rows == 0
    assert ask("SELECT sale_date, cart_id, revenue, sold_at FROM trusted.sales") == []


def test_a_table_that_lost_its_last_rows_is_read_with_its_columns(resources, ask):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    materialize([sales_of()], resources, DAY_1)

    assert read_sales(resources) == []
    assert ask("SELECT sale_date, cart_id, revenue, sold_at FROM trusted.sales") == []


@on_both
def test_a_table_without_days_is_replaced_whole(resources, ask, lake, delta_table):
    materialize([totals_of((DAY_1, 1), (DAY_2, 2))], resources)

    result = materialize([totals_of((DAY_3, 3))], resources)

    table = delta_table("refined/totals")
    told = metadata_by_day(result, "refined/totals")[None]
    assert carts_in(table) == [3]
    assert (told["dagster/row_count"], told["files"]) == (1, 1)
    assert told["delta_version"] == table.version()
    assert told["path"] == f"{lake.root}/refined/totals"
    assert ask("SELECT cart_id FROM refined.totals") == [(3,)]
    assert read(resources, totals_of(), "refined/totals") == [(DAY_3, 3, "1.10", SIX)]


def test_a_table_without_days_can_become_empty(resources):
    materialize([totals_of((DAY_1, 1))], resources)

    result = materialize([totals_of()], resources)

    assert metadata_by_day(result, "refined/totals")[None]["dagster/row_count"] == 0
    assert read(resources, totals_of(), "refined/totals") == []


def test_an_input_annotated_as_an_arrow_table_is_one(resources):
    materialize([totals_of((DAY_1, 1))], resources)

    (table,) = read(resources, totals_of(), "refined/totals", kind=pa.Table)

    assert table.column("revenue").to_pylist() == [Decimal("1.10")]
    assert table.schema.field("sold_at").type == pa.timestamp("us", "UTC")


@pytest.mark.parametrize(
    ("expressions", "differing"),
    [
        (["sale_date", "cart_id", "revenue"], "sold_at"),
        (["*", "1 AS units"], "units"),
        (["cart_id", "sale_date", "revenue", "sold_at"], "the order"),
        (["sale_date", "string(cart_id) AS cart_id", "revenue", "sold_at"], "cart_id"),
        (
            ["sale_date", "cart_id", "double(revenue) AS revenue", "sold_at AS at"],
            "at, revenue, sold_at",
        ),
    ],
    ids=["missing", "extra", "other order", "other type", "several"],
)
def test_what_differs_from_the_contract_is_named_and_not_written(
    resources, listing, expressions, differing
):
    asset = sales_from(lambda spark: carts_df(spark, (DAY_1, 1)).selectExpr(*expressions))

    with pytest.raises(
        SchemaMismatchError, match=f"^trusted/sales differs from its contract in {differing}: "
    ):
        materialize([asset], resources, DAY_1)

    assert listing() == []


@pytest.fixture
def earlier(lake):
    """Makes a table of an earlier contract, with one row a day."""

    def make(key, *days):
        rows = {
            "sale_date": pa.array([date.fromisoformat(day) for day in days], pa.date32()),
            "cart_id": pa.array([7] * len(days), pa.int32()),
            "price": pa.array([1.5] * len(days), pa.float64()),
        }
        deltalake.write_deltalake(
            f"{lake.root}/{key}",
            pa.table(rows),
            partition_by=["sale_date"] if key == "trusted/sales" else None,
            storage_options=lake.storage_options,
        )

    return make


DIFFERING = "cart_id, price, revenue, sold_at"


def test_a_table_of_an_earlier_contract_is_not_touched_by_a_run_of_some_of_its_days(
    resources, earlier, table
):
    earlier("trusted/sales", DAY_1, DAY_2, DAY_3)
    with pytest.raises(
        SchemaMismatchError,
        match=f"^trusted/sales differs from its contract in {DIFFERING} as it is in the lake. "
        f"Materialise all of its days in one run: storepipe run --from {DAY_1} --to {DAY_3} "
        rf"--select 'key:\"trusted/sales\"\+'\. STOREPIPE_START_DATE must be {DAY_1} or before\.$",
    ):
        materialize([sales_of((DAY_1, 1))], resources, DAY_1, DAY_2)
    assert table().version() == 0


def test_a_run_of_all_its_days_gives_a_table_the_columns_of_its_contract_in_one_commit(
    resources, earlier, table
):
    earlier("trusted/sales", DAY_1, DAY_2)
    materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
    assert table().version() == 1
    assert carts_in(table()) == [1, 3]
    assert [(field.name, field.nullable) for field in table().schema().fields] == [
        (name, True) for name in ["sale_date", "cart_id", "revenue", "sold_at"]
    ]
    assert table().metadata().partition_columns == ["sale_date"]
    assert carts_in(deltalake.DeltaTable(table().table_uri, 0, table()._storage_options)) == [7, 7]


def test_after_that_single_days_are_replaced_again(resources, earlier, table):
    earlier("trusted/sales", DAY_1)
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)
    materialize([sales_of((DAY_2, 9))], resources, DAY_2)
    assert carts_in(table()) == [1, 9]


def test_a_table_without_days_gets_the_columns_of_its_contract_with_any_run(
    resources, earlier, delta_table
):
    earlier("refined/totals", DAY_1)
    materialize([totals_of((DAY_1, 1))], resources)
    assert delta_table("refined/totals").version() == 1
    assert carts_in(delta_table("refined/totals")) == [1]


@pytest.mark.parametrize("kind", [DataFrame, pa.Table])
def test_a_table_that_lacks_columns_of_its_contract_is_not_read(resources, earlier, kind):
    earlier("refined/totals", DAY_1)
    with pytest.raises(
        SchemaMismatchError,
        match=r"^refined/totals differs from its contract in cart_id, revenue, sold_at as it is",
    ):
        read(resources, totals_of(), "refined/totals", kind=kind)


def test_a_table_of_an_earlier_contract_that_is_not_read_tells_which_days_to_make(
    resources, earlier
):
    earlier("trusted/sales", DAY_1, DAY_2, DAY_3)
    with pytest.raises(
        SchemaMismatchError,
        match=f"together with this: --from {DAY_1} --to {DAY_3} --select .*"
        rf"STOREPIPE_START_DATE must be {DAY_1} or before\.$",
    ):
        read(resources, sales_of(), "trusted/sales", DAY_2)


@pytest.mark.parametrize("day", [DAY_1, DAY_3, None], ids=["before", "after", "no day"])
def test_rows_of_a_day_not_asked_for_are_refused_and_nothing_changes(resources, table, day):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2), (DAY_3, 3))], resources, DAY_1, DAY_3)
    version = table().version()

    with pytest.raises(
        PySparkException,
        match=f"outside of the days asked for, {DAY_2} to {DAY_2}: sale_date = {day or 'null'}",
    ):
        materialize([sales_of((DAY_2, 7), (day, 8))], resources, DAY_2)

    assert table().version() == version
    assert carts_in(table()) == [1, 2, 3]


def test_a_preview_shows_some_rows_of_the_newest_day_that_has_any(resources):
    rows = [(DAY_1, 1), *((DAY_2, cart_id) for cart_id in range(2, 9))]

    days = metadata_by_day(materialize([sales_of(*rows)], resources, DAY_1, DAY_3), "trusted/sales")

    assert [day for day, told in days.items() if "preview" in told] == [DAY_2]
    records = [record.data for record in days[DAY_2]["preview"].records]
    assert len(records) == 5
    assert records[0] == {
        "sale_date": DAY_2,
        "cart_id": 2,
        "revenue": "1.10",
        "sold_at": "2024-01-01 06:00:00+00:00",
    }


def test_a_preview_of_a_day_never_shows_another_day(resources):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)

    days = metadata_by_day(materialize([sales_of()], resources, DAY_2), "trusted/sales")

    assert "preview" not in days[DAY_2]


def test_a_table_without_rows_has_no_preview(resources):
    told = metadata_by_day(materialize([totals_of()], resources), "refined/totals")[None]

    assert "preview" not in told


def test_the_newest_day_of_a_run_tells_of_what_its_columns_are_made(resources):
    days = metadata_by_day(
        materialize([sales_of((DAY_1, 1))], resources, DAY_1, DAY_2), "trusted/sales"
    )

    carts = dg.AssetKey(["mysql", "carts"])
    assert COLUMN_LINEAGE not in days[DAY_1]
    assert days[DAY_2][COLUMN_LINEAGE].deps_by_column == {
        "sale_date": [dg.TableColumnDep(carts, "cart_date")],
        "cart_id": [dg.TableColumnDep(carts, "cart_id")],
    }


@pytest.mark.parametrize(
    ("days", "when"), [([DAY_1, DAY_2], rf" for {DAY_1}, {DAY_2}\. "), ([], r"\. ")]
)
def test_a_table_that_is_not_there_is_named(resources, days, when):
    with pytest.raises(MissingUpstreamError, match=f"^trusted/sales has nothing in the lake{when}"):
        read_sales(resources, *days)


@pytest.mark.parametrize(
    ("read_days", "named"), [([DAY_2], DAY_2), ([DAY_1, DAY_3], f"{DAY_2}, {DAY_3}")]
)
def test_days_that_were_never_materialized_are_named_whatever_else_the_table_has(
    resources, read_days, named
):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    with pytest.raises(MissingUpstreamError, match=rf"^trusted/sales .* for {named}\. "):
        read_sales(resources, *read_days)


def test_a_day_that_was_materialized_without_rows_is_read_without_rows(resources):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    materialize([sales_of()], resources, DAY_2)
    assert read_sales(resources, DAY_2) == []
    assert read_sales(resources, DAY_1, DAY_2) == [(DAY_1, 1)]


def test_a_day_that_a_roll_back_has_removed_was_never_materialized(resources, table):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    materialize([sales_of()], resources, DAY_2)
    table().restore(0)
    with pytest.raises(MissingUpstreamError, match=rf"for {DAY_2}\. "):
        read_sales(resources, DAY_1, DAY_2)


@pytest.mark.parametrize("asset", [sales_of(), totals_of()], ids=["with days", "without days"])
@pytest.mark.parametrize("kind", [DataFrame, pa.Table])
def test_a_table_whose_first_write_ended_after_its_creation_was_never_materialized(
    resources, lake, asset, kind
):
    deltalake.DeltaTable.create(
        lake.path(asset.key),
        deltalake.Schema.from_json(SCHEMA.json()),
        partition_by=["sale_date"] if asset.partitions_def else None,
        storage_options=lake.storage_options,
    )
    with pytest.raises(MissingUpstreamError, match=rf"^{asset.key.to_user_string()} "):
        read(resources, asset, asset.key.to_user_string(), kind=kind)


def test_a_table_is_created_together_with_its_rows(resources, table):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    assert table().version() == 0
    assert carts_in(table()) == [1]


@only_in_a_folder
def test_a_lost_table_is_not_begun_anew_with_some_of_its_days(resources, lake, monkeypatch):
    with dg.DagsterInstance.ephemeral() as instance:
        monkeypatch.setattr(dg.DagsterInstance, "ephemeral", lambda: nullcontext(instance))
        materialize([sales_of((DAY_1, 1))], resources, DAY_1, DAY_2)
        lake.files.rm(f"{lake.root}/trusted/sales", recursive=True)
        with pytest.raises(
            LostTableError,
            match=rf"^trusted/sales .* 2 other days \({DAY_1} to {DAY_2}\).*"
            rf"storepipe run --from {DAY_1} --to {DAY_3} --select 'key:\"trusted/sales\"\+'",
        ):
            materialize([sales_of((DAY_3, 3))], resources, DAY_3)
        assert not lake.files.exists(f"{lake.root}/trusted/sales")

        materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
        assert read_sales(resources) == [(DAY_1, 1), (DAY_3, 3)]


@only_in_a_folder
def test_files_are_on_the_disk_before_the_log_names_them_and_the_log_before_the_step_ends(
    resources, lake, monkeypatch
):
    synced, sync, commit = [], os.fsync, delta_writes.create_table_with_add_actions

    def record(descriptor):
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        sync(descriptor)

    def commit_and_mark(*arguments, **options):
        synced.append("commit")
        commit(*arguments, **options)

    monkeypatch.setattr(os, "fsync", record)
    monkeypatch.setattr(delta_writes, "create_table_with_add_actions", commit_and_mark)
    materialize([sales_of((DAY_1, 1))], resources, DAY_1, DAY_2)

    place = synced.index("commit")
    files = [file for file in lake.all_in(f"{lake.root}/trusted/sales") if ".parquet" in file]
    assert len(files) == 2
    for file in files:
        folder = file.rpartition("/")[0]
        assert {f"/sale_date={day}" in file for day in (DAY_1, DAY_2)} == {True, False}
        assert any(name.startswith(folder) and name != folder for name in synced[:place])
        assert folder in synced[:place]
    log = f"{lake.root}/trusted/sales/_delta_log"
    assert {f"{log}/{0:020}.json", log} <= {*synced[place:]}
    synced.clear()
    materialize([sales_of((DAY_1, 2))], resources, DAY_1)
    assert {f"{log}/{1:020}.json", log} <= {*synced}


def test_a_table_that_is_partitioned_otherwise_is_neither_read_nor_written(resources, lake):
    deltalake.write_deltalake(
        f"{lake.root}/trusted/sales",
        pa.table({"cart_id": pa.array([1], pa.int64())}),
        storage_options=lake.storage_options,
    )
    named = "^trusted/sales is partitioned by nothing in the lake and by sale_date in its contract"
    with pytest.raises(SchemaMismatchError, match=named):
        read_sales(resources, DAY_1)
    with pytest.raises(SchemaMismatchError, match=named):
        materialize([sales_of((DAY_1, 1))], resources, DAY_1)


@on_both
def test_a_newest_commit_that_is_cut_is_named_and_can_be_removed(resources, lake, table):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    materialize([sales_of((DAY_2, 2))], resources, DAY_2)
    newest = f"{lake.root}/trusted/sales/_delta_log/{1:020}.json"
    lake.files.pipe_file(newest, lake.files.cat_file(newest)[:-80])

    for run in (
        lambda: read_sales(resources),
        lambda: materialize([sales_of((DAY_3, 3))], resources, DAY_3),
    ):
        with pytest.raises(DamagedTableError, match=f"^{newest}, the newest commit of the table"):
            run()

    lake.files.rm_file(newest)
    assert read_sales(resources) == [(DAY_1, 1)]
    materialize([sales_of((DAY_2, 2))], resources, DAY_2)
    assert carts_in(table()) == [1, 2]


def test_an_asset_without_days_reads_also_rows_before_the_first_day(resources, table):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    earlier = table().to_pyarrow_table()
    earlier = earlier.set_column(0, "sale_date", pa.array([date(2023, 12, 31)], pa.date32()))
    deltalake.write_deltalake(table(), earlier, mode="append")

    assert read_sales(resources) == [("2023-12-31", 1), (DAY_1, 1)]


@pytest.mark.parametrize("exists", [False, True], ids=["a new table", "a table that is there"])
def test_writers_of_different_days_at_one_time_both_land(resources, table, exists):
    if exists:
        materialize([sales_of((DAY_3, 3))], resources, DAY_3)
    both_are_ready = threading.Barrier(2, timeout=20)

    def write(day, cart_id):
        def rows(spark):
            both_are_ready.wait()
            return carts_df(spark, (day, cart_id))

        return materialize([sales_from(rows)], resources, day).success

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(write, [DAY_1, DAY_2], [1, 2]))

    assert carts_in(table()) == [1, 2, *([3] if exists else [])]


@on_both
@pytest.mark.parametrize("exists", [False, True], ids=["a new table", "a table that is there"])
def test_of_writers_of_the_same_day_at_one_time_one_is_kept_whole(resources, table, exists):
    if exists:
        materialize([sales_of((DAY_1, 1), (DAY_3, 3))], resources, DAY_1, DAY_3)
    both_are_ready = threading.Barrier(2, timeout=20)

    def write(cart_ids):
        def rows(spark):
            both_are_ready.wait()
            return carts_df(spark, *((DAY_1, cart_id) for cart_id in cart_ids))

        return materialize([sales_from(rows)], resources, DAY_1).success

    with ThreadPoolExecutor(2) as threads:
        assert all(threads.map(write, [(10, 11), (20, 21)]))

    others = [3] if exists else []
    assert carts_in(table()) in ([*others, 10, 11], [*others, 20, 21])


@on_both
def test_a_table_that_another_has_created_meanwhile_is_written_to(resources, table, monkeypatch):
    create, tries = delta_writes.create_table_with_add_actions, []

    def create_in_competition(*arguments, **options):
        tries.append(1)
        monkeypatch.setattr(delta_writes, "create_table_with_add_actions", create)
        materialize([sales_of((DAY_2, 2))], resources, DAY_2)
        return create(*arguments, **options)

    monkeypatch.setattr(delta_writes, "create_table_with_add_actions", create_in_competition)
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda _: None)

    materialize([sales_of((DAY_1, 1))], resources, DAY_1)

    assert len(tries) == 1
    assert carts_in(table()) == [1, 2]


def half_of_it(then):
    """Rows of a first day, and then of a second whose making breaks off."""

    def make(spark):
        def rows(batches):
            yield from batches
            then()

        first = carts_df(spark, (DAY_1, 8)).coalesce(1)
        return first.mapInArrow(rows, first.schema)

    return make


@on_both
def test_a_failed_write_leaves_the_last_version(resources, table, ask):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)
    version = table().version()

    def fail():
        raise OSError("a worker is gone")

    with pytest.raises(PySparkException, match="a worker is gone"):
        materialize([sales_from(half_of_it(fail))], resources, DAY_1, DAY_2)

    assert table().version() == version
    assert read_sales(resources) == [(DAY_1, 1), (DAY_2, 2)]
    assert sorted(ask("SELECT cart_id FROM trusted.sales")) == [(1,), (2,)]


def write_and_stop(connection, make_lake, by_day=lambda make: make):
    lake = make_lake()
    pyspark = InProcessSpark(lake=lake)
    manager = DeltaIOManager(lake=lake, pyspark=pyspark)
    asset = sales_from(by_day(half_of_it(lambda: stop_here(connection))))
    materialize([asset], {"delta": manager, "pyspark": pyspark}, DAY_1, DAY_2)


def test_a_killed_write_leaves_the_last_version_and_is_repaired_by_the_next(
    resources, table, ask, make_lake
):
    materialize([sales_of((DAY_1, 1), (DAY_2, 2))], resources, DAY_1, DAY_2)
    version = table().version()

    kill_in_mid_write(write_and_stop, make_lake)

    assert table().version() == version
    assert read_sales(resources) == [(DAY_1, 1), (DAY_2, 2)]
    assert sorted(ask("SELECT cart_id FROM trusted.sales")) == [(1,), (2,)]

    materialize([sales_of((DAY_1, 8), (DAY_2, 9))], resources, DAY_1, DAY_2)

    assert read_sales(resources) == [(DAY_1, 8), (DAY_2, 9)]
    assert sorted(ask("SELECT cart_id FROM trusted.sales")) == [(8,), (9,)]


def test_data_files_of_a_killed_write_are_not_read(resources, ask, lake):
    materialize([sales_of((DAY_1, 1))], resources, DAY_1)
    left = f"{lake.root}/trusted/sales/sale_date={DAY_1}/part-0.parquet"
    lake.files.makedirs(left.rpartition("/")[0], exist_ok=True)
    lake.files.pipe_file(left, b"PAR1")

    assert read_sales(resources, DAY_1) == [(DAY_1, 1)]
    assert ask("SELECT cart_id FROM trusted.sales") == [(1,)]
