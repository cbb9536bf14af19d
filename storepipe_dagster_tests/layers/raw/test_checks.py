"""Tests of `storepipe_dagster.layers.raw.checks`."""

import dagster as dg
import pytest

from storepipe_dagster.captures import Capture
from storepipe_dagster.layers.raw.checks import (
    complete,
    few_records_are_rejected,
    judged,
    needed_fields_are_there,
)


def capture_of(accepted, rejected):
    capture = Capture()
    for _ in range(accepted):
        capture.accept(None, "{}")
    for _ in range(rejected):
        capture.reject(None, "{}", "id: Field required")
    return capture


@pytest.mark.parametrize(
    ("accepted", "rejected", "limit", "passed"),
    [
        (19, 1, 0.05, True),
        (18, 1, 0.05, False),
        (10, 0, 0.0, True),
        (999, 1, 0.0, False),
        (0, 3, 1.0, True),
        (0, 0, 0.0, True),
    ],
)
def test_a_capture_passes_up_to_the_share_that_is_let_pass(accepted, rejected, limit, passed):
    assert judged(capture_of(accepted, rejected), limit).passed is passed


def test_the_result_tells_how_many_why_and_where():
    result = judged(capture_of(3, 1), 0.05)
    assert result.description == (
        "1 of 4 records break their contract. That is 25.0%; at most 5.0% are let pass. "
        "They stand in the .rejected.json file beside the capture, each with its reason."
    )
    assert result.metadata["rejected_share"].value == 0.25
    assert result.metadata["reasons"].value == {"id: Field required": 1}


def test_a_field_that_no_record_has_any_more_is_named_beside_what_is_new():
    capture = capture_of(0, 0)
    capture.notice({"unit_price"}, lambda: {"price"})
    for _ in range(10):
        capture.look_for(["price"], '{"unit_price": 1}')
    result = complete(capture)
    assert not result.passed
    assert result.description.startswith("No record has price any more. New to us: unit_price.")


def test_a_capture_with_all_its_fields_is_complete():
    assert complete(capture_of(3, 0)).passed


@pytest.mark.parametrize("check", [few_records_are_rejected, needed_fields_are_there])
def test_the_checks_stop_what_comes_after(check):
    spec = check(["raw", "users"])
    assert (spec.asset_key, spec.blocking) == (dg.AssetKey(["raw", "users"]), True)
