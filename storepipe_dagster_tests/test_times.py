"""Tests of `storepipe_dagster.times`."""

from datetime import datetime, timedelta, timezone

import pytest

from storepipe_dagster.times import capture_stamp, stamped_time, utc_time


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2020-03-02T00:00:00.000Z", utc(2020, 3, 2)),
        ("2020-03-02T00:00:00z", utc(2020, 3, 2)),
        ("2020-03-02T23:30:00-02:00", utc(2020, 3, 3, 1, 30)),
        ("2020-03-02T01:30:00+02:00", utc(2020, 3, 1, 23, 30)),
        ("2020-03-02T12:34:56.789012", utc(2020, 3, 2, 12, 34, 56, 789012)),
        ("2020-03-02", utc(2020, 3, 2)),
        ("2020-03-02 12:34", utc(2020, 3, 2, 12, 34)),
        ("2020-03-02T12:34Z", utc(2020, 3, 2, 12, 34)),
        ("2020-03-02T00:00:00.1+0200", utc(2020, 3, 1, 22, 0, 0, 100000)),
        ("2020-03-02T00:00:00,123456789-02", utc(2020, 3, 2, 2, 0, 0, 123456)),
        ("9999-12-31", utc(9999, 12, 31)),
    ],
)
def test_a_time_is_read_as_utc(text, expected):
    assert utc_time(text) == expected
    assert utc_time(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        *("", "Z", "yesterday", "2020-02-30", "2020-03-02T25:00:00Z", "2020-03-02T24:00"),
        # What only some versions of Python read.
        *("20200302", "2020-W10-1", "2020-03-02T12", "2020-03-02T1234", "2020-03-02x12:34"),
        *(
            "2020-03-02T12:34:56.",
            "2020-03-02T12:34+99:00",
            "\uff12020-03-02",
            "0001-01-01T00:00+01:00",
        ),
        *("9999-12-31T23:59-01:00", "2020-03-02T12:34:60Z", " 2020-03-02"),
    ],
)
def test_what_is_not_a_time_is_an_error(text):
    with pytest.raises(ValueError, match=r"ISO 8601|out of range|between|years 1 to"):
        utc_time(text)


def test_a_stamp_is_in_utc_and_ends_in_microseconds():
    time = datetime(2020, 3, 2, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    assert capture_stamp(time) == "20200301T233000.000000Z"


def test_a_stamp_is_read_back_as_its_time():
    time = datetime(2020, 3, 1, 23, 30, 0, 5, tzinfo=timezone.utc)
    assert stamped_time(capture_stamp(time)) == time


def test_stamps_sort_as_their_times_do():
    first = datetime(2020, 9, 30, 23, 59, 59, 999999, tzinfo=timezone.utc)
    times = [first, first + timedelta(microseconds=1), first + timedelta(days=1)]
    assert sorted(map(capture_stamp, times)) == [capture_stamp(time) for time in times]
