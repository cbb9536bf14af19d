"""Tests of `storepipe_dagster.graph`: the rules and the tables that their queries name."""

import dagster as dg
import duckdb
import pytest

from storepipe_dagster.graph import GRAPH, RULES
from storepipe_dagster.layers.refined.checks import MISSING_DAYS
from storepipe_dagster.resources.lake_sql import SCHEMAS, named_tables

KNOWN = {key.to_user_string() for key in GRAPH.materializable_asset_keys}


@pytest.mark.parametrize(
    ("rule", "query"),
    [(f"{asset.to_user_string()}: {check}", query) for (asset, check), query in RULES.items()],
)
def test_a_rule_names_tables_that_there_are(rule, query):
    """One that is no table would look, when the check runs, as one that was never made."""
    with duckdb.connect() as connection:
        named = named_tables(connection, [query])

    assert named is not None, f"the query of {rule} cannot be read"
    keys = {dg.AssetKey([*SCHEMAS[schema].path, table]).to_user_string() for schema, table in named}
    assert keys <= KNOWN
    # One is given what the log of a table says.
    assert keys or query == MISSING_DAYS
