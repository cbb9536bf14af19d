"""Tests of `storepipe_dagster.standing`, on real runs of a small graph in a SQLite instance."""

import json

import dagster as dg
import pytest
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from storepipe_dagster.instance import CONFIGURATION
from storepipe_dagster.resources.database import DatabaseBusyError, DatabaseError
from storepipe_dagster.standing import Standing

DAYS = dg.DailyPartitionsDefinition("2020-01-01", end_date="2020-01-11")
AWAY = DatabaseBusyError("The database is away. Run again.\nIt told more.")
REFUSED = DatabaseError("The database refuses: no.")
ALL = 'key:"raw/carts"+'


FAULTS = {}


def faulty(name):
    fault = FAULTS.get(name)
    if isinstance(fault, BaseException):
        raise fault
    if callable(fault):
        fault()


@dg.asset(key=["raw", "carts"], partitions_def=DAYS, backfill_policy=dg.BackfillPolicy.single_run())
def carts() -> None:
    faulty("carts")


@dg.asset(
    key=["trusted", "sales"],
    deps=[carts],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def sales() -> None:
    faulty("sales")


@dg.asset_check(asset=sales, blocking=True)
def every_line_is_sold_once() -> dg.AssetCheckResult:
    faulty("check")
    passed = FAULTS.get("check") is None
    return dg.AssetCheckResult(passed=passed, description="2 rows break the rule.")


@dg.asset(
    key=["refined", "sales_by_day"],
    deps=[sales],
    partitions_def=DAYS,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def sales_by_day() -> None:
    faulty("sales_by_day")


@dg.asset(key=["refined", "sales_by_city"], deps=[sales])
def sales_by_city() -> None:
    faulty("sales_by_city")


DEFS = dg.Definitions(
    assets=[carts, sales, sales_by_day, sales_by_city], asset_checks=[every_line_is_sold_once]
)
JOB = DEFS.resolve_implicit_global_asset_job_def()


class Book:
    """An instance, the runs of the small graph in it, and its standing list."""

    def __init__(self, instance):
        self.instance = instance

    def run(self, first, last=None, *, only=None, **faults):
        """A run of some days of January; ``faults`` by the last part of an asset's key."""
        FAULTS.clear()
        FAULTS.update(faults)
        keys = {dg.AssetKey(key.split("/")) for key in only} if only else None
        done = JOB.get_subset(asset_selection=keys).execute_in_process(
            instance=self.instance, raise_on_error=False, tags=tags_of(first, last)
        )
        return done.run_id

    def waiting(self, first, last=None):
        """A run that was made and not begun."""
        return self.instance.create_run_for_job(JOB, tags=tags_of(first, last))

    def standing(self):
        return Standing(self.instance, DEFS.resolve_asset_graph())

    def list(self, first=1, last=10):
        return self.standing().lines([day(number) for number in range(first, last + 1)])

    def told(self, first=1, last=10):
        """The list as short as it gets: asset, days, state, kind and reason."""
        return [
            (
                line.asset.to_user_string(),
                f"{line.first[-2:]}-{line.last[-2:]}" if line.first else "",
                line.state.value,
                line.kind.value if line.kind else "",
                line.reason,
            )
            for line in self.list(first, last)
        ]

    def repairs(self, first=1, last=10):
        return [line.repair for line in self.list(first, last)]


def tags_of(first, last):
    if last is None:
        return {PARTITION_NAME_TAG: day(first)}
    return {
        ASSET_PARTITION_RANGE_START_TAG: day(first),
        ASSET_PARTITION_RANGE_END_TAG: day(last),
    }


def day(number):
    return f"2020-01-{number:02}"


@pytest.fixture
def book():
    with dg.DagsterInstance.ephemeral() as instance:
        yield Book(instance)


def test_nothing_stands_where_every_day_was_made(book):
    book.run(1, 10)

    assert book.list() == []


def test_days_that_no_run_was_to_make_are_missing_and_stand_in_one_line(book):
    book.run(1, 7)

    assert book.told(1, 7) == []
    assert book.told() == [
        ("raw/carts", "08-10", "missing", "", "No run was to make it."),
        ("trusted/sales", "08-10", "missing", "", "No run was to make it."),
        ("refined/sales_by_day", "08-10", "missing", "", "No run was to make it."),
    ]
    assert set(book.repairs()) == {
        f"storepipe run --from 2020-01-08 --to 2020-01-10 --select '{ALL}'"
    }


def test_a_failed_step_is_told_and_named_by_what_it_kept_from_its_turn(book):
    run_id = book.run(4, carts=AWAY)
    why = "raw/carts: The database is away. Run again."

    assert book.told(4, 4) == [
        ("raw/carts", "04-04", "failed", "passing", "The database is away. Run again."),
        ("trusted/sales", "04-04", "missing", "passing", why),
        ("refined/sales_by_city", "", "missing", "passing", why),
        ("refined/sales_by_day", "04-04", "missing", "passing", why),
    ]
    assert {line.run_id for line in book.list(4, 4)} == {run_id}
    assert set(book.repairs(4, 4)) == {
        f"storepipe run --from 2020-01-04 --to 2020-01-04 --select '{ALL}'"
    }


def test_a_failed_blocking_check_is_told_though_the_day_was_made(book):
    book.run(5, check=True)
    why = "every_line_is_sold_once failed. 2 rows break the rule."

    assert book.told(5, 5) == [
        ("trusted/sales", "05-05", "failed", "permanent", why),
        ("refined/sales_by_city", "", "missing", "permanent", f"trusted/sales: {why}"),
        ("refined/sales_by_day", "05-05", "missing", "permanent", f"trusted/sales: {why}"),
    ]
    assert set(book.repairs(5, 5)) == {
        "storepipe run --from 2020-01-05 --to 2020-01-05 --select 'key:\"trusted/sales\"+'"
    }


def test_a_day_that_no_check_has_judged_is_told_though_it_was_made(book):
    book.run(1, 10)
    book.run(5, check=AWAY)

    assert ("trusted/sales", "05-05", "failed", "passing") in [line[:4] for line in book.told()]
    assert book.told()[0][4] == "Not judged: The database is away. Run again."
    assert book.standing().unfit_days(sales.key) == {"2020-01-05"}


def test_days_are_unfit_if_rows_that_are_there_broke_a_rule(book):
    book.run(1, 10)
    book.run(4, check=True)
    book.run(5, sales=REFUSED)  # the rows of the run before are there
    assert book.standing().unfit_days(sales.key) == {"2020-01-04"}
    assert book.standing().unfit_days(carts.key) == set()

    book.run(4)
    assert book.standing().unfit_days(sales.key) == set()


def test_bad_settings_are_permanent(book):
    book.run(1, 10)
    book.run(3, sales_by_day=REFUSED)

    assert book.told() == [
        ("refined/sales_by_day", "03-03", "failed", "permanent", "The database refuses: no."),
    ]
    assert book.repairs() == [
        "storepipe run --from 2020-01-03 --to 2020-01-03 --select 'key:\"refined/sales_by_day\"'"
    ]


def test_a_day_that_was_not_made_again_is_stale(book):
    book.run(1, 10)
    book.run(6, sales=AWAY)
    why = "trusted/sales: The database is away. Run again."

    assert book.told() == [
        ("trusted/sales", "06-06", "failed", "passing", "The database is away. Run again."),
        ("refined/sales_by_city", "", "stale", "passing", why),
        ("refined/sales_by_day", "06-06", "stale", "passing", why),
    ]


def test_a_failed_range_is_one_line_that_its_repaired_days_divide(book):
    book.run(1, 10)
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
    book.run(1, 10)
    for number in (2, 4, 5):
        book.run(number, only=["refined/sales_by_day"], sales_by_day=AWAY)

    assert [line[1] for line in book.told()] == ["02-02", "04-05"]


def test_a_repaired_day_is_no_more_in_the_list(book):
    book.run(1, 10)
    book.run(4, carts=AWAY)
    book.run(4)

    assert book.list() == []


def test_a_failed_check_is_no_more_in_the_list_once_the_day_was_made_well(book):
    book.run(1, 10)
    book.run(4, check=True)
    book.run(4)

    assert book.list() == []


def test_a_day_whose_cause_was_repaired_alone_tells_so(book):
    book.run(1, 10)
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


def test_a_failure_after_a_success_stands_and_the_last_failure_is_the_reason(book):
    book.run(1, 10)
    book.run(4, sales_by_day=AWAY)
    book.run(4, sales_by_day=REFUSED)

    assert [line[3:] for line in book.told()] == [("permanent", "The database refuses: no.")]


def test_a_day_of_a_run_that_goes_on_is_in_progress_but_not_what_it_has_made(book):
    book.run(1, 10)
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
    book.run(1, 10)
    run = book.waiting(4)
    book.instance.report_run_failed(run, "The process of this run ended before the run did.")

    assert {line[2:] for line in book.told()} == {
        ("failed", "passing", "The process of this run ended before the run did.")
    }
    assert len(book.told()) == 4


def test_a_cancelled_run_leaves_missing_what_was_never_made_and_nothing_else(book):
    book.run(1, 3)
    book.instance.report_run_canceled(book.waiting(3, 4))

    assert book.told(1, 4) == [
        ("raw/carts", "04-04", "missing", "", "The run was cancelled before."),
        ("trusted/sales", "04-04", "missing", "", "The run was cancelled before."),
        ("refined/sales_by_day", "04-04", "missing", "", "The run was cancelled before."),
    ]


def test_a_cancelled_run_does_not_hide_an_earlier_failure(book):
    book.run(1, 10)
    book.run(4, sales_by_day=AWAY)
    book.instance.report_run_canceled(book.waiting(4))

    assert [line[:4] for line in book.told()] == [
        ("refined/sales_by_day", "04-04", "failed", "passing")
    ]


def test_a_table_without_days_that_failed_alone_is_made_alone(book):
    book.run(1, 10)
    book.run(2, 5, only=["refined/sales_by_city"], sales_by_city=AWAY)

    assert book.told() == [
        ("refined/sales_by_city", "", "failed", "passing", "The database is away. Run again.")
    ]
    assert book.repairs() == [
        "storepipe run --from 2020-01-05 --to 2020-01-05 --select 'key:\"refined/sales_by_city\"'"
    ]


def test_of_an_instance_without_runs_everything_is_missing(book):
    assert [line[:3] for line in book.told()] == [
        ("raw/carts", "01-10", "missing"),
        ("trusted/sales", "01-10", "missing"),
        ("refined/sales_by_city", "", "missing"),
        ("refined/sales_by_day", "01-10", "missing"),
    ]
    assert set(book.repairs()) == {
        f"storepipe run --from 2020-01-01 --to 2020-01-10 --select '{ALL}'"
    }


def test_the_first_day_is_the_first_that_was_made_or_asked_for(book):
    graph = DEFS.resolve_asset_graph()
    assert Standing(book.instance, graph).first_day == "2020-01-01"
    book.run(6)
    assert Standing(book.instance, graph).first_day == "2020-01-06"
    book.run(4, carts=AWAY)
    assert Standing(book.instance, graph).days_until("2020-01-05") == ["2020-01-04", "2020-01-05"]


POSTGRES = {
    "username": {"env": "DAGSTER_POSTGRES_USER"},
    "password": {"env": "DAGSTER_POSTGRES_PASSWORD"},
    "hostname": {"env": "DAGSTER_POSTGRES_HOST"},
    "port": {"env": "DAGSTER_POSTGRES_PORT"},
    "db_name": {"env": "DAGSTER_POSTGRES_DB"},
}


@pytest.fixture(params=["laptop", "production"])
def kept_book(request, tmp_path, monkeypatch):
    """On the storage of a laptop, SQLite, and of production, PostgreSQL."""
    configuration = CONFIGURATION
    if request.param == "production":
        database = request.getfixturevalue("postgres").create_database()
        for name, value in database.environment().items():
            monkeypatch.setenv(name, value)
        configuration = json.dumps({"storage": {"postgres": {"postgres_db": POSTGRES}}})
    (tmp_path / "dagster.yaml").write_text(configuration)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "2000")
    with dg.DagsterInstance.get() as instance:
        yield Book(instance)


def test_it_is_told_from_a_history_that_is_kept(kept_book):
    kept_book.run(1, 10)
    kept_book.run(2, 4, only=["refined/sales_by_day"], sales_by_day=AWAY)
    kept_book.run(3, only=["refined/sales_by_day"])
    kept_book.run(5, check=True)
    kept_book.run(5)

    assert [line[:4] for line in kept_book.told()] == [
        ("refined/sales_by_day", "02-02", "failed", "passing"),
        ("refined/sales_by_day", "04-04", "failed", "passing"),
    ]
