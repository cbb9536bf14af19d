"""A small graph whose steps can be made to fail, and the standing list of its real runs."""

import dagster as dg
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from storepipe_dagster.history.judging import JUDGES
from storepipe_dagster.resources.database import DatabaseBusyError, DatabaseError
from storepipe_dagster.standing.standing import Standing

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

    def roll_back(self, number):
        """A roll back took a day of the sales away."""
        away = dg.AssetObservation(sales.key, partition=day(number))
        self.instance.report_runless_asset_event(away)

    def judge(self, first, last=None, **faults):
        """The run with which a roll back of the sales lets them be judged."""
        FAULTS.clear()
        FAULTS.update(faults)
        job = JOB.get_subset(asset_check_selection={*every_line_is_sold_once.check_keys})
        job.execute_in_process(
            instance=self.instance, raise_on_error=False, tags={**tags_of(first, last), **JUDGES}
        )

    def waiting(self, first, last=None):
        """A run that was made and not begun."""
        return self.instance.create_run_for_job(JOB, tags=tags_of(first, last))

    def of_the_daemon(self, first, **tags):
        """A run that the daemon started, and would start again."""
        code = RegisteredCodeLocationOrigin("code")
        origin = RemoteRepositoryOrigin(code, "repository").get_job_origin(JOB.name)
        run = self.waiting(first).with_job_origin(origin)
        self.instance.delete_run(run.run_id)
        return self.instance.add_run(run.with_tags({**run.tags, **tags}))

    def backfill(self, status):
        """A backfill in some state; gives its id."""
        backfill = PartitionBackfill("week", status, False, {}, 0.0)
        self.instance.add_backfill(backfill)
        return backfill.backfill_id

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
