"""Tests of `storepipe_dagster.standing.runs`: what a run left undone, and why."""

import time

import pytest
from dagster._core.execution.backfill import BulkActionStatus
from dagster._core.storage.tags import BACKFILL_ID_TAG

from storepipe_dagster.leases import ENDS_AFTER, GONE
from storepipe_dagster.standing.troubles import State
from storepipe_dagster_tests.standing.small_graph import ALL, AWAY, REFUSED, sales


def test_a_failed_step_is_told_and_named_by_what_it_kept_from_its_turn(empty_book):
    run_id = empty_book.run(4, carts=AWAY)
    why = "raw/carts: The database is away. Run again."

    assert empty_book.told(4, 4) == [
        ("raw/carts", "04-04", "failed", "passing", "The database is away. Run again."),
        ("trusted/sales", "04-04", "missing", "passing", why),
        ("refined/sales_by_city", "", "missing", "passing", why),
        ("refined/sales_by_day", "04-04", "missing", "passing", why),
    ]
    assert {line.run_id for line in empty_book.list(4, 4)} == {run_id}
    assert set(empty_book.repairs(4, 4)) == {
        f"storepipe run --from 2020-01-04 --to 2020-01-04 --select '{ALL}'"
    }


def test_a_failed_blocking_check_is_told_though_the_day_was_made(empty_book):
    empty_book.run(5, check=True)
    why = "every_line_is_sold_once failed. 2 rows break the rule."

    assert empty_book.told(5, 5) == [
        ("trusted/sales", "05-05", "failed", "permanent", why),
        ("refined/sales_by_city", "", "missing", "permanent", f"trusted/sales: {why}"),
        ("refined/sales_by_day", "05-05", "missing", "permanent", f"trusted/sales: {why}"),
    ]
    assert set(empty_book.repairs(5, 5)) == {
        "storepipe run --from 2020-01-05 --to 2020-01-05 --select 'key:\"trusted/sales\"+'"
    }


def test_a_day_that_no_check_has_judged_is_told_though_it_was_made(book):
    book.run(5, check=AWAY)

    assert ("trusted/sales", "05-05", "failed", "passing") in [line[:4] for line in book.told()]
    assert book.told()[0][4] == "Not judged: The database is away. Run again."
    assert book.standing().unfit_days(sales.key) == {"2020-01-05"}


def test_bad_settings_are_permanent(book):
    book.run(3, sales_by_day=REFUSED)

    assert book.told() == [
        ("refined/sales_by_day", "03-03", "failed", "permanent", "The database refuses: no."),
    ]
    assert book.repairs() == [
        "storepipe run --from 2020-01-03 --to 2020-01-03 --select 'key:\"refined/sales_by_day\"'"
    ]


def test_a_day_that_was_not_made_again_is_stale(book):
    book.run(6, sales=AWAY)
    why = "trusted/sales: The database is away. Run again."

    assert book.told() == [
        ("trusted/sales", "06-06", "failed", "passing", "The database is away. Run again."),
        ("refined/sales_by_city", "", "stale", "passing", why),
        ("refined/sales_by_day", "06-06", "stale", "passing", why),
    ]


def test_a_day_of_a_run_that_goes_on_is_in_progress_but_not_what_it_has_made(book):
    book.run(4, sales_by_day=AWAY)
    seen = []
    book.run(4, sales=lambda: seen.extend([*book.told(), *book.repairs()]))

    assert seen == [
        ("trusted/sales", "04-04", "in progress", "", "The run is started."),
        ("refined/sales_by_city", "", "in progress", "", "The run is started."),
        ("refined/sales_by_day", "04-04", "in progress", "", "The run is started."),
        *["", "", ""],
    ]


def test_a_run_whose_process_ended_is_a_passing_failure(book):
    run = book.waiting(4)
    book.instance.report_run_failed(run, GONE)

    assert {line[2:] for line in book.told()} == {("failed", "passing", GONE)}
    assert len(book.told()) == 4


def test_so_is_one_whose_lease_has_ended_and_looking_changes_nothing(book):
    run = book.waiting(4)
    lease = {f"storepipe/lease/{run.run_id}": str(time.time() - ENDS_AFTER - 1)}
    book.instance.daemon_cursor_storage.set_cursor_values(lease)

    assert {line[2:] for line in book.told()} == {("failed", "passing", GONE)}
    assert not book.instance.get_run_by_id(run.run_id).is_finished


def states(book):
    return {(line.state, line.reason) for line in book.list()}


def test_a_run_that_the_daemon_starts_again_is_in_progress(book):
    run = book.of_the_daemon(4)
    book.instance.report_run_failed(run, GONE)

    assert states(book) == {(State.IN_PROGRESS, "The run starts again.")}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (BulkActionStatus.REQUESTED, State.IN_PROGRESS),
        (BulkActionStatus.CANCELED, State.FAILED),
        (None, State.FAILED),
    ],
)
def test_a_run_of_a_backfill_starts_again_only_while_that_goes_on(book, status, state):
    backfill = book.backfill(status) if status else "deleted"
    run = book.of_the_daemon(4, **{BACKFILL_ID_TAG: backfill})
    book.instance.report_run_failed(run, GONE)

    assert {line.state for line in book.list()} == {state}


def test_a_cancelled_run_leaves_missing_what_was_never_made_and_nothing_else(empty_book):
    empty_book.run(1, 3)
    empty_book.instance.report_run_canceled(empty_book.waiting(3, 4))

    assert empty_book.told(1, 4) == [
        ("raw/carts", "04-04", "missing", "", "The run was cancelled before."),
        ("trusted/sales", "04-04", "missing", "", "The run was cancelled before."),
        ("refined/sales_by_day", "04-04", "missing", "", "The run was cancelled before."),
    ]
