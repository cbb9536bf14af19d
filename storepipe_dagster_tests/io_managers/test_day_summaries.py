"""Tests of `storepipe_dagster.io_managers.day_summaries`."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import dagster as dg
import pytest
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, LongType, StructType

from storepipe_dagster.columns import column, conform
from storepipe_dagster.history.tables import delta_tables
from storepipe_dagster.io_managers import day_summaries
from storepipe_dagster.io_managers.day_summaries import DaySummary, SummarisedDays
from storepipe_dagster.io_managers.delta import SchemaMismatchError
from storepipe_dagster.io_managers.lake import MissingUpstreamError
from storepipe_dagster_tests.io_managers.lakes import on_both
from storepipe_dagster_tests.io_managers.small_graph import (
    DAY_1,
    DAY_2,
    DAY_3,
    DAYS,
    SINGLE_RUN,
    materialize,
)
from storepipe_dagster_tests.io_managers.test_delta import (
    delta_table,  # noqa: F401
    earlier,  # noqa: F401
    sales_of,
)
from storepipe_dagster_tests.spark import read_rows

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

SCHEMA = StructType(
    [column("sale_date", DateType(), "The day"), column("carts", LongType(), "Its carts")]
)
NAME = "refined/_summaries/counts"


def count(sales):
    return conform(sales.groupBy("sale_date").agg(F.count("*").alias("carts")), SCHEMA)


COUNTS = DaySummary("counts", SCHEMA, count, definition=1)


@pytest.fixture
def read(resources):
    """The rows of a summary as an asset reads it: all days if none are asked for."""

    def rows(*days, summary=COUNTS, before=lambda: None):
        got = []

        @dg.asset(
            ins={"sales": dg.AssetIn(["trusted", "sales"], input_manager_key="day_summaries")},
            partitions_def=DAYS if days else None,
            backfill_policy=SINGLE_RUN if days else None,
        )
        def reader(sales: SummarisedDays) -> None:
            before()
            got.extend(read_rows(sales.of(summary)))

        materialize([sales_of(), reader], resources, *days, select="reader")
        return got

    return rows


@pytest.fixture
def kept(delta_table):  # noqa: F811
    """The table of the summary, as delta-rs sees it now."""
    return lambda: delta_table(NAME)


def files_in(table):
    """The file of each day."""
    found = table.get_add_actions(flatten=True).to_struct_array().to_pylist()
    return {str(file["partition.sale_date"]): file["path"] for file in found}


def sell(resources, *rows, days=(DAY_1, DAY_3)):
    materialize([sales_of(*rows)], resources, *days)


def test_a_summary_has_the_rows_of_all_days_or_of_those_of_the_step(resources, read):
    sell(resources, (DAY_1, 1), (DAY_1, 2), (DAY_2, 3), (DAY_3, 4))

    assert read(DAY_2) == [(DAY_2, 1)]
    assert read(DAY_1, DAY_2) == [(DAY_1, 2), (DAY_2, 1)]
    assert read() == [(DAY_1, 2), (DAY_2, 1), (DAY_3, 1)]


def test_only_the_days_of_the_step_are_summarised(resources, read, kept):
    sell(resources, (DAY_1, 1), (DAY_2, 2), (DAY_3, 3))

    read(DAY_2)

    assert [*files_in(kept())] == [DAY_2]


def test_what_was_made_once_is_read_again(resources, read, kept):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    read()
    version = kept().version()

    def fails(_sales):
        raise AssertionError("there is nothing to be made")

    assert read(summary=replace(COUNTS, summarise=fails)) == [(DAY_1, 1), (DAY_2, 1)]
    assert kept().version() == version


@on_both
def test_a_day_that_changed_is_made_again_and_no_other_is(resources, read, kept):
    sell(resources, (DAY_1, 1), (DAY_2, 2), (DAY_3, 3))
    read()
    before = files_in(kept())

    sell(resources, (DAY_2, 7), (DAY_2, 8), days=(DAY_2,))

    assert read() == [(DAY_1, 1), (DAY_2, 2), (DAY_3, 1)]
    after = files_in(kept())
    assert [day for day in before if before[day] != after[day]] == [DAY_2]


def test_a_day_that_lost_its_rows_has_none(resources, read):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    read()

    sell(resources, days=(DAY_2,))

    assert read() == [(DAY_1, 1)]
    assert read(DAY_2) == []


def test_a_table_that_went_back_is_summarised_as_it_was(resources, read, delta_table):  # noqa: F811
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    version = delta_table("trusted/sales").version()
    read()
    sell(resources, (DAY_1, 7), (DAY_1, 8), days=(DAY_1,))
    read()

    delta_table("trusted/sales").restore(version)

    assert read() == [(DAY_1, 1), (DAY_2, 1)]


def test_without_rows_there_are_columns(resources, read):
    sell(resources)

    assert read() == []
    assert read(DAY_1) == []


def test_another_definition_makes_all_days_again(resources, read):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    read()

    def count_twice(sales):
        return conform(count(sales).withColumn("carts", F.col("carts") * 2), SCHEMA)

    doubled = replace(COUNTS, summarise=count_twice, definition=2)
    assert read(summary=doubled) == [(DAY_1, 2), (DAY_2, 2)]
    assert read() == [(DAY_1, 1), (DAY_2, 1)]


def test_other_columns_replace_the_table(resources, read):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    read()
    wider = StructType([*SCHEMA.fields, column("largest", LongType(), "The largest id")])

    def measure(sales):
        return sales.groupBy("sale_date").agg(
            F.count("*").alias("carts"), F.max("cart_id").alias("largest")
        )

    rows = read(summary=replace(COUNTS, schema=wider, summarise=measure))

    assert rows == [(DAY_1, 1, 1), (DAY_2, 1, 2)]


def test_days_are_summarised_part_by_part_in_one_commit(resources, read, kept, monkeypatch):
    sell(resources, (DAY_1, 1), (DAY_2, 2), (DAY_3, 3))
    monkeypatch.setattr(day_summaries, "parts_of", lambda days, _sizes: [[day] for day in days])

    assert read() == [(DAY_1, 1), (DAY_2, 1), (DAY_3, 1)]
    assert kept().version() == 0


def test_a_summary_is_of_the_table_as_it_was_when_it_was_opened(resources, read):
    sell(resources, (DAY_1, 1), (DAY_2, 2))

    def change():
        sell(resources, (DAY_1, 7), (DAY_1, 8), days=(DAY_1,))

    assert read(before=change) == [(DAY_1, 1), (DAY_2, 1)]
    assert read() == [(DAY_1, 2), (DAY_2, 1)]


@on_both
def test_of_two_who_summarise_the_same_days_at_one_time_the_rows_are_there_once(resources, read):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    both_are_ready = threading.Barrier(2, timeout=20)

    with ThreadPoolExecutor(2) as threads:
        found = [*threads.map(lambda _: read(before=both_are_ready.wait), range(2))]

    assert found == [[(DAY_1, 1), (DAY_2, 1)]] * 2
    assert read() == [(DAY_1, 1), (DAY_2, 1)]


def test_a_summary_that_fails_changes_nothing_and_is_made_by_the_next_run(
    resources, read, kept, listing
):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    read()
    sell(resources, (DAY_1, 7), (DAY_1, 8), days=(DAY_1,))
    before = listing()

    def fails(sales):
        return count(sales.withColumn("sale_date", F.raise_error(F.lit("gone")).cast("date")))

    with pytest.raises(Exception, match="gone"):
        read(summary=replace(COUNTS, summarise=fails))

    assert listing() == before
    assert read() == [(DAY_1, 2), (DAY_2, 1)]


def test_summaries_that_are_lost_are_made_again(resources, read, lake):
    sell(resources, (DAY_1, 1), (DAY_2, 2))
    read()

    lake.files.rm(f"{lake.root}/refined/_summaries", recursive=True)

    assert read() == [(DAY_1, 1), (DAY_2, 1)]


def test_nobody_is_shown_a_summary_as_a_table(resources, read, lake, ask):
    sell(resources, (DAY_1, 1))
    read()

    assert [table.path for table in delta_tables(lake)] == [("trusted", "sales")]
    views = "SELECT table_name FROM information_schema.tables WHERE table_schema != 'main'"
    assert ask(views) == [("sales",)]


@pytest.mark.parametrize("days", [(), (DAY_1,)])
def test_a_table_that_is_not_there_is_named(read, days):
    with pytest.raises(MissingUpstreamError, match="trusted/sales has nothing in the lake"):
        read(*days)


def test_a_table_of_an_earlier_contract_is_not_summarised(read, earlier):  # noqa: F811
    earlier("trusted/sales", DAY_1)

    with pytest.raises(SchemaMismatchError, match="differs from its contract"):
        read()


def test_it_is_for_inputs_only(resources):
    @dg.asset(io_manager_key="day_summaries")
    def counts() -> int:
        return 1

    with pytest.raises(NotImplementedError, match="counts is no input"):
        materialize([counts], resources)
