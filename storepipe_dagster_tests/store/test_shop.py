"""How dates and fields of loosely typed records are read."""

from datetime import datetime, timezone

import pytest

from storepipe_dagster.store.shop import parse_instant, read_field


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2020-03-02", datetime(2020, 3, 2, tzinfo=timezone.utc)),
        ("2020-03-02T00:00:00.000Z", datetime(2020, 3, 2, tzinfo=timezone.utc)),
        ("2020-03-02T10:30:00", datetime(2020, 3, 2, 10, 30, tzinfo=timezone.utc)),
        ("2020-03-02T01:00:00+02:00", datetime(2020, 3, 1, 23, tzinfo=timezone.utc)),
    ],
)
def test_a_date_or_timestamp_is_an_instant_in_utc(text, instant):
    assert parse_instant(text) == instant


@pytest.mark.parametrize(
    "value", ["", "soon", "2020-13-01", "0001-01-01T00:00+14:00", None, 20200302, ["2020-03-02"]]
)
def test_anything_else_is_no_instant(value):
    assert parse_instant(value) is None


def test_a_field_is_read_from_objects_only():
    assert read_field({"id": 1}, "id") == 1
    assert read_field({}, "id") is None
    assert read_field("id", "id") is None
    assert read_field(None, "id") is None
