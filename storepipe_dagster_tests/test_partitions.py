"""Tests of `storepipe_dagster.partitions`."""

import subprocess
import sys
from datetime import date, datetime, timedelta, timezone

import dagster as dg
import pytest

from storepipe_dagster import partitions
from storepipe_dagster.partitions import DAYS, DaysError, day_range, days_of

START = date(2019, 12, 1)


def today():
    return datetime.now(timezone.utc).date()


def test_a_closed_range_gives_each_of_its_days():
    assert day_range(date(2020, 2, 28), date(2020, 3, 1)) == [
        "2020-02-28",
        "2020-02-29",
        "2020-03-01",
    ]


def test_one_day_is_a_range():
    assert day_range(START, START) == ["2019-12-01"]


def test_a_run_is_about_its_day_or_the_days_of_its_range_or_all_days():
    one = {"dagster/partition": "2020-02-29"}
    several = {
        "dagster/asset_partition_range_start": "2020-02-28",
        "dagster/asset_partition_range_end": "2020-03-01",
    }
    runs = [dg.DagsterRun("store_pipeline", tags=tags) for tags in (one, several, {})]

    assert [days_of(run) for run in runs] == [
        ["2020-02-29"],
        ["2020-02-28", "2020-02-29", "2020-03-01"],
        DAYS.get_partition_keys(),
    ]


def test_yesterday_is_the_last_day():
    yesterday = today() - timedelta(days=1)
    assert day_range(yesterday, yesterday) == [yesterday.isoformat()]


def test_a_range_that_ends_before_it_starts_is_an_error():
    with pytest.raises(DaysError, match="ends before it starts: 2020-01-02 to 2020-01-01"):
        day_range(date(2020, 1, 2), date(2020, 1, 1))


def test_a_day_before_the_first_is_an_error_that_names_the_variable():
    with pytest.raises(
        DaysError, match="2019-11-30 is before the first day, 2019-12-01: set STOREPIPE_START_DATE"
    ):
        day_range(date(2019, 11, 30), START)


def test_a_day_that_is_not_over_is_an_error():
    with pytest.raises(DaysError, match=rf"^{today()} is not over yet \(UTC\)"):
        day_range(START, today())


def test_without_a_whole_day_there_is_no_range(monkeypatch):
    tomorrow = today() + timedelta(days=1)
    days = dg.DailyPartitionsDefinition(start_date=tomorrow.isoformat())
    monkeypatch.setattr(partitions, "DAYS", days)
    with pytest.raises(DaysError, match="No day is over yet since STOREPIPE_START_DATE"):
        day_range(tomorrow, tomorrow)


def test_the_first_day_is_the_setting(tmp_path):
    code = "from storepipe_dagster.partitions import DAYS; print(DAYS.get_first_partition_key())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"STOREPIPE_START_DATE": "2024-02-29"},
        cwd=tmp_path,
        capture_output=True,
        check=True,
        text=True,
    )
    assert done.stdout == "2024-02-29\n"
