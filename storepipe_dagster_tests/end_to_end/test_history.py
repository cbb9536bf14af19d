"""Rebuilding from captures alone, and what the history of tables shows of a change in the store."""

import json
import shutil
from fnmatch import fnmatch

import deltalake
import pytest

from storepipe_dagster.history.judging import JUDGES
from storepipe_dagster_tests.end_to_end.commands import Home

CAPTURES = ("raw/products/*", "raw/users/*", "raw/carts/*")
FIRST, LAST = "2020-01-01", "2020-01-03"
TO_SALES = ("--select", "not group:refined")
TO_DAYS = (
    "--select",
    'not group:refined or key:"refined/sales_by_cart" or key:"refined/sales_by_day"',
)
HAT = {"id": 1, "title": "Hat", "price": 10, "category": "clothing", "description": "warm"}
CUP = {"id": 2, "title": "Cup", "price": 4.5, "category": "home", "description": "blue"}
USERS = [{"id": 7, "address": {"city": "rome"}}]


def cart(day, cart_id):
    lines = [{"productId": 1, "quantity": 1}, {"productId": 2, "quantity": 2}]
    return {"id": cart_id, "userId": 7, "date": f"{day}T10:00:00.000Z", "products": lines}


def capture(home, table, stamp, *records):
    lines = ",\n".join(json.dumps(record) for record in records)
    home.write(f"raw/{table}/{stamp}.json", f"[\n{lines}\n]\n".encode())


@pytest.fixture(scope="module")
def changed(tmp_path_factory):
    """A home without an API: three days of carts, whose products were captured on the first; and
    again on the second, with another price for the hat and another title and category for the cup.
    """
    home = Home(tmp_path_factory.mktemp("changed"))
    capture(home, "products", "20200101T120000.000000Z", HAT, CUP)
    capture(home, "users", "20200101T120000.000000Z", *USERS)
    for day, cart_id in (("2020-01-01", 1), ("2020-01-02", 2), ("2020-01-03", 3)):
        stamp = day.replace("-", "")
        capture(home, f"carts/cart_date={day}", f"{stamp}T235959.000000Z", cart(day, cart_id))
    home.run(FIRST, LAST, "--offline", *TO_DAYS)
    mug = {**CUP, "title": "Mug", "category": "kitchen"}
    capture(home, "products", "20200102T120000.000000Z", {**HAT, "price": 12}, mug)
    home.run(FIRST, LAST, "--offline", *TO_DAYS)
    return home


def json_of(home, *arguments):
    done = home.command(*arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_all_layers_are_rebuilt_from_the_captures_without_the_api(demo, new_home):
    made, rebuilt = demo[0], new_home()
    kept = [name for name in made.files() if any(fnmatch(name, each) for each in CAPTURES)]
    for name in kept:
        rebuilt.write(name, made.read(name))
    tables = ("--select", 'not key:"refined/store_report"')
    done = rebuilt.run("2020-01-01", "2020-01-08", "--offline", *tables)
    assert "from the captures in the lake" in done.stderr
    assert rebuilt.tables() == made.tables()
    assert {name for each in CAPTURES for name in rebuilt.matching(each)} == {*kept}


def test_what_the_store_took_off_its_lists_comes_back_from_older_captures(tmp_path):
    home = Home(tmp_path)
    others = [{"id": 8, "address": {"city": "oslo"}}]
    capture(home, "products", "20200101T120000.000000Z", {**HAT, "title": "Cap"}, CUP)
    capture(home, "users", "20200101T120000.000000Z", *USERS, *others)
    capture(home, "carts/cart_date=2020-01-01", "20200101T235959.000000Z", cart("2020-01-01", 1))
    home.run(FIRST, FIRST, "--offline", "--select", "group:mysql")
    capture(home, "products", "20200102T120000.000000Z", HAT)
    capture(home, "users", "20200102T120000.000000Z", *USERS)
    home.run(FIRST, FIRST, "--offline", *TO_SALES)
    before = home.tables()
    for name in ("store.db", "store.db-wal", "store.db-shm"):
        (home.path / name).unlink(missing_ok=True)
    for name in ("lake/raw/relational", "lake/trusted", "dagster"):
        shutil.rmtree(home.path / name)

    home.run(FIRST, FIRST, "--offline", *TO_SALES)

    assert home.tables() == before
    titles = home.sql("SELECT product_title FROM raw_relational.products ORDER BY product_id")
    assert [row["product_title"] for row in titles] == ["Hat", "Cup"]
    assert home.sql("SELECT count(*) AS sold FROM trusted.sales") == [{"sold": 2}]


def test_a_table_that_has_rows_is_loaded_from_the_newest_capture_only(tmp_path):
    home = Home(tmp_path)
    capture(home, "products", "20200101T120000.000000Z", {**HAT, "title": "Cap"}, CUP)
    home.run(FIRST, FIRST, "--offline", "--select", 'key:"mysql/products"')
    broken = home.path / "lake/raw/products/20200101T120000.000000Z.json"
    broken.write_text("not read again")
    capture(home, "products", "20200102T120000.000000Z", HAT)

    home.run(
        FIRST,
        FIRST,
        "--offline",
        "--select",
        'key:"mysql/products" or key:"raw/relational/products"',
    )

    titles = home.sql("SELECT product_title FROM raw_relational.products ORDER BY product_id")
    assert [row["product_title"] for row in titles] == ["Hat", "Cup"]


def test_a_day_that_was_never_captured_is_named(changed):
    done = changed.command("run", "--from", "2020-01-03", "--to", "2020-01-04", "--offline")
    assert done.returncode == 1
    assert "raw/carts has nothing in the lake for 2020-01-04" in done.stderr
    assert "Traceback" not in done.stderr


def test_captures_alone_cannot_be_made_offline(changed):
    select = ("--select", "group:raw", "--offline")
    done = changed.command("run", "--from", FIRST, "--to", LAST, *select)
    assert done.returncode == 1
    assert "'group:raw' selects captures only, and --offline captures nothing" in done.stderr


def test_a_changed_price_title_and_category_show_in_the_history_of_prices(changed):
    newest, *_ = json_of(changed, "history", "trusted.product_prices")
    assert (newest["operation"], newest["rows"], newest["readable"]) == ("WRITE", 4, True)
    assert newest["run_id"]
    found = json_of(changed, "changes", "trusted.product_prices", "--from", "0", "--to", "1")
    noon = "2020-01-02T12:00:00+00:00"
    names = ("change", "product_title", "category", "unit_price", "valid_from", "valid_to")
    assert sorted((tuple(row[name] for name in names) for row in found), key=str) == sorted(
        [
            ("changed from", "Hat", "clothing", 10, None, None),
            ("changed to", "Hat", "clothing", 10, None, noon),
            ("added", "Hat", "clothing", 12, noon, None),
            ("changed from", "Cup", "home", 4.5, None, None),
            ("changed to", "Cup", "home", 4.5, None, noon),
            ("added", "Mug", "kitchen", 4.5, noon, None),
        ],
        key=str,
    )


def test_it_changes_no_day_before_it(changed):
    found = json_of(changed, "changes", "trusted.sales", "--from", "0", "--to", "1")
    names = ("change", "sale_date", "product_title", "category", "unit_price")
    assert [tuple(row[name] for name in names) for row in found] == [
        change
        for day in ("2020-01-02", "2020-01-03")
        for change in (
            ("changed from", day, "Hat", "clothing", 10),
            ("changed to", day, "Hat", "clothing", 12),
            ("changed from", day, "Cup", "home", 4.5),
            ("changed to", day, "Mug", "kitchen", 4.5),
        )
    ]


def test_sql_shows_the_tables_as_they_were(changed):
    _, before, *_ = json_of(changed, "history", "trusted.sales")
    query = "SELECT revenue FROM refined.sales_by_day ORDER BY sale_date"
    assert [row["revenue"] for row in json_of(changed, "sql", query)] == [19, 21, 21]
    # What the first run made was all there when the second began to replace it.
    later = json_of(changed, "history", "refined.sales_by_day")[1]["time"]
    then = json_of(changed, "sql", query, "--as-of", later)
    assert [row["revenue"] for row in then] == [19, 19, 19]
    query = "SELECT DISTINCT product_title FROM trusted.sales ORDER BY 1"
    named = json_of(changed, "sql", query, "--version", f"trusted.sales={before['version']}")
    assert [row["product_title"] for row in named] == ["Cup", "Hat"]


def test_a_table_that_cannot_be_shown_is_one_message(changed):
    for arguments, message in (
        (("sql", "FROM trusted.sales", "--as-of", "2020-01-01"), "the Delta tables of then"),
        (("changes", "trusted.sales", "--from", "1", "--to", "99"), "has no version 99"),
    ):
        done = changed.command(*arguments)
        assert done.returncode != 0
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_a_table_is_rolled_back_in_one_command_that_dagster_records(changed, monkeypatch):
    import dagster as dg  # noqa: PLC0415  # slow to load, and only this test looks inside

    done = changed.command("rollback", "trusted.sales", "--to-version", "0")
    assert done.returncode == 0, done.stderr
    follows = '--select \'key:"trusted/sales"+ and not key:"trusted/sales"\''
    assert f"storepipe run --from {FIRST} --to {LAST} {follows}" in done.stderr
    newest, *_ = json_of(changed, "history", "trusted.sales")
    assert newest["operation"] == "RESTORE"
    monkeypatch.setenv("DAGSTER_HOME", str(changed.path / "dagster"))
    with dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(newest["run_id"])
        assert (run.job_name, run.status) == ("roll_back_table", dg.DagsterRunStatus.SUCCESS)
        sales = dg.AssetKey(["trusted", "sales"])
        records = instance.fetch_materializations(sales, limit=3).records
        assert {r.partition_key for r in records if r.run_id == run.run_id} == {
            "2020-01-01",
            "2020-01-02",
            "2020-01-03",
        }
        (judge,) = instance.get_runs(dg.RunsFilter(tags=JUDGES))
        assert judge.status == dg.DagsterRunStatus.SUCCESS
        log = instance.all_logs(judge.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
        assert len(log) == 6  # the rules of the sales and of the rejected sales
    rows = changed.sql("SELECT DISTINCT product_title FROM trusted.sales ORDER BY 1")
    assert [row["product_title"] for row in rows] == ["Cup", "Hat"]


def test_days_that_a_roll_back_took_away_stand_in_the_list_of_what_is_missing(changed):
    table = deltalake.DeltaTable(f"{changed.lake.root}/trusted/sales")
    table.delete(f"sale_date = '{LAST}'")
    without = str(table.version())
    changed.run(LAST, LAST, "--offline", "--select", 'key:"trusted/sales"')

    done = changed.command("rollback", "trusted.sales", "--to-version", without)
    assert done.returncode == 0, done.stderr
    assert f"It did not have 1 of the days from {LAST} to {LAST}" in done.stderr
    select = ("--select", 'key:"trusted/sales"', "--from", FIRST, "--to", LAST)
    (line,) = json.loads(changed.command("status", *select, "--format", "json").stdout)
    assert (line["first_day"], line["last_day"], line["state"]) == (LAST, LAST, "missing")
    assert line["reason"] == "A roll back went to a version without it."
