"""Tests of `storepipe_dagster.layers.mysql.checks`."""

import dagster as dg
import pytest

from storepipe_dagster.layers.mysql.checks import compared, every_captured_record_is_loaded

KEY = ["mysql", "products"]


@pytest.mark.parametrize(
    ("captured", "loaded", "passed"), [(3, 3, True), (3, 2, False), (3, 4, False), (0, 0, True)]
)
def test_a_replaced_day_holds_exactly_the_captured_rows(captured, loaded, passed):
    assert compared(KEY, captured=captured, loaded=loaded).passed is passed


@pytest.mark.parametrize(("loaded", "passed"), [(3, True), (4, True), (2, False)])
def test_an_upserted_table_holds_at_least_the_captured_rows(loaded, passed):
    assert compared(KEY, captured=3, loaded=loaded, at_least=True).passed is passed


def test_the_result_tells_both_numbers():
    result = compared(KEY, captured=3, loaded=2)
    assert result.asset_key == dg.AssetKey(KEY)
    assert result.description == "3 rows captured, 2 in the table."
    assert {name: value.value for name, value in result.metadata.items()} == {
        "captured": 3,
        "loaded": 2,
    }


def test_the_check_stops_what_comes_after():
    assert every_captured_record_is_loaded(KEY).blocking
