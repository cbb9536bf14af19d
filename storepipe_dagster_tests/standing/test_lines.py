"""Tests of `storepipe_dagster.standing.lines`: which days share a line, and what mends them."""

from storepipe_dagster_tests.standing.small_graph import ALL, AWAY, REFUSED


def test_days_that_no_run_was_to_make_are_missing_and_stand_in_one_line(empty_book):
    empty_book.run(1, 7)

    assert empty_book.told(1, 7) == []
    assert empty_book.told() == [
        ("raw/carts", "08-10", "missing", "", "No run was to make it."),
        ("trusted/sales", "08-10", "missing", "", "No run was to make it."),
        ("refined/sales_by_day", "08-10", "missing", "", "No run was to make it."),
    ]
    assert set(empty_book.repairs()) == {
        f"storepipe run --from 2020-01-08 --to 2020-01-10 --select '{ALL}'"
    }


def test_a_failed_range_is_one_line_that_its_repaired_days_divide(book):
    book.run(2, 9, only=["refined/sales_by_day"], sales_by_day=AWAY)
    book.run(4, 5, only=["refined/sales_by_day"])
    book.run(7, only=["refined/sales_by_day"], sales_by_day=REFUSED)

    assert [line[1:4] for line in book.told()] == [
        ("02-03", "failed", "passing"),
        ("06-06", "failed", "passing"),
        ("07-07", "failed", "permanent"),
        ("08-09", "failed", "passing"),
    ]
    assert [line.days for line in book.list()] == [2, 1, 1, 2]


def test_days_that_failed_alike_in_runs_of_their_own_are_joined_where_they_touch(book):
    for number in (2, 4, 5):
        book.run(number, only=["refined/sales_by_day"], sales_by_day=AWAY)

    assert [line[1] for line in book.told()] == ["02-02", "04-05"]


def test_a_day_whose_cause_was_repaired_alone_tells_so(book):
    book.run(4, carts=REFUSED)
    book.run(4, only=["raw/carts"])

    assert [line[:4] for line in book.told()] == [
        ("trusted/sales", "04-04", "stale", "passing"),
        ("refined/sales_by_city", "", "stale", "passing"),
        ("refined/sales_by_day", "04-04", "stale", "passing"),
    ]
    assert book.told()[0][4] == (
        "It did not get its turn, and can by now. raw/carts: The database refuses: no."
    )
    assert set(book.repairs()) == {
        "storepipe run --from 2020-01-04 --to 2020-01-04 --select 'key:\"trusted/sales\"+'"
    }


def test_a_table_without_days_that_failed_alone_is_made_alone(book):
    book.run(2, 5, only=["refined/sales_by_city"], sales_by_city=AWAY)

    assert book.told() == [
        ("refined/sales_by_city", "", "failed", "passing", "The database is away. Run again.")
    ]
    assert book.repairs() == [
        "storepipe run --from 2020-01-05 --to 2020-01-05 --select 'key:\"refined/sales_by_city\"'"
    ]
