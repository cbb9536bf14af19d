"""What a person sees who opens Dagster in a browser; pictures of it stay in `.artifacts`."""

import json
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from storepipe_dagster.history.versions import read_versions
from storepipe_dagster_tests.end_to_end.operated.browser import Browser, Chromium
from storepipe_dagster_tests.end_to_end.operated.dagster_services import (
    DEFINITIONS,
    NOT_LISTED,
    made,
)
from storepipe_dagster_tests.end_to_end.operated.test_backfills import SALES

PICTURES = Path(__file__).parents[3] / ".artifacts" / "screenshots"


@pytest.fixture(scope="module")
def page(scheduled):
    with Chromium() as chromium, chromium.page() as connection:
        yield Browser(connection)


@pytest.fixture
def browser(page, request):
    """The page, of which a picture is kept as it is at the end of the test."""
    yield page
    page.picture(PICTURES / f"{request.node.name.removeprefix('test_')}.png")


def versions(dagster, table):
    """The versions of a table, the oldest first."""
    lake = dagster.home.lake
    return read_versions(lake, f"{lake.root}/{table.replace('.', '/')}")


@pytest.fixture
def numbers(dagster, days):
    """What the lake knows of yesterday."""
    (sold,) = dagster.home.sql(
        "SELECT carts, revenue::VARCHAR AS revenue FROM refined.sales_by_day "
        f"WHERE sale_date = '{days[-1]}'"
    )
    (rejected,) = dagster.home.sql(
        f"SELECT count(*) AS lines FROM trusted.rejected_sales WHERE sale_date = '{days[-1]}'"
    )
    return {"revenue": sold["revenue"], "rejected": rejected["lines"]}


def test_the_graph_begins_with_the_layers(dagster, browser):
    browser.open(f"{dagster.url}/asset-groups")

    seen = browser.sees("Global asset lineage", "Materialize all")

    assert [name for name in ("raw", "mysql", "relational", "trusted", "refined")
            if name not in seen] == []  # fmt: skip
    browser.click("trusted")
    browser.sees("product_prices", "rejected_sales")


def test_a_layer_tells_of_its_days_and_checks(dagster, days, browser):
    # Until the schedule is due, at two o'clock, yesterday is a day that is not there yet.
    whole = (datetime.now(timezone.utc).date() - date.fromisoformat(days[0])).days
    browser.open(f"{dagster.url}/locations/{DEFINITIONS}/asset-groups/trusted/lineage")

    browser.sees(
        f"Partitions {100 * len(days) // whole}% filled",
        f"{whole} partitions",
        "Asset checks",
        "Delta Lake",
        "PySpark",
    )


def test_an_asset_tells_what_it_is_and_what_it_is_made_of(dagster, browser):
    browser.open(f"{dagster.url}/assets/trusted/sales")

    browser.sees(
        "Every cart line that could be sold, at the price of its day.",
        "decimal(18,2)",
        "unit_price times quantity",
        "data-engineering",
        "domain: sales",
        "layer: trusted",
        "Row count",
        "Storage",
        "column_lineage",
        "raw/relational/cart_items:quantity",
        "Upstream assets",
        "trusted / product_prices",
        "refined / sales_by_cart",
    )


def test_the_neighbours_of_an_asset_are_drawn(dagster, browser):
    browser.open(f"{dagster.url}/assets/trusted/sales?view=lineage")

    browser.sees("Nearest Neighbors", "cart_items", "product_prices", "sales_by_cart")


def test_numbers_are_plotted_over_the_days(dagster, browser):
    browser.open(f"{dagster.url}/assets/trusted/sales")
    browser.click("Plots")

    browser.sees("dagster/row_count", "dagster/size_bytes", "When graphing values by partition")
    browser.holds("document.querySelectorAll('canvas').length >= 2")


def test_a_check_that_failed_tells_what_it_found(dagster, days, numbers, browser):
    address = "/assets/trusted/sales?view=checks&checkDetail=few_lines_are_rejected"
    browser.open(f"{dagster.url}{address}")
    browser.sees("non-blocking asset check", "at most 5 % are rejected", "Evaluation result Failed")
    browser.sees(
        f"{days[-1]}: {numbers['rejected']} of", "lines rejected", "mostly unknown_product"
    )
    browser.click("[Show JSON]")

    browser.sees(f'"rejected": "{numbers["rejected"]}"', f'"sale_date": "{days[-1]}"')


def test_a_check_tells_its_history(dagster, days, scheduled, browser):
    address = "/assets/refined/sales_by_day?view=checks&checkDetail=the_due_day_is_there"
    browser.open(f"{dagster.url}{address}")
    browser.click("Execution history")

    seen = browser.sees("Passed", "Failed")
    came, missing = seen.index(f"{days[-1]} has"), seen.index(scheduled.missing[1])
    assert came < missing  # the newest first


def test_a_day_tells_its_run_and_shows_its_rows(dagster, days, scheduled, browser):
    address = f"/assets/trusted/sales?view=partitions&partition={days[-1]}"
    browser.open(f"{dagster.url}{address}")

    browser.sees("Materialized (7)", f"Run {scheduled.run[:8]}", "dagster/row_count", "preview")


def test_a_run_tells_what_started_it_and_what_it_made(dagster, days, scheduled, browser):
    browser.open(f"{dagster.url}/runs/{scheduled.run}")

    browser.sees(
        "Success", "Launched by store_pipeline_daily", f"partition: {days[-1]}", "24 assets"
    )


def test_schedules_and_sensors_tell_what_they_do(dagster, browser):
    browser.open(f"{dagster.url}/automation")

    browser.sees("store_pipeline_daily", "At 02:00 AM UTC", "late_day", "refined_follows_sales")


def test_the_report_s_charts_are_on_its_page(dagster, browser):
    browser.open(f"{dagster.url}/assets/refined/store_report")
    browser.click("[Show Markdown]")

    browser.sees("Close")
    browser.holds("document.querySelector('[role=dialog] img')?.naturalWidth > 500")


def test_why_revenue_is_low_is_found_by_clicking(dagster, days, numbers, browser):
    browser.open(dagster.url)
    browser.click("Catalog")
    browser.click("refined / sales_by_day")
    browser.sees("Each day's sales.")
    browser.click("Partitions")
    browser.click(days[-1])
    browser.sees(f"{days[-1]} Materialized", "carts", "revenue", numbers["revenue"])
    browser.click("Overview")
    browser.click("refined / sales_by_cart")
    browser.sees("Each sold cart")
    browser.click("trusted / sales")
    browser.sees("Every cart line that could be sold")
    browser.click("Checks")
    browser.click("few_lines_are_rejected")
    browser.sees(
        f"{days[-1]}: {numbers['rejected']} of", "lines rejected", "mostly unknown_product"
    )
    browser.evaluate("history.back()")
    browser.click("trusted/rejected_sales")  # in the description
    browser.sees("Every cart line that could not be sold, with the reason why")
    browser.click("Partitions")
    browser.click(days[-1])

    browser.sees(
        f"unknown_product {numbers['rejected']}",
        f"dagster/row_count {numbers['rejected']}",
        str(NOT_LISTED),
    )


def test_a_day_is_made_again_by_clicking(dagster, days, browser):
    earlier = {run["runId"] for run in dagster.runs()}
    browser.open(f"{dagster.url}/assets/trusted/sales?view=partitions&partition={days[-1]}")
    browser.click("Materialize…")
    browser.sees("Launch runs to materialize trusted / sales", "Backfills all partitions in a")
    browser.click("Launch 1 run")

    (run,) = dagster.once(lambda: [r for r in dagster.runs() if r["runId"] not in earlier])
    assert (run["tags"]["dagster/partition"], run["tags"]["dagster/from_ui"]) == (days[-1], "true")
    assert dagster.run(run["runId"]) == "SUCCESS"
    assert made([r for r in dagster.runs() if r["runId"] not in earlier]) == [(SALES, days[-1])]


def test_a_table_is_rolled_back_from_the_launchpad(dagster, browser):
    table = "trusted.product_prices"  # which no sensor makes again meanwhile
    *_, before, _ = versions(dagster, table)
    earlier = {run["runId"] for run in dagster.runs()}
    browser.open(f"{dagster.url}/locations/{DEFINITIONS}/jobs/roll_back_table/playground")
    browser.sees("table: ''", "version: null", "time: null", "Launch Run")
    config = {"table": table, "version": before.number}
    browser.write(json.dumps({"ops": {"roll_back_table": {"config": config}}}))
    browser.click("Launch Run")

    run, *_ = dagster.once(lambda: [r for r in dagster.runs() if r["runId"] not in earlier])
    assert dagster.run(run["runId"]) == "SUCCESS"
    *_, done = versions(dagster, table)
    assert (done.operation, done.run) == ("RESTORE", run["runId"])
    browser.open(f"{dagster.url}/runs/{done.run}")
    browser.sees(f"{table} is as it was at version {before.number}.")


def test_the_report_draws_its_charts(dagster, browser):
    browser.open((dagster.home.path / "lake/refined/store_report/index.html").as_uri())

    browser.sees("Store report", "Revenue over time", "on 7 days with sales")
    browser.holds("document.querySelectorAll('svg').length >= 6")
