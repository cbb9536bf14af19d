"""The demo, small: what a newcomer sees first."""

import subprocess
from dataclasses import replace

import pytest

from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.servers.install import program


def test_the_demo_succeeds_and_says_where_to_look(demo):
    home, done = demo
    assert done.returncode == 0, done.stderr
    assert f"{home.lake.root}/refined/store_report/index.html" in done.stdout
    assert "storepipe sql" in done.stdout
    assert "make dev" in done.stdout


def test_every_step_is_told_with_its_rows(demo):
    _, done = demo
    steps = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert len(steps) == 21
    assert any("trusted/sales" in line and line.endswith("rows") for line in steps)


def test_every_table_of_the_contract_is_there(demo):
    home, _ = demo
    assert sorted(home.tables()) == [
        "raw_relational.cart_items",
        "raw_relational.carts",
        "raw_relational.products",
        "raw_relational.users",
        "refined.customer_cohorts",
        "refined.customer_segments",
        "refined.product_affinity",
        "refined.sales_by_cart",
        "refined.sales_by_category",
        "refined.sales_by_city",
        "refined.sales_by_day",
        "refined.sales_by_product",
        "refined.sales_by_product_day",
        "trusted.product_prices",
        "trusted.rejected_sales",
        "trusted.sales",
    ]


def test_the_shop_s_defects_are_rejected_with_their_reasons(demo):
    home, _ = demo
    reasons = home.sql("SELECT DISTINCT reason FROM trusted.rejected_sales ORDER BY 1")
    assert [row["reason"] for row in reasons] == [
        "duplicate_cart_id",
        "invalid_price",
        "quantity_not_positive",
        "unknown_product",
        "unknown_user",
    ]
    assert len(home.matching("raw/carts/*/*.rejected.json")) == 1


def test_the_demo_does_not_write_among_the_data_of_another_store(new_home):
    home = new_home()
    home.write("raw/products/20200101T000000.000000Z.json", b"[]")
    done = home.command("demo")
    assert done.returncode == 1
    assert f"Error: The lake of {home.path} holds data of another store" in done.stderr
    assert len(home.files()) == 1


def test_the_home_of_a_demo_goes_on_capturing_from_its_shop(demo):
    home, _ = demo
    unset = replace(home, extra={**home.extra, "STOREPIPE_API_URL": None})
    done = unset.run("2020-01-03", "2020-01-03", "--select", 'key:"raw/users"')
    assert "from http://127.0.0.1:" in done.stderr
    assert len(home.matching("raw/users/[0-9]*.json")) == 2


def test_the_report_draws_its_charts_in_a_browser(demo, tmp_path):
    page = tmp_path / "index.html"
    page.write_bytes(demo[0].read("refined/store_report/index.html"))
    drawn = subprocess.run(
        [
            program("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-background-networking",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=10000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout
    assert drawn.count("<section ") == 8
    assert drawn.count("<svg") >= 6


def test_another_shop_does_not_mix_with_the_demo_s(demo):
    home, _ = demo
    done = home.command("demo", "--carts", "10", "--days", "2", "--seed", "9")
    assert done.returncode == 1
    assert "holds the demo of another shop" in done.stderr


@pytest.mark.parametrize("left", ["", '{"carts": 12', '{"carts": 12}', "[]"])
def test_a_home_whose_demo_json_is_damaged_is_one_error(tmp_path, left):
    (tmp_path / "demo.json").write_text(left)
    done = Home(tmp_path).command("demo", "--carts", "10", "--days", "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"Error: {tmp_path}/demo.json is damaged: ")
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "demo.json").read_text() == left
