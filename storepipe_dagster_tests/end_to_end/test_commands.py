"""What the commands print, and how they end, for good questions and for mistakes."""

import csv
import io
import json
import re
import signal

import pytest
import requests

from storepipe_dagster_tests.end_to_end.commands import Home

A_DAY = ("--from", "2020-01-05", "--to", "2020-01-05")


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["demo"],
        ["run"],
        ["status"],
        ["sql"],
        ["history"],
        ["changes"],
        ["rollback"],
        ["store"],
        ["dev"],
    ],
)
def test_every_command_has_help(tmp_path, command):
    done = Home(tmp_path).command(*command, "--help", alone=not command)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: storepipe")


def test_sql_prints_json_with_numbers_as_numbers(demo):
    query = (
        "SELECT 1.50::DECIMAL(12, 2) AS money, 2::BIGINT AS id, 0.5::DOUBLE AS share, "
        "DATE '2020-01-05' AS day, TIMESTAMPTZ '2020-01-05 01:00:00+01' AS at, 'ä' AS name, "
        "NULL AS nothing"
    )
    done = demo[0].command("sql", query, "--format", "json")
    assert json.loads(done.stdout) == [
        {"money": 1.5, "id": 2, "share": 0.5, "day": "2020-01-05",
         "at": "2020-01-05T00:00:00+00:00", "name": "ä", "nothing": None}
    ]  # fmt: skip


def test_sql_prints_an_empty_array_for_no_rows(demo):
    done = demo[0].command("sql", "FROM trusted.sales WHERE false", "--format", "json")
    assert json.loads(done.stdout) == []


def test_sql_prints_csv_with_a_header(demo):
    done = demo[0].command(
        "sql", "SELECT category, carts FROM refined.sales_by_category ORDER BY 1", "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 4
    assert all(int(row["carts"]) > 0 for row in rows)


def test_sql_prints_a_table(demo):
    done = demo[0].command("sql", "SELECT sum(revenue) AS revenue FROM trusted.sales")
    assert "revenue" in done.stdout
    assert "decimal(38,2)" in done.stdout


def test_an_unknown_table_is_named(demo):
    done = demo[0].command("sql", "FROM refined.nope")
    assert done.returncode == 1
    assert "Error: Catalog Error: Table with name nope does not exist" in done.stderr


@pytest.fixture(scope="module")
def empty(new_home):
    """A home in which nothing was made, and nothing will be."""
    return new_home()


def test_sql_on_no_lake_says_how_to_make_one(empty):
    done = empty.command("sql", "FROM trusted.sales")
    assert done.returncode == 1
    assert "is empty: make demo" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", "2020-01-05", "--to", "2020-01-02"), "ends before it starts"),
        (("--from", "2019-01-01", "--to", "2020-01-02"), "before the first day, 2019-12-01"),
        (("--from", "2020-01-05", "--to", "2100-01-01"), "2100-01-01 is not over yet"),
        ((*A_DAY, "--select", "foo("), "'foo(' is not an asset selection"),
        ((*A_DAY, "--select", "group:nope"), "'group:nope' selects none of the assets"),
    ],
)
def test_a_mistake_is_one_message_that_names_the_remedy(tmp_path, arguments, message):
    done = Home(tmp_path).command("run", *arguments)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (
            'key:"trusted/sales"',
            "raw/relational/cart_items has nothing in the lake for 2020-01-05",
        ),
        ('key:"raw/relational/users"', "mysql/users was never loaded into the database. Mat"),
        (
            'key:"raw/relational/carts"',
            "mysql/carts was never loaded into the database for 2020-01-05. Materialise it first",
        ),
    ],
)
def test_what_was_never_made_is_named_with_the_remedy(empty, selection, message):
    done = empty.command("run", *A_DAY, "--select", selection)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("DAGSTER_DEPLOYMENT", "cloud", "DAGSTER_DEPLOYMENT cannot be used"),
        ("DAGSTER_DEPLOYMENT", "azure", "DAGSTER_DEPLOYMENT=azure needs MYSQL_HOST"),
        ("STOREPIPE_START_DATE", "soon", "STOREPIPE_START_DATE cannot be used"),
        ("STOREPIPE_API_URL", "fakestoreapi.com", "STOREPIPE_API_URL cannot be used"),
    ],
)
def test_a_bad_setting_is_named_before_anything_runs(tmp_path, variable, value, message):
    done = Home(tmp_path, extra={variable: value}).command("run", *A_DAY)
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_one_table_of_a_transaction_brings_the_other(demo):
    done = demo[0].command("run", *A_DAY, "--select", 'key:"mysql/carts"')
    assert done.returncode == 0
    assert re.search(r"mysql/carts .*\n +mysql/cart_items ", done.stderr)


def test_a_single_asset_of_a_single_day_is_one_step_and_its_checks(demo):
    done = demo[0].run("2020-01-05", "2020-01-05", "--select", 'key:"trusted/sales"')
    assert [line.split()[1] for line in done.stderr.splitlines()[1:]] == ["1/2]", "2/2]"]


def test_the_store_prints_its_address_first_and_serves_there(tmp_path):
    process = Home(tmp_path).start("store", "--port", "0", "--carts", "50", "--days", "2")
    url = process.stdout.readline().strip()
    carts = requests.get(f"{url}/carts", timeout=10).json()
    process.terminate()
    assert process.wait(timeout=10) == 0
    assert len(carts) == 50


def test_a_folder_that_is_no_shop_is_one_message(tmp_path):
    done = Home(tmp_path).command("store", "--from-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_run_of_a_process_that_is_gone_is_closed_by_the_next(demo, monkeypatch):
    import dagster as dg  # noqa: PLC0415  # slow to load, and only this test looks inside

    home, _ = demo
    monkeypatch.setenv("DAGSTER_HOME", str(home.path / "dagster"))
    process = home.start("run", "--from", "2020-01-01", "--to", "2020-01-08", "--offline")
    for line in process.stderr:
        if line.startswith("[ 2/"):
            break
    process.kill()
    process.communicate()
    started = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED])
    with dg.DagsterInstance.get() as instance:
        (gone,) = instance.get_runs(started)
        home.run("2020-01-05", "2020-01-05", "--select", 'key:"trusted/product_prices"')
        assert instance.get_runs(started) == []
        closed = instance.get_run_by_id(gone.run_id)
    assert closed.status is dg.DagsterRunStatus.FAILURE
    assert closed.tags["dagster/will_retry"] == "false"  # only a person runs a command again


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_what_to_do_and_the_next_makes_the_rest(demo, number):
    home, _ = demo
    days = ("--from", "2020-01-01", "--to", "2020-01-08")
    process = home.start("run", *days, "--offline", "--select", "group:mysql")
    for line in process.stderr:
        if line.startswith("[ 1/"):
            break
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)

    assert process.returncode == 130
    assert errors.endswith(
        "What is finished is complete: run the same command again for the rest.\n\nInterrupted.\n"
    )
    assert "Traceback" not in errors
    home.run("2020-01-01", "2020-01-08", "--offline", "--select", "group:mysql")


def test_sales_alone_are_made_without_the_rejected_table_and_say_so(demo, new_home):
    home = new_home()
    for name in demo[0].files():
        if name.startswith(("raw/", "trusted/product_prices/")):
            home.write(name, demo[0].read(name))
    done = home.run("2020-01-05", "2020-01-05", "--select", 'key:"trusted/sales"')
    assert "Not judged, for lack of a table: Catalog Error" in done.stderr
    assert home.sql("SELECT count(*) > 0 AS sold FROM trusted.sales") == [{"sold": True}]
