"""Tests of `storepipe_dagster.history.tables`, and of SQL as of a version or a time."""

from datetime import datetime, timedelta, timezone

import dagster as dg
import duckdb
import pytest

from storepipe_dagster.history import tables as named
from storepipe_dagster.io_managers.lake import TableKey
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster_tests.history.conftest import PRODUCTS, REJECTED, SALES
from storepipe_dagster_tests.io_managers.lakes import (
    on_both,
    only_in_a_folder,
)


def ask(lake, query, **options):
    with LakeSql(lake=lake).connect(**options) as connection:
        return connection.sql(query).fetchall()


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


@on_both
def test_the_delta_tables_are_found_and_nothing_else(tables, lake):
    with lake.write(f"{lake.root}/refined/store_report/index.html") as page:
        page.write(b"<p>")
    found = [[*key.path] for key in named.delta_tables(lake)]
    assert found == [REJECTED.path, SALES.path, PRODUCTS.path]


@pytest.mark.parametrize("name", ["trusted.sales", "trusted/sales"])
def test_a_table_is_named_as_in_sql_or_as_an_asset(tables, lake, name):
    assert named.find_table(lake, name) == TableKey(("trusted", "sales"))


@only_in_a_folder
def test_a_name_that_is_no_table_is_an_error_that_lists_them(tables, lake):
    with pytest.raises(named.NoSuchTableError, match=r"raw\.sales is not .* trusted\.sales, ref"):
        named.find_table(lake, "raw.sales")


@only_in_a_folder
def test_without_tables_the_error_says_how_to_make_some(lake):
    with pytest.raises(named.NoSuchTableError, match="none yet: make demo"):
        named.find_table(lake, "trusted.sales")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-01-31", utc(2020, 1, 31, 23, 59, 59, 999999)),
        ("2020-01-31T12:30:00", utc(2020, 1, 31, 12, 30)),
        ("2020-01-31T12:30:00Z", utc(2020, 1, 31, 12, 30)),
        ("2020-01-31 12:30:00.5+02:00", utc(2020, 1, 31, 10, 30, 0, 500000)),
    ],
)
def test_a_time_is_utc_unless_it_tells_and_a_date_is_the_end_of_its_day(text, moment):
    assert named.moment_of(text) == moment


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59Z"])
def test_the_ends_of_time_are_times(tables, lake, text):
    assert named.moment_of(text).year in {1, 9999}
    with LakeSql(lake=lake).connect(named.moment_of(text)) as connection:
        connection.sql("SHOW ALL TABLES")


@pytest.mark.parametrize("text", ["", "yesterday", "2020-13-01"])
def test_what_is_no_time_is_an_error_with_examples(text):
    with pytest.raises(named.TimeError, match=r"neither a date nor a time\. Examples"):
        named.moment_of(text)


@on_both
def test_sql_shows_each_version_as_it_was(tables, lake):
    tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (1, "2.20"))
    tables.rank((1, "Shirt"))
    question = "SELECT revenue::VARCHAR FROM trusted.sales"
    assert ask(lake, question, versions={SALES: 1}) == [("1.10",)]
    assert ask(lake, question, versions={SALES: 0}) == []
    assert ask(lake, question, versions={PRODUCTS: 0}) == [("2.20",)]


@on_both
def test_sql_as_of_a_time_shows_what_was_there_then(tables, lake):
    tables.sell("2020-01-01", (1, "1.10"))
    then = tables.versions(SALES)[-1].time
    tables.sell("2020-01-01", (1, "2.20"))
    question = "SELECT revenue::VARCHAR FROM trusted.sales"
    assert ask(lake, question, as_of=then) == [("1.10",)]
    assert ask(lake, question, as_of=then + timedelta(days=1)) == [("2.20",)]
    assert ask(lake, question, as_of=then, versions={SALES: 2}) == [("2.20",)]


@only_in_a_folder
def test_as_of_a_time_a_table_that_was_not_there_yet_and_an_extract_have_no_view(tables, lake):
    before = tables.versions(SALES)[0].time - timedelta(seconds=1)
    with lake.write(f"{lake.root}/raw/relational/users/data.parquet") as file:
        file.write(b"not read")
    for table in ("trusted.sales", "raw_relational.users"):
        with pytest.raises(duckdb.CatalogException):
            ask(lake, f"FROM {table}", as_of=before)


@only_in_a_folder
def test_as_of_a_time_a_vacuumed_table_fails_only_the_queries_that_use_it(tables, lake):
    tables.sell("2020-01-01", (1, "1.10"))
    tables.sell("2020-01-01", (1, "2.20"))
    tables.lose(SALES, 1)
    then = tables.versions(SALES)[1].time
    assert ask(lake, f"SELECT 1 FROM {named.table_name(PRODUCTS)} LIMIT 0", as_of=then) == []
    for query in ("FROM trusted.sales", "FROM trusted.Sales"):
        with pytest.raises(
            named.NoSuchVersionError, match=r"trusted\.sales cannot be read at version 1: 1 of"
        ):
            ask(lake, query, as_of=then)
    with pytest.raises(duckdb.CatalogException, match="nope"):
        ask(lake, "FROM trusted.nope", as_of=then)
    assert ask(lake, "SELECT revenue::VARCHAR FROM trusted.sales", as_of=then, versions={SALES: 2})


@only_in_a_folder
@pytest.mark.parametrize("number", [9, 1])
def test_a_version_that_is_not_there_is_an_error_that_lists_those_that_are(tables, lake, number):
    for day in range(1, 4):
        tables.sell("2020-01-01", (day, "1.10"))
    tables.lose(SALES, 1)
    with pytest.raises(named.NoSuchVersionError, match=r"trusted\.sales .*\b0, 2-3\b"):
        ask(lake, "FROM trusted.sales", versions={SALES: number})


@only_in_a_folder
def test_a_time_before_the_log_begins_is_an_error(tables, lake):
    tables.sell("2020-01-01", (1, "1.10"))
    before = tables.versions(SALES)[0].time
    tables.delta(SALES).create_checkpoint()
    tables.sell("2020-01-01", (2, "1.10"))
    lake.files.rm_file(lake.path(SALES, "_delta_log", f"{0:020}.json"))
    with pytest.raises(named.NoSuchVersionError, match="its history begins with version 1 at"):
        ask(lake, "FROM trusted.sales", as_of=before - timedelta(seconds=1))
    with pytest.raises(named.NoSuchVersionError, match="has no version 0 any more; it has 1-2"):
        ask(lake, "FROM trusted.sales", versions={SALES: 0})


@only_in_a_folder
def test_a_version_is_named_with_its_table(tables, lake):
    assert named.named_version(lake, "trusted.sales=3") == (TableKey(("trusted", "sales")), 3)
    for text in ("trusted.sales", "trusted.sales=", "trusted.sales=new", "3"):
        with pytest.raises(named.NoSuchVersionError, match=r"Example: trusted\.sales=3"):
            named.named_version(lake, text)
    with pytest.raises(named.NoSuchTableError):
        named.named_version(lake, "trusted.nope=3")


def test_many_versions_are_listed_in_short():
    key = dg.AssetKey(["trusted", "sales"])
    with pytest.raises(named.NoSuchVersionError, match="it has none"):
        named.expect_version(key, [], 0)
    assert named._ranges([*range(0, 40, 2)]) == "…, 24, 26, 28, 30, 32, 34, 36, 38"
