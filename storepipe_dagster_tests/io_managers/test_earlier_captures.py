"""Tests of `storepipe_dagster.io_managers.earlier_captures`."""

from datetime import datetime, timedelta, timezone

import dagster as dg
import pytest

from storepipe_dagster.io_managers.capture_manifests import DamagedCaptureError
from storepipe_dagster.io_managers.earlier_captures import CaptureAheadError, earlier_captures
from storepipe_dagster_tests.io_managers.lakes import on_both
from storepipe_dagster_tests.io_managers.small_graph import DAY_1, DAY_2, DAY_3, materialize
from storepipe_dagster_tests.io_managers.test_capture_files import (
    AT_LATER,
    AT_NOON,
    LATER,
    NOON,
    capture,
    carts_of,
)

pytestmark = pytest.mark.filterwarnings("ignore::dagster.BetaWarning")

CARTS = dg.AssetKey(["raw", "carts"])
BACK = "The newest capture"


@pytest.fixture
def earlier(lake):
    """What was captured of some days, at a time that the clock shows."""
    return lambda *days, now=LATER: earlier_captures(lake, CARTS, "cart_date", days, now)


@pytest.fixture
def two_days(resources):
    """Two carts on the first day and none on the second, captured at noon."""
    made = capture(NOON, [(DAY_1, '{"id": 1}'), (DAY_1, '{"id": 2}')])
    materialize([carts_of(made)], resources, DAY_1, DAY_2)


def test_nothing_was_captured_before_a_first_capture(lake, earlier):
    nothing = earlier(DAY_1, DAY_2)

    assert (nothing.newest, nothing.records) == (None, {})
    assert nothing.later(NOON) == NOON


@on_both
def test_each_captured_day_has_the_number_of_its_records(two_days, earlier):
    before = earlier(DAY_1, DAY_2, DAY_3)

    assert (before.newest, before.records) == (NOON, {DAY_1: 2, DAY_2: 0})


def test_the_newest_accepted_capture_of_each_day_counts(two_days, resources, earlier):
    materialize([carts_of(capture(LATER, [(DAY_2, "{}")]))], resources, DAY_2)
    refused = capture(LATER + timedelta(hours=1), [])
    refused.refused = True
    materialize([carts_of(refused)], resources, DAY_2)

    before = earlier(DAY_1, DAY_2)

    assert (before.newest, before.records) == (LATER, {DAY_1: 2, DAY_2: 1})


def test_no_capture_is_read_that_a_manifest_knows(two_days, lake, earlier):
    lake.files.rm_file(f"{lake.root}/raw/carts/cart_date={DAY_1}/{AT_NOON}.json")
    with lake.write(f"{lake.root}/raw/carts/cart_date={DAY_1}/{AT_NOON}.json") as file:
        file.write(b"not looked at")

    assert earlier(DAY_1).records == {DAY_1: 2}


def test_a_capture_without_a_manifest_is_counted(two_days, lake, earlier):
    with lake.write(f"{lake.root}/raw/carts/cart_date={DAY_1}/{AT_LATER}.json") as file:
        file.write(b'[{"id": 1}, {"id": 2}, {"id": 3}]')

    assert earlier(DAY_1, DAY_2).records == {DAY_1: 3, DAY_2: 0}


def test_a_damaged_capture_without_a_manifest_is_an_error(lake, earlier):
    with lake.write(f"{lake.root}/raw/carts/cart_date={DAY_1}/{AT_NOON}.json"):
        pass

    with pytest.raises(DamagedCaptureError, match=f"{AT_NOON}.json is damaged: it is empty"):
        earlier(DAY_1)


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=1), timedelta(minutes=5)])
def test_after_a_small_step_back_of_the_clock_a_capture_is_later_all_the_same(
    two_days, earlier, step
):
    before = earlier(DAY_1, now=NOON - step)

    assert before.later(NOON - step) == LATER


def test_a_later_time_stays_as_it_is(two_days, earlier):
    assert earlier(DAY_1).later(NOON + timedelta(hours=1)) == NOON + timedelta(hours=1)


def test_a_clock_that_went_back_far_is_an_error_that_names_file_and_times(two_days, lake, earlier):
    with pytest.raises(CaptureAheadError) as raised:
        earlier(DAY_1, DAY_2, DAY_3, now=datetime(2024, 1, 10, 11, 54, 59, tzinfo=timezone.utc))

    assert str(raised.value) == (
        f"{BACK} {lake.root}/raw/carts/cart_date={DAY_1}/{AT_NOON}.json (and 1 more) is of "
        "2024-01-10 12:00:00 UTC, but the clock says 2024-01-10 11:54:59 UTC: it went back, or was "
        "ahead then. A capture with the time of now would be passed over for that one, so nothing "
        "was captured. Set the clock right; or if the time in the file's name is wrong, rename the "
        "file to its true time."
    )


def test_captures_of_other_days_do_not_matter(two_days, earlier):
    assert earlier(DAY_3, now=NOON - timedelta(days=1)).newest is None


def test_a_capture_whose_name_is_no_time_is_named(lake, earlier):
    path = f"{lake.root}/raw/carts/cart_date={DAY_1}/20209999T000000.000000Z.json"
    with lake.write(path) as file:
        file.write(b"[]")

    with pytest.raises(DamagedCaptureError, match=r"20209999T.* is damaged: its name is not"):
        earlier(DAY_1)
