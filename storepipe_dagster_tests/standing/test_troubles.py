"""Tests of `storepipe_dagster.standing.troubles`."""

import pytest

from storepipe_dagster.standing.troubles import LONGEST_REASON, among, first_line

DAYS = ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]


@pytest.mark.parametrize(
    ("span", "found"),
    [
        (None, []),
        (("2020-01-02", "2020-01-03"), ["2020-01-02", "2020-01-03"]),
        (("2019-12-01", "2020-01-01"), ["2020-01-01"]),
        (("2020-01-04", "2020-02-01"), ["2020-01-04"]),
        (("2020-02-01", "2020-02-02"), []),
    ],
)
def test_the_days_of_a_span_are_those_from_its_first_to_its_last(span, found):
    assert [*among(span, DAYS)] == found


def test_a_reason_is_its_first_line_shortened():
    assert first_line("The database is away.\nIt told more.") == "The database is away."
    assert first_line("x" * 400) == "x" * LONGEST_REASON + "…"
