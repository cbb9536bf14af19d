"""Tests of `storepipe_dagster.resources.lake_sql` on files written here."""

import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from storepipe_dagster.history.tables import UnreadableTableError
from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources.lake_sql import (
    LakeSql,
    NotReadingError,
    expect_reading,
    named_tables,
)
from storepipe_dagster.rule_checks import day_bounds, no_rows
from storepipe_dagster_tests.io_managers.lakes import on_both, only_in_a_folder
from storepipe_dagster_tests.resources import ask_often

SALES = pa.schema(
    [
        ("sale_date", pa.date32()),
        ("cart_id", pa.int64()),
        ("sold_at", pa.timestamp("us", "UTC")),
        ("revenue", pa.decimal128(18, 2)),
    ]
)
RULE = (dg.AssetKey(["trusted", "sales"]), "revenue_is_positive")


def sale(day, cart_id=1, revenue="1.10"):
    sold_at = datetime.combine(day, datetime.min.time(), timezone.utc)
    row = {"sale_date": day, "cart_id": cart_id, "sold_at": sold_at, "revenue": Decimal(revenue)}
    return pa.Table.from_pylist([row], SALES)


def write_sales(lake, *days):
    for day in days:
        write_delta(lake, "trusted/sales", sale(day), partition_by=["sale_date"], mode="append")


def write_delta(lake, name, table, **options):
    path = f"{lake.root}/{name}"
    if not path.startswith("az:"):
        Path(path).mkdir(parents=True, exist_ok=True)
    write_deltalake(path, table, storage_options=lake.storage_options, **options)


def write_parquet(lake, name, rows):
    with lake.write(f"{lake.root}/raw/relational/{name}/data.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows), file)


def connect(lake):
    return LakeSql(lake=lake).connect()


def ask(lake, query):
    with connect(lake) as connection:
        return connection.sql(query).fetchall()


@on_both
def test_the_three_schemas_have_one_view_per_table(lake):
    write_parquet(lake, "users", [{"user_id": 1}])
    write_parquet(lake, "carts/cart_date=2020-01-01", [{"cart_date": date(2020, 1, 1)}])
    write_sales(lake, date(2020, 1, 1))
    write_delta(lake, "refined/sales_by_day", pa.table({"lines": [3]}))
    views = (
        "SELECT schema_name, view_name FROM duckdb_views() "
        "WHERE NOT internal AND NOT temporary ORDER BY ALL"
    )
    assert ask(lake, views) == [
        ("raw_relational", "carts"),
        ("raw_relational", "users"),
        ("refined", "sales_by_day"),
        ("trusted", "sales"),
    ]


@on_both
@pytest.mark.parametrize("is_there", [False, True])
def test_an_empty_lake_has_the_schemas_and_no_views(lake, is_there):
    if is_there:
        lake.files.makedirs(lake.root, exist_ok=True)
    with connect(lake) as connection:
        names = connection.sql(
            "SELECT schema_name FROM duckdb_schemas() WHERE NOT internal"
        ).fetchall()
        assert {"raw_relational", "trusted", "refined"} <= {name for (name,) in names}
        with pytest.raises(duckdb.CatalogException, match="sales"):
            connection.sql("FROM trusted.sales")


def test_a_folder_that_is_no_table_is_passed_over(lake):
    for file in ("trusted/half/part", "refined/store_report/index.html", "raw/relational/carts/x"):
        with lake.write(f"{lake.root}/{file}") as opened:
            opened.write(b"<p>")
    assert ask(
        lake, "SELECT count(*) FROM duckdb_views() WHERE NOT internal AND NOT temporary"
    ) == [(0,)]


def test_only_a_query_that_needs_a_damaged_table_fails_and_names_it(lake):
    write_sales(lake, date(2024, 1, 1))
    with lake.write(f"{lake.root}/raw/relational/users/data.parquet") as file:
        file.write(b"PAR1")

    def asked(query):
        with LakeSql(lake=lake).connect(skip_damaged=True) as connection:
            return connection.sql(query).fetchall()

    assert len(asked("SELECT * FROM trusted.sales")) == 1
    for attempt in (
        lambda: asked("SELECT * FROM raw_relational.users"),
        lambda: ask(lake, "SELECT 1"),  # a check is not to take it for a table that never was
    ):
        with pytest.raises(UnreadableTableError) as caught:
            attempt()
        assert str(caught.value).startswith("raw_relational.users cannot be read: ")
        assert "--select 'key:\"raw/relational/users\"+'" in str(caught.value)


@on_both
def test_rows_of_a_delta_table_have_their_types(lake):
    write_sales(lake, date(2020, 1, 1))
    with connect(lake) as connection:
        sales = connection.sql("FROM trusted.sales")
        assert sales.columns == SALES.names
        assert [str(kind) for kind in sales.types] == [
            "DATE",
            "BIGINT",
            "TIMESTAMP WITH TIME ZONE",
            "DECIMAL(18,2)",
        ]
        assert sales.select("sale_date, cart_id, sold_at::varchar, revenue").fetchall() == [
            (date(2020, 1, 1), 1, "2020-01-01 00:00:00+00", Decimal("1.10"))
        ]


def test_the_day_of_an_extract_is_a_date(lake):
    for day in (1, 2):
        row = {"cart_date": date(2020, 1, day), "cart_id": day}
        write_parquet(lake, f"carts/cart_date=2020-01-{day:02}", [row])
    assert ask(lake, "SELECT cart_date, cart_id FROM raw_relational.carts ORDER BY ALL") == [
        (date(2020, 1, 1), 1),
        (date(2020, 1, 2), 2),
    ]


@on_both
def test_only_the_newest_version_is_seen(lake):
    write_sales(lake, date(2020, 1, 1), date(2020, 1, 2))
    write_delta(
        lake,
        "trusted/sales",
        sale(date(2020, 1, 2), revenue="7.00"),
        mode="overwrite",
        predicate="sale_date = '2020-01-02'",
    )
    assert ask(lake, "SELECT revenue FROM trusted.sales ORDER BY ALL") == [
        (Decimal("1.10"),),
        (Decimal("7.00"),),
    ]


@pytest.mark.parametrize("partition_by", [["sale_date"], None])
def test_a_delta_table_without_rows_keeps_its_columns(lake, partition_by):
    options = {"partition_by": partition_by, "storage_options": lake.storage_options}
    DeltaTable.create(f"{lake.root}/trusted/sales", schema=SALES, **options)
    with connect(lake) as connection:
        sales = connection.sql("FROM trusted.sales")
        assert sales.columns == SALES.names
        assert str(sales.types[0]) == "DATE"
        assert sales.fetchall() == []


def test_only_the_files_of_the_days_asked_for_are_read(lake):
    write_sales(lake, *(date(2020, 1, day) for day in range(1, 5)))
    (file,) = (f for f in lake.all_in(lake.path(RULE[0])) if "sale_date=2020-01-01" in f)
    with lake.write(file) as broken:
        broken.write(b"no Parquet: who reads it fails")
    with connect(lake) as connection:
        query = "SELECT count(*) FROM trusted.sales WHERE sale_date BETWEEN $first AND $last"
        asked = day_bounds(["2020-01-03", "2020-01-02"])
        assert connection.execute(query, asked).fetchall() == [(2,)]


@pytest.mark.slow
def test_many_queries_in_a_row_are_answered(azure_account):
    lake = AzureLake(connection_string=azure_account)
    days = [ask_often.FIRST_DAY + timedelta(number) for number in range(ask_often.DAYS)]
    write_sales(lake, *days)
    for day in days:
        write_parquet(lake, f"carts/cart_date={day}", [{"cart_date": day, "cart_id": 1}])
    asked = subprocess.run(
        [sys.executable, "-m", ask_often.__name__, "2000"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "AZURE_STORAGE_CONNECTION_STRING": azure_account},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stderr) == (0, "")


def test_a_path_with_a_quote_is_read(tmp_path):
    lake = Lake(root=str(tmp_path / "Ann's"))
    write_sales(lake, date(2020, 1, 1))
    write_parquet(lake, "users", [{"user_id": 7}])
    assert ask(lake, "SELECT cart_id, user_id FROM trusted.sales, raw_relational.users") == [(1, 7)]


def test_a_table_with_deletion_vectors_is_refused_with_the_remedy(lake):
    write_sales(lake, date(2020, 1, 1))
    features = ["deletionVectors"]
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7}
    action = {"protocol": {**protocol, "readerFeatures": features, "writerFeatures": features}}
    with lake.write(f"{lake.root}/trusted/sales/_delta_log/{1:020}.json") as log:
        log.write(json.dumps(action).encode())
    with (
        pytest.raises(UnreadableTableError, match=r"trusted/sales.*deletion vectors.*REORG TABLE"),
        connect(lake),
    ):
        pass


def test_a_table_that_is_written_while_connected_stays_as_it_was(lake):
    write_sales(lake, date(2020, 1, 1))
    with connect(lake) as connection:
        write_sales(lake, date(2020, 1, 2))
        assert connection.sql("SELECT count(*) FROM trusted.sales").fetchall() == [(1,)]


# --- checks ---------------------------------------------------------------------------------


def test_the_bounds_of_days_are_the_first_and_the_last():
    assert day_bounds(["2020-01-03", "2019-12-31", "2020-01-01"]) == {
        "first": date(2019, 12, 31),
        "last": date(2020, 1, 3),
    }


def test_a_check_passes_without_rows_that_break_its_rule(lake):
    write_sales(lake, date(2020, 1, 1))
    with connect(lake) as connection:
        result = no_rows(connection, RULE, "FROM trusted.sales WHERE revenue < 0")
    assert (result.asset_key, result.check_name) == RULE
    assert result.passed
    assert result.description == "No row breaks the rule."
    assert result.metadata["breaking"].value == 0


@pytest.mark.parametrize("other", ["trusted.rejected_sales", "raw_relational.cart_items"])
def test_a_check_that_needs_another_table_that_was_never_made_is_a_warning(lake, other):
    write_sales(lake, date(2020, 1, 1))
    with connect(lake) as connection:
        result = no_rows(connection, RULE, f"SELECT 1 FROM trusted.sales, {other}")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert "Not judged, for lack of a table" in result.description
    assert other.split(".")[1] in result.description


def test_a_check_on_a_table_that_was_never_made_fails(lake):
    with connect(lake) as connection:
        result = no_rows(connection, RULE, "FROM trusted.sales")
    assert (result.passed, result.severity) == (False, dg.AssetCheckSeverity.ERROR)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT summ(revenue) FROM trusted.sales",
        "SELECT revenue::MONEYS FROM trusted.sales",
        "FROM trustd.sales",
        "FROM sale",
    ],
)
def test_a_query_that_is_wrong_is_an_error_and_no_warning(lake, query):
    write_sales(lake, date(2020, 1, 1))
    with connect(lake) as connection, pytest.raises(duckdb.CatalogException):
        no_rows(connection, RULE, query)


def test_a_check_shows_some_of_the_rows_that_break_its_rule(lake):
    with connect(lake) as connection:
        result = no_rows(
            connection,
            RULE,
            "SELECT range AS cart_id, '1.10'::DECIMAL(18,2) AS revenue FROM range($rows)",
            {"rows": 12},
        )
    assert not result.passed
    assert result.description == "12 rows break the rule."
    assert result.metadata["breaking"].value == 12
    assert len(result.metadata["examples"].value) == 10
    assert result.metadata["examples"].value[1] == {"cart_id": "1", "revenue": "1.10"}


@pytest.mark.parametrize(
    ("query", "tables"),
    [
        ("SELECT 1", set()),
        ("SELECT * FROM Trusted.Sales", {("trusted", "sales")}),
        ('FROM refined."x", trusted.sales', {("refined", "x"), ("trusted", "sales")}),
        ("FROM trusted.sales; FROM refined.x", {("trusted", "sales"), ("refined", "x")}),
        ("FROM trusted.sales JOIN refined.x USING (a)", {("trusted", "sales"), ("refined", "x")}),
        ("WITH sales AS (FROM trusted.sales) FROM sales", {("trusted", "sales")}),
        ("FROM trusted.sales WHERE sale_date = $day", {("trusted", "sales")}),
        ("FROM memory.trusted.sales", {("trusted", "sales")}),
        ("SHOW TABLES", None),
        ("DESCRIBE trusted.sales", None),
        ("FROM information_schema.tables", None),
        ("SELECT * FROM duckdb_views()", None),
        ("USE trusted; FROM sales", None),
        ("FROM sales", None),
        ("selec", None),
        (
            'FROM trusted.sales AS s, "trusted"."Prices" day',
            {("trusted", "sales"), ("trusted", "prices")},
        ),
        ('FROM trusted.sales AS "a.b"', {("trusted", "sales")}),
    ],
)
def test_the_tables_that_a_query_names(query, tables):
    with duckdb.connect() as connection:
        assert named_tables(connection, [query]) == tables


def test_only_the_tables_that_a_query_names_are_opened(lake):
    write_sales(lake, date(2024, 1, 1))
    with lake.write(f"{lake.root}/raw/relational/users/data.parquet") as file:
        file.write(b"PAR1")
    with LakeSql(lake).connect(queries=["FROM trusted.sales"]) as connection:
        assert len(connection.sql("FROM trusted.sales").fetchall()) == 1


def test_a_table_that_is_not_there_is_missed_among_all_that_are(lake):
    write_sales(lake, date(2024, 1, 1))
    with (
        pytest.raises(duckdb.CatalogException, match=r"Did you mean \"trusted\.sales\""),
        LakeSql(lake).connect(queries=["FROM refined.sales"]) as connection,
    ):
        connection.sql("FROM refined.sales")


def test_a_folder_above_that_looks_like_a_column_is_none(tmp_path):
    lake = Lake(root=str(tmp_path / "home=1" / "a=b" / "lake"))
    write_parquet(lake, "users", [{"user_id": 1}])
    write_parquet(lake, "carts/cart_date=2024-01-01", [{"cart_id": 7}])
    assert ask(lake, "FROM raw_relational.users") == [(1,)]
    assert ask(lake, "SELECT * FROM raw_relational.carts") == [(7, date(2024, 1, 1))]


# --- sealed -----------------------------------------------------------------------------------


@pytest.fixture
def sealed(lake):
    """Asks a lake with one table and a capture as `storepipe sql` does."""
    write_sales(lake, date(2024, 1, 1))
    with lake.write(f"{lake.root}/raw/users/20240101T060000.000000Z.json") as file:
        file.write(b'[{"email": "anna@example.com"}]')

    def rows(query):
        with LakeSql(lake=lake).connect(queries=[query], sealed=True) as connection:
            expect_reading(connection, query)
            return connection.sql(query).fetchall()

    return rows


@pytest.mark.parametrize(
    "query",
    [
        "SELECT cart_id FROM trusted.sales",
        "WITH s AS (FROM trusted.sales) SELECT cart_id FROM s ORDER BY random()",
        "SELECT cart_id FROM trusted.sales WHERE sale_date = '2024-01-01'; SELECT 1",
    ],
)
@on_both
def test_a_sealed_connection_reads_tables(sealed, query):
    assert sealed(query) == [(1,)]


@pytest.mark.parametrize(
    "query",
    [
        *("SHOW ALL TABLES", "DESCRIBE trusted.sales", "SUMMARIZE trusted.sales", "PRAGMA version"),
        *("EXPLAIN FROM trusted.sales", "PIVOT trusted.sales ON cart_id USING count(*)"),
    ],
)
@only_in_a_folder
def test_it_tells_of_tables_and_turns_them(sealed, query):
    assert sealed(query)


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_text('{root}/raw/users/20240101T060000.000000Z.json')",
        "FROM read_text('{root}/trusted/../raw/users/20240101T060000.000000Z.json')",
        "FROM read_json('{root}/trusted/../raw/users/*.json')",
        "FROM '{root}/raw/users/20240101T060000.000000Z.json'",
        "FROM glob('/etc/*')",
        "FROM read_csv('/etc/passwd', header = false)",
        "FROM '/etc/hosts.csv'",
        "SELECT * FROM trusted.sales, read_blob('/etc/passwd')",
        "CREATE TABLE stolen AS FROM read_text('/etc/passwd')",
        "CREATE PERSISTENT SECRET s (TYPE azure)",
    ],
)
def test_it_reads_no_other_file(sealed, lake, query):
    with pytest.raises(duckdb.Error):
        sealed(query.format(root=lake.root))


@pytest.mark.parametrize(
    "query",
    [
        "COPY trusted.sales TO '{root}/trusted/copy.parquet' (USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY trusted.sales TO '{root}/trusted/copy.parquet'",
        "EXPLAIN /* */ ANALYZE\nEXPORT DATABASE '{root}/trusted/all'",
        "SELECT 1; COPY (SELECT 1) TO '{root}/trusted/copy.csv'",
        "ATTACH '{root}/trusted/new.db' AS new",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "RESET allowed_directories",
        "EXPORT DATABASE '{root}/trusted/all'",
        "PREPARE p AS COPY (SELECT 1) TO '{root}/trusted/copy.csv'; EXECUTE p",
        "CALL pragma_version()",
        "VACUUM",
    ],
)
def test_it_does_nothing_but_read(sealed, lake, query):
    before = lake.all_in(f"{lake.root}/trusted")
    with pytest.raises((NotReadingError, duckdb.Error)):
        sealed(query.format(root=lake.root))
    assert lake.all_in(f"{lake.root}/trusted") == before


@only_in_a_folder
def test_a_query_that_is_refused_has_made_no_folder_before(sealed, tmp_path):
    with pytest.raises(NotReadingError, match="EXPORT is refused"):
        sealed(f"EXPORT DATABASE '{tmp_path}/exported'")
    assert not (tmp_path / "exported").exists()


@only_in_a_folder
def test_a_file_that_is_refused_was_not_opened_before(sealed, tmp_path):
    os.mkfifo(tmp_path / "never_ends.csv")  # who opens it waits for who writes to it
    with pytest.raises(duckdb.PermissionException):
        sealed(f"FROM read_csv('{tmp_path}/never_ends.csv')")


@only_in_a_folder
@pytest.mark.parametrize("query", ["", " ;; ", "-- nothing"])
def test_a_refused_query_may_be_empty(sealed, query):
    with pytest.raises(NotReadingError, match="The query is empty"):
        sealed(query)


@only_in_a_folder
def test_a_refused_query_names_what_it_is_and_the_way_out(sealed):
    with pytest.raises(NotReadingError, match=r"^COPY is refused: .* --unsafe"):
        sealed("COPY trusted.sales TO '/tmp/sales.csv'")
