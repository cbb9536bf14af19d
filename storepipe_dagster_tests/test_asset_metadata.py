"""Tests of `storepipe_dagster.asset_metadata`."""

import base64
from datetime import date
from decimal import Decimal
from typing import Any

import dagster as dg
import pyarrow as pa
import pytest
import sqlalchemy as sa
from pydantic import BaseModel, Field
from pyspark.sql.types import DecimalType, LongType, StructType

from storepipe_dagster.asset_metadata import (
    COLUMN_LINEAGE,
    COLUMN_SCHEMA,
    columns_of,
    lineage_in,
    picture,
    preview,
    tags_of,
)
from storepipe_dagster.columns import column


class Place(BaseModel):
    city: str


class Person(BaseModel):
    id: int = Field(description="Id")
    email: str | None = Field(
        default=None, description="E-mail", json_schema_extra={"personal_data": True}
    )
    place: Place | None = Field(default=None, description="Where", alias="livesAt")
    tags: list[str] = Field(description="Tags")
    version: Any = Field(default=None, alias="__v", description="Version")


SQL = sa.Table(
    "people",
    sa.MetaData(),
    sa.Column(
        "id", sa.BigInteger, primary_key=True, comment="Id", info={"from": ["raw/people:id"]}
    ),
    sa.Column("email", sa.Text, info={"personal_data": True}, comment="E-mail"),
    sa.Column("city", sa.Text, nullable=False, comment="City"),
)
ARROW = pa.schema(
    [
        pa.field("id", pa.int64(), metadata={"comment": "Id", "from": "mysql/people:id"}),
        pa.field("email", pa.string(), metadata={"comment": "E-mail", "personal_data": "true"}),
    ]
)
SPARK = StructType(
    [
        column("id", LongType(), "Id", ["mysql/people:id", "raw/relational/prices:id"]),
        column("price", DecimalType(12, 2), "Price of one unit"),
    ]
)


def described(schema):
    return [
        (told.name, told.type, told.description, dict(told.tags))
        for told in columns_of(schema)[COLUMN_SCHEMA].columns
    ]


PERSONAL = {"personal_data": "true"}


@pytest.mark.parametrize(
    ("schema", "columns"),
    [
        (
            SQL,
            [
                ("id", "BIGINT", "Id", {}),
                ("email", "TEXT", "E-mail", PERSONAL),
                ("city", "TEXT", "City", {}),
            ],
        ),
        (ARROW, [("id", "int64", "Id", {}), ("email", "string", "E-mail", PERSONAL)]),
        (SPARK, [("id", "bigint", "Id", {}), ("price", "decimal(12,2)", "Price of one unit", {})]),
        (
            Person,
            [
                ("id", "integer", "Id", {}),
                ("email", "string", "E-mail", PERSONAL),
                ("livesAt", "object", "Where", {}),
                ("tags", "array", "Tags", {}),
                ("__v", "any", "Version", {}),
            ],
        ),
    ],
    ids=["SQL", "Arrow", "Spark", "JSON"],
)
def test_columns_are_told_with_type_meaning_and_personal_data(schema, columns):
    assert described(schema) == columns


def test_the_constraints_of_a_database_column_are_told():
    constraints = {
        told.name: (told.constraints.nullable, told.constraints.unique)
        for told in columns_of(SQL)[COLUMN_SCHEMA].columns
    }
    assert constraints == {"id": (False, True), "email": (True, False), "city": (False, False)}


def test_a_part_of_a_primary_key_is_not_unique():
    table = sa.Table(
        "pairs",
        sa.MetaData(),
        *(sa.Column(name, sa.Integer, primary_key=True, comment=name) for name in ("a", "b")),
    )
    assert [told.constraints.unique for told in columns_of(table)[COLUMN_SCHEMA].columns] == [
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("schema", "origins"),
    [
        (SQL, [(["raw", "people"], "id")]),
        (ARROW, [(["mysql", "people"], "id")]),
        (SPARK, [(["mysql", "people"], "id"), (["raw", "relational", "prices"], "id")]),
    ],
    ids=["SQL", "Arrow", "Spark"],
)
def test_what_a_column_is_made_of_is_its_lineage(schema, origins):
    told = columns_of(schema)

    deps = [dg.TableColumnDep(dg.AssetKey(table), column) for table, column in origins]
    assert told[COLUMN_LINEAGE] == dg.TableColumnLineage({"id": deps})
    assert lineage_in(told) == {COLUMN_LINEAGE: told[COLUMN_LINEAGE]}


def test_lineage_can_be_read_where_it_is_not_drawn():
    shown = columns_of(SPARK)["column_lineage"]

    assert [record.data for record in shown.records] == [
        {"column": "id", "made of": "mysql/people:id, raw/relational/prices:id"}
    ]


def test_what_comes_from_the_api_has_no_lineage():
    assert set(columns_of(Person)) == {COLUMN_SCHEMA}
    assert lineage_in(columns_of(Person)) == {}


@pytest.mark.parametrize(("schema", "personal"), [(Person, PERSONAL), (SQL, PERSONAL), (SPARK, {})])
def test_a_table_is_tagged_as_personal_if_a_column_is(schema, personal):
    assert tags_of("raw", "customers", schema) == {
        "layer": "raw",
        "domain": "customers",
        **personal,
    }


def test_a_preview_shows_numbers_as_numbers_and_the_rest_as_text():
    schema = columns_of(SPARK)[COLUMN_SCHEMA]
    row = {"id": 2**40, "share": 0.5, "price": Decimal("9.90"), "day": date(2020, 3, 2)}
    value = preview([row], schema)
    assert [record.data for record in value.records] == [
        {"id": 2**40, "share": 0.5, "price": "9.90", "day": "2020-03-02"}
    ]
    assert value.schema == schema


def test_a_picture_is_shown_in_line_below_its_title():
    value = picture("<svg>é</svg>")
    assert isinstance(value, dg.MarkdownMetadataValue)
    assert picture("<svg>é</svg>", "revenue by day").value == f"revenue by day\n\n{value.value}"
    encoded = value.value.removeprefix("![](data:image/svg+xml;base64,").removesuffix(")")
    assert base64.b64decode(encoded).decode() == "<svg>é</svg>"
