"""Tests of `storepipe_dagster.status_command`: lines as a table for people and for programs."""

import dagster as dg

from storepipe_dagster.standing.lines import Line
from storepipe_dagster.standing.troubles import Kind, State
from storepipe_dagster.status_command import for_people, for_programs

SALES, CITIES = dg.AssetKey(["trusted", "sales"]), dg.AssetKey(["refined", "sales_by_city"])
WHY = ("The database is away.", "abc", "storepipe run")
RANGE = Line(SALES, "2024-01-01", "2024-02-15", 46, State.FAILED, Kind.PASSING, *WHY)
DAY = Line(SALES, "2024-03-01", "2024-03-01", 1, State.FAILED, Kind.PASSING, *WHY)
WITHOUT = Line(CITIES, None, None, 0, State.IN_PROGRESS, None, "The run is started.", "abc", "")


def named(columns, rows):
    return [dict(zip(columns, row, strict=True)) for row in rows]


def test_people_read_a_range_of_days_in_one_line():
    rows = named(*for_people([RANGE, DAY, WITHOUT]))

    assert [row["days"] for row in rows] == ["2024-01-01 to 2024-02-15 (46 days)", DAY.first, None]
    assert rows[0] == {
        "asset": "trusted/sales",
        "days": "2024-01-01 to 2024-02-15 (46 days)",
        "state": "failed",
        "failure": "passing",
        "reason": "The database is away.",
        "run_id": "abc",
        "repair": "storepipe run",
    }


def test_programs_have_a_column_for_each_thing():
    ranged, _, without = named(*for_programs([RANGE, DAY, WITHOUT]))

    assert ranged["first_day"] == "2024-01-01"
    assert ranged["last_day"] == "2024-02-15"
    assert ranged["days"] == 46
    assert [*without.values()] == [
        "refined/sales_by_city",
        *[None] * 3,
        "in progress",
        None,
        "The run is started.",
        "abc",
        None,
    ]


def test_where_nothing_is_failed_the_table_has_its_columns():
    assert [*for_people([])[0]] == [
        "asset",
        "days",
        "state",
        "failure",
        "reason",
        "run_id",
        "repair",
    ]
