"""Tests of `storepipe_dagster.figures`."""

from datetime import date
from decimal import Decimal

import pyarrow as pa

from storepipe_dagster.figures import FIGURES, by_day, columns_counted, counts_by, sums_of

DAYS = ["2024-01-01", "2024-01-02"]
DAY_1, DAY_2 = date(2024, 1, 1), date(2024, 1, 2)


def batches(*parts):
    for days, reasons, revenues in parts:
        yield pa.RecordBatch.from_pydict(
            {"day": days, "reason": reasons, "revenue": [Decimal(r) for r in revenues]}
        )


ROWS = [
    ([DAY_1, DAY_1, DAY_2], ["unknown_user", "invalid_price", None], ["1.10", "2.00", "0.40"]),
    ([DAY_2, DAY_2], ["unknown_user", "unknown_user"], ["0.10", "0.20"]),
]


def test_columns_are_summed_up_by_day_over_all_batches():
    wanted = sums_of("revenue")[FIGURES]

    assert by_day(batches(*ROWS), "day", DAYS, wanted) == {
        "2024-01-01": {"revenue": 3.1},
        "2024-01-02": {"revenue": 0.7},
    }


def test_rows_are_counted_by_value_and_day():
    wanted = counts_by("reason")[FIGURES]

    assert by_day(batches(*ROWS), "day", DAYS, wanted) == {
        "2024-01-01": {"unknown_user": 1, "invalid_price": 1},
        "2024-01-02": {"None": 1, "unknown_user": 2},
    }


def test_a_day_without_rows_sums_up_to_nothing_and_counts_no_value():
    assert by_day([], "day", DAYS[:1], sums_of("revenue")[FIGURES]) == {DAYS[0]: {"revenue": 0}}
    assert by_day([], "day", DAYS[:1], counts_by("reason")[FIGURES]) == {DAYS[0]: {}}


def test_the_columns_that_are_read_are_those_that_are_counted():
    assert columns_counted(sums_of("revenue", "carts")[FIGURES]) == ["revenue", "carts"]
