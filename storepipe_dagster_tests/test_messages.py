"""Tests of `storepipe_dagster.messages`: what is told of a run, and what is not."""

from datetime import date
from decimal import Decimal

import dagster as dg
import deltalake
import pyarrow as pa
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run

from storepipe_dagster import messages
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.partitions import DAYS
from storepipe_dagster.resources.database import DatabaseError
from storepipe_dagster.resources.lake_sql import LakeSql

DAY = "2020-03-09"  # a Monday
TAGS = {"dagster/partition": DAY}
EMAIL = "ann@example.com"


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def failed_run(instance, *assets, checks=(), tags=TAGS):
    """A run of these assets, and its failed steps."""
    defs = dg.Definitions(assets, asset_checks=checks, jobs=[dg.define_asset_job("store_pipeline")])
    done = defs.resolve_job_def("store_pipeline").execute_in_process(
        instance=instance, raise_on_error=False, tags=tags
    )
    assert not done.success
    failures = [event for event in done.all_events if event.is_step_failure]
    return instance.get_run_by_id(done.run_id), failures


def failing(error):
    @dg.asset(key=["mysql", "users"])
    def users() -> None:
        raise error

    return users


def told_of(instance, *assets, **options):
    run, failures = failed_run(instance, *assets, **options)
    return messages.failure(run, failures, "https://dagster.example/runs/a1").splitlines()


def test_an_error_of_ours_is_told_in_its_first_line(instance):
    error = DatabaseError(
        "MySQL at db:3306 does not answer. Check MYSQL_HOST.\nIt was asked twice."
    )

    assert told_of(instance, failing(error)) == [
        "store_pipeline failed: 2020-03-09",
        "• mysql/users: MySQL at db:3306 does not answer. Check MYSQL_HOST.",
        "https://dagster.example/runs/a1",
    ]


def test_an_error_of_others_is_told_by_its_kind_as_it_may_show_rows(instance):
    told = told_of(instance, failing(ValueError(f"Duplicate entry {EMAIL!r} for key 'email'")))

    assert told[1] == "• mysql/users: ValueError"
    assert EMAIL not in "\n".join(told)


def test_an_error_of_ours_on_an_error_of_others_is_told_without_the_latter(instance):
    @dg.asset(key=["mysql", "users"])
    def users() -> None:
        raise DatabaseError("The database refuses.") from ValueError(EMAIL)

    assert told_of(instance, users)[1] == "• mysql/users: The database refuses."


def test_a_long_line_is_cut(instance):
    line = told_of(instance, failing(DatabaseError("x" * 1000)))[1]

    assert line == f"• mysql/users: {'x' * messages.LONGEST_LINE}…"


def test_a_blocking_check_that_failed_is_told_without_its_examples(instance):
    @dg.asset(key=["mysql", "users"])
    def users() -> None:
        pass

    @dg.asset_check(asset=users, blocking=True)
    def every_email_is_unique():
        return dg.AssetCheckResult(passed=False, description=EMAIL, metadata={"row": EMAIL})

    told = told_of(instance, users, checks=[every_email_is_unique])

    assert told[1].endswith(" failed: mysql/users: every_email_is_unique")
    assert EMAIL not in "\n".join(told)


def test_a_run_whose_process_died_is_told_so_and_that_it_starts_again(instance):
    run = dg.DagsterRun("store_pipeline", tags={**TAGS, "dagster/will_retry": "true"})

    assert messages.failure(run, [], "a1").splitlines() == [
        "store_pipeline failed: 2020-03-09",
        "• No step failed: the run's process ended before the run did.",
        "It is started again.",
        "a1",
    ]


@pytest.mark.parametrize(
    ("tags", "days"),
    [
        (TAGS, DAY),
        (
            {
                "dagster/asset_partition_range_start": "2020-03-01",
                "dagster/asset_partition_range_end": DAY,
            },
            "2020-03-01 to 2020-03-09",
        ),
        ({}, "no day in particular"),
    ],
)
def test_the_days_of_a_run_are_told_from_its_tags(tags, days):
    assert messages.days_of(tags) == days


# --- what a run changed ---------------------------------------------------------------------


class Shop:
    """Days of sales in a real lake, made by runs of a small graph with our keys."""

    def __init__(self, root, instance):
        self.lake, self.instance = Lake(root=str(root)), instance
        self.sql = LakeSql(lake=self.lake)
        self.fails = False
        self.rows: dict[str, list[tuple]] = {}
        config = {"partitions_def": DAYS, "backfill_policy": dg.BackfillPolicy.single_run()}

        @dg.asset(key=["trusted", "sales"], **config)
        def sales() -> dg.MaterializeResult:
            return self.replace("trusted/sales", sales_table(self.rows))

        @dg.asset(key=["refined", "sales_by_day"], deps=[sales], **config)
        def sales_by_day() -> dg.MaterializeResult:
            if self.fails:
                raise ConnectionError
            return self.replace("refined/sales_by_day", sales_by_day_table(self.rows))

        self.defs = dg.Definitions(
            [sales, sales_by_day],
            jobs=[dg.define_asset_job("store_pipeline")],
            executor=dg.in_process_executor,
        )

    def replace(self, name, table):
        path = self.lake.path(dg.AssetKey(name.split("/")))
        deltalake.write_deltalake(path, table, mode="overwrite")
        return dg.MaterializeResult(
            metadata={"delta_version": deltalake.DeltaTable(path).version()}
        )

    def run(self):
        job = self.defs.resolve_job_def("store_pipeline")
        done = job.execute_in_process(instance=self.instance, tags=TAGS, raise_on_error=False)
        return self.instance.get_run_by_id(done.run_id)

    def run_again(self, first, key):
        """Start a failed run again where it was, as the daemon does."""
        keys = frozenset({dg.AssetKey(key)})
        job = self.defs.resolve_job_def("store_pipeline").get_subset(asset_selection=keys)
        run = self.instance.create_run_for_job(
            job,
            tags=TAGS,
            parent_run_id=first.run_id,
            root_run_id=first.run_id,
            asset_selection=keys,
        )
        assert execute_run(InMemoryJob(job), run, self.instance).success
        return run

    def changes_of(self, run):
        return [*messages.changed_tables(self.instance, self.lake, run)]


def sales_table(rows):
    days, carts, revenues = zip(*[(d, *row) for d, of in rows.items() for row in of], strict=True)
    return pa.table(
        {
            "sale_date": pa.array([date.fromisoformat(day) for day in days]),
            "cart_id": pa.array(carts, pa.int64()),
            "line_number": pa.array([1] * len(carts), pa.int32()),
            "revenue": pa.array(map(Decimal, revenues), pa.decimal128(18, 2)),
        }
    )


def sales_by_day_table(rows):
    return pa.table(
        {
            "sale_date": pa.array([date.fromisoformat(day) for day in rows]),
            "carts": pa.array([len(of_day) for of_day in rows.values()], pa.int64()),
            "revenue": pa.array(
                [sum(Decimal(revenue) for _, revenue in of_day) for of_day in rows.values()],
                pa.decimal128(18, 2),
            ),
        }
    )


@pytest.fixture
def shop(tmp_path, instance):
    return Shop(tmp_path, instance)


def test_rows_added_changed_and_removed_are_counted_by_table(shop):
    shop.rows = {"2020-03-02": [(1, "10.00"), (2, "20.00"), (3, "30.00")]}
    shop.run()
    shop.rows = {"2020-03-02": [(2, "20.00"), (3, "33.00")], DAY: [(4, "99.50"), (5, "1.00")]}

    assert shop.changes_of(shop.run()) == [
        "• trusted/sales: 2 added, 1 changed, 1 removed",
        "• refined/sales_by_day: 1 added, 1 changed, 0 removed",
    ]


def test_tables_that_a_run_leaves_as_they_were_are_not_told_of(shop):
    shop.rows = {DAY: [(1, "10.00")]}
    shop.run()
    again = shop.run()

    assert shop.changes_of(again) == []
    assert "No table has changed." in messages.success(shop.instance, shop.sql, again, "a1")


def test_a_table_that_was_not_there_is_new(shop):
    shop.rows = {DAY: [(1, "10.00")]}

    assert shop.changes_of(shop.run()) == ["• trusted/sales: new", "• refined/sales_by_day: new"]


def test_what_a_later_run_changed_is_not_counted(shop):
    shop.rows = {DAY: [(1, "10.00")]}
    shop.run()
    shop.rows[DAY].append((2, "10.00"))
    run = shop.run()
    shop.rows[DAY].append((3, "10.00"))
    shop.run()

    assert shop.changes_of(run)[0] == "• trusted/sales: 1 added, 0 changed, 0 removed"


def test_a_retry_tells_of_what_the_first_try_changed_too(shop):
    shop.rows = {DAY: [(1, "10.00")]}
    shop.run()
    shop.rows[DAY].append((2, "10.00"))
    shop.fails = True
    first = shop.run()
    shop.fails = False
    again = shop.run_again(first, ["refined", "sales_by_day"])

    assert shop.changes_of(again) == [
        "• trusted/sales: 1 added, 0 changed, 0 removed",
        "• refined/sales_by_day: 0 added, 1 changed, 0 removed",
    ]


def test_a_table_whose_earlier_version_is_gone_is_not_compared(shop):
    shop.rows = {DAY: [(1, "10.00")]}
    shop.run()
    shop.rows[DAY].append((2, "10.00"))
    run = shop.run()
    table = deltalake.DeltaTable(shop.lake.path(dg.AssetKey(["trusted", "sales"])))
    table.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)

    told = shop.changes_of(run)
    assert told[0].startswith("• trusted/sales: not compared. ")
    assert told[1] == "• refined/sales_by_day: 0 added, 1 changed, 0 removed"


def test_a_days_revenue_stands_beside_that_of_the_same_weekday_before(shop):
    shop.rows = {"2020-03-02": [(1, "1000.00")], "2020-03-08": [(2, "7.00")], DAY: [(3, "1255.00")]}

    told = messages.success(shop.instance, shop.sql, shop.run(), "a1").splitlines()
    assert told[:2] == [
        "store_pipeline made 2020-03-09",
        "Revenue 1,255.00; Monday 2020-03-02: 1,000.00 (+25.5%)",
    ]
    assert told[-1] == "a1"


def test_a_day_without_sales_or_with_none_before_is_told_without_a_share(shop):
    shop.rows = {"2020-03-02": [(1, "1000.00")], "2020-03-16": [(2, "5.00")]}
    shop.run()

    with shop.sql.connect() as lake:
        assert messages.revenue(lake, date(2020, 3, 9)) == (
            "Revenue 0.00; Monday 2020-03-02: 1,000.00 (-100.0%)"
        )
        assert messages.revenue(lake, date(2020, 3, 16)) == (
            "Revenue 5.00; Monday 2020-03-09: 0.00"
        )
