"""The real Fake Store data through the whole graph, as a user runs it."""

import json
from dataclasses import replace

import dagster as dg
import pytest

from storepipe_dagster.store.process import store_process

FIRST, LAST = "2020-01-01", "2020-03-02"


@pytest.fixture(scope="module")
def home(fakestore, new_home):
    """A home after one run of the 62 days."""
    with store_process(from_dir=fakestore) as url:
        home = new_home(url)
        home.run(FIRST, LAST)
        yield home


def test_all_lines_are_sold_for_what_they_cost(home):
    assert home.sql("SELECT count(*) AS lines, sum(revenue) AS revenue FROM trusted.sales") == [
        {"lines": 14, "revenue": 4691.27}
    ]
    assert home.sql("FROM trusted.rejected_sales") == []


def test_categories_are_those_of_the_source(home):
    assert home.sql(
        "SELECT category, revenue FROM refined.sales_by_category ORDER BY revenue DESC"
    ) == [
        {"category": "men's clothing", "revenue": 2646.44},
        {"category": "jewelery", "revenue": 1410.98},
        {"category": "electronics", "revenue": 624},
        {"category": "women's clothing", "revenue": 9.85},
    ]


def test_days_are_those_of_the_source(home):
    assert home.sql("SELECT sale_date, revenue FROM refined.sales_by_day ORDER BY sale_date") == [
        {"sale_date": "2020-01-01", "revenue": 439.8},
        {"sale_date": "2020-01-02", "revenue": 2578.7},
        {"sale_date": "2020-03-01", "revenue": 874.73},
        {"sale_date": "2020-03-02", "revenue": 798.04},
    ]


def test_cities_are_trimmed_and_title_cased(home):
    cities = home.sql("SELECT DISTINCT city FROM raw_relational.users ORDER BY 1")
    assert [row["city"] for row in cities] == [
        "Cullman", "El Paso", "Fort Wayne", "Fresno", "Kilcoole", "Mesa", "Miami", "San Antonio",
    ]  # fmt: skip


def test_titles_are_trimmed(home):
    assert home.sql("FROM trusted.product_prices WHERE product_title != trim(product_title)") == []


def test_every_day_has_a_capture_and_an_extract_also_without_carts(home):
    assert len(home.matching("raw/carts/cart_date=*/*.json")) == 62
    assert len(home.matching("raw/relational/carts/cart_date=*/data.parquet")) == 62
    assert len(home.matching("raw/relational/cart_items/cart_date=*/data.parquet")) == 62


def test_no_password_is_in_any_file(home, fakestore):
    passwords = [
        user["password"].encode() for user in json.loads((fakestore / "users.json").read_text())
    ]
    for name, content in home.contents():
        assert not [password for password in passwords if password in content], name


def test_personal_data_stops_at_the_relational_extract(home, fakestore):
    users = json.loads((fakestore / "users.json").read_text())
    personal = [user[name].encode() for user in users for name in ("email", "phone")]
    beyond = {name: content for name, content in home.contents() if not name.startswith("raw/")}
    assert len(beyond) > 20
    for name, content in beyond.items():
        if not name.startswith(str(home.path / "store.db")):
            assert not [value for value in personal if value in content], name


def test_one_run_is_recorded_where_the_webserver_looks(home, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(home.path / "dagster"))
    with dg.DagsterInstance.get() as instance:
        runs = instance.get_runs()
        sales = dg.AssetKey(["trusted", "sales"])
        assert [run.status for run in runs] == [dg.DagsterRunStatus.SUCCESS]
        assert len(instance.get_materialized_partitions(sales)) == 62


def test_the_report_shows_the_revenue(home):
    assert b"4,691.27" in home.read("refined/store_report/index.html")


@pytest.mark.slow
def test_running_again_gives_the_same(home):
    before = home.tables()
    home.run(FIRST, LAST)
    assert home.tables() == before


def test_a_single_asset_on_a_single_day_touches_nothing_else(home):
    before = home.files()
    home.run("2020-01-02", "2020-01-02", "--select", 'key:"trusted/sales"')
    changed = {path for path, time in home.files().items() if before.get(path) != time}
    data = {path for path in changed if not path.startswith("trusted/sales/_delta_log/")}
    assert {(tuple(path.split("/")[:2]), path.split("/")[-2]) for path in data} == {
        (("trusted", "sales"), "sale_date=2020-01-02")
    }
    assert set(before) <= set(home.files())


def test_prices_of_today_do_not_rewrite_the_past(home, fakestore, tmp_path):
    before = home.sql("FROM trusted.sales ORDER BY ALL")
    for name in ("users", "carts"):
        (tmp_path / f"{name}.json").write_bytes((fakestore / f"{name}.json").read_bytes())
    products = json.loads((fakestore / "products.json").read_text())
    dearer = [product | {"price": product["price"] + 1000} for product in products]
    (tmp_path / "products.json").write_text(json.dumps(dearer))
    with store_process(from_dir=tmp_path) as url:
        replace(home, api_url=url).run("2020-03-01", "2020-03-02", "--select", "not group:refined")
    assert home.sql("FROM trusted.sales ORDER BY ALL") == before
    assert home.sql("SELECT count(*) AS periods FROM trusted.product_prices") == [{"periods": 40}]
