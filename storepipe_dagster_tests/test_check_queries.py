"""Tests of `storepipe_dagster.check_queries`."""

import dagster as dg
import pytest

from storepipe_dagster import definitions
from storepipe_dagster.check_queries import TABLE, UnknownTableError, expect_known_tables
from storepipe_dagster.graph import GRAPH, RULES
from storepipe_dagster.layers.refined.checks import MISSING_DAYS
from storepipe_dagster.settings import read_settings

SALES = dg.AssetKey(["trusted", "sales"])
RULE = (SALES, "every_line_is_sold_once")
KNOWN = {SALES, dg.AssetKey(["raw", "relational", "carts"])}


@pytest.mark.parametrize("query", ["FROM trusted.sales", "FROM raw_relational.carts", "SELECT 1"])
def test_a_query_may_name_tables_of_the_project(query):
    expect_known_tables({RULE: query}, KNOWN)


@pytest.mark.parametrize("table", ["trusted.slaes", "raw_relational.cart", "refined.sales"])
def test_a_misspelled_table_is_an_error_that_names_it(table):
    message = (
        "The query of the check every_line_is_sold_once on trusted/sales names "
        f"{table}, which is no table of the project."
    )
    with pytest.raises(UnknownTableError, match=f"^{message}$"):
        expect_known_tables({RULE: f"SELECT * FROM trusted.sales JOIN {table} USING (x)"}, KNOWN)


def test_it_is_told_before_anything_runs(monkeypatch):
    monkeypatch.setitem(RULES, RULE, "FROM trusted.slaes")

    with pytest.raises(UnknownTableError, match=r"trusted\.slaes"):
        definitions.build_definitions(read_settings())


def test_every_rule_of_the_project_names_a_table():
    queries = {query for query in RULES.values() if not TABLE.search(query)}
    assert queries == {MISSING_DAYS}  # which is given what the log of a table says
    expect_known_tables(RULES, GRAPH.get_all_asset_keys())
