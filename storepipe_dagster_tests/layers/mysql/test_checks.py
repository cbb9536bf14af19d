"""Tests of `storepipe_dagster.layers.mysql.checks`."""

import dagster as dg
import pytest

from storepipe_dagster.layers.mysql.checks import (
    every_captured_record_is_loaded,
    held_against_days,
    held_against_ids,
)

KEY = ["mysql", "products"]


def held_ids(captured, in_table, before=0):
    result = held_against_ids(KEY, captured=set(captured), in_table=set(in_table), before=before)
    return result.passed, result.description


@pytest.mark.parametrize(
    ("captured", "loaded", "passed"),
    [
        ({"2020-01-01": 3}, {"2020-01-01": 3}, True),
        ({"2020-01-01": 3}, {"2020-01-01": 2}, False),
        ({"2020-01-01": 3}, {"2020-01-01": 4}, False),
        ({"2020-01-01": 0}, {"2020-01-01": 0}, True),
        ({"2020-01-01": 3, "2020-01-02": 1}, {"2020-01-01": 1, "2020-01-02": 3}, False),
        ({}, {}, True),
    ],
)
def test_a_replaced_day_holds_exactly_the_captured_rows(captured, loaded, passed):
    assert held_against_days(KEY, captured=captured, loaded=loaded).passed is passed


def test_a_few_of_the_differing_days_are_named():
    days = [f"2020-01-0{number}" for number in range(1, 6)]
    result = held_against_days(KEY, captured=dict.fromkeys(days, 2), loaded=dict.fromkeys(days, 1))
    assert result.description == (
        "10 rows captured, 5 in the table. Differing days: 2020-01-01 (2 captured, 1 in the table),"
        " 2020-01-02 (2 captured, 1 in the table), 2020-01-03 (2 captured, 1 in the table) "
        "and 2 more days."
    )


@pytest.mark.parametrize(("in_table", "before"), [([1, 2], 2), ([1, 2, 9], 3), ([1, 2, 9], 1)])
def test_an_upserted_table_holds_every_captured_id_and_no_fewer_than_before(in_table, before):
    assert held_ids([1, 2], in_table, before)[0]


@pytest.mark.parametrize(
    ("captured", "in_table", "told"),
    [
        ([1, 2], [1, 9], "2 rows captured, 2 in the table. Missing ids: 2."),
        ([5, 4, 3, 2, 1], [], "5 rows captured, 0 in the table. Missing ids: 1, 2, 3 and 2 more"),
    ],
)
def test_missing_ids_are_named(captured, in_table, told):
    passed, description = held_ids(captured, in_table)
    assert not passed
    assert description.startswith(told)


def test_fewer_rows_than_before_fail_with_the_remedy():
    passed, told = held_ids([1], [1], before=2)
    assert not passed
    assert told == (
        "1 rows captured, 1 in the table. There were 2. Restore them from a backup of the "
        "database; if they are gone for good: "
        "DELETE FROM storepipe_loads WHERE table_name = 'products', and run again."
    )


def test_the_result_tells_both_numbers():
    result = held_against_ids(KEY, captured={1, 2, 3}, in_table={1, 2}, before=0)
    assert result.asset_key == dg.AssetKey(KEY)
    assert {name: value.value for name, value in result.metadata.items()} == {
        "captured": 3,
        "loaded": 2,
    }


def test_the_check_stops_what_comes_after():
    assert every_captured_record_is_loaded(KEY).blocking
