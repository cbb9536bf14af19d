"""Tests of `storepipe_dagster.tables`."""

import dagster as dg
import pytest
from pyspark.sql.types import LongType, StructField, StructType

from storepipe_dagster.tables import asked_for, delta_table

SCHEMA = StructType([StructField("id", LongType(), True, {"comment": "which"})])


class Kept(dg.IOManager):
    def __init__(self):
        self.kept = []

    def handle_output(self, context, obj):
        self.kept.append((context.asset_key.to_user_string(), obj))

    def load_input(self, context):
        raise AssertionError("nothing is read")


@dg.multi_asset(
    outs={
        "one": delta_table("trusted", "one", SCHEMA, "The first.", "sales"),
        "two": delta_table("trusted", "two", SCHEMA, "The second.", "sales", partition_expr="day"),
    },
    can_subset=True,
)
def both(context: dg.AssetExecutionContext):
    yield from asked_for(context, {"one": 1, "two": 2})


@pytest.mark.parametrize(
    ("selection", "kept"),
    [
        (["trusted/one", "trusted/two"], [("trusted/one", 1), ("trusted/two", 2)]),
        (["trusted/two"], [("trusted/two", 2)]),
    ],
)
def test_the_tables_that_were_asked_for_are_made_and_no_other(selection, kept):
    manager = Kept()
    done = dg.materialize([both], resources={"delta": manager}, selection=selection)
    assert done.success
    assert manager.kept == kept


def test_a_table_tells_its_story():
    key = dg.AssetKey(["trusted", "two"])
    spec = both.specs_by_key[key]
    assert spec.group_name == "trusted"
    assert spec.description == "The second."
    assert spec.kinds == {"pyspark", "deltalake"}
    assert {"layer": "trusted", "domain": "sales"}.items() <= spec.tags.items()
    assert spec.metadata["partition_expr"] == "day"
    [column] = spec.metadata["dagster/column_schema"].columns
    assert (column.name, column.type, column.description) == ("id", "bigint", "which")
