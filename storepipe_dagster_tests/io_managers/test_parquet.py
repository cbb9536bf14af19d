"""Tests of `storepipe_dagster.io_managers.parquet`."""

from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame

from storepipe_dagster.io_managers.delta_days import DailyRows
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN, MissingUpstreamError
from storepipe_dagster.io_managers.parquet import (
    DamagedExtractError,
    ParquetIOManager,
    RowsOutsideError,
)
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
from storepipe_dagster_tests.spark import read_rows

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

SCHEMA = pa.schema(
    [
        pa.field("cart_date", pa.date32(), metadata={"comment": "The day"}),
        pa.field("cart_id", pa.int64(), metadata={"comment": "Id"}),
        pa.field("sold_at", pa.timestamp("us", "UTC"), metadata={"comment": "The time"}),
        pa.field("price", pa.decimal128(12, 2), metadata={"personal_data": "true"}),
    ]
)
FILE_1, FILE_2, FILE_3 = (
    f"raw/relational/carts/cart_date={day}/data.parquet" for day in (DAY_1, DAY_2, DAY_3)
)
WHOLE = "raw/relational/products/data.parquet"


def batch(*rows):
    """Rows of (day, cart_id); the time is six o'clock plus a microsecond, the price 1.10."""
    return pa.RecordBatch.from_pylist(
        [
            {
                "cart_date": day and date.fromisoformat(day),
                "cart_id": cart_id,
                "sold_at": datetime(2024, 1, 1, 6, 0, 0, 1, tzinfo=timezone.utc),
                "price": Decimal("1.10"),
            }
            for day, cart_id in rows
        ],
        SCHEMA,
    )


def carts_of(*batches):
    @dg.asset(
        key=["raw", "relational", "carts"],
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
        io_manager_key="parquet",
        metadata={PARTITION_COLUMN: "cart_date"},
    )
    def carts() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(SCHEMA, batches)

    return carts


def products_of(batches):
    @dg.asset(key=["raw", "relational", "products"], io_manager_key="parquet")
    def products() -> pa.RecordBatchReader:
        return pa.RecordBatchReader.from_batches(SCHEMA, batches)

    return products


def read(resources, table, asset, *days):
    """What Spark reads: all days if none are asked for."""
    rows = []

    @dg.asset(
        ins={"table": dg.AssetIn(["raw", "relational", table])},
        partitions_def=DAYS if days else None,
        backfill_policy=SINGLE_RUN if days else None,
    )
    def reader(table: DataFrame) -> None:
        rows.extend(read_rows(table))

    materialize([asset, reader], resources, *days, select="reader")
    return rows


def read_ids(resources, *days):
    return [row[1] for row in read(resources, "carts", carts_of(), *days)]


@pytest.fixture
def ids_in(content):
    """The ids in a file of the lake."""
    return lambda file: pq.read_table(pa.BufferReader(content(file)))["cart_id"].to_pylist()


@on_both
def test_the_files_have_the_declared_schema_with_its_metadata(resources, content):
    materialize([products_of([batch((DAY_1, 1))])], resources)
    materialize([carts_of(batch((DAY_1, 1)))], resources, DAY_1, DAY_2)

    for file in (WHOLE, FILE_1, FILE_2):  # the last one is of a day without rows
        schema = pq.read_schema(pa.BufferReader(content(file)))
        assert schema.equals(SCHEMA)
        assert schema.field("price").metadata[b"personal_data"] == b"true"
        assert schema.field("cart_date").metadata[b"comment"] == b"The day"


def test_spark_reads_the_values_exactly(resources):
    materialize([products_of([batch((DAY_1, 2**40))])], resources)
    schemas = []

    @dg.asset(ins={"table": dg.AssetIn(["raw", "relational", "products"])})
    def reader(table: DataFrame) -> None:
        schemas.append([kind for _, kind in table.dtypes])
        microseconds = table.selectExpr("*", "unix_micros(sold_at) % 1000000 AS micros")
        assert microseconds.collect()[0]["micros"] == 1

    materialize([products_of([]), reader], resources, select="reader")

    assert schemas == [["date", "bigint", "timestamp", "decimal(12,2)"]]
    assert read(resources, "products", products_of([])) == [
        ("2024-01-01", 2**40, "2024-01-01 06:00:00", "1.10")
    ]


@on_both
def test_a_table_without_days_is_one_file_replaced_whole(
    resources, listing, ask, lake, content, ids_in
):
    materialize([products_of([batch((DAY_1, 1), (DAY_2, 2)), batch((DAY_1, 3))])], resources)
    assert ids_in(WHOLE) == [1, 2, 3]

    result = materialize([products_of([batch((DAY_1, 4))])], resources)

    assert listing() == [WHOLE]
    assert ids_in(WHOLE) == [4]
    assert ask("SELECT cart_id, price FROM raw_relational.products") == [(4, Decimal("1.10"))]
    assert metadata_by_day(result, "raw/relational/products") == {
        None: {
            "dagster/row_count": 1,
            "dagster/size_bytes": len(content(WHOLE)),
            "files": 1,
            "path": f"{lake.root}/{WHOLE}",
        }
    }


def test_a_table_without_rows_keeps_its_columns(resources, ask):
    materialize([products_of([])], resources)

    assert read(resources, "products", products_of([])) == []
    assert ask("SELECT cart_id FROM raw_relational.products") == []


def test_one_day_is_written_and_read(resources, listing):
    materialize([carts_of(batch((DAY_2, 1), (DAY_2, 2)))], resources, DAY_2)

    assert listing() == [FILE_2]
    assert read_ids(resources, DAY_2) == [1, 2]


def test_batches_are_cut_where_the_day_changes(resources, ask, content, ids_in):
    result = materialize(
        [carts_of(batch((DAY_1, 1)), batch((DAY_1, 2), (DAY_2, 3), (DAY_3, 4)), batch((DAY_3, 5)))],
        resources,
        DAY_1,
        DAY_3,
    )

    assert [ids_in(file) for file in (FILE_1, FILE_2, FILE_3)] == [[1, 2], [3], [4, 5]]
    assert read_ids(resources, DAY_2, DAY_3) == [3, 4, 5]
    assert ask("SELECT cart_date, count(*) FROM raw_relational.carts GROUP BY 1 ORDER BY 1") == [
        (date(2024, 1, 1), 2),
        (date(2024, 1, 2), 1),
        (date(2024, 1, 3), 2),
    ]
    days = metadata_by_day(result, "raw/relational/carts")
    assert {day: told["dagster/row_count"] for day, told in days.items()} == {
        DAY_1: 2,
        DAY_2: 1,
        DAY_3: 2,
    }
    assert days[DAY_2]["dagster/size_bytes"] == len(content(FILE_2))


def test_days_without_rows_become_empty_files(resources, ids_in):
    result = materialize([carts_of(batch(), batch((DAY_2, 1)))], resources, DAY_1, DAY_3)

    assert [ids_in(file) for file in (FILE_1, FILE_2, FILE_3)] == [[], [1], []]
    assert metadata_by_day(result, "raw/relational/carts")[DAY_3]["dagster/row_count"] == 0
    assert read_ids(resources, DAY_3) == []


def test_an_asset_without_days_reads_all_days(resources):
    materialize([carts_of(batch((DAY_1, 1), (DAY_3, 3)))], resources, DAY_1, DAY_3)

    assert read_ids(resources) == [1, 3]


def test_an_input_by_day_opens_the_files_of_the_days_it_is_asked_for(resources, lake):
    assets = [carts_of(batch((DAY_1, 1), (DAY_2, 2), (DAY_3, 3)))]
    materialize(assets, resources, DAY_1, DAY_3)
    got = []

    @dg.asset(
        ins={"carts": dg.AssetIn(["raw", "relational", "carts"])},
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
    )
    def reader(carts: DailyRows) -> None:
        lake.files.pipe_file(f"{lake.root}/{FILE_3}", b"no Parquet")
        parts = ([DAY_1], [DAY_1, DAY_2])
        got.extend([row[1] for row in read_rows(carts.of(part))] for part in parts)

    materialize([*assets, reader], resources, DAY_1, DAY_3, select="reader")

    assert got == [[1], [1, 2]]


def test_an_input_by_day_names_days_that_are_not_there(resources):
    assets = [carts_of(batch((DAY_1, 1)))]
    materialize(assets, resources, DAY_1)

    @dg.asset(
        ins={"carts": dg.AssetIn(["raw", "relational", "carts"])},
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
    )
    def reader(carts: DailyRows) -> None:
        raise AssertionError(carts)

    with pytest.raises(MissingUpstreamError, match=f"nothing in the lake for {DAY_2}"):
        materialize([*assets, reader], resources, DAY_1, DAY_2, select="reader")


def test_a_day_made_again_is_the_same_and_others_are_not_touched(resources, lake, content):
    materialize([carts_of(batch((DAY_1, 1), (DAY_2, 2)))], resources, DAY_1, DAY_2)
    first, second = content(FILE_1), lake.files.info(f"{lake.root}/{FILE_2}")

    materialize([carts_of(batch((DAY_1, 1)))], resources, DAY_1)

    assert content(FILE_1) == first
    assert lake.files.info(f"{lake.root}/{FILE_2}") == second


@pytest.mark.parametrize("day", [DAY_1, DAY_3, None], ids=["before", "after", "no day"])
def test_rows_of_a_day_not_asked_for_are_refused(resources, listing, day):
    with pytest.raises(RowsOutsideError, match=f"^Rows of {day} came, which was not asked for"):
        materialize([carts_of(batch((day, 1)), batch((DAY_2, 2)))], resources, DAY_2)

    assert listing() == []


def test_rows_of_a_day_not_asked_for_leave_the_day_being_written_as_it_was(resources, ids_in):
    materialize([carts_of(batch((DAY_1, 1)))], resources, DAY_1)

    with pytest.raises(RowsOutsideError, match=f"^Rows of {DAY_2} came"):
        materialize([carts_of(batch((DAY_1, 7), (DAY_2, 2)))], resources, DAY_1)

    assert ids_in(FILE_1) == [1]


def test_rows_that_are_not_sorted_by_day_are_refused(resources):
    batches = [batch((DAY_1, 1), (DAY_2, 2)), batch((DAY_1, 3))]

    with pytest.raises(RowsOutsideError, match=f"not sorted by cart_date: rows of {DAY_1} come"):
        materialize([carts_of(*batches)], resources, DAY_1, DAY_2)


def test_days_that_are_not_there_are_named(resources):
    materialize([carts_of()], resources, DAY_2)

    with pytest.raises(
        MissingUpstreamError, match=f"^raw/relational/carts .* for {DAY_1}, {DAY_3}. "
    ):
        read_ids(resources, DAY_1, DAY_3)


def test_a_table_that_is_not_there_is_named(resources):
    with pytest.raises(
        MissingUpstreamError, match=r"^raw/relational/products has nothing .*lake\."
    ):
        read(resources, "products", products_of([]))


def broken_off(then):
    yield batch(*((DAY_1, number) for number in range(1000)))
    then()


@on_both
def test_a_failed_write_leaves_the_last_file_and_nothing_else(resources, listing, ids_in):
    materialize([products_of([batch((DAY_1, 1))])], resources)

    def fail():
        raise OSError("the database is gone")

    with pytest.raises(OSError, match="the database is gone"):
        materialize([products_of(broken_off(fail))], resources)

    assert listing() == [WHOLE]
    assert ids_in(WHOLE) == [1]


def write_and_stop(connection, make_lake):
    lake = make_lake()
    manager = ParquetIOManager(lake=lake, pyspark=InProcessSpark(lake=lake))
    batches = broken_off(lambda: stop_here(connection))
    materialize([products_of(batches)], {"parquet": manager})


def test_a_killed_write_is_invisible_and_repaired_by_the_next(resources, make_lake, listing, ask):
    materialize([products_of([batch((DAY_1, 1))])], resources)

    kill_in_mid_write(write_and_stop, make_lake)

    assert [file for file in listing() if "/." not in file] == [WHOLE]
    assert [row[1] for row in read(resources, "products", products_of([]))] == [1]
    assert ask("SELECT cart_id FROM raw_relational.products") == [(1,)]

    materialize([products_of([batch((DAY_1, 2))])], resources)

    assert [row[1] for row in read(resources, "products", products_of([]))] == [2]
    assert ask("SELECT cart_id FROM raw_relational.products") == [(2,)]


@pytest.mark.parametrize("length", [0, 3, 40])
def test_a_file_without_its_end_is_named(resources, lake, length):
    days = batch((DAY_1, 1)), batch((DAY_2, 2))
    materialize([carts_of(*days)], resources, DAY_1, DAY_2)
    path = f"{lake.root}/raw/relational/carts/cart_date={DAY_2}/data.parquet"
    lake.files.pipe_file(path, lake.files.cat_file(path)[:length])

    with pytest.raises(DamagedExtractError) as caught:
        read_ids(resources, DAY_1, DAY_2)
    assert str(caught.value) == (
        f"The extract {path} is damaged: it has {length} bytes and not the end of a Parquet file. "
        f"Make it again: storepipe run --from {DAY_2} --to {DAY_2} "
        "--select 'key:\"raw/relational/carts\"+'"
    )
    assert read_ids(resources, DAY_1) == [1]


@only_in_a_folder
def test_a_day_whose_first_write_was_killed_is_not_there(resources, lake, ask):
    folder = Path(lake.root) / f"raw/relational/carts/cart_date={DAY_1}"
    folder.mkdir(parents=True)
    (folder / ".data.parquet.0123").write_bytes(b"PAR1")

    with pytest.raises(MissingUpstreamError, match=f"for {DAY_1}"):
        read_ids(resources, DAY_1)
    assert ask("SELECT * FROM duckdb_views() WHERE schema_name = 'raw_relational'") == []
