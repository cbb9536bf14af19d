"""Tests of `storepipe_dagster.columns`."""

import datetime as dt
from decimal import Decimal

import pytest
from pyspark.errors import PySparkException
from pyspark.sql.types import DateType, DecimalType, LongType, StringType, StructType

from storepipe_dagster.columns import column, conform
from storepipe_dagster_tests.spark import on_both_engines

SCHEMA = StructType(
    [
        column("day", DateType(), "A day"),
        column("amount", DecimalType(12, 2), "An amount"),
        column("name", StringType(), "A name"),
        column("number", LongType(), "A number"),
    ]
)


def test_a_column_keeps_its_description_as_comment():
    field = column("amount", DecimalType(12, 2), "An amount")

    assert (field.name, field.dataType) == ("amount", DecimalType(12, 2))
    assert field.nullable
    assert field.metadata == {"comment": "An amount"}


@on_both_engines
def test_conform_selects_in_the_schemas_order_and_casts(spark):
    df = spark.createDataFrame(
        [(7, "too much", "1.005", "é", "2024-02-29")],
        "number int, other string, amount string, name string, day string",
    )

    conformed = conform(df, SCHEMA)

    assert conformed.columns == SCHEMA.names
    assert [field.dataType for field in conformed.schema] == [field.dataType for field in SCHEMA]
    assert [tuple(row) for row in conformed.collect()] == [
        (dt.date(2024, 2, 29), Decimal("1.01"), "é", 7)
    ]


@on_both_engines
def test_conform_keeps_nulls(spark):
    df = spark.createDataFrame(
        [(None, None, None, None)], "number int, amount string, name string, day string"
    )

    assert [tuple(row) for row in conform(df, SCHEMA).collect()] == [(None, None, None, None)]


@on_both_engines
def test_conform_fails_when_a_column_is_missing(spark):
    df = spark.createDataFrame([(7,)], "number int")

    with pytest.raises(PySparkException, match=r"amount|day|name"):
        conform(df, SCHEMA).collect()
